//! Damaged files: said, moved aside whole, never deleted, and never met again and again.

use std::path::Path;
use std::sync::Arc;

use lanyard_ports::journal::{ArtifactStore, Cursor, Journal, JournalError};

use super::sample::*;
use super::{Fixture, Heard, counts};
use crate::{OpenReport, Store, StoreOptions};

fn open(dir: &Path) -> (Arc<Store>, OpenReport) {
    Store::open(StoreOptions::new(dir), Arc::new(Heard::default())).unwrap()
}

/// A directory with a closed store in it, and the bytes of its file.
async fn closed() -> (tempfile::TempDir, Vec<u8>) {
    let f = Fixture::new();
    f.commit(vec![session("a")]).await;
    f.commit(events("a", (0..200).map(|i| format!("event {i} {}", "x".repeat(300))))).await;
    f.store.put(&sid("a"), b"an output").unwrap();
    f.store.close().unwrap();
    drop(f.store);
    let bytes = std::fs::read(f.dir.path().join("store.redb")).unwrap();
    (f.dir, bytes)
}

#[tokio::test]
async fn a_file_that_is_no_store_is_moved_aside_with_its_artifacts() {
    let (dir, good) = closed().await;
    let path = dir.path().join("store.redb");
    for (round, bytes) in
        [b"not a store at all".to_vec(), good[..600].to_vec(), vec![0x5a; 8192]].into_iter().enumerate()
    {
        std::fs::write(&path, &bytes).unwrap();
        let (store, report) = open(dir.path());
        let moved = report.moved_aside.unwrap();
        assert_eq!(std::fs::read(&moved.store).unwrap(), bytes);
        assert!(moved.artifacts.is_some());
        assert!(moved.to_string().contains("was moved to"), "{moved}");
        if round == 0 {
            let kept = moved.artifacts.unwrap();
            let files = std::fs::read_dir(kept).unwrap().count();
            assert!(files >= 2, "the artifact's directory and the one for files under way");
        }
        assert!(store.session(&sid("a")).is_err());
        store.commit(vec![session("a")]).await.unwrap();
        store.close().unwrap();
    }
}

/// Whether a call did what it should or named the row that is damaged.
fn in_order<T>(result: &Result<T, JournalError>) -> bool {
    match result {
        Ok(_) => true,
        // There is a new store, or the session is there from the attempt before.
        Err(JournalError::NotFound(_) | JournalError::Refused(_)) => true,
        Err(JournalError::Corrupt(text)) => text.contains("]: "),
        Err(JournalError::Poisoned(_) | JournalError::Full(_) | JournalError::Repeated(_)) => false,
    }
}

/// Opens, reads and writes everything; whether the store is in order.
fn use_everything(dir: &Path) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (store, _) = open(dir);
    let written = runtime.block_on(store.commit(vec![session("new"), event("new", "one more")]));
    let read = store.events(&sid("a"), Cursor::After(0), 1000);
    in_order(&written) && in_order(&read) && in_order(&store.list_sessions(None, None, 10))
}

/// What a process that dies of a panic would have done, as often as it takes; how often the store was not in order.
/// redb panics on some damages, which ends a release build; the note it leaves is what counts here.
fn starts_until_in_order(dir: &Path) -> usize {
    (0..10)
        .find(|_| std::panic::catch_unwind(|| use_everything(dir)).unwrap_or(false))
        .expect("it never recovers")
}

#[tokio::test]
async fn a_damaged_store_is_met_at_most_twice() {
    let (dir, good) = closed().await;
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 1).unwrap()
    };
    let rounds = counts(30, 2_000);
    let (most, moved) = tokio::task::spawn_blocking(move || {
        let (mut most, mut moved) = (0, 0);
        for round in 0..rounds {
            let mut bytes = good.clone();
            if round % 2 == 0 {
                let page = next() % (bytes.len() / 4096) * 4096;
                bytes[page..page + 64].fill(0xee);
            } else {
                let at = next() % bytes.len();
                bytes[at] ^= 1 << (next() % 8);
            }
            let place = tempfile::tempdir_in(dir.path()).unwrap();
            std::fs::write(place.path().join("store.redb"), &bytes).unwrap();
            most = most.max(starts_until_in_order(place.path()));
            assert!(!place.path().join("store.damaged").exists());
            moved += usize::from(std::fs::read_dir(place.path()).unwrap().count() > 2);
        }
        (most, moved)
    })
    .await
    .unwrap();
    assert!(most <= 2, "a damage was met {most} times");
    assert!(moved > 0, "no damage made a store be moved aside");
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_without_a_panic_is_not_opened_again() {
    let (dir, good) = closed().await;
    std::fs::write(dir.path().join("store.damaged"), "opening\nassertion failed").unwrap();
    let (_, report) = open(dir.path());
    let moved = report.moved_aside.unwrap();
    assert_eq!((moved.reason.as_str(), std::fs::read(moved.store).unwrap()), ("assertion failed", good));
    assert!(!dir.path().join("store.damaged").exists());
}

#[tokio::test]
async fn a_false_alarm_is_checked_and_forgotten() {
    let (dir, _) = closed().await;
    std::fs::write(dir.path().join("store.damaged"), "in use\nsomething odd").unwrap();
    let (store, report) = open(dir.path());
    assert_eq!(report, OpenReport::default());
    assert!(!dir.path().join("store.damaged").exists());
    assert_eq!(store.events(&sid("a"), Cursor::End, 1).unwrap().last_seq, 200);
}
