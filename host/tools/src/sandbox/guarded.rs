//! The modes of the host's own directories, put back should a child have changed them.
//!
//! The files of the host belong to the children's user, who may change their modes; where the system call filter is in
//! force it lets children do so in their own places only, and this is the second line behind it. Elsewhere it is the
//! first. It goes by handles opened at the start: a mode that shuts the host out does not keep it from undoing that.

use std::fs::{File, Metadata};
use std::io;
use std::path::PathBuf;

/// The protected directories, open, and their modes at the start.
#[derive(Debug, Default)]
pub(super) struct Guarded {
    directories: Vec<Directory>,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    handle: File,
    mode: u32,
}

impl Guarded {
    pub(super) fn add(&mut self, path: PathBuf) -> io::Result<()> {
        let handle = File::open(&path)?;
        let mode = mode(&handle.metadata()?);
        self.directories.push(Directory { path, handle, mode });
        Ok(())
    }

    /// Gives back the modes that changed and says whose they were. One system call for each directory.
    pub(super) fn restore(&self) -> Vec<PathBuf> {
        let mut restored = Vec::new();
        for directory in &self.directories {
            match directory.restore() {
                Ok(false) => {}
                Ok(true) => {
                    tracing::warn!(path = %directory.path.display(), "a program changed the mode of a directory of the host: restored");
                    restored.push(directory.path.clone());
                }
                Err(error) => {
                    tracing::error!(path = %directory.path.display(), %error, "the mode of a directory of the host cannot be restored");
                }
            }
        }
        restored
    }
}

impl Directory {
    fn restore(&self) -> io::Result<bool> {
        if mode(&self.handle.metadata()?) == self.mode {
            return Ok(false);
        }
        set_mode(&self.handle, self.mode)?;
        Ok(true)
    }
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::MetadataExt;
    metadata.mode() & 0o7777
}

#[cfg(unix)]
fn set_mode(handle: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    handle.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// Systems without modes keep access lists, which are not looked at yet.
#[cfg(not(unix))]
fn mode(_metadata: &Metadata) -> u32 {
    0
}

#[cfg(not(unix))]
fn set_mode(_handle: &File, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_changed_mode_is_put_back_also_under_another_name() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("state");
        std::fs::create_dir(&path).unwrap();
        set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        let mut guarded = Guarded::default();
        guarded.add(path.clone()).unwrap();
        assert!(guarded.restore().is_empty());
        for changed in [0o777, 0o000, 0o4700] {
            set_permissions(&path, Permissions::from_mode(changed)).unwrap();
            assert_eq!(guarded.restore(), std::slice::from_ref(&path), "{changed:o}");
            assert_eq!(mode(&path.metadata().unwrap()), 0o700);
        }
        let moved = base.path().join("moved");
        std::fs::rename(&path, &moved).unwrap();
        set_permissions(&moved, Permissions::from_mode(0o777)).unwrap();
        assert_eq!(guarded.restore(), [path]);
        assert_eq!(mode(&moved.metadata().unwrap()), 0o700);
    }
}
