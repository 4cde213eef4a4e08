//! Artifacts: kept once, owned by sessions, gone with the last of them.

use std::path::PathBuf;
use std::sync::Arc;

use lanyard_ports::journal::{ArtifactStore, Journal, JournalError, Write};
use lanyard_protocol::id::ArtifactId;

use super::sample::*;
use super::{Fixture, Heard};
use crate::{MAX_READ_BYTES, Store, StoreOptions};

fn path(f: &Fixture, artifact: &ArtifactId) -> PathBuf {
    let digest = artifact.as_str().strip_prefix("sha256-").unwrap();
    f.dir.path().join("artifacts").join(&digest[..2]).join(&digest[2..])
}

async fn with_sessions() -> Fixture {
    let f = Fixture::new();
    f.commit(vec![session("a"), session("b")]).await;
    f
}

#[tokio::test]
async fn the_name_is_the_hash_and_the_bytes_come_back_in_pieces() {
    let f = with_sessions().await;
    let artifact = f.store.put(&sid("a"), b"hello, world").unwrap();
    assert_eq!(artifact.as_str(), "sha256-09ca7e4eaa6e8ae9c7d261167129184883644d07dfba7cbfbc4c8a2e08360d5b");
    assert_eq!(f.store.read(&artifact, 0, 100).unwrap(), (b"hello, world".to_vec(), 12));
    assert_eq!(f.store.read(&artifact, 7, 3).unwrap(), (b"wor".to_vec(), 12));
    assert_eq!(f.store.read(&artifact, 100, 3).unwrap(), (vec![], 12));
    let empty = f.store.put(&sid("a"), b"").unwrap();
    assert_eq!(f.store.read(&empty, 0, 9).unwrap(), (vec![], 0));
}

#[tokio::test]
async fn one_read_is_bounded() {
    let f = with_sessions().await;
    let large = vec![3; MAX_READ_BYTES as usize + 5];
    let artifact = f.store.put(&sid("a"), &large).unwrap();
    let (bytes, total) = f.store.read(&artifact, 0, u32::MAX).unwrap();
    assert_eq!((bytes.len(), total), (MAX_READ_BYTES as usize, large.len() as u64));
}

#[tokio::test]
async fn an_id_is_never_a_path() {
    let f = with_sessions().await;
    std::fs::write(f.dir.path().join("secret"), "x").unwrap();
    let upper = format!("sha256-{}", "AB".repeat(32));
    for name in ["..", "sha256-..", "sha256-ab", "secret", "sha256-:::", &upper, &"a".repeat(128)] {
        let read = f.store.read(&id(name), 0, 9);
        assert_eq!(read, Err(JournalError::NotFound(format!("artifact {name}"))));
    }
}

#[tokio::test]
async fn the_file_goes_with_its_last_owner() {
    let f = with_sessions().await;
    let shared = f.store.put(&sid("a"), b"shared").unwrap();
    assert_eq!(f.store.put(&sid("b"), b"shared").unwrap(), shared);
    let own = f.store.put(&sid("a"), b"own").unwrap();
    f.commit(vec![]).await;
    assert_eq!(f.store.view().unwrap().totals().unwrap().artifact_bytes, 9);
    f.commit(vec![Write::DeleteSession(sid("a"))]).await;
    f.commit(vec![]).await;
    assert!(path(&f, &shared).exists() && !path(&f, &own).exists());
    assert_eq!(f.store.view().unwrap().totals().unwrap().artifact_bytes, 6);
    f.commit(vec![Write::DeleteSession(sid("b"))]).await;
    f.commit(vec![]).await;
    assert!(!path(&f, &shared).exists());
    assert_eq!(f.store.view().unwrap().totals().unwrap().artifact_bytes, 0);
}

#[tokio::test]
async fn one_being_put_is_not_removed_with_its_old_owner() {
    let f = with_sessions().await;
    f.store.put(&sid("a"), b"shared").unwrap();
    f.commit(vec![]).await;
    // The new owner waits for a transaction while the old one is deleted.
    let shared = f.store.put(&sid("b"), b"shared").unwrap();
    f.commit(vec![Write::DeleteSession(sid("a"))]).await;
    f.commit(vec![]).await;
    assert_eq!(f.store.read(&shared, 0, 9).unwrap().1, 6);
}

#[tokio::test]
async fn an_output_of_a_session_deleted_meanwhile_does_not_stay() {
    let f = with_sessions().await;
    let held = f.store.artifacts().put(&sid("gone"), b"late output").unwrap();
    f.commit(vec![event("a", "another commit")]).await;
    f.commit(vec![]).await;
    assert!(!path(&f, &held).exists());
    let refused = f.store.put(&sid("gone"), b"later still");
    assert_eq!(refused, Err(JournalError::NotFound("session gone".to_owned())));
}

#[tokio::test]
async fn a_changed_file_is_noticed() {
    let f = with_sessions().await;
    let artifact = f.store.put(&sid("a"), b"hello, world").unwrap();
    std::fs::write(path(&f, &artifact), b"HELLO, world").unwrap();
    let read = f.store.read(&artifact, 0, 100);
    assert!(matches!(read, Err(JournalError::Corrupt(text)) if text.contains("has changed")));
}

#[tokio::test]
async fn owners_that_no_commit_follows_are_written_at_the_stop() {
    let f = with_sessions().await;
    let artifact = f.store.put(&sid("a"), b"last words").unwrap();
    let f = f.reopen();
    assert!(f.store.view().unwrap().has_owner(&artifact).unwrap());
    assert_eq!(f.store.read(&artifact, 0, 99).unwrap().1, 10);
}

#[tokio::test]
async fn many_owners_without_a_commit_are_written_on_their_own() {
    let f = with_sessions().await;
    let artifacts: Vec<_> = (0..200_u32).map(|i| f.store.put(&sid("a"), &i.to_be_bytes()).unwrap()).collect();
    f.commit(vec![]).await;
    let view = f.store.view().unwrap();
    assert!(artifacts.iter().all(|artifact| view.has_owner(artifact).unwrap()));
}

#[tokio::test]
async fn a_crash_leaves_nothing_behind_but_what_is_owned() {
    let f = with_sessions().await;
    let kept = f.store.put(&sid("a"), b"kept").unwrap();
    f.commit(vec![]).await;
    f.store.close().unwrap();
    drop(f.store);
    // As after a kill: a file under way, one renamed whose owner was not written, no note of an orderly stop.
    let root = f.dir.path().join("artifacts");
    let orphan = root.join("ab").join("cd".repeat(31));
    std::fs::create_dir_all(root.join("ab")).unwrap();
    std::fs::write(&orphan, "x").unwrap();
    std::fs::write(root.join("tmp/17"), "half").unwrap();
    std::fs::write(root.join("ab/notes.txt"), "not ours").unwrap();
    std::fs::remove_file(root.join("clean")).unwrap();
    let (store, report) = Store::open(StoreOptions::new(f.dir.path()), Arc::new(Heard::default())).unwrap();
    assert!(report.sweeping && !root.join("tmp/17").exists());
    let stop = std::sync::atomic::AtomicBool::new(false);
    store.sweep_now(&stop).unwrap();
    assert!(!orphan.exists() && root.join("ab/notes.txt").exists());
    assert_eq!(store.read(&kept, 0, 9).unwrap().1, 4);
}

#[tokio::test]
async fn an_orderly_stop_needs_no_sweep() {
    let f = with_sessions().await;
    f.store.close().unwrap();
    drop(f.store);
    let orphan = f.dir.path().join("artifacts/ab");
    std::fs::create_dir_all(&orphan).unwrap();
    let (_, report) = Store::open(StoreOptions::new(f.dir.path()), Arc::new(Heard::default())).unwrap();
    assert!(!report.sweeping);
}

#[tokio::test]
async fn the_limit_counts_artifacts_and_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { max_bytes: 1 << 20, ..StoreOptions::new(dir.path()) };
    let (store, _) = Store::open(options, Arc::new(Heard::default())).unwrap();
    store.commit(vec![session("a")]).await.unwrap();
    assert_eq!(store.room(), Ok(()));
    store.put(&sid("a"), &vec![1; 1 << 20]).unwrap();
    store.commit(vec![]).await.unwrap();
    let JournalError::Full(text) = store.room().unwrap_err() else { panic!() };
    assert!(text.contains("store.max_bytes is 1.0 MiB") && text.contains("delete sessions"), "{text}");
    // What a running task still needs fits in the grace; more does not. History is written in any case.
    store.put(&sid("a"), &vec![2; 50_000]).unwrap();
    assert!(matches!(store.put(&sid("a"), &vec![3; 1 << 20]), Err(JournalError::Full(_))));
    store.commit(vec![event("a", "still written")]).await.unwrap();
    store.commit(vec![Write::DeleteSession(sid("a"))]).await.unwrap();
    assert_eq!(store.room(), Ok(()));
}
