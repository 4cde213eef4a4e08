//! Artifacts: files named by the hash of their content, kept alive by the sessions that own them.
//!
//! `artifacts/ab/cdef…` holds the artifact `sha256-abcdef…`. A file is written beside its place, synced, renamed and
//! its directory synced: it is there whole or not at all. Which session owns it is a row in redb, written with the
//! next transaction, so that keeping an output costs no commit of its own: whatever names the artifact durably comes
//! in that transaction or a later one. A crash in between leaves a file without an owner, which the sweep of the next
//! start removes.
//!
//! A file without owners is removed only under the registry's lock and only when nobody is about to own it.

mod file;
mod sweep;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use lanyard_ports::journal::JournalError;
use lanyard_protocol::id::{ArtifactId, SessionId};
use redb::Database;
use sha2::{Digest, Sha256};

use crate::error::is_disk_full;
use crate::queue::Queue;
use crate::read::View;
use crate::space::Space;

pub(crate) use file::{create_private_dir, sync_dir};
pub(crate) use sweep::Sweep;
#[cfg(test)]
pub(crate) use sweep::sweep;

/// Bytes of an artifact returned by one read, whatever is asked for; many times what a client may ask for at once.
pub const MAX_READ_BYTES: u32 = 8 << 20;

/// Owners waiting for a transaction that make the writer start one. Enough that a step's outputs ride along with its
/// own commit, few enough that a crash leaves little to sweep.
const OWNERS_WAITING: usize = 64;

/// Start of an artifact's id.
const SCHEME: &str = "sha256-";

/// Left in the directory by an orderly stop: nothing to sweep.
const CLEAN: &str = "clean";

/// Files under way.
const UNDER_WAY: &str = "tmp";

/// A session's hold on an artifact, on its way to redb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hold {
    /// What is kept.
    pub(crate) artifact: ArtifactId,
    /// By whom.
    pub(crate) session: SessionId,
    /// Its bytes.
    pub(crate) size: u64,
}

/// Artifacts somebody is about to own.
#[derive(Debug, Default)]
struct Registry {
    /// Artifacts not to be removed, and how often they are being put.
    held: HashMap<ArtifactId, usize>,
    /// Owners for the next transaction.
    queued: Vec<Hold>,
}

impl Registry {
    fn release(&mut self, artifact: &ArtifactId) {
        if let Some(count) = self.held.get_mut(artifact) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(artifact);
            }
        }
    }
}

/// The directory of artifacts.
#[derive(Debug)]
pub(crate) struct ArtifactFiles {
    root: PathBuf,
    queue: Arc<Queue>,
    space: Space,
    registry: Mutex<Registry>,
    /// Counters as last committed, for the limit.
    row_bytes: AtomicU64,
    artifact_bytes: AtomicU64,
    /// Names of files under way.
    next: AtomicU64,
    /// A file that should be gone could not be removed.
    untidy: AtomicBool,
}

impl ArtifactFiles {
    /// Makes the directory where it is missing, drops what a crash left under way, and says whether the last stop
    /// was an orderly one.
    pub(crate) fn open(root: PathBuf, queue: Arc<Queue>, space: Space) -> std::io::Result<(Self, bool)> {
        create_private_dir(&root.join(UNDER_WAY))?;
        for entry in std::fs::read_dir(root.join(UNDER_WAY))? {
            std::fs::remove_file(entry?.path())?;
        }
        let clean = std::fs::remove_file(root.join(CLEAN)).is_ok();
        let files = Self {
            root,
            queue,
            space,
            registry: Mutex::default(),
            row_bytes: AtomicU64::new(0),
            artifact_bytes: AtomicU64::new(0),
            next: AtomicU64::new(0),
            untidy: AtomicBool::new(false),
        };
        Ok((files, clean))
    }

    /// Notes an orderly stop, unless something was left behind.
    pub(crate) fn close(&self) {
        if !self.untidy.load(Ordering::Relaxed)
            && let Err(error) = std::fs::write(self.root.join(CLEAN), b"")
        {
            tracing::warn!(%error, "the next start will sweep the artifacts although the stop was orderly");
        }
    }

    /// Keeps the bytes for a session.
    pub(crate) fn put(&self, session: &SessionId, bytes: &[u8]) -> Result<ArtifactId, JournalError> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let used = self
            .space
            .used(self.row_bytes.load(Ordering::Relaxed), self.artifact_bytes.load(Ordering::Relaxed));
        self.space.for_artifact(used, size)?;
        let artifact = id_of(bytes)?;
        // From here on nobody removes the file.
        *self.lock().held.entry(artifact.clone()).or_default() += 1;
        if let Err(error) = self.write(&artifact, bytes) {
            self.lock().release(&artifact);
            return Err(write_failed(&artifact, &error));
        }
        let waiting = {
            let mut registry = self.lock();
            registry.queued.push(Hold { artifact: artifact.clone(), session: session.clone(), size });
            registry.queued.len()
        };
        if waiting >= OWNERS_WAITING {
            self.queue.nudge();
        }
        Ok(artifact)
    }

    fn write(&self, artifact: &ArtifactId, bytes: &[u8]) -> std::io::Result<()> {
        let path = self.path(artifact).ok_or_else(|| std::io::Error::other("not an artifact's id"))?;
        let under_way = self.root.join(UNDER_WAY).join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        file::write_once(&path, &under_way, bytes)
    }

    /// At most `length` bytes from `offset`, and the size of the whole.
    pub(crate) fn read(
        &self,
        artifact: &ArtifactId,
        offset: u64,
        length: u32,
    ) -> Result<(Vec<u8>, u64), JournalError> {
        let missing = || JournalError::NotFound(format!("artifact {artifact}"));
        let path = self.path(artifact).ok_or_else(missing)?;
        let (bytes, total) = file::read_part(&path, offset, length.min(MAX_READ_BYTES)).map_err(|error| {
            match error.kind() {
                std::io::ErrorKind::NotFound => missing(),
                _ => JournalError::Corrupt(format!("artifact {artifact}: {error}")),
            }
        })?;
        let whole = u64::try_from(bytes.len()).is_ok_and(|len| len == total);
        if whole && id_of(&bytes)? != *artifact {
            return Err(JournalError::Corrupt(format!("artifact {artifact}: its content has changed")));
        }
        Ok((bytes, total))
    }

    /// Owners to be written with the next transaction.
    pub(crate) fn take_queued(&self) -> Vec<Hold> {
        std::mem::take(&mut self.lock().queued)
    }

    /// The owners are on disk, or never will be.
    pub(crate) fn release(&self, holds: &[Hold]) {
        let mut registry = self.lock();
        for hold in holds {
            registry.release(&hold.artifact);
        }
    }

    /// Counters of the last commit.
    pub(crate) fn set_bytes(&self, row_bytes: u64, artifact_bytes: u64) {
        self.row_bytes.store(row_bytes, Ordering::Relaxed);
        self.artifact_bytes.store(artifact_bytes, Ordering::Relaxed);
    }

    /// Removes those of the artifacts that nobody owns. What cannot be removed is left to the next sweep.
    pub(crate) fn collect(&self, artifacts: &[ArtifactId], db: &Database) {
        for artifact in artifacts {
            if let Err(error) = self.collect_one(artifact, db) {
                self.untidy.store(true, Ordering::Relaxed);
                tracing::warn!(%artifact, %error, "an artifact without an owner was left in place");
            }
        }
    }

    /// Whether the file was removed.
    fn collect_one(&self, artifact: &ArtifactId, db: &Database) -> Result<bool, JournalError> {
        // Held while removing: whoever puts the same content waits, finds no file and writes it anew.
        let registry = self.lock();
        if registry.held.contains_key(artifact) || View::plain(db)?.has_owner(artifact)? {
            return Ok(false);
        }
        let Some(path) = self.path(artifact) else { return Ok(false) };
        let removed = std::fs::remove_file(&path);
        drop(registry);
        match removed {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(JournalError::Corrupt(format!("artifact {artifact}: {error}"))),
        }
    }

    /// Where an artifact lies; `None` when the id is not one of ours, whatever path it may spell.
    fn path(&self, artifact: &ArtifactId) -> Option<PathBuf> {
        let digest = artifact.as_str().strip_prefix(SCHEME)?;
        let plain = digest.len() == 2 * <Sha256 as Digest>::output_size()
            && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let (fan, rest) = digest.split_at_checked(2)?;
        plain.then(|| self.root.join(fan).join(rest))
    }

    /// The directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Nothing panics while holding the lock; if it did, the state would still be whole.
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a content.
fn id_of(bytes: &[u8]) -> Result<ArtifactId, JournalError> {
    id_from_digest(&HEXLOWER.encode(&Sha256::digest(bytes)))
        .ok_or_else(|| JournalError::Refused("a digest is not an id".to_owned()))
}

fn id_from_digest(digest: &str) -> Option<ArtifactId> {
    ArtifactId::new(format!("{SCHEME}{digest}")).ok()
}

fn write_failed(artifact: &ArtifactId, error: &std::io::Error) -> JournalError {
    if is_disk_full(error) {
        return JournalError::Full(format!(
            "artifact {artifact} does not fit on the disk ({error}): free some space"
        ));
    }
    JournalError::Refused(format!("artifact {artifact} could not be written: {error}"))
}
