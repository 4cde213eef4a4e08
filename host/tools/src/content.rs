//! What files contain, as hashes: an approval is bound to them, and they are looked at again before a call runs.

use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use cap_fs_ext::MetadataExt;
use data_encoding::HEXLOWER;
use lanyard_policy::demand::{ContentHash, PlannedCall};
use sha2::{Digest, Sha256};

use crate::ground::{Aliases, Ground, LastLink, PathError, Place, open_regular};

/// Largest file that is hashed, bytes: above the largest programs (browsers, compilers), and half a second of work.
const MAX_HASHED_BYTES: u64 = 512 << 20;

/// Programs remembered; a session uses some dozens.
const MAX_REMEMBERED: usize = 256;

/// A file changed this recently may change again without its times showing it: file systems keep time in steps of
/// up to two seconds (FAT).
const UNSETTLED: Duration = Duration::from_secs(3);

/// Hex SHA-256.
pub(crate) fn hash(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// Hex SHA-256 of what a reader yields, refused above [`MAX_HASHED_BYTES`].
fn hash_reader(reader: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let size = io::copy(&mut reader.take(MAX_HASHED_BYTES + 1), &mut hasher)?;
    if size > MAX_HASHED_BYTES {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(HEXLOWER.encode(&hasher.finalize()))
}

/// Hashes of programs outside the workspace, kept while the file stays the same. A change shows in its change time,
/// which only the kernel sets.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    known: Mutex<HashMap<PathBuf, (State, String)>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    device: u64,
    inode: u64,
    size: u64,
    times: [Option<SystemTime>; 2],
}

impl Programs {
    /// The hash of a file by its path; `None` when there is none.
    fn hash(&self, path: &Path) -> io::Result<Option<String>> {
        let file = match open_without_waiting(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let state = State::of(&metadata);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, hash)) = known.get(path).filter(|(old, _)| *old == state) {
            return Ok(Some(hash.clone()));
        }
        let hash = hash_reader(&file)?;
        if state.is_settled() && State::of(&file.metadata()?) == state {
            if known.len() >= MAX_REMEMBERED {
                known.clear();
            }
            known.insert(path.to_owned(), (state, hash.clone()));
        }
        Ok(Some(hash))
    }
}

impl State {
    fn of(metadata: &Metadata) -> Self {
        let times = [metadata.modified().ok(), changed(metadata)];
        Self { device: metadata.dev(), inode: metadata.ino(), size: metadata.len(), times }
    }

    fn is_settled(&self) -> bool {
        let settled = |time: &Option<SystemTime>| {
            time.is_some_and(|time| time.elapsed().is_ok_and(|elapsed| elapsed > UNSETTLED))
        };
        self.times.iter().all(settled)
    }
}

#[cfg(unix)]
fn changed(metadata: &Metadata) -> Option<SystemTime> {
    use std::os::unix::fs::MetadataExt;
    let seconds = u64::try_from(metadata.ctime()).ok()?;
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
}

/// Without a change time nothing is remembered.
#[cfg(not(unix))]
fn changed(_metadata: &Metadata) -> Option<SystemTime> {
    None
}

#[cfg(unix)]
fn open_without_waiting(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

#[cfg(not(unix))]
fn open_without_waiting(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

/// Hashes a file by its absolute path: in the workspace by directory handle, elsewhere by name. A path that leads
/// through symbolic links has the content found at their end, so that a link set anew shows as a change.
pub(crate) fn hash_at(
    ground: &Ground,
    programs: &Programs,
    aliases: &Aliases<'_>,
    path: &Path,
) -> Result<ContentHash, PathError> {
    let failed = |source| PathError::Io { path: path.to_owned(), source };
    let sha256 = match end_of_links(ground, path) {
        None => programs.hash(path).map_err(failed)?,
        Some(place) => {
            let opened =
                ground.open_parent(&place).and_then(|(dir, name)| open_regular(&dir, name, path, aliases));
            match opened {
                Ok(file) => Some(hash_reader(file.into_reader()).map_err(failed)?),
                Err(PathError::Missing { .. }) => None,
                Err(other) => return Err(other),
            }
        }
    };
    Ok(ContentHash { path: path.to_owned(), sha256 })
}

/// Where a path in the workspace leads now; `None` when that is outside.
fn end_of_links(ground: &Ground, path: &Path) -> Option<Place> {
    let named = ground.place_of(path)?;
    match ground.resolve(&path.to_string_lossy(), LastLink::Follow) {
        Ok(found) => Some(found.place),
        Err(PathError::Escape { .. }) => None,
        // Opening it by its name says what is wrong.
        Err(_) => Some(named),
    }
}

/// The files of a call that are no longer what it was planned with. Blocks for as long as reading them takes.
pub(crate) fn changed_files(ground: &Ground, programs: &Programs, call: &PlannedCall) -> Vec<PathBuf> {
    let aliases = Aliases::new(ground);
    let differs = |content: &&ContentHash| {
        hash_at(ground, programs, &aliases, &content.path).map_or(true, |now| now.sha256 != content.sha256)
    };
    call.contents().iter().filter(differs).map(|content| content.path.clone()).collect()
}
