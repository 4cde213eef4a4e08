//! Tests of the store as a whole. What they share: an observer that remembers, samples of every row, a disk that
//! fails on command.

mod artifacts;
mod basics;
mod central;
mod corrupt;
mod crash;
mod devices;
mod disk;
mod faults;
mod group;
mod invariants;
mod lists;
mod migration;
mod model;
mod opening;
mod power;
mod refused_append;
mod rules;
pub(crate) mod sample;
mod scale;

use std::path::Path;
use std::sync::{Arc, Mutex};

use lanyard_ports::journal::{Journal, JournalError, Write};
use lanyard_ports::sink::CommitObserver;
use lanyard_protocol::event::{HostEvent, SessionEvent};

use crate::{Store, StoreOptions};

/// Larger counts where somebody asks for them.
fn counts(short: usize, long: usize) -> usize {
    if std::env::var_os("LANYARD_LONG").is_some() { long } else { short }
}

/// Remembers what observers are told.
#[derive(Debug, Default)]
struct Heard {
    events: Mutex<Vec<Arc<SessionEvent>>>,
    host: Mutex<Vec<Arc<HostEvent>>>,
}

impl Heard {
    fn seqs(&self) -> Vec<u64> {
        self.events.lock().unwrap().iter().filter_map(|event| event.seq).collect()
    }

    fn host_names(&self) -> Vec<&'static str> {
        self.host.lock().unwrap().iter().map(|event| event.body.name()).collect()
    }
}

impl CommitObserver for Heard {
    fn committed(&self, events: &[Arc<SessionEvent>], host_events: &[Arc<HostEvent>]) {
        self.events.lock().unwrap().extend(events.iter().cloned());
        self.host.lock().unwrap().extend(host_events.iter().cloned());
    }
}

/// A store in a temporary directory.
struct Fixture {
    store: Arc<Store>,
    heard: Arc<Heard>,
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, heard) = open(dir.path());
        Self { store, heard, dir }
    }

    /// Stops in order and opens the same directory again.
    fn reopen(self) -> Self {
        self.store.close().unwrap();
        drop(self.store);
        let (store, heard) = open(self.dir.path());
        Self { store, heard, dir: self.dir }
    }

    /// Stops in order, changes the file past every check, and opens it again.
    fn tampered(self, change: impl FnOnce(&redb::WriteTransaction)) -> Self {
        self.store.close().unwrap();
        drop(self.store);
        let db = redb::Database::create(self.dir.path().join("store.redb")).unwrap();
        let txn = db.begin_write().unwrap();
        change(&txn);
        txn.commit().unwrap();
        drop(db);
        let (store, heard) = open(self.dir.path());
        Self { store, heard, dir: self.dir }
    }

    async fn commit(&self, batch: Vec<Write>) {
        self.store.commit(batch).await.unwrap();
    }

    /// Commits a batch that breaks an invariant; the text of the refusal.
    async fn refused(&self, batch: Vec<Write>) -> String {
        match self.store.commit(batch).await {
            Err(JournalError::Refused(text)) => text,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }
}

fn open(dir: &Path) -> (Arc<Store>, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let (store, _) = Store::open(StoreOptions::new(dir), heard.clone()).unwrap();
    (store, heard)
}
