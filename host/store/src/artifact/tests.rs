//! Who may remove a file, and when.

use redb::backends::InMemoryBackend;

use super::*;
use crate::schema;
use crate::tests::sample::sid;

#[test]
fn a_file_somebody_is_about_to_own_stays() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
    schema::prepare(&db).unwrap();
    let space = Space::new(dir.path().into(), dir.path().join("store.redb"), 0);
    let (files, clean) =
        ArtifactFiles::open(dir.path().join("artifacts"), Arc::new(Queue::new()), space).unwrap();
    assert!(!clean);
    let artifact = files.put(&sid("a"), b"an output").unwrap();
    let path = files.path(&artifact).unwrap();
    // Taken by the writer, not yet committed: nobody owns it in the tables.
    let holds = files.take_queued();
    files.collect(std::slice::from_ref(&artifact), &db);
    assert!(path.exists());
    // Put once more meanwhile: one release is not enough.
    files.put(&sid("b"), b"an output").unwrap();
    files.release(&holds);
    files.collect(std::slice::from_ref(&artifact), &db);
    assert!(path.exists());
    files.release(&files.take_queued());
    files.collect(std::slice::from_ref(&artifact), &db);
    assert!(!path.exists());
}

#[test]
fn a_put_that_fails_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let space = Space::new(dir.path().into(), dir.path().join("store.redb"), 0);
    let root = dir.path().join("artifacts");
    let (files, _) = ArtifactFiles::open(root.clone(), Arc::new(Queue::new()), space).unwrap();
    std::fs::remove_dir(root.join(UNDER_WAY)).unwrap();
    assert!(matches!(files.put(&sid("a"), b"x"), Err(JournalError::Refused(_))));
    assert!(files.lock().held.is_empty() && files.take_queued().is_empty());
}
