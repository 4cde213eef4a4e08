//! Looks for artifacts without an owner after a stop that was not orderly.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use lanyard_ports::journal::JournalError;
use lanyard_protocol::id::ArtifactId;
use redb::Database;

use super::{ArtifactFiles, id_from_digest};
use crate::condition::Condition;

/// Files looked at in one sweep. A crash leaves a handful without an owner; a larger directory is swept in parts, by
/// later starts, because removed files make room for the next ones.
const MAX_FILES: usize = 200_000;

/// A sweep under way on a thread of its own.
#[derive(Debug)]
pub(crate) struct Sweep {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Sweep {
    /// Starts it.
    pub(crate) fn start(
        files: Arc<ArtifactFiles>,
        db: Arc<Database>,
        condition: Arc<Condition>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("lanyard-sweep".to_owned()).spawn(move || {
            let _at_work = condition.at_work();
            match sweep(&files, &db, &stopped) {
                Ok(0) => {}
                Ok(removed) => {
                    tracing::info!(removed, "artifacts that a crash left without an owner are gone")
                }
                Err(error) => tracing::warn!(%error, "the sweep of artifacts broke off"),
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends it, within one file's time.
    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            tracing::error!("the sweep of artifacts panicked");
        }
    }
}

/// Removes artifacts nobody owns; how many.
pub(crate) fn sweep(files: &ArtifactFiles, db: &Database, stop: &AtomicBool) -> Result<usize, JournalError> {
    let mut seen = 0;
    let mut removed = 0;
    for fan in names(files.root())? {
        if fan.len() != 2 {
            continue;
        }
        for rest in names(&files.root().join(&fan))? {
            if stop.load(Ordering::Relaxed) || seen >= MAX_FILES {
                return Ok(removed);
            }
            seen += 1;
            // Whatever is not named like an artifact is not ours to remove.
            let Some(artifact) = id_from_digest(&format!("{fan}{rest}")) else { continue };
            removed += usize::from(remove_if_unowned(files, db, &artifact)?);
        }
    }
    Ok(removed)
}

fn remove_if_unowned(
    files: &ArtifactFiles,
    db: &Database,
    artifact: &ArtifactId,
) -> Result<bool, JournalError> {
    if files.path(artifact).is_none() {
        return Ok(false);
    }
    files.collect_one(artifact, db)
}

/// Names in a directory that are Unicode, as ours are.
fn names(dir: &Path) -> Result<Vec<String>, JournalError> {
    let failed = |error: std::io::Error| JournalError::Corrupt(format!("{}: {error}", dir.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(names)
}
