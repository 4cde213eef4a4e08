//! Opening the directories a session is about.
//!
//! Their paths were resolved when the session was made and are kept for its whole life. Another session may be allowed
//! to write above one of them and put a link in its place; so they are opened one name at a time, following none, and
//! everything later, the sandbox included, goes by what was opened.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::Dir;
use lanyard_policy::path::HostPath;

use super::{MAX_ROOTS, Protected};
use crate::sandbox::Held;

/// Why a session has no ground to stand on.
#[derive(Debug, thiserror::Error)]
pub enum GroundError {
    /// No directory was given.
    #[error("a session needs at least one workspace directory: pass --workspace DIR")]
    NoRoot,
    /// Too many.
    #[error("a session has at most {MAX_ROOTS} workspace directories, not {0}")]
    TooManyRoots(usize),
    /// A root that cannot be opened.
    #[error("workspace {path} cannot be opened: {source}; create it or pass --workspace DIR")]
    Open {
        /// The directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A root whose path does not lead to it without links: something was put in its place.
    #[error(
        "workspace {path} is not itself any more: {at} is a symbolic link or no directory; put the directory back, or \
         start a new session on the one you mean"
    )]
    Moved {
        /// The directory.
        path: PathBuf,
        /// The part of its path that is in the way.
        at: PathBuf,
    },
    /// A root whose path has more than one reading.
    #[error("workspace {path} cannot be used: {reason}; choose a directory with a plain name")]
    Name {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A root inside the host's own directories.
    #[error(
        "workspace {path} lies in {protected}, which belongs to the host itself; choose another directory"
    )]
    Protected {
        /// The directory.
        path: PathBuf,
        /// The host's directory.
        protected: PathBuf,
    },
}

/// One directory of a session.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) path: HostPath,
    pub(super) dir: Dir,
    held: Held,
}

impl Root {
    /// Opens the directory at `path`, which must be absolute and resolved.
    pub(super) fn open(path: &Path, protected: &[Protected]) -> Result<Self, GroundError> {
        if let Some(own) = protected.iter().find(|own| path.starts_with(&own.path)) {
            return Err(GroundError::Protected { path: path.to_owned(), protected: own.path.clone() });
        }
        let name = |reason: String| GroundError::Name { path: path.to_owned(), reason };
        let plain = |part: Component<'_>| {
            matches!(part, Component::RootDir | Component::Prefix(_) | Component::Normal(_))
        };
        if !path.is_absolute() || !path.components().all(plain) {
            return Err(name("its path is not absolute and resolved".to_owned()));
        }
        let text = path.to_str().ok_or_else(|| name("its name is not UTF-8".to_owned()))?;
        let host_path = HostPath::parse(text).map_err(|fault| name(fault.to_string()))?;
        let dir = open_without_links(path)?;
        let held = dir.try_clone().map_err(|source| GroundError::Open { path: path.to_owned(), source })?;
        let held = Held { directory: Arc::new(held.into_std_file()), path: path.to_owned() };
        Ok(Self { path: host_path, dir, held })
    }

    pub(super) fn held(&self) -> Held {
        self.held.clone()
    }
}

/// Only the directory itself has to be readable; those above it may be closed to listing.
#[cfg(target_os = "linux")]
fn open_without_links(path: &Path) -> Result<Dir, GroundError> {
    use rustix::fs::{CWD, Mode, OFlags, openat};

    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = PathBuf::from("/");
    let open = |dir: std::os::fd::BorrowedFd<'_>, name: &Path, at: &Path, flags: OFlags| {
        openat(dir, name, flags, Mode::empty()).map_err(|error| fault(path, at, error.into()))
    };
    let mut dir = open(CWD, &at, &at, flags | OFlags::PATH)?;
    for part in path.components() {
        let Component::Normal(name) = part else { continue };
        at.push(name);
        dir = open(std::os::fd::AsFd::as_fd(&dir), Path::new(name), &at, flags | OFlags::PATH)?;
    }
    // The same directory once more, now to be read.
    let dir = open(std::os::fd::AsFd::as_fd(&dir), Path::new("."), &at, flags)?;
    Ok(Dir::from_std_file(dir.into()))
}

#[cfg(not(target_os = "linux"))]
fn open_without_links(path: &Path) -> Result<Dir, GroundError> {
    use cap_fs_ext::DirExt;

    let mut at: PathBuf =
        path.components().take_while(|part| !matches!(part, Component::Normal(_))).collect();
    let mut dir =
        Dir::open_ambient_dir(&at, cap_std::ambient_authority()).map_err(|error| fault(path, &at, error))?;
    for part in path.components() {
        let Component::Normal(name) = part else { continue };
        at.push(name);
        dir = dir.open_dir_nofollow(name).map_err(|error| fault(path, &at, error))?;
    }
    Ok(dir)
}

/// What an open that follows no link says to one is `ELOOP` or `ENOTDIR`, by system.
fn fault(path: &Path, at: &Path, error: io::Error) -> GroundError {
    let (path, at) = (path.to_owned(), at.to_owned());
    if error.kind() == io::ErrorKind::NotADirectory || super::error::is_link(&error) {
        GroundError::Moved { path, at }
    } else {
        GroundError::Open { path, source: error }
    }
}
