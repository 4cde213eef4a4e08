//! Opening and reading files without being held up or led astray.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use cap_fs_ext::{FollowSymlinks, MetadataExt, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::fs::{Dir, File, Metadata, OpenOptions};

use super::{Aliases, PathError};

/// A regular file, open for reading.
#[derive(Debug)]
pub(crate) struct OpenFile {
    file: File,
    metadata: Metadata,
    path: PathBuf,
}

/// Opens a regular file in a directory. Follows no link and does not wait: a pipe without a writer, a device or a
/// socket is refused, not opened for good.
pub(crate) fn open_regular(
    dir: &Dir,
    name: &str,
    path: &Path,
    aliases: &Aliases<'_>,
) -> Result<OpenFile, PathError> {
    let path = path.to_owned();
    // Looked at before opening, because opening a device can already do something.
    match dir.symlink_metadata(name) {
        Ok(metadata) => refuse_irregular(&metadata, &path)?,
        Err(error) => return Err(PathError::from_open(path, error)),
    }
    let mut options = OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No).nonblock(true);
    let file = dir.open_with(name, &options).map_err(|error| PathError::from_open(path.clone(), error))?;
    let metadata = file.metadata().map_err(|source| PathError::Io { path: path.clone(), source })?;
    refuse_irregular(&metadata, &path)?;
    if aliases.is_protected(&metadata) {
        return Err(PathError::Alias { path });
    }
    Ok(OpenFile { file, metadata, path })
}

fn refuse_irregular(metadata: &Metadata, path: &Path) -> Result<(), PathError> {
    let path = || path.to_owned();
    let kind = metadata.file_type();
    if kind.is_file() {
        Ok(())
    } else if kind.is_dir() {
        Err(PathError::IsDirectory { path: path() })
    } else if kind.is_symlink() {
        Err(PathError::Changed { path: path() })
    } else {
        Err(PathError::Special { path: path() })
    }
}

impl OpenFile {
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Names this file has.
    pub(crate) fn names(&self) -> u64 {
        self.metadata.nlink()
    }

    /// The whole content, refused above `limit` bytes even when the file grows meanwhile.
    pub(crate) fn read(self, limit: u64) -> Result<Vec<u8>, PathError> {
        if self.metadata.len() > limit {
            return Err(PathError::TooLarge { path: self.path, size: self.metadata.len(), limit });
        }
        let mut content = Vec::with_capacity(usize::try_from(self.metadata.len()).unwrap_or(0));
        let read = self.file.take(limit + 1).read_to_end(&mut content);
        let size = read.map_err(|source| PathError::Io { path: self.path.clone(), source })? as u64;
        if size > limit {
            return Err(PathError::TooLarge { path: self.path, size, limit });
        }
        Ok(content)
    }

    /// At most `length` bytes from `offset`; none beyond the end.
    pub(crate) fn piece(&mut self, offset: u64, length: usize) -> Result<Vec<u8>, PathError> {
        let failed = |source| PathError::Io { path: self.path.clone(), source };
        self.file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = Vec::new();
        (&self.file).take(length as u64).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// Back to the first byte.
    pub(crate) fn rewind(&mut self) -> Result<(), PathError> {
        self.file.rewind().map_err(|source| PathError::Io { path: self.path.clone(), source })
    }

    /// The handle, to be read piece by piece.
    pub(crate) fn into_reader(self) -> impl Read {
        self.file
    }
}

/// Where a symbolic link points, as text for people.
pub(crate) fn read_link_text(dir: &Dir, name: &str) -> Option<String> {
    let target = dir.read_link_contents(name).ok()?;
    Some(lanyard_policy::visible::clipped_line(&target.to_string_lossy(), 200))
}

/// Makes a creation, renaming or removal in the directory survive a power cut.
#[cfg(unix)]
pub(crate) fn sync_directory(dir: &Dir) -> std::io::Result<()> {
    dir.open(".")?.sync_all()
}

/// Directories cannot be flushed on this system; its file systems order such changes themselves.
#[cfg(not(unix))]
pub(crate) fn sync_directory(_dir: &Dir) -> std::io::Result<()> {
    Ok(())
}
