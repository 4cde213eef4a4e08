//! A disk that fails: the writer stops and says why, and what was acknowledged is there afterwards.

use std::io::ErrorKind;
use std::process::Command;
use std::sync::Arc;

use lanyard_ports::journal::{ArtifactStore, Cursor, Journal, JournalError, Write};

use super::disk::SimDisk;
use super::sample::*;
use super::{Fixture, Heard, counts};
use crate::open::open_on;
use crate::space::{COMMIT_RESERVE, DELETE_RESERVE, TASK_RESERVE};
use crate::{Store, StoreOptions};

fn on(disk: &SimDisk) -> (Arc<Store>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) =
        open_on(&StoreOptions::new(dir.path()), Arc::new(Heard::default()), disk.clone()).unwrap();
    (store, dir)
}

/// Commits events until one fails; how many were acknowledged, and the failure.
async fn write_until_failure(store: &Store) -> (u64, JournalError) {
    for done in 0..10_000 {
        let batch = vec![event("a", &"x".repeat(3_000)), event("a", &"y".repeat(3_000))];
        if let Err(error) = store.commit(batch).await {
            return (2 * done, error);
        }
    }
    panic!("the disk never failed");
}

#[tokio::test]
async fn any_fault_stops_the_writer_and_loses_nothing_acknowledged() {
    for after in 0..counts(40, 600) {
        let disk = SimDisk::default();
        let (store, _dir) = on(&disk);
        store.commit(vec![session("a")]).await.unwrap();
        disk.fail_after(u64::try_from(after).unwrap(), ErrorKind::Other);
        let (acknowledged, error) = write_until_failure(&store).await;
        let JournalError::Poisoned(text) = &error else { panic!("{error:?}") };
        assert!(text.contains("the simulated disk fails"), "{text}");
        // Every later call names the fault.
        for later in [store.commit(vec![]).await, store.append(vec![]).await, store.room()] {
            let later = later.unwrap_err().to_string();
            assert!(later.contains("simulated disk") && later.contains("restart the host"), "{later}");
        }
        assert!(store.put(&sid("a"), b"bytes").is_err());
        assert!(store.close().is_err());
        drop(store);
        let (again, _dir) = on(&disk.copy());
        let page = again.events(&sid("a"), Cursor::End, 1).unwrap();
        assert!(
            page.last_seq == acknowledged || page.last_seq == acknowledged + 2,
            "{acknowledged} were acknowledged, {} are there after a fault at change {after}",
            page.last_seq
        );
        again.commit(vec![event("a", "goes on")]).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_is_said_plainly_to_those_it_meets() {
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge] {
        let disk = SimDisk::default();
        let (store, _dir) = on(&disk);
        store.commit(vec![session("a")]).await.unwrap();
        disk.fail_after(20, kind);
        let (_, error) = write_until_failure(&store).await;
        let JournalError::Full(text) = error else { panic!("{error:?}") };
        assert!(text.contains("the disk is full") && text.contains("nothing acknowledged is lost"), "{text}");
        let JournalError::Poisoned(text) = store.commit(vec![]).await.unwrap_err() else { panic!() };
        assert!(text.contains("the disk was full"), "{text}");
    }
}

/// Sets what the disk is taken to have left; `None` for the truth.
fn pretend(f: &Fixture, free: Option<u64>) {
    let path = f.dir.path().join(crate::space::tests::PRETENDED);
    match free {
        Some(free) => std::fs::write(path, free.to_string()).unwrap(),
        None => std::fs::remove_file(path).unwrap(),
    }
}

#[tokio::test]
async fn a_disk_about_to_be_full_refuses_without_stopping() {
    let f = Fixture::new();
    f.commit(vec![session("a"), session("b"), event("a", "before"), device("d1", 1), device("d2", 2)]).await;
    pretend(&f, Some(TASK_RESERVE - 1));
    assert!(matches!(f.store.room(), Err(JournalError::Full(text)) if text.contains("free some space")));
    f.commit(vec![event("a", "a task under way goes on")]).await;
    pretend(&f, Some(COMMIT_RESERVE - 1));
    assert!(matches!(f.store.commit(vec![event("a", "refused")]).await, Err(JournalError::Full(_))));
    assert!(matches!(f.store.put(&sid("a"), b"refused"), Err(JournalError::Full(_))));
    f.store.append(vec![event("a", "lost")]).await.unwrap();
    // Reading and making room still work.
    assert_eq!(f.store.events(&sid("a"), Cursor::End, 9).unwrap().last_seq, 2);
    f.commit(vec![Write::DeleteSession(sid("b"))]).await;
    // A right is taken away, and none is given.
    f.commit(vec![Write::RemoveDevice(id("d1"))]).await;
    assert!(matches!(f.store.commit(vec![device("d3", 3)]).await, Err(JournalError::Full(_))));
    assert_eq!(f.store.devices().unwrap(), [device_record("d2", 2)]);
    pretend(&f, Some(DELETE_RESERVE - 1));
    assert!(matches!(f.store.commit(vec![Write::DeleteSession(sid("a"))]).await, Err(JournalError::Full(_))));
    pretend(&f, None);
    // Whoever builds on what was appended learns that it was in vain.
    assert!(matches!(f.store.commit(vec![event("a", "builds on it")]).await, Err(JournalError::Full(_))));
    f.commit(vec![Write::Reread(sid("a")), event("a", "goes on")]).await;
    assert_eq!(f.store.events(&sid("a"), Cursor::End, 9).unwrap().last_seq, 3);
}

/// Set for the child of the next test: the directory it writes to.
const CHILD_DIR: &str = "LANYARD_STORE_FULL_DIR";

/// A real file system's refusal: the child may not write files beyond a few mebibytes.
#[cfg(unix)]
#[tokio::test]
async fn a_file_size_limit_is_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let test = std::env::current_exe().unwrap();
    // 4,000 blocks of 1,024 bytes; without the trap the signal would end the child before it could speak.
    let script = "ulimit -f 4000 && trap '' XFSZ && exec \"$0\" \"$@\"";
    let child = Command::new("bash")
        .args(["-c", script])
        .arg(test)
        .args(["--exact", "tests::faults::child_fills_its_file", "--nocapture"])
        .env(CHILD_DIR, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let acknowledged: u64 =
        said.split("acknowledged=").nth(1).unwrap().split('\n').next().unwrap().parse().unwrap();
    assert!(acknowledged > 100, "{said}");
    let (store, _) = super::open(dir.path());
    let last = store.events(&sid("a"), Cursor::End, 1).unwrap().last_seq;
    assert!(last == acknowledged || last == acknowledged + 2, "{acknowledged} acknowledged, {last} there");
}

/// Does nothing unless it is the child of the test above.
#[tokio::test]
async fn child_fills_its_file() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let (store, _) = super::open(dir.as_ref());
    store.commit(vec![session("a")]).await.unwrap();
    let (acknowledged, error) = write_until_failure(&store).await;
    assert!(matches!(error, JournalError::Full(_)), "{error:?}");
    println!("\nacknowledged={acknowledged}");
}
