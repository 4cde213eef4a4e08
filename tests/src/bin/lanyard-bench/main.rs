//! Measures what the developers' page has budgets for, with real hosts: start, memory, the cost of a step against the
//! floor of the same machine in the same minute, decisions, fan-out, requests, tokens.
//!
//! Prints a table, or JSON with `--json`. Asserts nothing about time: a busy machine is not a defect. Names given as
//! arguments pick sections: `start memory step policy fanout requests tokens`.

mod fanout;
mod floor;
mod memory;
mod policy;
mod provider;
mod requests;
mod start;
mod step;
mod table;
mod tokens;

use anyhow::{Result, bail};
use table::Table;

/// The sections, in the order they are run.
const SECTIONS: &[&str] = &["start", "memory", "step", "policy", "fanout", "requests", "tokens"];

fn main() -> Result<()> {
    let mut json = false;
    let mut wanted = Vec::new();
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--json" => json = true,
            name if SECTIONS.contains(&name) => wanted.push(word),
            other => bail!("{other:?} is not known; there are --json and {}", SECTIONS.join(" ")),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let table = runtime.block_on(measure(&wanted))?;
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
            _ => tokens::measure(&mut table).await?,
        }
    }
    Ok(table)
}
