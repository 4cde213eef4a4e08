//! Measures what the developers' page has budgets for, with real hosts: start, memory, the cost of a step against the
//! floor of the same machine in the same minute, decisions, fan-out, requests, tokens, the network side, the page, the central services.
//!
//! Prints a table, or JSON with `--json`. Asserts nothing about time: a busy machine is not a defect. Names given as
//! arguments pick sections: `start memory step policy fanout requests tokens network page central`. With `--pairings-under-loss
//! SOCKET ADDRESS[,ADDRESS…] COUNT` it pairs devices with a host that runs already, from wherever it is started itself: in a
//! network namespace behind a bad link.

mod central;
mod fanout;
mod floor;
mod memory;
mod network;
mod page;
mod policy;
mod provider;
mod requests;
mod start;
mod step;
mod table;
mod tokens;

use anyhow::{Result, bail};
use network::pairings::Elsewhere;
use table::Table;

/// The sections, in the order they are run.
const SECTIONS: &[&str] =
    &["start", "memory", "step", "policy", "fanout", "requests", "tokens", "network", "page", "central"];

fn main() -> Result<()> {
    let mut json = false;
    let (mut wanted, mut elsewhere) = (Vec::new(), None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => json = true,
            // The sections named are the only ones anyway.
            "--only" => {}
            "--pairings-under-loss" => elsewhere = Some(Elsewhere::from_words(&mut words)?),
            name if SECTIONS.contains(&name) => wanted.push(word),
            other => bail!("{other:?} is not known; there are --json and {}", SECTIONS.join(" ")),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let table = runtime.block_on(async {
        match elsewhere {
            Some(elsewhere) => elsewhere.measure().await,
            None => measure(&wanted).await,
        }
    })?;
    println!("{}", if json { table.json()? } else { table.text() });
    Ok(())
}

async fn measure(wanted: &[String]) -> Result<Table> {
    let mut table = Table::default();
    for section in SECTIONS {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == section) {
            continue;
        }
        eprintln!("measuring: {section}");
        match *section {
            "start" => start::measure(&mut table).await?,
            "memory" => memory::measure(&mut table).await?,
            "step" => step::measure(&mut table).await?,
            "policy" => policy::measure(&mut table)?,
            "fanout" => fanout::measure(&mut table).await?,
            "requests" => requests::measure(&mut table).await?,
            "tokens" => tokens::measure(&mut table).await?,
            "network" => network::measure(&mut table).await?,
            "page" => page::measure(&mut table).await?,
            _ => central::measure(&mut table).await?,
        }
    }
    Ok(table)
}
