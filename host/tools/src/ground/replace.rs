//! Changing files so that a crash leaves the old state or the new one, never a part.

use std::io::{self, Write};
use std::path::Path;

use cap_std::fs::{Dir, Metadata, OpenOptions};

use super::{Aliases, PathError, open_regular, sync_directory};
use crate::content;

/// Largest file that is changed by a tool, bytes: both states are held in memory and shown as a diff. Source files
/// are far below; larger ones are data and are changed by a program.
pub(crate) const MAX_CHANGED_BYTES: u64 = 16 << 20;

/// Attempts at a temporary name; 64 random bits do not clash by accident.
const ATTEMPTS: usize = 8;

/// What must be at a place when it is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Nothing.
    Absent,
    /// A file with this hex SHA-256.
    Content(String),
}

/// What a replacement did besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Written {
    /// Other names of the old file; they keep the old content.
    pub(crate) other_names: u64,
    /// The owner or group of the old file could not be kept.
    pub(crate) owner_lost: bool,
}

/// Writes `content` under `name`: a new file beside it, flushed, then renamed over. Mode and, where permitted, owner
/// stay. A file with several names is replaced under this one only.
pub(crate) fn replace(
    dir: &Dir,
    name: &str,
    path: &Path,
    content: &[u8],
    expected: &Expected,
    aliases: &Aliases<'_>,
) -> Result<Written, PathError> {
    let old = check(dir, name, path, expected, aliases)?;
    let failed = |source| PathError::Io { path: path.to_owned(), source };
    let temporary = Temporary::create(dir, old.as_ref()).map_err(failed)?;
    let mut written = Written::default();
    if let Some(old) = &old {
        written.other_names = cap_fs_ext::MetadataExt::nlink(old).saturating_sub(1);
        written.owner_lost = !temporary.keep_owner(old);
    }
    temporary.fill(content, old.as_ref()).map_err(failed)?;
    // Filling may have taken a while: look again right before the point of no return.
    check(dir, name, path, expected, aliases)?;
    match expected {
        Expected::Absent => temporary.settle_new(name, path)?,
        Expected::Content(_) => temporary.settle_over(name).map_err(failed)?,
    }
    sync_directory(dir).map_err(failed)?;
    Ok(written)
}

/// Puts a new file under the first of `names` that is free: written beside, flushed, then renamed over nothing. Returns
/// the name it has. `path` is the one wished for, for errors.
pub(crate) fn create_new(
    dir: &Dir,
    names: impl Iterator<Item = String>,
    path: &Path,
    content: &mut dyn io::Read,
) -> Result<String, PathError> {
    let failed = |source| PathError::Io { path: path.to_owned(), source };
    let mut temporary = Temporary::create(dir, None).map_err(failed)?;
    io::copy(content, &mut temporary.file).map_err(failed)?;
    temporary.file.sync_all().map_err(failed)?;
    for name in names {
        match rename_new(dir, &temporary.name, dir, &name, path) {
            Ok(()) => {
                temporary.settled = true;
                sync_directory(dir).map_err(failed)?;
                return Ok(name);
            }
            Err(PathError::Exists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(PathError::Exists { path: path.to_owned() })
}

/// Whether what is at `name` is still what was planned with.
fn check(
    dir: &Dir,
    name: &str,
    path: &Path,
    expected: &Expected,
    aliases: &Aliases<'_>,
) -> Result<Option<Metadata>, PathError> {
    let changed = || PathError::Changed { path: path.to_owned() };
    match expected {
        Expected::Absent => match dir.symlink_metadata(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PathError::Io { path: path.to_owned(), source }),
            Ok(_) => Err(changed()),
        },
        Expected::Content(hash) => match open_regular(dir, name, path, aliases) {
            Ok(file) => {
                let metadata = file.metadata().clone();
                if content::hash(&file.read(MAX_CHANGED_BYTES)?) == *hash {
                    Ok(Some(metadata))
                } else {
                    Err(changed())
                }
            }
            Err(PathError::Missing { .. } | PathError::IsDirectory { .. } | PathError::Special { .. }) => {
                Err(changed())
            }
            Err(other) => Err(other),
        },
    }
}

/// A new file in the same directory, removed again unless it is settled.
struct Temporary<'d> {
    dir: &'d Dir,
    name: String,
    file: cap_std::fs::File,
    settled: bool,
}

impl<'d> Temporary<'d> {
    fn create(dir: &'d Dir, old: Option<&Metadata>) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let name = format!(".lanyard-{:016x}.tmp", crate::random_u64());
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            // Until the mode of an old, perhaps secret, file is set, nobody else may look in.
            restrict(&mut options, old.is_some());
            match dir.open_with(&name, &options) {
                Ok(file) => return Ok(Self { dir, name, file, settled: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }

    fn fill(&self, content: &[u8], old: Option<&Metadata>) -> io::Result<()> {
        (&self.file).write_all(content)?;
        if let Some(old) = old {
            keep_mode(&self.file, old)?;
        }
        self.file.sync_all()
    }

    #[cfg(unix)]
    fn keep_owner(&self, old: &Metadata) -> bool {
        use cap_std::fs::MetadataExt;
        let Ok(new) = self.file.metadata() else { return false };
        if (new.uid(), new.gid()) == (old.uid(), old.gid()) {
            return true;
        }
        let (uid, gid) = (rustix::fs::Uid::from_raw(old.uid()), rustix::fs::Gid::from_raw(old.gid()));
        rustix::fs::fchown(&self.file, Some(uid), Some(gid)).is_ok()
    }

    #[cfg(not(unix))]
    fn keep_owner(&self, _old: &Metadata) -> bool {
        true
    }

    fn settle_over(mut self, name: &str) -> io::Result<()> {
        self.dir.rename(&self.name, self.dir, name)?;
        self.settled = true;
        Ok(())
    }

    fn settle_new(mut self, name: &str, path: &Path) -> Result<(), PathError> {
        rename_new(self.dir, &self.name, self.dir, name, path)?;
        self.settled = true;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.settled
            && let Err(error) = self.dir.remove_file(&self.name)
        {
            tracing::warn!(name = %self.name, %error, "temporary file not removed: delete it by hand");
        }
    }
}

#[cfg(unix)]
fn restrict(options: &mut OpenOptions, private: bool) {
    use cap_std::fs::OpenOptionsExt;
    options.mode(if private { 0o600 } else { 0o666 });
}

#[cfg(not(unix))]
fn restrict(_options: &mut OpenOptions, _private: bool) {}

/// Permission bits only: new content must not inherit a set-user-id bit given to the old.
#[cfg(unix)]
fn keep_mode(file: &cap_std::fs::File, old: &Metadata) -> io::Result<()> {
    use cap_std::fs::{Permissions, PermissionsExt};
    file.set_permissions(Permissions::from_mode(old.permissions().mode() & 0o777))
}

#[cfg(not(unix))]
fn keep_mode(file: &cap_std::fs::File, old: &Metadata) -> io::Result<()> {
    file.set_permissions(old.permissions())
}

/// Renames, never over something that exists.
pub(crate) fn rename_new(
    from: &Dir,
    name: &str,
    to: &Dir,
    new_name: &str,
    path: &Path,
) -> Result<(), PathError> {
    match rename_no_replace(from, name, to, new_name) {
        Ok(()) => Ok(()),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::AlreadyExists => PathError::Exists { path: path.to_owned() },
            io::ErrorKind::CrossesDevices => PathError::OtherFileSystem { path: path.to_owned() },
            _ => PathError::Io { path: path.to_owned(), source: error },
        }),
    }
}

#[cfg(target_os = "linux")]
fn rename_no_replace(from: &Dir, name: &str, to: &Dir, new_name: &str) -> io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(from, name, to, new_name, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Network and FUSE file systems may not know the flag.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link_and_remove(from, name, to, new_name),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn rename_no_replace(from: &Dir, name: &str, to: &Dir, new_name: &str) -> io::Result<()> {
    link_and_remove(from, name, to, new_name)
}

/// A hard link is never made over an existing name.
fn link_and_remove(from: &Dir, name: &str, to: &Dir, new_name: &str) -> io::Result<()> {
    from.hard_link(name, to, new_name)?;
    from.remove_file(name)
}

/// Removes a file or link (not where it leads).
pub(crate) fn remove(dir: &Dir, name: &str, path: &Path) -> Result<(), PathError> {
    let failed = |source| PathError::Io { path: path.to_owned(), source };
    dir.remove_file(name).map_err(failed)?;
    sync_directory(dir).map_err(failed)
}
