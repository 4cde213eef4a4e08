//! Runs all scenarios at once, whatever number of tests the test runner runs at a time.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use lanyard_tests::lan::Lan;

use crate::SCENARIOS;

/// One of them.
pub(crate) struct Scenario {
    /// The name of its test.
    pub(crate) name: &'static str,
    /// Plays it.
    pub(crate) run: fn() -> Result<()>,
}

type Running = Mutex<HashMap<&'static str, JoinHandle<Result<()>>>>;

/// How a scenario came out. The first test that asks starts all that this run of the test binary wants.
pub(crate) fn outcome(name: &str) -> Result<()> {
    static RUNNING: OnceLock<Running> = OnceLock::new();
    if Lan::is_missing() {
        return Ok(());
    }
    let running = RUNNING.get_or_init(start);
    let handle = running.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    match handle {
        Some(handle) => handle.join().map_err(|_| anyhow!("it panicked"))?,
        None => (find(name)?.run)(),
    }
}

fn find(name: &str) -> Result<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name).context("no such scenario")
}

fn start() -> Running {
    let wanted = wanted();
    let scenarios = SCENARIOS.iter().filter(|scenario| wanted(scenario.name));
    Mutex::new(scenarios.map(|scenario| (scenario.name, std::thread::spawn(scenario.run))).collect())
}

/// Options of a test binary that have a value of their own, which is no filter.
const WITH_VALUE: &[&str] = &["--test-threads", "--color", "--format", "--logfile", "--shuffle-seed", "-Z"];

/// The filter of the command line. One that is not understood lets too many run or too few; those are run when asked for.
fn wanted() -> impl Fn(&str) -> bool {
    let mut filters = Vec::new();
    let mut skipped = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--skip" {
            skipped.extend(words.next());
        } else if WITH_VALUE.contains(&word.as_str()) {
            words.next();
        } else if !word.starts_with('-') {
            filters.push(word);
        }
    }
    move |name| {
        let fits = filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
        fits && !skipped.iter().any(|skip| name.contains(skip.as_str()))
    }
}

/// Plays a scenario on this thread.
pub(crate) fn block_on(scenario: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(scenario)
}
