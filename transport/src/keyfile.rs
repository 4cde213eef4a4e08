//! Secrets in files: mode 0600, made whole or not at all, refused when others could read or write them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rand_core::RngCore;
use zeroize::Zeroizing;

/// Largest secret file read. Keys, a host list and a pending pairing take a few kilobytes; anything larger is not ours.
pub const MAX_BYTES: u64 = 1 << 20;

/// Why a secret file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others could read or write it.
    #[error(
        "{path} holds a secret and is open to other users (mode {mode:o}): if nobody can have read it, run chmod 600 {path}; else remove it and pair again"
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("{path} belongs to user {owner}, not to you")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
}

/// Reads a secret file; `None` when there is none. Links are not followed.
///
/// # Errors
/// See [`KeyFileError`]. What is no regular file, or is over [`MAX_BYTES`], is refused as [`KeyFileError::Io`].
pub fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let mut file = match system::open(path) {
        Ok(file) => file,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io(source)),
    };
    // Asked of the open file: whatever the name means a moment later, this is what is read.
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(io(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    system::private(path, &metadata)?;
    if metadata.len() > MAX_BYTES {
        let text = format!("{} bytes, a secret has at most {MAX_BYTES}", metadata.len());
        return Err(io(io::Error::new(io::ErrorKind::InvalidData, text)));
    }
    // The buffer never grows, so no copy of the secret is left behind in freed memory.
    let mut content = Zeroizing::new(vec![0; usize::try_from(metadata.len()).unwrap_or(0)]);
    file.read_exact(&mut content).map_err(io)?;
    Ok(Some(content))
}

/// Writes a secret file, whole or not at all, on disk when it returns. Replaces an older one; a link is replaced, not
/// followed.
///
/// # Errors
/// See [`KeyFileError`].
pub fn write(path: &Path, content: &[u8]) -> Result<(), KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let Some(name) = path.file_name() else {
        return Err(io(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file")));
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut temporary = Temporary::create(directory, name).map_err(io)?;
    temporary.file.write_all(content).map_err(io)?;
    temporary.file.sync_all().map_err(io)?;
    temporary.rename_to(path).map_err(io)?;
    system::sync_directory(directory).map_err(io)
}

/// A file that is removed unless it was given its name.
#[derive(Debug)]
struct Temporary {
    file: File,
    path: PathBuf,
    named: bool,
}

impl Temporary {
    /// A new file beside the one it is to become, so that the renaming stays within one file system.
    fn create(directory: &Path, name: &std::ffi::OsStr) -> io::Result<Self> {
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{:016x}.new", rand_core::OsRng.next_u64()));
        let path = directory.join(hidden);
        let file = system::create(&path)?;
        Ok(Self { file, path, named: false })
    }

    fn rename_to(mut self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, path)?;
        self.named = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.named {
            // The error that led here is the one to tell.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
mod system {
    //! Owner, mode and links as Unix has them.

    use std::fs::{Metadata, Permissions};
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};

    use super::*;

    /// The owner alone.
    const MODE: u32 = 0o600;

    /// Does not follow a link in the last place, and does not wait for whoever is behind a FIFO.
    pub(super) fn open(path: &Path) -> io::Result<File> {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
        opened.map_err(|error| match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::LOOP) => {
                io::Error::new(io::ErrorKind::InvalidInput, "a link, and secrets are not read through links")
            }
            _ => error,
        })
    }

    pub(super) fn private(path: &Path, metadata: &Metadata) -> Result<(), KeyFileError> {
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(KeyFileError::Foreign { path: path.to_owned(), owner: metadata.uid() });
        }
        match metadata.mode() & 0o7777 {
            mode if mode & 0o077 != 0 => Err(KeyFileError::TooOpen { path: path.to_owned(), mode }),
            _ => Ok(()),
        }
    }

    pub(super) fn create(path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
        // A strange umask would leave the owner without the right to read it back.
        file.set_permissions(Permissions::from_mode(MODE))?;
        Ok(file)
    }

    /// The renaming is on disk once its directory is.
    pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

#[cfg(not(unix))]
mod system {
    //! The user's own directory is private by its inherited access list; there is no mode to look at.

    use std::fs::Metadata;

    use super::*;

    pub(super) fn open(path: &Path) -> io::Result<File> {
        if std::fs::symlink_metadata(path)?.is_symlink() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a link, and secrets are not read through links",
            ));
        }
        File::open(path)
    }

    pub(super) fn private(_path: &Path, _metadata: &Metadata) -> Result<(), KeyFileError> {
        Ok(())
    }

    pub(super) fn create(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    /// Directories cannot be flushed by themselves here.
    pub(super) fn sync_directory(_path: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        (dir, path)
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn names(dir: &tempfile::TempDir) -> Vec<String> {
        let names = std::fs::read_dir(dir.path()).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_was_written_is_read_and_only_the_owner_may() {
        let (dir, path) = place();
        assert!(read(&path).unwrap().is_none());
        write(&path, b"first").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        write(&path, b"").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_slice(), b"");
        write(&path, b"second").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_slice(), b"second");
        assert_eq!(names(&dir), ["key"], "nothing is left beside it");
    }

    #[test]
    fn every_right_of_another_user_is_refused() {
        let (_dir, path) = place();
        write(&path, b"secret").unwrap();
        for bit in 0..6 {
            let mode = 0o600 | 1 << bit;
            chmod(&path, mode);
            let error = read(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::TooOpen { mode: told, .. } if told == mode), "{mode:o}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        for mode in [0o600, 0o400, 0o700] {
            chmod(&path, mode);
            assert!(read(&path).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn a_wide_file_is_narrow_again_once_it_was_replaced() {
        let (_dir, path) = place();
        std::fs::write(&path, b"old").unwrap();
        chmod(&path, 0o666);
        write(&path, b"new").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_slice(), b"new");
    }

    #[test]
    fn links_are_neither_read_nor_written_through() {
        let (dir, path) = place();
        let other = dir.path().join("other");
        write(&other, b"other").unwrap();
        symlink(&other, &path).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("link"), "{error}");
        write(&path, b"mine").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_slice(), b"mine");
        assert_eq!(read(&other).unwrap().unwrap().as_slice(), b"other");
        std::fs::remove_file(&path).unwrap();
        symlink(dir.path().join("nowhere"), &path).unwrap();
        assert!(read(&path).is_err(), "a dangling link is not an absent file");
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting() {
        let (dir, path) = place();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("not a regular file"));
        assert!(read(dir.path()).unwrap_err().to_string().contains("not a regular file"));
    }

    #[test]
    fn a_file_of_no_secret_s_size_is_not_loaded() {
        let (_dir, path) = place();
        write(&path, b"").unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("at most"));
    }

    #[test]
    fn a_failed_write_leaves_the_old_content_and_nothing_else() {
        let (dir, path) = place();
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("inside"), b"").unwrap();
        assert!(write(&path, b"secret").is_err(), "a directory is in the way");
        assert_eq!(names(&dir), ["key"]);
        assert!(write(&dir.path().join("missing/key"), b"secret").is_err());
        assert!(write(Path::new("/"), b"secret").is_err());
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let (_dir, path) = place();
        write(&path, b"secret").unwrap();
        // Only root may give files away; for others the system's own files stand in.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
            assert!(matches!(read(&path), Err(KeyFileError::Foreign { owner: 12_345, .. })));
        } else {
            assert!(matches!(read(Path::new("/etc/passwd")), Err(KeyFileError::Foreign { owner: 0, .. })));
        }
    }
}
