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
//! * Landlock does not mediate `stat`, `readlink`, `utimes` or inotify: a child can see that a path exists, and change
//!   the times of a file the same user owns anywhere. (`chmod` it does not mediate either; there the host decides.)
//! * Command lines (`/proc/PID/cmdline`) of other processes stay visible, as to every user of the machine.
//! * Scheduling (`sched_setaffinity`, `setpriority` by process) of processes of the same user can be changed.
//! * Disk: one file is limited ([`Limits::file_bytes`]), the number of files is not. Memory: only per process and only
//!   when [`Limits::address_space`] is set; the child is made the kernel's first choice when memory runs out.
//! * With `network`, every TCP and UDP destination is reachable, the loopback included.

mod env;
mod error;
mod guarded;
mod paths;
mod private_tmp;
mod report;
mod spec;
mod system;

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

pub use env::EnvironmentError;
pub use error::{PrepareError, ResolveError, StartError};
pub use private_tmp::PrivateTmp;
pub use report::{Gap, SandboxReport};
pub use spec::{Held, Limits, SandboxSetup, SandboxSpec};

pub(crate) use platform::{Inlet, KILL_PAUSE, Modes, Pass, Tree, explain_spawn_error};

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
    guarded: guarded::Guarded,
    system: system::SystemPaths,
}

impl Sandbox {
    /// Probes what the machine can enforce by trying it on a thread of its own, and starts the process that ends
    /// children left behind should the host be killed.
    ///
    /// One at a time for a state directory: when a sandbox is dropped, all children of its state directory end.
    ///
    /// # Errors
    /// When a protected directory is missing, or children could not be tracked. A mechanism the kernel lacks is no
    /// error: see [`Sandbox::report`].
    pub fn start(setup: &SandboxSetup) -> Result<Self, StartError> {
        let mut protected = Vec::with_capacity(setup.protected.len() + 1);
        let mut guarded = guarded::Guarded::default();
        for path in std::iter::once(&setup.state_dir).chain(&setup.protected) {
            let failed = |source| StartError::Protected { path: path.clone(), source };
            let resolved = path.canonicalize().map_err(failed)?;
            guarded.add(resolved.clone()).map_err(failed)?;
            protected.push(resolved);
        }
        let (platform, report) = platform::Platform::start(&protected[0])?;
        let system =
            system::SystemPaths::find(setup.home.as_deref(), setup.search_path.as_deref(), &protected);
        let report = Arc::new(report);
        Ok(Self { shared: Arc::new(Shared { platform, report, protected, guarded, system }) })
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
    /// A confinement holds the files as they are now: keep it, go on with [`Confinement::at`], and prepare another one
    /// when it is no longer [current](Confinement::is_current).
    ///
    /// # Errors
    /// When the spec would expose a protected directory, or names what is not there; nothing is narrowed silently.
    pub fn prepare(&self, spec: &SandboxSpec) -> Result<Confinement, PrepareError> {
        let shared = &self.shared;
        private_tmp::Layout::open(&spec.private_tmp)?;
        let mut resolver = paths::Resolver::new(&shared.protected);
        resolver.system(&shared.system)?;
        for path in &spec.read {
            resolver.read(path)?;
        }
        for held in &spec.read_held {
            resolver.held(held, paths::Access::Read)?;
        }
        for path in &spec.write {
            resolver.write(path)?;
        }
        for held in &spec.write_held {
            resolver.held(held, paths::Access::Write)?;
        }
        resolver.write(&spec.private_tmp)?;
        let (grants, named) = resolver.finish();
        let domain = Domain {
            platform: shared.platform.prepare(&grants, spec.network, spec.limits)?,
            search_path: shared.system.search_path(&grants),
            granted: grants.into_iter().map(|grant| grant.path).collect(),
            named,
            held: spec.read_held.iter().chain(&spec.write_held).cloned().collect(),
            private_tmp: spec.private_tmp.clone(),
            limits: spec.limits,
            sandbox: Arc::clone(shared),
        };
        Confinement::enter(Arc::new(domain), &spec.cwd, &spec.env, &spec.host_env)
    }
}

/// A prepared sandbox, ready to start children in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Confinement {
    domain: Arc<Domain>,
    cwd: Arc<paths::WorkingDirectory>,
    /// Where programs named by a relative path are looked for.
    start: PathBuf,
    environment: Arc<[(OsString, OsString)]>,
}

/// What the confinements of a session have in common: all that takes long to prepare.
#[derive(Debug)]
struct Domain {
    platform: platform::Prepared,
    search_path: Vec<PathBuf>,
    granted: Vec<PathBuf>,
    named: Vec<paths::Named>,
    held: Vec<Held>,
    private_tmp: PathBuf,
    limits: Limits,
    sandbox: Arc<Shared>,
}

impl Confinement {
    fn enter(
        domain: Arc<Domain>,
        cwd: &Path,
        env: &[(OsString, OsString)],
        host_env: &[(OsString, OsString)],
    ) -> Result<Self, PrepareError> {
        // Children may have removed what is in it.
        let tmp = private_tmp::Layout::open(&domain.private_tmp)?;
        let open = paths::WorkingDirectory::open(cwd, &domain.sandbox.protected, &domain.granted)?;
        let environment = env::build(&env::Inputs {
            search_path: &domain.search_path,
            home: &tmp.home,
            tmp: &tmp.tmp,
            system: &domain.sandbox.system,
            requested: env,
            host: host_env,
        })?;
        Ok(Self { domain, cwd: Arc::new(open), start: cwd.to_owned(), environment: environment.into() })
    }

    /// The same confinement with another working directory and other variables; some ten system calls.
    ///
    /// # Errors
    /// As [`Sandbox::prepare`]; also when a held directory is not itself any more.
    pub fn at(
        &self,
        cwd: &Path,
        env: &[(OsString, OsString)],
        host_env: &[(OsString, OsString)],
    ) -> Result<Self, PrepareError> {
        self.domain.held.iter().try_for_each(Held::check)?;
        Self::enter(Arc::clone(&self.domain), cwd, env, host_env)
    }

    /// Whether the paths it was prepared with still lead to the same files; one system call for each.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.domain.named.iter().all(paths::Named::is_current)
    }

    /// What is enforced on children started here.
    #[must_use]
    pub fn report(&self) -> &Arc<SandboxReport> {
        &self.domain.sandbox.report
    }

    /// The resource limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.domain.limits
    }

    /// The file a program name stands for: a path is taken from the working directory, a bare name is looked up in the
    /// fixed search path, never in the working directory.
    ///
    /// # Errors
    /// When there is no such executable file.
    pub fn resolve(&self, program: &OsStr) -> Result<PathBuf, ResolveError> {
        let path = Path::new(program);
        if path.components().count() != 1 || program.as_encoded_bytes().contains(&b'/') {
            let path = self.start.join(path);
            return if is_executable(&path) { Ok(path) } else { Err(ResolveError::NotExecutable { path }) };
        }
        self.domain
            .search_path
            .iter()
            .map(|directory| directory.join(path))
            .find(|candidate| is_executable(candidate))
            .ok_or_else(|| ResolveError::NotFound { name: program.to_owned() })
    }

    /// A command that will start confined, the handle on all processes it will lead to, and where their requests come
    /// from once it has started.
    pub(crate) fn command(&self, program: &Path, args: &[OsString]) -> io::Result<(Command, Tree, Inlet)> {
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        let platform = &self.domain.sandbox.platform;
        let (tree, inlet) = self.domain.platform.arm(platform, &self.cwd, &mut command)?;
        Ok((command, tree, inlet))
    }

    /// Puts back what children did to the modes of the protected directories, and says which they were. To be called
    /// when a call's children have ended.
    pub(crate) fn restore_protected(&self) -> Vec<PathBuf> {
        self.domain.sandbox.guarded.restore()
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
