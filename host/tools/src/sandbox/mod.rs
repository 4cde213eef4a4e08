//! The confinement every child process of the host runs in.
//!
//! Children run as the owner's user, so ordinary file permissions stop nothing: without this module a command an
//! agent runs could connect to the host's own socket and approve itself. A [`Sandbox`] is started once by the
//! composition root; [`Sandbox::prepare`] turns a [`SandboxSpec`] into a [`Confinement`], doing there everything that
//! may allocate, block or fail; [`crate::process::run`] then starts children in it.
//!
//! On Linux (`linux/`): Landlock for files, TCP, signals and ptrace; seccomp for sockets and system calls;
//! no_new_privs, no capabilities, resource limits, a session of its own, no inherited descriptors. Elsewhere
//! (`none.rs`) children get a scrubbed environment and a process group, and the level says `none`.
//!
//! # What it does not stop
//! * Landlock mediates opening, creating, renaming and removing. It does not mediate `stat`, `readlink`, `chmod`,
//!   `utimes`, `setxattr` or inotify: a child can see that a path exists and change the mode of a file the same user
//!   owns anywhere; it cannot read it, write it, or gain anything by that for itself.
//! * Command lines (`/proc/PID/cmdline`) of other processes stay visible, as to every user of the machine.
//! * Scheduling (`sched_setaffinity`, `setpriority` by process) of processes of the same user can be changed.
//! * Disk: one file is limited ([`Limits::file_bytes`]), the number of files is not. Memory: only per process and only
//!   when [`Limits::address_space`] is set; the child is made the kernel's first choice when memory runs out.
//! * With `network`, every TCP and UDP destination is reachable, the loopback included.

mod env;
mod paths;
mod private_tmp;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(test, allow(dead_code, reason = "built on Linux only to keep it compiling and tested"))]
mod none;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use none as platform;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use lanyard_protocol::policy::SandboxLevel;

pub use env::EnvironmentError;
pub use private_tmp::PrivateTmp;

pub(crate) use platform::{KILL_PAUSE, Pass, Tree, explain_spawn_error};

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
    /// Files and directories to read and execute, besides the system's own. Missing ones are skipped and reported by
    /// [`Confinement::skipped`].
    pub read: Vec<PathBuf>,
    /// Files and directories to read, write and execute. All must exist.
    pub write: Vec<PathBuf>,
    /// A directory of this session alone, see [`PrivateTmp`]: `HOME` and `TMPDIR` lie in it.
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

/// A mechanism this machine lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Gap {
    /// No Landlock: files are open to children.
    #[error("files are not confined: the kernel has no Landlock (Linux 5.13 with landlock in `lsm=`)")]
    Files,
    /// Landlock before ABI 3.
    #[error("files outside the allowed paths can be truncated: Landlock before Linux 6.2")]
    Truncate,
    /// Landlock before ABI 6.
    #[error("children can signal other processes of the user: Landlock before Linux 6.12")]
    Signals,
    /// No seccomp filter.
    #[error(
        "sockets and system calls are not confined: the kernel or this processor has no usable seccomp filter"
    )]
    SystemCalls,
    /// Children that leave their process group are not found again.
    #[error("children that detach themselves outlive their call: not built for this system")]
    ProcessTree,
    /// Nothing is built for this operating system.
    #[error("no sandbox is built for this operating system yet")]
    Platform,
}

/// What is really enforced on children of this host: for health, approvals and audit records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxReport {
    /// The summary policy decides by.
    pub level: SandboxLevel,
    /// Why it is not `Full`, in the order of weight. Empty exactly when it is.
    pub missing: Vec<Gap>,
    /// Which mechanisms act, for people: "Landlock ABI 7, seccomp, …".
    pub mechanisms: String,
}

impl SandboxReport {
    fn new(missing: Vec<Gap>, mechanisms: String) -> Self {
        let level = if missing.is_empty() {
            SandboxLevel::Full
        } else if missing.contains(&Gap::Files) || missing.contains(&Gap::Platform) {
            // With the owner's files open nothing else that is enforced protects an approval.
            SandboxLevel::None
        } else {
            SandboxLevel::Partial
        };
        Self { level, missing, mechanisms }
    }
}

/// Why the sandbox could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A protected directory cannot be resolved.
    #[error("cannot resolve protected directory {path}: create it before starting the host")]
    Protected {
        /// The directory.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The processes of a call could not be found again.
    #[error("cannot keep track of child processes: {reason}")]
    ProcessTree {
        /// What is in the way and what to do.
        reason: &'static str,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

/// Why a [`SandboxSpec`] was refused.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// An allowed path contains, is, or lies in a protected directory.
    #[error(
        "{allowed} cannot be opened to commands: it overlaps the protected directory {protected}; \
         choose a narrower workspace or another --state-dir"
    )]
    Protected {
        /// The path asked for, resolved.
        allowed: PathBuf,
        /// What it would have exposed.
        protected: PathBuf,
    },
    /// A path to write to, the working directory or the private directory is not there.
    #[error("cannot open {path} for commands: {source}")]
    Path {
        /// The path as given.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A path is relative.
    #[error("{path} is not an absolute path")]
    Relative {
        /// The path as given.
        path: PathBuf,
    },
    /// The working directory is none of the allowed ones.
    #[error("working directory {cwd} lies outside what commands may read: start it inside the workspace")]
    WorkingDirectory {
        /// The directory, resolved.
        cwd: PathBuf,
    },
    /// The private directory belongs to someone else or is open to others.
    #[error("{path} is not a private directory of this user: remove it, it is created anew")]
    PrivateTmp {
        /// The directory.
        path: PathBuf,
    },
    /// A variable is refused.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The kernel refused the rules.
    #[error("the kernel refused the sandbox rules for {path}: {reason}")]
    Rules {
        /// The path of the rule, or `/` for the set as a whole.
        path: PathBuf,
        /// The kernel's words.
        reason: String,
    },
    /// The process table could not be read.
    #[error("cannot read /proc/loadavg to size the process limit: {0}")]
    Load(io::Error),
}

/// The machine's sandbox, probed once. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    platform: platform::Platform,
    report: Arc<SandboxReport>,
    protected: Vec<PathBuf>,
    system: paths::SystemPaths,
}

impl Sandbox {
    /// Probes what the machine can enforce by trying it on a thread of its own, and starts the process that ends
    /// children left behind should the host be killed.
    ///
    /// # Errors
    /// When a protected directory is missing, or children could not be tracked. A mechanism the kernel lacks is no
    /// error: see [`Sandbox::report`].
    pub fn start(setup: &SandboxSetup) -> Result<Self, StartError> {
        let mut protected = Vec::with_capacity(setup.protected.len() + 1);
        for path in std::iter::once(&setup.state_dir).chain(&setup.protected) {
            let resolved =
                path.canonicalize().map_err(|source| StartError::Protected { path: path.clone(), source })?;
            protected.push(resolved);
        }
        let (platform, report) = platform::Platform::start(&protected[0])?;
        let system =
            paths::SystemPaths::find(setup.home.as_deref(), setup.search_path.as_deref(), &protected);
        Ok(Self { shared: Arc::new(Shared { platform, report: Arc::new(report), protected, system }) })
    }

    /// What is enforced on every child.
    #[must_use]
    pub fn report(&self) -> &Arc<SandboxReport> {
        &self.shared.report
    }

    /// Ends children an earlier host of the same state directory left behind, and says how many there were. To be
    /// called once, after the state directory's lock is held and before any child is started.
    ///
    /// # Errors
    /// When the process table cannot be read.
    pub fn end_leftovers(&self) -> io::Result<u32> {
        self.shared.platform.end_leftovers()
    }

    /// Resolves and opens everything `spec` names, so that starting a child is cheap.
    ///
    /// A confinement holds the files as they are now: prepare one per task, not one per life of the host.
    ///
    /// # Errors
    /// When the spec would expose a protected directory, or names what is not there; nothing is narrowed silently.
    pub fn prepare(&self, spec: &SandboxSpec) -> Result<Confinement, PrepareError> {
        let shared = &self.shared;
        let tmp = private_tmp::Layout::open(&spec.private_tmp)?;
        let mut resolver = paths::Resolver::new(&shared.protected);
        resolver.system(&shared.system)?;
        for path in &spec.read {
            resolver.read(path)?;
        }
        for path in &spec.write {
            resolver.write(path)?;
        }
        resolver.write(&spec.private_tmp)?;
        let cwd = resolver.working_directory(&spec.cwd)?;
        let (grants, skipped) = resolver.finish();

        let search_path = shared.system.search_path(&grants);
        let environment = env::build(&env::Inputs {
            search_path: &search_path,
            home: &tmp.home,
            tmp: &tmp.tmp,
            system: &shared.system,
            requested: &spec.env,
            host: &spec.host_env,
        })?;
        let platform = shared.platform.prepare(&grants, cwd, spec.network, spec.limits)?;
        let prepared = Prepared {
            platform,
            environment,
            search_path,
            cwd: spec.cwd.clone(),
            skipped,
            limits: spec.limits,
            report: Arc::clone(&shared.report),
            sandbox: Arc::clone(shared),
        };
        Ok(Confinement { prepared: Arc::new(prepared) })
    }
}

/// A prepared sandbox, ready to start children in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Confinement {
    prepared: Arc<Prepared>,
}

#[derive(Debug)]
struct Prepared {
    platform: platform::Prepared,
    environment: Vec<(OsString, OsString)>,
    search_path: Vec<PathBuf>,
    cwd: PathBuf,
    skipped: Vec<PathBuf>,
    limits: Limits,
    report: Arc<SandboxReport>,
    sandbox: Arc<Shared>,
}

/// Why a program name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Not in any directory of the search path.
    #[error("no program {name:?} in the search path of commands: give its path, or install it")]
    NotFound {
        /// The name.
        name: OsString,
    },
    /// A path that is no executable file.
    #[error("{path} is not an executable file")]
    NotExecutable {
        /// The path.
        path: PathBuf,
    },
}

impl Confinement {
    /// What is enforced on children started here.
    #[must_use]
    pub fn report(&self) -> &Arc<SandboxReport> {
        &self.prepared.report
    }

    /// Paths of [`SandboxSpec::read`] that did not exist and therefore are not readable.
    #[must_use]
    pub fn skipped(&self) -> &[PathBuf] {
        &self.prepared.skipped
    }

    /// The environment children get, whole: for the record an approval is bound to.
    #[must_use]
    pub fn environment(&self) -> &[(OsString, OsString)] {
        &self.prepared.environment
    }

    /// The resource limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.prepared.limits
    }

    /// The file a program name stands for: a path is taken from the working directory, a bare name is looked up in the
    /// fixed search path, never in the working directory.
    ///
    /// # Errors
    /// When there is no such executable file.
    pub fn resolve(&self, program: &OsStr) -> Result<PathBuf, ResolveError> {
        let path = Path::new(program);
        if path.components().count() != 1 || program.as_encoded_bytes().contains(&b'/') {
            let path = self.prepared.cwd.join(path);
            return if is_executable(&path) { Ok(path) } else { Err(ResolveError::NotExecutable { path }) };
        }
        self.prepared
            .search_path
            .iter()
            .map(|directory| directory.join(path))
            .find(|candidate| is_executable(candidate))
            .ok_or_else(|| ResolveError::NotFound { name: program.to_owned() })
    }

    /// A command that will start confined, and the handle on all processes it will lead to.
    pub(crate) fn command(&self, program: &Path, args: &[OsString]) -> io::Result<(Command, Tree)> {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(self.prepared.environment.iter().map(|(name, value)| (name, value)));
        let tree = self.prepared.platform.arm(&self.prepared.sandbox.platform, &mut command)?;
        Ok((command, tree))
    }
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}
