//! Why a path cannot be used.

use std::io;
use std::path::PathBuf;

use lanyard_policy::path::PathFault;
use lanyard_policy::visible;

/// Why a path cannot be used. Texts are for the model and for people: they name the path and the way out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PathError {
    #[error("{0}")]
    Fault(#[from] PathFault),
    #[error("{} lies outside the workspace: use a path below {roots}", shown(.path))]
    Outside { path: PathBuf, roots: String },
    #[error("{} is a symbolic link that leads outside the workspace", shown(.link))]
    Escape { link: PathBuf },
    #[error("{} belongs to the host itself, not to the workspace", shown(.path))]
    Protected { path: PathBuf },
    #[error("{} is one of more than {max} symbolic links in a row", shown(.path))]
    TooManyLinks { path: PathBuf, max: usize },
    #[error("{} does not exist", shown(.path))]
    Missing { path: PathBuf },
    #[error("{} is a symbolic link to something that does not exist: nothing is created through it", shown(.path))]
    Dangling { path: PathBuf },
    #[error("{} is a symbolic link", shown(.path))]
    IsLink { path: PathBuf },
    #[error("{} is a directory", shown(.path))]
    IsDirectory { path: PathBuf },
    #[error("{} is not a directory", shown(.path))]
    NotDirectory { path: PathBuf },
    #[error("{} is a pipe, socket or device, not a file", shown(.path))]
    Special { path: PathBuf },
    #[error("{} already exists", shown(.path))]
    Exists { path: PathBuf },
    #[error("{} is another name of a file of the host itself", shown(.path))]
    Alias { path: PathBuf },
    #[error("{} has {size} bytes; the limit here is {limit}", shown(.path))]
    TooLarge { path: PathBuf, size: u64, limit: u64 },
    #[error("{} is no longer what the call was planned with: look at it again and repeat the call", shown(.path))]
    Changed { path: PathBuf },
    #[error(
        "{} differs from the existing {existing:?} only in its Unicode form: use the existing spelling",
        shown(.path)
    )]
    LookAlike { path: PathBuf, existing: String },
    #[error("{} and its new name lie on different file systems: write the new file, then delete the old one", shown(.path))]
    OtherFileSystem { path: PathBuf },
    #[error("{}: {source}", shown(.path))]
    Io { path: PathBuf, source: io::Error },
}

impl PathError {
    /// The error of an open that follows no link. Links that appeared since planning show as `ELOOP` or `ENOTDIR`.
    pub(super) fn from_open(path: PathBuf, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::NotADirectory => Self::Changed { path },
            // What cap-std answers to a name that leads out of its directory.
            io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => Self::Changed { path },
            _ if is_link(&error) => Self::Changed { path },
            _ => Self::Io { path, source: error },
        }
    }

    /// The call must be refused, not corrected.
    pub(crate) fn is_denial(&self) -> bool {
        matches!(
            self,
            Self::Outside { .. } | Self::Escape { .. } | Self::Protected { .. } | Self::Alias { .. }
        )
    }

    /// The argument itself is malformed.
    pub(crate) fn is_fault(&self) -> bool {
        matches!(self, Self::Fault(_))
    }
}

/// `ELOOP`, for which the standard library has no stable name.
#[cfg(unix)]
pub(super) fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

#[cfg(not(unix))]
pub(super) fn is_link(_error: &io::Error) -> bool {
    false
}

fn shown(path: &std::path::Path) -> String {
    visible::line(&path.to_string_lossy()).into_owned()
}
