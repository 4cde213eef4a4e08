//! Secret files: for the owner alone, whole or not at all, on disk when written.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::IdentityError;

/// Longest file read; an identity takes some five kilobytes.
const MAX_BYTES: u64 = 1 << 20;

fn failed(path: &Path) -> impl Fn(io::Error) -> IdentityError + '_ {
    move |source| IdentityError::Io { path: path.to_owned(), source }
}

/// Reads a secret file; `None` when there is none. What others may read, or what is no plain file, is refused.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, IdentityError> {
    // Looked at before it is opened: opening a FIFO would wait for whoever is behind it.
    let seen = match std::fs::symlink_metadata(path) {
        Ok(seen) => seen,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path)(error)),
    };
    if !seen.is_file() {
        let text = "not a regular file, and an identity is not read through links";
        return Err(failed(path)(io::Error::new(io::ErrorKind::InvalidInput, text)));
    }
    let mut file = File::open(path).map_err(failed(path))?;
    let opened = file.metadata().map_err(failed(path))?;
    if !system::same(&seen, &opened) {
        let text = "it was replaced while it was opened; try again";
        return Err(failed(path)(io::Error::new(io::ErrorKind::InvalidInput, text)));
    }
    system::private(path, &opened)?;
    let parent = path.parent().unwrap_or(Path::new("."));
    system::place(path, &opened, parent, &std::fs::metadata(parent).map_err(failed(parent))?)?;
    if opened.len() > MAX_BYTES {
        let text = format!("{} bytes, an identity has at most {MAX_BYTES}", opened.len());
        return Err(failed(path)(io::Error::new(io::ErrorKind::InvalidData, text)));
    }
    // The buffer never grows, so no copy of the secret is left behind in freed memory.
    let mut content = Zeroizing::new(vec![0; usize::try_from(opened.len()).unwrap_or(0)]);
    file.read_exact(&mut content).map_err(failed(path))?;
    Ok(Some(content))
}

/// Writes a secret file beside its place, flushes it, gives it its name, and flushes the directory.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), IdentityError> {
    sweep(path);
    let temporary = path.with_extension(format!("{:016x}.new", crate::backoff::random()));
    let written = system::create(&temporary)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    if let Err(error) = written {
        // The error that led here is the one to tell.
        let _ = std::fs::remove_file(&temporary);
        return Err(failed(path)(error));
    }
    sync_parent(path)
}

/// Removes a file, which is gone from the disk when it returns. No file is no error.
pub(super) fn remove(path: &Path) -> Result<(), IdentityError> {
    sweep(path);
    match std::fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(path)(error)),
    }
}

/// Removes what a write that was killed left beside its place: it is as secret as the file.
fn sweep(path: &Path) {
    let (Some(parent), Some(stem)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str())) else {
        return;
    };
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let left = entry.file_name().to_str().is_some_and(|name| {
            name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".new"))
        });
        if left {
            // Whoever cannot remove it cannot write the new one either, and is told then.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Makes the directory for the owner alone, or checks that nobody else may write to it.
pub(super) fn make_directory(path: &Path) -> Result<(), IdentityError> {
    match std::fs::symlink_metadata(path) {
        Ok(seen) if seen.is_dir() => system::unwritable_by_others(path, &seen),
        Ok(_) => Err(failed(path)(io::Error::new(io::ErrorKind::InvalidInput, "not a directory"))),
        Err(_) => system::make_directory(path).map_err(failed(path)),
    }
}

/// A renaming is on disk once its directory is.
fn sync_parent(path: &Path) -> Result<(), IdentityError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    system::sync_directory(parent).map_err(failed(parent))
}

#[cfg(unix)]
mod system {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};

    use super::*;

    pub(super) fn same(seen: &Metadata, opened: &Metadata) -> bool {
        (seen.dev(), seen.ino()) == (opened.dev(), opened.ino())
    }

    pub(super) fn private(path: &Path, metadata: &Metadata) -> Result<(), IdentityError> {
        refuse(path, metadata, 0o077)
    }

    /// Who may write there could put another identity in the place of ours.
    pub(super) fn unwritable_by_others(path: &Path, metadata: &Metadata) -> Result<(), IdentityError> {
        refuse(path, metadata, 0o022)
    }

    /// A file that somebody else put there is not ours, even where we may read it.
    pub(super) fn place(
        path: &Path,
        file: &Metadata,
        parent: &Path,
        directory: &Metadata,
    ) -> Result<(), IdentityError> {
        if file.uid() != directory.uid() {
            let text = format!("it belongs to user {}, its directory to {}", file.uid(), directory.uid());
            return Err(failed(path)(io::Error::new(io::ErrorKind::PermissionDenied, text)));
        }
        unwritable_by_others(parent, directory)
    }

    fn refuse(path: &Path, metadata: &Metadata, bits: u32) -> Result<(), IdentityError> {
        match metadata.mode() & 0o7777 {
            mode if mode & bits != 0 => Err(IdentityError::TooOpen { path: path.to_owned(), mode }),
            _ => Ok(()),
        }
    }

    pub(super) fn create(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }

    pub(super) fn make_directory(path: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

#[cfg(not(unix))]
mod system {
    //! The user's own directory is private by its inherited access list; there is no mode to look at.

    use super::*;

    pub(super) fn same(_seen: &Metadata, _opened: &Metadata) -> bool {
        true
    }

    pub(super) fn private(_path: &Path, _metadata: &Metadata) -> Result<(), IdentityError> {
        Ok(())
    }

    pub(super) fn unwritable_by_others(_path: &Path, _metadata: &Metadata) -> Result<(), IdentityError> {
        Ok(())
    }

    pub(super) fn place(
        _path: &Path,
        _file: &Metadata,
        _parent: &Path,
        _directory: &Metadata,
    ) -> Result<(), IdentityError> {
        Ok(())
    }

    pub(super) fn create(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    pub(super) fn make_directory(path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    pub(super) fn sync_directory(_path: &Path) -> io::Result<()> {
        Ok(())
    }
}
