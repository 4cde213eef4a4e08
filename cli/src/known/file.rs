//! `hosts.toml`: read whole, changed under a lock, replaced whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lanyard_transport::keyfile;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::raw;
use super::{KnownError, KnownHosts};

/// Names in the state directory.
const HOSTS: &str = "hosts.toml";
const LOCK: &str = "hosts.lock";

/// How often and how long a lock is waited for: three seconds in all. Who holds it reads and writes one small file.
const LOCK_ATTEMPTS: u32 = 300;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct HostsFile {
    state_dir: PathBuf,
}

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct Locked {
    /// Held, not used: the lock goes with the file.
    _file: File,
}

impl HostsFile {
    /// The file of a state directory. Touches nothing.
    pub(crate) fn of(state_dir: &Path) -> Self {
        Self { state_dir: state_dir.to_owned() }
    }

    /// Where it lies.
    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// What is remembered; nothing, where there is no file. It is replaced whole, so that no lock is needed to read.
    pub(crate) fn read(&self) -> Result<KnownHosts, KnownError> {
        let path = self.state_dir.join(HOSTS);
        match keyfile::read(&path)? {
            Some(bytes) => raw::decode(&bytes).map_err(|message| KnownError::Damaged { path, message }),
            None => Ok(KnownHosts::default()),
        }
    }

    /// Changes what is remembered; on disk when it returns. Nothing is written when nothing changed.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut KnownHosts) -> T) -> Result<T, KnownError> {
        let _lock = self.lock()?;
        let before = self.read()?;
        let mut after = before.clone();
        let result = change(&mut after);
        if after != before {
            let path = self.state_dir.join(HOSTS);
            let text = raw::encode(&after)
                .map(Zeroizing::new)
                .map_err(|message| KnownError::Damaged { path: path.clone(), message })?;
            keyfile::write(&path, text.as_bytes())?;
        }
        Ok(result)
    }

    /// [`HostsFile::change`] for tasks: another command may hold the lock for a while, and connections of this thread
    /// go on meanwhile. Once begun, the change is made even when nobody waits for it any more.
    pub(crate) async fn change_aside<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut KnownHosts) -> T + Send + 'static,
    ) -> Result<T, KnownError> {
        let file = self.clone();
        let path = self.state_dir.join(HOSTS);
        let changed = tokio::task::spawn_blocking(move || file.change(change)).await;
        changed.unwrap_or_else(|error| Err(KnownError::Io { path, source: error.into() }))
    }

    /// Takes the lock, making the state directory where needed.
    pub(super) fn lock(&self) -> Result<Locked, KnownError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| KnownError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.state_dir).map_err(io(&self.state_dir))?;
        let path = self.state_dir.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(io(&path))?;
        for _ in 0..LOCK_ATTEMPTS {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Locked { _file: file }),
                Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(LOCK_PAUSE),
                Err(error) => return Err(KnownError::Io { path, source: error.into() }),
            }
        }
        Err(KnownError::Busy { path: self.state_dir.join(HOSTS) })
    }
}
