//! Turns paths into grants: each is opened, resolved by what was opened, and checked against the protected directories.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::platform::{Handle, handle_of, open_path};
use super::system::SystemPaths;
use super::{Held, PrepareError};
use crate::identity::FileId;

/// What a grant allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Read and execute.
    Read,
    /// Read, execute, and change what lies beneath.
    Write,
    /// Read and write the device itself.
    Device,
}

/// An opened path and what children may do with it.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) handle: Handle,
    pub(super) path: PathBuf,
    pub(super) access: Access,
}

/// Where children start.
#[derive(Debug)]
#[cfg_attr(target_os = "linux", allow(dead_code, reason = "Linux enters the handle, other systems the path"))]
pub(super) struct WorkingDirectory {
    pub(super) handle: Arc<Handle>,
    pub(super) path: PathBuf,
}

/// Where a grant was opened by name, and what was there: once that is something else, the grant is out of date.
#[derive(Debug)]
pub(super) struct Named {
    path: PathBuf,
    /// `None`: nothing.
    found: Option<FileId>,
}

impl Named {
    fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), found: Self::look(path) }
    }

    fn look(path: &Path) -> Option<FileId> {
        path.metadata().ok().map(|metadata| FileId::of(&metadata))
    }

    /// Whether the same is still there.
    pub(super) fn is_current(&self) -> bool {
        Self::look(&self.path) == self.found
    }
}

/// Turns the paths of a spec into grants.
#[derive(Debug)]
pub(super) struct Resolver<'a> {
    protected: &'a [PathBuf],
    grants: Vec<Grant>,
    named: Vec<Named>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(protected: &'a [PathBuf]) -> Self {
        Self { protected, grants: Vec::new(), named: Vec::new() }
    }

    pub(super) fn system(&mut self, system: &SystemPaths) -> Result<(), PrepareError> {
        let read = system.read.iter().map(|path| (path, Access::Read));
        let devices = system.devices.iter().map(|path| (path, Access::Device));
        for (path, access) in read.chain(devices) {
            self.check(path)?;
            self.named.push(Named::of(path));
            match open_path(path) {
                Ok((handle, _)) => self.grants.push(Grant { handle, path: path.clone(), access }),
                // Gone since the start of the host (a package upgrade): nothing is opened for it.
                Err(error) if is_absent(&error) => {
                    tracing::debug!(path = %path.display(), %error, "system path skipped");
                }
                Err(source) => return Err(PrepareError::Path { path: path.clone(), source }),
            }
        }
        Ok(())
    }

    pub(super) fn read(&mut self, path: &Path) -> Result<(), PrepareError> {
        match self.grant(path, Access::Read) {
            Err(PrepareError::Path { path, source }) if is_absent(&source) => {
                tracing::info!(path = %path.display(), "readable path of commands does not exist: skipped");
                Ok(())
            }
            other => other,
        }
    }

    pub(super) fn write(&mut self, path: &Path) -> Result<(), PrepareError> {
        self.grant(path, Access::Write)
    }

    /// Grants what is held, not what its path leads to.
    pub(super) fn held(&mut self, held: &Held, access: Access) -> Result<(), PrepareError> {
        held.check()?;
        self.check(&held.path)?;
        let handle = handle_of(&held.directory);
        let handle = handle.map_err(|source| PrepareError::Path { path: held.path.clone(), source })?;
        self.grants.push(Grant { handle, path: held.path.clone(), access });
        Ok(())
    }

    pub(super) fn finish(self) -> (Vec<Grant>, Vec<Named>) {
        (self.grants, self.named)
    }

    fn grant(&mut self, path: &Path, access: Access) -> Result<(), PrepareError> {
        self.named.push(Named::of(path));
        let (handle, resolved) = open(path)?;
        self.check(&resolved)?;
        self.grants.push(Grant { handle, path: resolved, access });
        Ok(())
    }

    /// Refuses a path that contains, is, or lies in a protected directory.
    fn check(&self, resolved: &Path) -> Result<(), PrepareError> {
        refuse(self.protected, resolved, |protected| overlaps(resolved, protected))
    }
}

impl WorkingDirectory {
    /// Opens it, so that what was checked is what children start in. It must lie in one of the `granted` paths.
    pub(super) fn open(
        path: &Path,
        protected: &[PathBuf],
        granted: &[PathBuf],
    ) -> Result<Self, PrepareError> {
        let (handle, resolved) = open(path)?;
        if !resolved.is_dir() {
            let source = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(PrepareError::Path { path: path.to_owned(), source });
        }
        // It may lie above a protected directory without exposing it.
        refuse(protected, &resolved, |protected| resolved.starts_with(protected))?;
        if !granted.iter().any(|granted| resolved.starts_with(granted)) {
            return Err(PrepareError::WorkingDirectory { cwd: resolved });
        }
        Ok(Self { handle: Arc::new(handle), path: resolved })
    }
}

fn open(path: &Path) -> Result<(Handle, PathBuf), PrepareError> {
    if !path.is_absolute() {
        return Err(PrepareError::Relative { path: path.to_owned() });
    }
    open_path(path).map_err(|source| PrepareError::Path { path: path.to_owned(), source })
}

fn refuse(protected: &[PathBuf], allowed: &Path, hit: impl Fn(&Path) -> bool) -> Result<(), PrepareError> {
    match protected.iter().find(|protected| hit(protected)) {
        Some(protected) => {
            Err(PrepareError::Protected { allowed: allowed.to_owned(), protected: protected.clone() })
        }
        None => Ok(()),
    }
}

/// By component, so `/work-evil` and `/work` do not overlap.
pub(super) fn overlaps(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_by_component() {
        assert!(overlaps(Path::new("/work/a"), Path::new("/work")));
        assert!(overlaps(Path::new("/work"), Path::new("/work/a")));
        assert!(!overlaps(Path::new("/work-evil"), Path::new("/work")));
        assert!(!overlaps(Path::new("/work"), Path::new("/work-evil")));
    }
}
