//! The state directory: private, owned by one host at a time, announced by a manifest.
//!
//! Ownership is a kernel lock held for the life of the process; `server.json` is only a hint for clients. A host
//! that was killed leaves a stale manifest and no lock, so the next one starts without asking anybody.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lanyard_protocol::Timestamp;
use lanyard_protocol::version::PROTOCOL_VERSION;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// Name of the manifest in the state directory.
const MANIFEST: &str = "server.json";

/// Longest path a unix socket address holds on Linux, the closing NUL not counted.
const MAX_SOCKET_PATH: usize = 107;

/// How often and how long a lock whose holder is dead is waited for: a second in all, far longer than an exec takes.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others could read or change it.
    #[error("{path} is open to other users (mode {mode:o}); run: chmod go-rwx {path}")]
    TooOpen {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error(
        "{path} belongs to user {owner}, not to you; choose another with --state-dir DIR, or set XDG_RUNTIME_DIR"
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Another host holds the lock.
    #[error(
        "a host already runs with this state directory (process {pid}); stop it with `lanyard stop` or choose another with --state-dir DIR"
    )]
    Held {
        /// The holder, 0 when it did not say.
        pid: u32,
    },
    /// No usable place for the socket.
    #[error(
        "the socket path {path} is longer than {MAX_SOCKET_PATH} bytes; set XDG_RUNTIME_DIR to a shorter directory"
    )]
    SocketPathTooLong {
        /// The path.
        path: PathBuf,
    },
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> StateDirError {
    let path = path.to_owned();
    move |source| StateDirError::Io { path, source }
}

/// `…/lanyard` in the user's state or data directory.
pub fn default_state_dir() -> Option<PathBuf> {
    let dirs = directories::ProjectDirs::from("", "", "lanyard")?;
    Some(dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir()).to_owned())
}

/// The owner's home directory.
pub(crate) fn home() -> Option<PathBuf> {
    directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned())
}

/// What a running host says about itself. Untrusted by clients: they probe the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Process id.
    pub pid: u32,
    /// Where it listens.
    pub socket: PathBuf,
    /// Its version.
    pub version: String,
    /// Wire contract it speaks.
    pub protocol_version: u16,
    /// When it started.
    pub started_at: Timestamp,
}

impl Manifest {
    /// Reads the manifest of a state directory; `None` when there is none.
    pub fn read(state_dir: &Path) -> std::io::Result<Option<Self>> {
        let text = match std::fs::read(state_dir.join(MANIFEST)) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        serde_json::from_slice(&text).map(Some).map_err(std::io::Error::other)
    }
}

/// A state directory that this process owns.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    /// Whose lock says that it is held.
    lock: File,
}

impl Drop for StateDir {
    fn drop(&mut self) {
        // It goes with the file in any case, but a child between fork and exec shares that: given back like this it is
        // free at once.
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

impl StateDir {
    /// Creates the directory where needed, checks that it is private, and takes the lock.
    pub(crate) fn claim(path: &Path) -> Result<Self, StateDirError> {
        private_dir(path)?;
        let path = std::fs::canonicalize(path).map_err(io(path))?;
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(io(&lock_path))?;
        if let Err(pid) = take(&mut lock).map_err(io(&lock_path))? {
            return Err(StateDirError::Held { pid });
        }
        lock.set_len(0).map_err(io(&lock_path))?;
        write!(lock, "{}", std::process::id()).map_err(io(&lock_path))?;
        Ok(Self { path, lock })
    }

    /// The canonical directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the manifest, whole or not at all.
    pub(crate) fn announce(&self, socket: &Path) -> Result<Manifest, StateDirError> {
        let manifest = Manifest {
            pid: std::process::id(),
            socket: socket.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol_version: PROTOCOL_VERSION,
            started_at: Timestamp::now(),
        };
        let path = self.path.join(MANIFEST);
        let text = serde_json::to_vec(&manifest).map_err(std::io::Error::other).map_err(io(&path))?;
        write_private(&path, &text)?;
        Ok(manifest)
    }

    /// Removes the manifest if it is still this process's own.
    pub(crate) fn withdraw(&self) -> Result<(), StateDirError> {
        let path = self.path.join(MANIFEST);
        match Manifest::read(&self.path) {
            Ok(Some(manifest)) if manifest.pid == std::process::id() => {
                std::fs::remove_file(&path).map_err(io(&path))
            }
            Ok(_) => Ok(()),
            Err(e) => Err(io(&path)(e)),
        }
    }
}

/// Takes the lock, or says who holds it. A host that was killed may be survived for a moment by a child between fork
/// and exec, which shares its lock; while the holder named in the file is dead, that is waited for.
fn take(lock: &mut File) -> std::io::Result<Result<(), u32>> {
    for attempt in 0.. {
        if flock(&*lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(Ok(()));
        }
        let mut holder = String::new();
        lock.rewind()?;
        lock.read_to_string(&mut holder)?;
        let pid = holder.trim().parse().unwrap_or(0);
        if attempt == LOCK_ATTEMPTS || is_alive(pid) {
            return Ok(Err(pid));
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Ok(Err(0))
}

/// Whether a process of that id exists; unknown ids count as alive, so that nobody waits for nothing.
fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_none_or(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// One file is written at a time, so that two writers of one do not share what is to become it. What a killed host left
/// of a file is overwritten with the next of that name.
static WRITING: Mutex<()> = Mutex::new(());

/// Writes a file of mode 0600, whole or not at all, and on disk when it returns. Blocks.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), StateDirError> {
    let _one_at_a_time = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = options.open(&temporary).map_err(io(&temporary))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(io(&temporary))?;
    std::fs::rename(&temporary, path).map_err(io(path))?;
    let dir = path.parent().unwrap_or(Path::new("/"));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io(dir))
}

/// Creates a directory of mode 0700, or checks that an existing one is ours and closed to others.
pub(crate) fn private_dir(path: &Path) -> Result<(), StateDirError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(io(parent))?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(io(path)(e)),
    }
    // Not followed: in a directory shared with others a link may be somebody else's.
    let meta = std::fs::symlink_metadata(path).map_err(io(path))?;
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me {
        return Err(StateDirError::Foreign { path: path.to_owned(), owner: meta.uid() });
    }
    let mode = meta.mode() & 0o777;
    if !meta.is_dir() {
        return Err(io(path)(std::io::Error::from(std::io::ErrorKind::NotADirectory)));
    }
    if mode & 0o077 == 0 {
        return Ok(());
    }
    // What others could write to may hold what others have written.
    if mode & 0o022 != 0 && !is_empty(path)? || !ours_alone(path)? {
        return Err(StateDirError::TooOpen { path: path.to_owned(), mode });
    }
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(path, private).map_err(io(path))
}

fn is_empty(path: &Path) -> Result<bool, StateDirError> {
    Ok(std::fs::read_dir(path).map_err(io(path))?.next().is_none())
}

/// What a state directory holds.
const OUR_NAMES: &[&str] = &[
    "central",
    "config.toml",
    "device.key",
    "host.key",
    "host.log",
    "host.log.1",
    "host.sock",
    "hosts.lock",
    "hosts.toml",
    "lock",
    MANIFEST,
    "store",
    "web.certificates",
    "web.key",
    "web.trust",
];

/// Whether closing a directory to others can hurt nobody: it holds only what a host puts there, if anything.
fn ours_alone(path: &Path) -> Result<bool, StateDirError> {
    for entry in std::fs::read_dir(path).map_err(io(path))? {
        let name = entry.map_err(io(path))?.file_name();
        if !OUR_NAMES.iter().any(|ours| name == *ours) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Places outside the state directory that belong to this host: the socket's directory and the children's scratch.
#[derive(Debug, Clone)]
pub(crate) struct RuntimePaths {
    /// Directory of the socket; children must never reach it.
    pub(crate) socket_dir: PathBuf,
    /// The socket.
    pub(crate) socket: PathBuf,
    /// Temporary directories of children.
    pub(crate) scratch: PathBuf,
    /// Working directories of sessions without a project.
    pub(crate) general: PathBuf,
}

impl RuntimePaths {
    /// Derives the places from a canonical state directory and creates them, private. Nothing of an earlier host is
    /// left in `scratch`: what it holds is moved aside, for [`RuntimePaths::sweep`] to delete.
    pub(crate) fn prepare(state_dir: &Path) -> Result<Self, StateDirError> {
        let socket = socket_path(state_dir)?;
        let socket_dir = socket.parent().unwrap_or(state_dir).to_owned();
        let scratch = beside(state_dir, "-scratch");
        if scratch.symlink_metadata().is_ok() {
            let aside = beside(&scratch, &format!("-old-{}", std::process::id()));
            std::fs::rename(&scratch, &aside).map_err(io(&scratch))?;
        }
        private_dir(&scratch)?;
        let general = beside(state_dir, "-workspaces");
        private_dir(&general)?;
        Ok(Self { socket_dir, socket, scratch, general })
    }

    /// Deletes what programs of earlier hosts left behind. Blocks, perhaps for long.
    pub(crate) fn sweep(&self) -> std::io::Result<()> {
        let (Some(parent), Some(name)) = (self.scratch.parent(), self.scratch.file_name()) else {
            return Ok(());
        };
        let prefix = format!("{}-old-", name.to_string_lossy());
        for entry in std::fs::read_dir(parent)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

/// A directory beside another one, named after it.
fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The user's runtime directory where there is one, else the state directory itself, else, when that path is too long
/// for a socket, a private directory in `/tmp`.
fn socket_path(state_dir: &Path) -> Result<PathBuf, StateDirError> {
    let fits = |path: &PathBuf| path.as_os_str().len() <= MAX_SOCKET_PATH;
    let name = format!("{}.sock", short_hash(state_dir));
    if let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        let dir = runtime.join("lanyard");
        let path = dir.join(&name);
        if runtime.is_absolute() && runtime.is_dir() && fits(&path) {
            private_dir(&dir)?;
            return Ok(path);
        }
    }
    let own = state_dir.join("host.sock");
    if fits(&own) {
        return Ok(own);
    }
    let dir = PathBuf::from(format!("/tmp/lanyard-{}", rustix::process::geteuid().as_raw()));
    private_dir(&dir)?;
    let path = dir.join(&name);
    if fits(&path) { Ok(path) } else { Err(StateDirError::SocketPathTooLong { path }) }
}

/// 16 hex digits of the path's SHA-256: enough to keep the hosts of one user apart.
fn short_hash(path: &Path) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    data_encoding::HEXLOWER.encode(digest.get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{Manifest, RuntimePaths, StateDir, StateDirError, private_dir, write_private};

    #[test]
    fn one_owner_at_a_time_and_the_lock_dies_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let first = StateDir::claim(&path).unwrap();
        let second = StateDir::claim(&path).unwrap_err();
        assert!(matches!(second, StateDirError::Held { pid } if pid == std::process::id()), "{second}");
        drop(first);
        StateDir::claim(&path).unwrap();
    }

    #[test]
    fn a_directory_open_to_others_is_refused_with_the_command_that_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("somebody's file"), "x").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = StateDir::claim(&path).unwrap_err().to_string();
        assert!(error.contains("chmod go-rwx"), "{error}");
    }

    #[test]
    fn a_directory_others_could_write_to_is_not_adopted_with_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("config.toml"), "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(StateDir::claim(&path), Err(StateDirError::TooOpen { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        StateDir::claim(&path).unwrap();
    }

    #[test]
    fn a_link_in_place_of_a_private_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("target")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("target"), dir.path().join("link")).unwrap();
        private_dir(&dir.path().join("link")).unwrap_err();
    }

    #[test]
    fn scratch_starts_empty() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::claim(&dir.path().join("s")).unwrap();
        let paths = RuntimePaths::prepare(state.path()).unwrap();
        std::fs::write(paths.scratch.join("secret"), "x").unwrap();
        let paths = RuntimePaths::prepare(state.path()).unwrap();
        assert_eq!(std::fs::read_dir(&paths.scratch).unwrap().count(), 0);
        paths.sweep().unwrap();
        let left = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name());
        assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("-old-")));
    }

    #[test]
    fn an_empty_directory_is_made_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        StateDir::claim(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_that_several_write_at_once_is_one_of_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("grant.json");
        let contents: Vec<Vec<u8>> = (1..=8_usize).map(|n| vec![b'0' + n as u8; n * 40_000]).collect();
        std::thread::scope(|threads| {
            for content in &contents {
                let path = &path;
                threads.spawn(move || (0..20).for_each(|_| write_private(path, content).unwrap()));
            }
        });
        assert!(contents.contains(&std::fs::read(&path).unwrap()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn the_manifest_is_removed_by_its_own_process_only() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::claim(&dir.path().join("s")).unwrap();
        let mut manifest = state.announce("/x.sock".as_ref()).unwrap();
        manifest.pid += 1;
        let path = state.path().join("server.json");
        std::fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
        state.withdraw().unwrap();
        assert!(path.exists(), "another process's manifest stays");
        state.announce("/x.sock".as_ref()).unwrap();
        state.withdraw().unwrap();
        assert_eq!(Manifest::read(state.path()).unwrap(), None);
    }
}
