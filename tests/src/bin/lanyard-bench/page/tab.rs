//! Memory of the phone's tab: at the list of sessions, with a session of 50,000 events open, and after scrolling through
//! it from its end to its beginning.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use lanyard_tests::host::TestHost;
use lanyard_tests::long;
use serde_json::json;

use super::Phone;
use crate::network;
use crate::table::Table;

const EVENTS: u64 = 50_000;

/// How long scrolling may go on: where it ends is in the table.
const SCROLLING: std::time::Duration = std::time::Duration::from_secs(180);

/// How often is looked where it is.
const LOOK: std::time::Duration = std::time::Duration::from_millis(500);

/// Scrolls up as a thumb does that is in a hurry; at the top it presses the button that fetches what comes before.
const SCROLL: &str = "\
    window.benchScrolling = setInterval(() => { \
        const place = document.querySelector('.timeline').closest('[data-scroll]'); \
        if (place.scrollTop > 0) place.scrollTop = Math.max(0, place.scrollTop - 2000); \
        else document.querySelector('.timeline-edge button:enabled')?.click(); \
    }, 16);";

/// The number of the oldest task that is shown.
const OLDEST: &str = "\
    const first = document.querySelector('.timeline article.prompt .bubble'); \
    const found = first && first.textContent.match(/part (\\d+)/); \
    return found ? Number(found[1]) : null;";

pub(super) async fn measure(table: &mut Table) -> Result<()> {
    let mut host = TestHost::idle(network::quiet())?;
    let events = long::session(&host.state_dir(), &host.workspace(), EVENTS).await?;
    host.boot().await?;
    let phone = Phone::paired_with(&host).await?;
    phone.page.devtools("Performance.enable", json!({})).await?;
    let before = Memory::of(&phone).await?;
    before.report(table, "at the sessions", None)?;
    phone.opens(long::SESSION).await?;
    phone.until("document.querySelector('.timeline article.prompt')").await?;
    Memory::of(&phone).await?.report(table, "50,000 events opened", Some(&before))?;
    let reached = scroll(&phone).await?;
    Memory::of(&phone).await?.report(table, "50,000 events scrolled", Some(&before))?;
    let seen = events - reached * long::EVENTS_PER_TASK;
    table.number("tab: events scrolled through", seen as f64, "");
    Ok(())
}

/// Scrolls to the beginning, or as far as time allows; the number of the task where it ended.
async fn scroll(phone: &Phone) -> Result<u64> {
    phone.page.eval(SCROLL).await?;
    let began = Instant::now();
    let mut oldest = u64::MAX;
    while oldest > 0 && began.elapsed() < SCROLLING {
        tokio::time::sleep(LOOK).await;
        oldest = phone.page.eval(OLDEST).await?.as_u64().map_or(oldest, |now| oldest.min(now));
    }
    phone.page.eval("clearInterval(window.benchScrolling);").await?;
    anyhow::ensure!(oldest != u64::MAX, "no task is shown: {}", phone.page.text().await?);
    Ok(oldest)
}

/// What a tab holds once it has thrown away what it can.
struct Memory {
    /// JavaScript's own, bytes. The page's program has its memory outside of it.
    heap: u64,
    /// Nodes of the document.
    nodes: u64,
    /// Of the process that draws the page, bytes that no other has: scripts, program, document and pictures.
    process: u64,
}

impl Memory {
    async fn of(phone: &Phone) -> Result<Self> {
        // Twice: what the first finds to be garbage may have kept other things.
        for _ in 0..2 {
            phone.page.devtools("HeapProfiler.collectGarbage", json!({})).await?;
        }
        let metrics = phone.page.devtools("Performance.getMetrics", json!({})).await?;
        let metric = |name: &str| {
            let found = metrics["metrics"].as_array()?.iter().find(|metric| metric["name"] == name)?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "counts and bytes, told as floating point"
            )]
            found["value"].as_f64().map(|value| value as u64)
        };
        let heap = metric("JSHeapUsedSize").with_context(|| format!("no heap in {metrics}"))?;
        let nodes = metric("Nodes").with_context(|| format!("no nodes in {metrics}"))?;
        Ok(Self { heap, nodes, process: renderer()? })
    }

    fn report(&self, table: &mut Table, when: &str, before: Option<&Self>) -> Result<()> {
        let rows = [("process", self.process), ("heap", self.heap)];
        let floors = before.map(|before| [before.process, before.heap]);
        for (number, (what, bytes)) in rows.into_iter().enumerate() {
            table.memory(&format!("tab: {what}, {when}"), bytes, None)?;
            if let Some(floors) = floors {
                table.set_against(bytes as f64 / floors[number] as f64, "the same tab before");
            }
        }
        table.number(&format!("tab: nodes, {when}"), self.nodes as f64, "");
        Ok(())
    }
}

/// Memory of the largest process that draws pages for a browser of ours, bytes that are its own.
fn renderer() -> Result<u64> {
    let parents = parents()?;
    let own = std::process::id();
    let ours = |mut pid: u32| {
        // As long as the chain can be: a process has one parent, and the first has none.
        for _ in 0..parents.len() {
            match parents.get(&pid) {
                Some(parent) if *parent == own => return true,
                Some(parent) => pid = *parent,
                None => return false,
            }
        }
        false
    };
    let draws = |pid: &u32| {
        // Ended meanwhile: it draws nothing.
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0 || *byte == b' ').any(|word| word == b"--type=renderer")
    };
    let sizes = parents.keys().copied().filter(|pid| ours(*pid)).filter(draws).map(private);
    sizes.flatten().max().context("no process draws the page")
}

/// The parent of each process.
fn parents() -> Result<BTreeMap<u32, u32>> {
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Ended meanwhile is as good as never listed. The name in brackets may have spaces.
        let stat =
            std::fs::read_to_string(Path::new("/proc").join(format!("{pid}/stat"))).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    Ok(parents)
}

/// Bytes of memory that only this process has; none if it has ended.
fn private(pid: u32) -> Option<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kib = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    Some(rollup.lines().filter(|line| line.starts_with("Private_")).filter_map(kib).sum::<u64>() * 1024)
}
