//! What a commit costs, counted in syncs, and what shares one.

use std::sync::Arc;
use std::time::Duration;

use lanyard_ports::journal::{Cursor, Journal, JournalError, Write};
use lanyard_ports::sink::CommitObserver;
use lanyard_protocol::event::{HostEvent, SessionEvent};

use super::Heard;
use super::disk::SimDisk;
use super::sample::*;
use crate::open::open_on;
use crate::{Store, StoreOptions};

/// A store on a simulated disk that lingers until somebody waits.
fn patient(disk: &SimDisk, heard: Arc<dyn CommitObserver>) -> (Arc<Store>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { linger: Duration::from_secs(3600), ..StoreOptions::new(dir.path()) };
    (open_on(&options, heard, disk.clone()).unwrap().0, dir)
}

#[tokio::test]
async fn appended_batches_and_their_commit_cost_two_syncs() {
    let disk = SimDisk::default();
    let (store, _dir) = patient(&disk, Arc::new(Heard::default()));
    store.commit(vec![session("a")]).await.unwrap();
    for step in 0..20 {
        let before = disk.syncs();
        for _ in 0..5 {
            store.append(vec![event("a", "appended")]).await.unwrap();
        }
        store.commit(step_before("a", step)).await.unwrap();
        store.commit(step_after("a", step)).await.unwrap();
        // Growing the file costs one more, now and then.
        let syncs = disk.syncs() - before;
        assert!((4..=5).contains(&syncs), "a step took {syncs} syncs");
    }
    assert_eq!(store.session(&sid("a")).unwrap().summary.last_seq, 20 * 10);
}

#[tokio::test]
async fn an_artifact_of_a_step_costs_no_commit() {
    let disk = SimDisk::default();
    let (store, _dir) = patient(&disk, Arc::new(Heard::default()));
    store.commit(vec![session("a")]).await.unwrap();
    let before = disk.syncs();
    let artifact = lanyard_ports::journal::ArtifactStore::put(&*store, &sid("a"), &[7; 5000]).unwrap();
    assert_eq!(disk.syncs(), before);
    store.commit(vec![event("a", artifact.as_str())]).await.unwrap();
    assert_eq!(disk.syncs(), before + 2);
    assert!(store.view().unwrap().has_owner(&artifact).unwrap());
}

#[tokio::test]
async fn nothing_to_write_costs_nothing() {
    let disk = SimDisk::default();
    let (store, _dir) = patient(&disk, Arc::new(Heard::default()));
    let before = disk.changes();
    store.commit(vec![]).await.unwrap();
    assert!(matches!(store.commit(vec![event("nobody", "x")]).await, Err(JournalError::Refused(_))));
    assert_eq!(disk.changes(), before);
}

#[tokio::test]
async fn an_empty_commit_flushes_what_was_appended() {
    let disk = SimDisk::default();
    let (store, _dir) = patient(&disk, Arc::new(Heard::default()));
    store.append(vec![session("a"), event("a", "one")]).await.unwrap();
    store.commit(vec![]).await.unwrap();
    assert_eq!(store.events(&sid("a"), Cursor::End, 9).unwrap().last_seq, 1);
}

#[tokio::test]
async fn appended_batches_reach_the_disk_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (store, _) = Store::open(StoreOptions::new(dir.path()), Arc::new(Bell(tell))).unwrap();
    store.append(vec![session("a"), event("a", "one")]).await.unwrap();
    assert_eq!(told.recv().await, Some(1));
    assert_eq!(store.events(&sid("a"), Cursor::End, 9).unwrap().last_seq, 1);
}

/// Says how many events a commit held.
#[derive(Debug)]
struct Bell(tokio::sync::mpsc::UnboundedSender<usize>);

impl CommitObserver for Bell {
    fn committed(&self, events: &[Arc<SessionEvent>], _: &[Arc<HostEvent>]) {
        self.0.send(events.len()).unwrap();
    }
}

#[tokio::test]
async fn a_dropped_commit_is_not_taken_back() {
    let disk = SimDisk::default();
    let (store, _dir) = patient(&disk, Arc::new(Heard::default()));
    store.commit(vec![session("a")]).await.unwrap();
    let writing = store.clone();
    let caller = tokio::spawn(async move { writing.commit(vec![event("a", "one")]).await });
    tokio::task::yield_now().await;
    caller.abort();
    store.commit(vec![event("a", "two")]).await.unwrap();
    assert_eq!(store.events(&sid("a"), Cursor::End, 9).unwrap().last_seq, 2);
}

/// Breaks off the writer.
#[derive(Debug)]
struct Panics;

impl CommitObserver for Panics {
    fn committed(&self, _: &[Arc<SessionEvent>], _: &[Arc<HostEvent>]) {
        panic!("an observer's defect");
    }
}

#[tokio::test]
async fn a_writer_that_breaks_off_leaves_nobody_waiting() {
    let (store, _dir) = patient(&SimDisk::default(), Arc::new(Panics));
    let lost = store.commit(vec![session("a")]).await;
    assert!(matches!(lost, Err(JournalError::Poisoned(_))), "{lost:?}");
    let (one, two) = tokio::join!(store.commit(vec![]), store.append(vec![Write::DeleteSession(sid("a"))]));
    assert!(matches!((&one, &two), (Err(JournalError::Poisoned(_)), Err(JournalError::Poisoned(_)))));
    assert!(store.close().unwrap_err().to_string().contains("broke off"));
}
