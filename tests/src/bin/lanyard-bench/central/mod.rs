//! The central services, on PostgreSQL and on the embedded default: starting, resting, taking in audit and telemetry
//! against the database's own batch insert, sessions, a revocation that ten thousand hosts confirm, a host's outbox.

mod fleet;
mod ingest;
mod outbox;
mod sessions;

use std::time::{Duration, Instant};

use anyhow::Result;
use lanyard_tests::central::{Installation, Records};

use crate::table::{Samples, Table};

/// Long enough for what the start left to do.
const REST: Duration = Duration::from_secs(5);

pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    for (records, name) in [(Records::Postgres, "PostgreSQL"), (Records::Sqlite, "SQLite")] {
        let mut central = Installation::prepare(records)?;
        // Everything of a section comes from a few callers.
        central.flag(&["--requests-per-second", "1000000"]);
        let started = Instant::now();
        central.add().await?;
        let start = started.elapsed();
        table.times(&format!("central, {name}: start to ready, fresh"), &Samples::of(&[start])?, None);
        rest(table, &central, name).await?;
        sessions::measure(table, &central, name).await?;
        ingest::measure(table, &central, name).await?;
        if records == Records::Postgres {
            fleet::measure(table, &central).await?;
            outbox::measure(table, &central).await?;
        }
    }
    Ok(())
}

async fn rest(table: &mut Table, central: &Installation, name: &str) -> Result<()> {
    let pid = central.replica(0).pid()?;
    let before = processor(pid)?;
    tokio::time::sleep(REST).await;
    let used = (processor(pid)? - before).as_secs_f64() / REST.as_secs_f64() * 100.0;
    table.memory(&format!("central, {name}: memory at rest"), resident(pid)?, None)?;
    table.number(&format!("central, {name}: processor at rest"), used, "% of a core");
    Ok(())
}

/// Processor time of a process, in user and system mode.
pub(crate) fn processor(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second()))
}

/// Resident memory of a process, bytes.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = statm.split_whitespace().nth(1).unwrap_or("0").parse()?;
    Ok(pages * u64::try_from(rustix::param::page_size())?)
}
