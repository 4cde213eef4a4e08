//! The process is killed at any moment: every acknowledged batch is there, no batch by half.
//!
//! The child is this test binary again; it writes numbered batches and says which were acknowledged.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lanyard_ports::journal::{
    ArtifactStore, AuditHead, CallPhase, Cursor, DeviceRecord, Journal, MAX_CONNECTIONS_KEPT, Write,
};
use lanyard_protocol::event::EventBody;

use super::sample::*;
use super::{counts, open};
use crate::Store;

/// Set for the child: the directory it writes to.
const CHILD_DIR: &str = "LANYARD_STORE_CRASH_DIR";

/// Events of a batch; each carries the batch's number.
const PER_BATCH: usize = 3;

#[test]
fn a_killed_host_has_lost_nothing_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut written = 0;
    for round in 0..counts(6, 300) {
        let acknowledged = run_and_kill(dir.path(), round);
        let there = batches_there(dir.path());
        assert!(there >= acknowledged, "round {round}: {acknowledged} acknowledged, {there} there");
        assert!(there >= written, "round {round}: {written} were there before, {there} are now");
        written = there;
    }
    assert!(written > 0, "no child came far enough to write anything");
}

/// At the two edges of a commit: what is under way is lost before it, and there, though not acknowledged, after it.
#[cfg(debug_assertions)]
#[test]
fn a_host_killed_at_the_edge_of_a_commit_has_the_batch_or_not() {
    for (point, unheard) in [("commit.before", 0), ("commit.after", 1)] {
        for nth in 2..counts(5, 40) {
            let dir = tempfile::tempdir().unwrap();
            let ended = child(dir.path()).env("LANYARD_FAULT", format!("{point}:{nth}")).output().unwrap();
            assert!(!ended.status.success());
            let said = String::from_utf8_lossy(&ended.stdout);
            let acknowledged = said.lines().filter_map(acknowledged_batch).next_back().unwrap_or(0);
            assert_eq!(batches_there(dir.path()), acknowledged + unheard, "{point}:{nth}");
        }
    }
}

/// This binary once more, as the one that writes.
fn child(dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "tests::crash::child_writes_until_killed", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Starts the child, kills it after some acknowledgements and some microseconds; the last batch it acknowledged.
fn run_and_kill(dir: &Path, round: usize) -> usize {
    let mut child = child(dir).spawn().unwrap();
    let mut acknowledged = 0;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let wanted = 1 + round * 7 % 40;
    let told = lines.by_ref().map_while(Result::ok).filter_map(|line| acknowledged_batch(&line));
    for number in told.take(wanted) {
        acknowledged = number;
    }
    // Somewhere within the next few commits.
    std::thread::sleep(Duration::from_micros(round as u64 * 611 % 4_000));
    child.kill().unwrap();
    for line in lines.map_while(Result::ok) {
        acknowledged = acknowledged_batch(&line).unwrap_or(acknowledged);
    }
    child.wait().unwrap();
    acknowledged
}

/// The number in a line of the child; the test harness prints lines of its own.
fn acknowledged_batch(line: &str) -> Option<usize> {
    line.strip_prefix("acknowledged ")?.parse().ok()
}

/// Checks that what is there is whole; the number of batches.
fn batches_there(dir: &Path) -> usize {
    let (store, _) = open(dir);
    let Ok(record) = store.session(&sid("a")) else { return 0 };
    let mut after = 0;
    let mut batches = Vec::new();
    loop {
        let page = store.events(&sid("a"), Cursor::After(after), 500).unwrap();
        for event in &page.events {
            after += 1;
            assert_eq!(event.seq, Some(after), "a gap in the log");
            let EventBody::SessionPaused(paused) = &event.body else { panic!("{event:?}") };
            let number: usize = paused.reason.parse().unwrap();
            batches.push(number);
        }
        if page.next.is_none() {
            break;
        }
    }
    let whole = batches.len() / PER_BATCH;
    let expected: Vec<usize> = (0..whole).flat_map(|batch| [batch; PER_BATCH]).collect();
    assert_eq!(batches, expected, "a batch is there by half, or twice");
    assert_eq!(record.summary.last_seq, after);
    assert_eq!(store.message_count(&sid("a")).unwrap(), whole as u64);
    assert_eq!(store.counters().unwrap().events, after);
    host_rows_there(&store, whole);
    waiting_rows_there(&store, whole);
    for batch in 0..whole {
        let call = store.call(&sid("a"), &cid(&format!("c{batch}"))).unwrap().unwrap();
        assert_eq!(call.phase, CallPhase::Finished);
        let artifact = call.completed.unwrap().result.artifact_uris.remove(0);
        let (bytes, _) = store.read(&id(&artifact), 0, 100).unwrap();
        assert_eq!(bytes, batch.to_string().as_bytes());
    }
    whole
}

/// The rows of no session, as so many batches leave them: each adds a device and removes the one before the last.
fn host_rows_there(store: &Store, whole: usize) {
    let mut devices: Vec<_> = (0..whole).rev().take(2).map(paired).collect();
    devices.sort_by(|a, b| a.device_id.cmp(&b.device_id));
    assert_eq!(store.devices().unwrap(), devices, "after {whole} batches");
    let connections: Vec<_> =
        (1..=whole as u64).rev().map(|number| connection_record(number, false)).collect();
    assert_eq!(
        store.connections(usize::MAX).unwrap()[..],
        connections[..connections.len().min(MAX_CONNECTIONS_KEPT)]
    );
    let count = store.counts("").unwrap().into_iter().map(|(_, count)| count).sum::<u64>();
    assert_eq!(count, whole as u64);
}

/// What waits for the centre, as so many batches leave it: each adds a record and tells that those before were taken.
fn waiting_rows_there(store: &Store, whole: usize) {
    let last = whole as u64;
    let waiting: Vec<_> =
        store.outbox(0, usize::MAX).unwrap().into_iter().map(|(number, _)| number).collect();
    assert_eq!(waiting, (last.max(1)..=last).collect::<Vec<_>>(), "a record is lost or there twice");
    assert_eq!(store.audit_head().unwrap(), if whole < 2 { AuditHead::default() } else { head(last - 1) });
    assert_eq!(store.central_command(), Ok(last));
    let line: Vec<_> =
        store.unshipped(9).unwrap().into_iter().map(|it| (it.session.shipped_seq, it.last_seq)).collect();
    let ends = |batches: u64| batches * PER_BATCH as u64;
    let expected: Vec<_> = last.checked_sub(1).map(|sent| (ends(sent), ends(last))).into_iter().collect();
    assert_eq!(line, expected);
}

/// The device a batch adds.
fn paired(batch: usize) -> DeviceRecord {
    let turn = batch % 3;
    DeviceRecord { name: batch.to_string(), ..device_record(&format!("d{turn}"), turn as u8) }
}

/// Does nothing unless it is the child: then it writes until it is killed.
#[tokio::test]
async fn child_writes_until_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let dir = Path::new(&dir);
    let first = batches_there(dir);
    let (store, _) = open(dir);
    if store.session(&sid("a")).is_err() {
        let first = vec![enrol("agent-1", "acme"), session("a"), central_session("a", 0)];
        store.commit(first).await.unwrap();
    }
    println!();
    for batch in first.. {
        let number = batch.to_string();
        let artifact = store.put(&sid("a"), number.as_bytes()).unwrap();
        let mut record = call_record("a", &format!("c{batch}"), CallPhase::Finished);
        if let Some(completed) = &mut record.completed {
            completed.result.artifact_uris = vec![artifact.to_string()];
        }
        let before = batch as u64;
        let sent = Write::Shipped { session_id: sid("a"), seq: before * PER_BATCH as u64 };
        let mut rows = vec![
            audit("a"),
            sent,
            event("a", &number),
            event("a", &number),
            event("a", &number),
            message("a", &number),
            Write::Call(Box::new(record)),
            Write::Device(Box::new(paired(batch))),
            Write::RemoveDevice(paired(batch + 1).device_id),
            connection(batch as u64 + 1, false),
            count("batches", 1),
            Write::CentralCommand(before + 1),
        ];
        if batch > 0 {
            // As the connector does it: what the batches before have made was taken meanwhile.
            rows.push(Write::AcknowledgeOutbox { up_to: before, head: head(before) });
        }
        if batch % 4 == 3 {
            store.append(rows).await.unwrap();
            store.commit(vec![]).await.unwrap();
        } else {
            store.commit(rows).await.unwrap();
        }
        println!("acknowledged {}", batch + 1);
    }
}
