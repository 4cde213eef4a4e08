//! A session of 100,000 events opens, pages, searches and goes on with bounded memory.

use anyhow::{Context, Result, ensure};
use lanyard_protocol::event::EventBody;
use lanyard_protocol::method::{GetHistory, GetSessionState, ListSessions, Subscribe};
use lanyard_tests::gateway::{ScriptedGateway, say};
use lanyard_tests::host::{HostOptions, TestHost};
use lanyard_tests::long::{self, EVENTS_PER_TASK, NEEDLE, SESSION};
use lanyard_tests::look;
use lanyard_tests::stage::unasked;

const EVENTS: u64 = 100_000;

/// Pages read in each direction; all of them with LANYARD_LONG=1. The subscription reads everything in any case.
const PAGES: usize = 8;

/// What all of it together may add to the host's memory. The session itself is far larger than this.
const GROWTH: u64 = 40 << 20;

/// The most memory a process has had at any time, bytes.
fn peak(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib << 10)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_100_000_events_takes_bounded_memory() -> Result<()> {
    let gateway = ScriptedGateway::start([say("it goes on")]);
    let mut host = TestHost::idle(HostOptions { gateway: Some(gateway.url()), ..HostOptions::default() })?;
    let last = long::session(&host.state_dir(), &host.workspace(), EVENTS).await?;
    let size = std::fs::metadata(host.state_dir().join("store/store.redb"))?.len();
    assert!(size > GROWTH * 3 / 2, "the session has {size} bytes, too few to show anything");
    host.boot().await?;
    let pid = host.pid()?;
    let mut peer = host.connect().await?;
    let before = peak(pid)?;
    let session_id: lanyard_protocol::id::SessionId = SESSION.parse()?;
    let page = |after_seq, before_seq, query: Option<&str>| GetHistory {
        session_id: session_id.clone(),
        after_seq,
        before_seq,
        limit: Some(1_000),
        query: query.map(str::to_owned),
    };

    assert_eq!(peer.call(ListSessions::default()).await?.sessions[0].last_seq, last);
    assert_eq!(peer.call(GetSessionState { session_id: session_id.clone() }).await?.last_seq, last);

    let newest = peer.call(page(None, None, None)).await?;
    assert_eq!(newest.events.last().and_then(|event| event.seq), Some(last));

    let pages = if std::env::var_os("LANYARD_LONG").is_some() { usize::MAX } else { PAGES };
    let (mut seen, mut cursor) = (0, Some(0));
    for _ in 0..pages {
        let Some(after) = cursor else { break };
        let page = peer.call(page(Some(after), None, None)).await?;
        for event in &page.events {
            seen += 1;
            ensure!(event.seq == Some(seen), "{:?} instead of {seen}", event.seq);
        }
        cursor = page.next_seq.filter(|_| page.has_more);
    }
    assert!(seen == last || pages == PAGES, "forward: {seen}");

    let (mut left, mut cursor) = (last + 1, Some(last + 1));
    for _ in 0..pages {
        let Some(at) = cursor else { break };
        let page = peer.call(page(None, Some(at), None)).await?;
        for event in page.events.iter().rev() {
            left -= 1;
            ensure!(event.seq == Some(left), "{:?} instead of {left}", event.seq);
        }
        cursor = page.next_seq.filter(|_| page.has_more);
    }
    assert!(left == 1 || pages == PAGES, "backward: {left}");

    let (mut found, mut cursor) = (Vec::new(), Some(0));
    while let Some(after) = cursor {
        let page = peer.call(page(Some(after), None, Some(&NEEDLE.to_uppercase()))).await?;
        found.extend(page.events.iter().filter_map(|event| event.seq));
        cursor = page.next_seq.filter(|_| page.has_more);
    }
    let tasks = (last - 1) / EVENTS_PER_TASK;
    assert_eq!(found.len() as u64, (tasks + 499) / 1000, "{found:?}");

    let mut follower = host.connect().await?;
    follower.call(Subscribe { session_id: session_id.clone(), after_seq: 0 }).await?;
    // The connection itself checks that they come one by one.
    follower.events_until(|body| matches!(body, EventBody::TaskCompleted(done) if done.text.starts_with(&format!("Part {} ", tasks - 1)))).await?;

    follower.start(&session_id, "go on", unasked()).await?;
    let events = follower.until_task_ends().await?;
    assert_eq!(look::answer(&events), "it goes on", "{:?}", look::failure(&events));
    let sent = gateway.requests()[0].body.to_string().len();
    assert!(sent < 4 << 20, "the thread is sent within the window, not whole: {sent} bytes");

    let growth = peak(pid)?.saturating_sub(before);
    println!("store {} MiB, memory +{} MiB", size >> 20, growth >> 20);
    assert!(growth < GROWTH, "memory grew by {} MiB", growth >> 20);
    Ok(())
}
