//! A directory of one session alone, in place of the machine's shared `/tmp` and the owner's home.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::PrepareError;

/// Names are 64 random bits; a clash means somebody is making them on purpose.
const ATTEMPTS: usize = 8;

/// A fresh directory (mode 0700), removed with everything in it on drop.
///
/// Dropping deletes what commands left there, which may take a while: call [`PrivateTmp::remove`] where that matters,
/// on a thread that may block.
#[derive(Debug)]
pub struct PrivateTmp {
    path: PathBuf,
}

impl PrivateTmp {
    /// Makes a directory with a random name in `parent`, which may be shared (`/tmp`).
    ///
    /// # Errors
    /// When `parent` does not exist or cannot be written to.
    pub fn create_in(parent: &Path) -> io::Result<Self> {
        let parent = parent.canonicalize()?;
        for _ in 0..ATTEMPTS {
            let name = format!("lanyard-{:016x}", crate::random_u64());
            let path = parent.join(name);
            match create_private(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directory and everything in it, following no link. Blocks.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn remove(self) -> io::Result<()> {
        let path = self.path.clone();
        std::mem::forget(self);
        remove_tree(&path)
    }
}

impl Drop for PrivateTmp {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "private directory not removed: delete it by hand");
        }
    }
}

fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // A command took its own write permission away (Go's module cache does).
            restore_access(path)?;
            fs::remove_dir_all(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes every directory beneath `path` traversable and writable again, following no link.
fn restore_access(path: &Path) -> io::Result<()> {
    let mut open = vec![path.to_owned()];
    while let Some(directory) = open.pop() {
        set_private(&directory)?;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
        }
    }
    Ok(())
}

/// The two directories children are told about, made where missing.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) home: PathBuf,
    pub(super) tmp: PathBuf,
}

impl Layout {
    pub(super) fn open(root: &Path) -> Result<Self, PrepareError> {
        let failed = |source| PrepareError::Path { path: root.to_owned(), source };
        if !root.is_absolute() {
            return Err(PrepareError::Relative { path: root.to_owned() });
        }
        make(root).map_err(failed)?;
        if !is_private(root).map_err(failed)? {
            return Err(PrepareError::PrivateTmp { path: root.to_owned() });
        }
        let layout = Self { home: root.join("home"), tmp: root.join("tmp") };
        make(&layout.home).and_then(|()| make(&layout.tmp)).map_err(failed)?;
        Ok(layout)
    }
}

fn make(path: &Path) -> io::Result<()> {
    match create_private(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(unix)]
fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

#[cfg(unix)]
fn set_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn set_private(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// A real directory of this user that nobody else can enter.
#[cfg(unix)]
fn is_private(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::symlink_metadata(path)?;
    let mine = metadata.uid() == rustix::process::geteuid().as_raw();
    Ok(metadata.is_dir() && mine && metadata.mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn is_private(path: &Path) -> io::Result<bool> {
    Ok(fs::symlink_metadata(path)?.is_dir())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn it_is_private_and_goes_away() {
        let parent = tempfile::tempdir().unwrap();
        let tmp = PrivateTmp::create_in(parent.path()).unwrap();
        assert!(is_private(tmp.path()).unwrap());
        let layout = Layout::open(tmp.path()).unwrap();
        fs::write(layout.home.join("file"), "x").unwrap();
        fs::create_dir(layout.tmp.join("locked")).unwrap();
        fs::write(layout.tmp.join("locked/file"), "x").unwrap();
        fs::set_permissions(layout.tmp.join("locked"), fs::Permissions::from_mode(0o000)).unwrap();
        let path = tmp.path().to_owned();
        tmp.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn removal_follows_no_link() {
        let parent = tempfile::tempdir().unwrap();
        let outside = parent.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        let tmp = PrivateTmp::create_in(parent.path()).unwrap();
        symlink(&outside, tmp.path().join("link")).unwrap();
        drop(tmp);
        assert!(outside.join("kept").exists());
    }

    #[test]
    fn a_directory_open_to_others_or_a_link_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let open = parent.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(Layout::open(&open), Err(PrepareError::PrivateTmp { .. })));
        let link = parent.path().join("link");
        symlink(&open, &link).unwrap();
        assert!(matches!(Layout::open(&link), Err(PrepareError::PrivateTmp { .. })));
    }
}
