//! Opening: what is made, with which permissions, what is refused, what is said.

use std::path::Path;
use std::sync::Arc;

use lanyard_ports::journal::{ArtifactStore, Cursor, Journal};

use super::sample::*;
use super::{Fixture, Heard};
use crate::{OpenError, OpenReport, Store, StoreOptions};

fn report(dir: &Path) -> OpenReport {
    Store::open(StoreOptions::new(dir), Arc::new(Heard::default())).unwrap().1
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
}

#[test]
fn a_new_store_says_so_and_an_old_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("deep/state");
    assert_eq!(report(&at), OpenReport { created: true, ..OpenReport::default() });
    assert_eq!(report(&at), OpenReport::default());
}

#[cfg(unix)]
#[tokio::test]
async fn everything_made_is_the_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("deep/state");
    let (store, _) = super::open(&at);
    store.commit(vec![session("a")]).await.unwrap();
    let artifact = store.put(&sid("a"), b"bytes").unwrap();
    let digest = artifact.as_str().strip_prefix("sha256-").unwrap();
    let fan = at.join("artifacts").join(&digest[..2]);
    for private in [&at, &at.join("artifacts"), &fan] {
        assert_eq!(mode(private), 0o700, "{}", private.display());
    }
    assert_eq!(mode(&at.join("store.redb")), 0o600);
    assert_eq!(mode(&fan.join(&digest[2..])), 0o600);
}

#[test]
fn a_store_in_use_is_refused_by_name() {
    let f = Fixture::new();
    let second = Store::open(StoreOptions::new(f.dir.path()), Arc::new(Heard::default()));
    let Err(error @ OpenError::InUse(_)) = second else { panic!("{second:?}") };
    assert!(error.to_string().contains("store.redb is in use by another process"));
}

#[test]
fn a_newer_store_is_refused_and_left_alone() {
    let f = Fixture::new();
    f.store.close().unwrap();
    drop(f.store);
    let path = f.dir.path().join("store.redb");
    {
        let db = redb::Database::create(&path).unwrap();
        let txn = db.begin_write().unwrap();
        txn.open_table(crate::table::TableId::Meta.definition())
            .unwrap()
            .insert(b"schema".as_slice(), 99_u32.to_be_bytes().as_slice())
            .unwrap();
        txn.commit().unwrap();
    }
    let refused = Store::open(StoreOptions::new(f.dir.path()), Arc::new(Heard::default()));
    let Err(error @ OpenError::Newer { found: 99, known: 3, .. }) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains("update Lanyard"));
    assert!(path.exists());
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let refused = Store::open(StoreOptions::new(file.join("state")), Arc::new(Heard::default()));
    assert!(refused.unwrap_err().to_string().contains("file/state cannot be opened"));
}

#[tokio::test]
async fn a_store_left_without_closing_opens_and_sweeps() {
    let f = Fixture::new();
    f.commit(vec![session("a"), event("a", "one")]).await;
    // What a killed process leaves behind, copied while the store is open.
    let left = tempfile::tempdir().unwrap();
    std::fs::copy(f.dir.path().join("store.redb"), left.path().join("store.redb")).unwrap();
    let (store, report) = Store::open(StoreOptions::new(left.path()), Arc::new(Heard::default())).unwrap();
    assert_eq!(report, OpenReport { sweeping: true, ..OpenReport::default() });
    assert_eq!(store.events(&sid("a"), Cursor::End, 1).unwrap().last_seq, 1);
}
