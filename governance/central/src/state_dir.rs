//! The directory with the keys: made 0700, its files 0600, one process at a time where the embedded database is in it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use lanyard_governance_foundation::clock::random;
use rustix::fs::{FlockOperation, flock};

/// The directory, and the lock on it.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    /// Held for life.
    _lock: Option<File>,
}

impl StateDir {
    /// Makes it if it is not there. `alone`: nobody else may run with it.
    pub(crate) fn claim(path: &Path, alone: bool) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("{} cannot be made", path.display()))?;
        let meta = std::fs::metadata(path).with_context(|| path.display().to_string())?;
        if meta.mode() & 0o077 != 0 || meta.uid() != rustix::process::geteuid().as_raw() {
            bail!("{} holds keys and must be yours alone; run: chmod 700 {}", path.display(), path.display());
        }
        let lock = match alone {
            true => Some(Self::lock(path)?),
            false => None,
        };
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    fn lock(path: &Path) -> Result<File> {
        let file = path.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&file);
        let lock = lock.with_context(|| file.display().to_string())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            anyhow::anyhow!(
                "another lanyard-central runs with {}; the embedded database takes one (several need DATABASE_URL)",
                path.display()
            )
        })?;
        Ok(lock)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A secret of 32 random bytes, made the first time.
    pub(crate) fn key(&self, name: &str) -> Result<[u8; 32]> {
        let path = self.path.join(name);
        for _ in 0..2 {
            match File::open(&path) {
                Ok(mut file) => {
                    let mut bytes = Vec::new();
                    file.read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
                    return bytes.try_into().map_err(|_| {
                        anyhow::anyhow!("{} is damaged: it must hold 32 bytes", path.display())
                    });
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.make(&path)?,
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            }
        }
        bail!("{} cannot be made", path.display())
    }

    /// Written whole beside its place, then put there unless another replica was first. The draft has a name of its own: in
    /// containers every process has the same number.
    fn make(&self, path: &Path) -> Result<()> {
        let (key, draft) = (random::<32>()?, random::<8>()?);
        let beside = path.with_extension(format!("new-{:016x}", u64::from_be_bytes(draft)));
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside);
        let mut file = file.with_context(|| beside.display().to_string())?;
        file.write_all(&key)?;
        file.sync_all()?;
        let linked = std::fs::hard_link(&beside, path);
        std::fs::remove_file(&beside)?;
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(error).with_context(|| path.display().to_string())
            }
            _ => Ok(File::open(&self.path)?.sync_all()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_whatever_another_process_of_the_same_number_left() {
        let name = format!("lanyard-state-{:016x}", u64::from_be_bytes(random::<8>().unwrap()));
        let path = std::env::temp_dir().join(name);
        let state = StateDir::claim(&path, true).unwrap();
        std::fs::write(path.join(format!("service.new-{}", std::process::id())), "half").unwrap();
        let key = state.key("service.key").unwrap();
        assert_eq!(state.key("service.key").unwrap(), key);
        assert_eq!(std::fs::read(path.join("service.key")).unwrap(), key);
        assert_ne!(state.key("gateway.key").unwrap(), key);
        // The lock, the two keys, and what was left.
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 4);
        std::fs::remove_dir_all(path).unwrap();
    }
}
