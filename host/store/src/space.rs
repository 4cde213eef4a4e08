//! How much room there is: on the disk, and below `store.max_bytes`.

use std::path::{Path, PathBuf};

use lanyard_ports::journal::JournalError;

/// Free bytes below which nothing is written any more. A group of batches with its copy-on-write pages fits; running
/// into a full disk inside a transaction would stop the writer for good.
pub(crate) const COMMIT_RESERVE: u64 = 16 << 20;

/// Free bytes below which not even sessions are deleted. Deleting makes room, but first writes the pages above the
/// rows it removes.
pub(crate) const DELETE_RESERVE: u64 = 2 << 20;

/// Free bytes below which no new task starts: what a long task with its outputs may need to come to an end.
pub(crate) const TASK_RESERVE: u64 = 64 << 20;

/// Part of `max_bytes` beyond it that tasks under way may still use for outputs (one eighth).
const GRACE_DIVISOR: u64 = 8;

/// Disk bytes a row may take for each byte it holds: pages are at least half full. What the file holds beyond that
/// is free pages, which are used again before the file grows, and count as room.
const PAGE_OVERHEAD: u64 = 2;

/// Watches one state directory.
#[derive(Debug, Clone)]
pub(crate) struct Space {
    dir: PathBuf,
    file: PathBuf,
    max_bytes: u64,
}

impl Space {
    /// For the store file `file` in `dir`; `max_bytes` 0 is no limit.
    pub(crate) fn new(dir: PathBuf, file: PathBuf, max_bytes: u64) -> Self {
        Self { dir, file, max_bytes }
    }

    /// `store.max_bytes`; 0 is no limit.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Bytes in use for a store of that many row and artifact bytes.
    pub(crate) fn used(&self, row_bytes: u64, artifact_bytes: u64) -> u64 {
        let file = disk_bytes(&self.file).min(row_bytes.saturating_mul(PAGE_OVERHEAD));
        file.saturating_add(artifact_bytes)
    }

    /// Whether a group of batches may be written.
    pub(crate) fn for_commit(&self) -> Result<(), JournalError> {
        self.on_disk(COMMIT_RESERVE)
    }

    /// Whether a batch that deletes a session may be written.
    pub(crate) fn for_delete(&self) -> Result<(), JournalError> {
        self.on_disk(DELETE_RESERVE)
    }

    /// Whether a task may start.
    pub(crate) fn for_task(&self, used: u64) -> Result<(), JournalError> {
        self.below_limit(used, self.max_bytes)?;
        self.on_disk(TASK_RESERVE)
    }

    /// Whether an artifact of `size` bytes may be kept.
    pub(crate) fn for_artifact(&self, used: u64, size: u64) -> Result<(), JournalError> {
        let limit = self.max_bytes.saturating_add(self.max_bytes / GRACE_DIVISOR);
        self.below_limit(used.saturating_add(size), limit)?;
        self.on_disk(COMMIT_RESERVE.saturating_add(size))
    }

    fn below_limit(&self, used: u64, limit: u64) -> Result<(), JournalError> {
        if self.max_bytes == 0 || used < limit {
            return Ok(());
        }
        Err(JournalError::Full(format!(
            "{} are in use and store.max_bytes is {}: delete sessions that are no longer needed, or raise \
             store.max_bytes",
            mebibytes(used),
            mebibytes(self.max_bytes)
        )))
    }

    fn on_disk(&self, reserve: u64) -> Result<(), JournalError> {
        #[cfg(test)]
        let free = tests::pretended(&self.dir).or_else(|| free_bytes(&self.dir));
        #[cfg(not(test))]
        let free = free_bytes(&self.dir);
        match free {
            Some(free) if free < reserve => Err(JournalError::Full(format!(
                "the disk of {} has {} left and {} are kept free: free some space",
                self.dir.display(),
                mebibytes(free),
                mebibytes(reserve)
            ))),
            _ => Ok(()),
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    const MEBIBYTE: u64 = 1 << 20;
    format!("{}.{} MiB", bytes / MEBIBYTE, bytes % MEBIBYTE * 10 / MEBIBYTE)
}

/// Bytes a file takes on the disk; holes take none. 0 when it cannot be told.
fn disk_bytes(path: &Path) -> u64 {
    let Ok(meta) = std::fs::metadata(path) else { return 0 };
    #[cfg(unix)]
    {
        /// Unit of `st_blocks`, whatever the file system's block size (POSIX `stat`).
        const BLOCK: u64 = 512;
        std::os::unix::fs::MetadataExt::blocks(&meta).saturating_mul(BLOCK)
    }
    #[cfg(not(unix))]
    meta.len()
}

/// Free bytes for an ordinary user on the file system of `dir`; `None` where the system does not tell.
#[cfg(unix)]
fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Free bytes for an ordinary user on the file system of `dir`; `None` where the system does not tell.
#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Where a test writes how many bytes are to be taken for free.
    pub(crate) const PRETENDED: &str = "pretended-free-bytes";

    pub(super) fn pretended(dir: &Path) -> Option<u64> {
        std::fs::read_to_string(dir.join(PRETENDED)).ok()?.parse().ok()
    }

    fn space(max_bytes: u64) -> (tempfile::TempDir, Space) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("store.redb");
        std::fs::write(&file, vec![1; 1 << 20]).unwrap();
        let space = Space::new(dir.path().into(), file, max_bytes);
        (dir, space)
    }

    #[test]
    fn free_pages_count_as_room() {
        let (_dir, space) = space(0);
        assert_eq!(space.used(1000, 5), 2005);
        assert!(space.used(u64::MAX, 0) >= 1 << 20);
    }

    #[test]
    fn the_limit_names_itself_and_the_way_out() {
        let (_dir, space) = space(10 << 20);
        assert_eq!(space.for_task((10 << 20) - 1), Ok(()));
        let error = space.for_task(10 << 20).unwrap_err().to_string();
        for part in ["10.0 MiB are in use", "store.max_bytes is 10.0 MiB", "delete sessions"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(space.for_artifact(10 << 20, 1 << 20), Ok(()));
        assert!(space.for_artifact(10 << 20, 2 << 20).is_err());
    }

    #[test]
    fn no_limit_is_no_limit() {
        let (_dir, space) = space(0);
        assert_eq!(space.for_task(u64::MAX), Ok(()));
    }

    #[test]
    fn an_artifact_the_disk_cannot_hold_is_refused() {
        let (_dir, space) = space(0);
        let error = space.for_artifact(0, u64::MAX / 2).unwrap_err();
        assert!(matches!(error, JournalError::Full(text) if text.contains("the disk of")));
    }
}
