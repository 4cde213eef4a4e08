//! What a caller says about its children.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::PrepareError;
use crate::identity::FileId;

/// What the composition root knows once and for all.
#[derive(Debug, Clone)]
pub struct SandboxSetup {
    /// The host's state directory; it also names this host's children apart from another host's.
    pub state_dir: PathBuf,
    /// Further directories no child may ever be given: where the local socket lives, for one.
    pub protected: Vec<PathBuf>,
    /// The owner's home, to find toolchains in. Children never get it as their `HOME`.
    pub home: Option<PathBuf>,
    /// The owner's `PATH`. Entries that are relative, missing, or outside what children may read are left out.
    pub search_path: Option<OsString>,
}

/// What one session's or task's children may touch.
#[derive(Debug, Clone)]
pub struct SandboxSpec {
    /// Files and directories to read and execute, besides the system's own. Missing ones are skipped.
    pub read: Vec<PathBuf>,
    /// Files and directories to read, write and execute. All must exist.
    pub write: Vec<PathBuf>,
    /// Directories to read and execute, as the caller holds them.
    pub read_held: Vec<Held>,
    /// Directories to read, write and execute, as the caller holds them.
    pub write_held: Vec<Held>,
    /// A directory of this session alone, see [`PrivateTmp`](super::PrivateTmp): `HOME` and `TMPDIR` lie in it.
    pub private_tmp: PathBuf,
    /// Where children start; must lie within what they may read.
    pub cwd: PathBuf,
    /// Whether IPv4 and IPv6 sockets may be made. Unix sockets never may.
    pub network: bool,
    /// Resource limits.
    pub limits: Limits,
    /// Variables the caller asks for; names that change what a program *does* are refused.
    pub env: Vec<(OsString, OsString)>,
    /// Variables set by the host's own code (`GIT_CONFIG_NOSYSTEM`, …): not checked, and stronger than `env`.
    pub host_env: Vec<(OsString, OsString)>,
}

/// A directory somebody opened before and has judged since: what is held is opened to children, and only while it is
/// still what its path leads to.
#[derive(Debug, Clone)]
pub struct Held {
    /// It.
    pub directory: Arc<File>,
    /// Where it was opened: absolute, without links.
    pub path: PathBuf,
}

impl Held {
    /// # Errors
    /// [`PrepareError::Swapped`] when its path leads elsewhere by now.
    pub(super) fn check(&self) -> Result<(), PrepareError> {
        let same = || -> io::Result<bool> {
            let there = FileId::of(&self.path.symlink_metadata()?);
            Ok(there == FileId::of(&self.directory.metadata()?) && self.path.canonicalize()? == self.path)
        };
        if same().unwrap_or(false) { Ok(()) } else { Err(PrepareError::Swapped { path: self.path.clone() }) }
    }
}

/// Limits of one call. Bytes unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Processes of one call. For ordinary users the kernel refuses more (`RLIMIT_NPROC`, which counts all threads of
    /// the user, so it is set this far above what runs already); it does not bind root, whose calls are ended when a
    /// periodic count finds more.
    pub tasks: u32,
    /// Largest file a child may write.
    pub file_bytes: u64,
    /// Open files per process.
    pub open_files: u64,
    /// Address space per process; `None` (the default) because compilers and runtimes reserve terabytes.
    pub address_space: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A parallel build on a large machine needs some hundred; a fork bomb passes this within a second.
            tasks: 2048,
            // Larger than any build product, smaller than a disk.
            file_bytes: 8 << 30,
            // What watchers and bundlers need; the usual hard limit is far above.
            open_files: 8192,
            address_space: None,
        }
    }
}
