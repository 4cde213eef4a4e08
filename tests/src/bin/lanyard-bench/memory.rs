//! Resident memory: idle, after a task of twenty steps, after opening a session of 100,000 events.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lanyard_protocol::method::{GetHistory, GetSessionState, Health, ListSessions};
use lanyard_tests::host::{HostOptions, TestHost};
use lanyard_tests::{long, look, stage};
use serde_json::json;

use crate::provider::{Provider, call, end, send, text};
use crate::table::Table;

/// Long enough for what the start left to do.
const IDLE: Duration = Duration::from_secs(1);

const STEPS: usize = 20;
const EVENTS: u64 = 100_000;

/// Budget of an idle host (4-host.md), MB.
const IDLE_BUDGET: f64 = 15.0;

pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    let provider = Provider::start(|number, stream| {
        let body = match number {
            n if n % (STEPS + 1) == STEPS => text("done") + &end("stop"),
            n if n % 2 == 0 => call("RunCommand", &json!({"argv": ["true", n.to_string()]})),
            n => call("ReadFile", &json!({"path": format!("file-{n}")})),
        };
        send(stream, &body)
    })?;
    let mut host =
        TestHost::idle(HostOptions { gateway: Some(provider.url.clone()), ..HostOptions::default() })?;
    long::session(&host.state_dir(), &host.workspace(), EVENTS).await?;
    for number in 0..STEPS {
        std::fs::write(host.workspace().join(format!("file-{number}")), "line\n".repeat(20))?;
    }
    host.boot().await?;
    let mut peer = host.connect().await?;
    peer.call(Health {}).await?;
    tokio::time::sleep(IDLE).await;
    table.memory("memory: idle", resident(&host)?, Some(IDLE_BUDGET))?;

    let session = peer.session(&host.workspace()).await?.session_id;
    peer.start(&session, "twenty steps", stage::unasked()).await?;
    let events = peer.until_task_ends().await?;
    ensure!(look::answer(&events) == "done", "{:?}", look::failure(&events));
    tokio::time::sleep(IDLE).await;
    table.memory("memory: after a task of 20 steps", resident(&host)?, None)?;

    host.kill().await?;
    host.boot().await?;
    let mut peer = host.connect().await?;
    peer.call(ListSessions::default()).await?;
    peer.call(GetSessionState { session_id: long::SESSION.parse()? }).await?;
    let mut before_seq = None;
    for _ in 0..10 {
        let page = GetHistory {
            session_id: long::SESSION.parse()?,
            after_seq: None,
            before_seq,
            limit: Some(1_000),
            query: None,
        };
        before_seq = peer.call(page).await?.next_seq;
    }
    table.memory("memory: after opening 100,000 events, 10 pages", resident(&host)?, None)?;
    Ok(())
}

/// Resident memory of the host, bytes.
pub(crate) fn resident(host: &TestHost) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid()?))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib * 1024)
}
