//! One session's ground: its directories, its private space, its sandbox, and what no tool may touch.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lanyard_policy::demand::PlannedCall;
use lanyard_policy::path::{Access, HostPath, Places, protection};
use lanyard_protocol::policy::SandboxLevel;

use crate::content::{self, Programs};
use crate::ground::{Ground, GroundError};
use crate::http::HttpClient;
use crate::plan::Searchable;
use crate::sandbox::{Confinement, Held, Limits, PrepareError, Sandbox, SandboxSpec};

/// What a session starts with.
#[derive(Debug, Clone)]
pub struct WorkspaceOptions {
    /// Directories the session is about, absolute and resolved; the first is where relative paths and commands start.
    /// They are opened following no link: one that was put in their place since ends here.
    pub roots: Vec<PathBuf>,
    /// Further directories and files the session's programs may read and execute. Tools that need no program do not
    /// reach them. Missing ones are skipped until they are there.
    pub read: Vec<PathBuf>,
    /// A directory of this session alone ([`crate::sandbox::PrivateTmp`]): `HOME` and `TMPDIR` of its commands.
    pub scratch: PathBuf,
    /// The host's own directories: state, runtime, configuration. They need not exist yet.
    pub protected: Vec<PathBuf>,
    /// The owner's home, for the name and address in commits and to recognise credentials.
    pub home: Option<PathBuf>,
    /// The machine's sandbox.
    pub sandbox: Sandbox,
    /// Resource limits of commands.
    pub limits: Limits,
    /// Sends the requests of HttpRequest; shared by all sessions.
    pub http: HttpClient,
}

/// Why a session cannot start here.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// Its directories.
    #[error(transparent)]
    Ground(#[from] GroundError),
    /// The owner's home, or a directory of the host, has a path that cannot be compared.
    #[error("{path} cannot be protected: {reason}")]
    Place {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// See the module. Holds its directories open: create one per session and drop it at its end.
#[derive(Debug)]
pub struct Workspace {
    pub(crate) ground: Ground,
    pub(crate) programs: Programs,
    pub(crate) http: HttpClient,
    pub(crate) home: Option<PathBuf>,
    sandbox: Sandbox,
    scratch: PathBuf,
    read: Vec<PathBuf>,
    limits: Limits,
    places: Places,
    domains: Domains,
}

/// Prepared sandboxes by what they open, kept because preparing one takes as long as starting a program.
#[derive(Debug, Default)]
struct Domains {
    known: Mutex<[Option<Confinement>; 3]>,
}

/// What the children of a call may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Read,
    Write,
    WriteAndNetwork,
}

impl Workspace {
    /// Opens the directories of a session. Blocks for some file-system calls.
    ///
    /// # Errors
    /// [`WorkspaceError`] names the directory and the way out.
    pub fn new(options: WorkspaceOptions) -> Result<Self, WorkspaceError> {
        let places = places(options.home.as_deref(), &options.protected)?;
        Ok(Self {
            ground: Ground::open(&options.roots, &options.protected)?,
            programs: Programs::default(),
            http: options.http,
            home: options.home,
            sandbox: options.sandbox,
            scratch: options.scratch,
            read: options.read,
            limits: options.limits,
            places,
            domains: Domains::default(),
        })
    }

    /// The directories, resolved; the first is where relative paths start.
    pub fn roots(&self) -> impl Iterator<Item = &Path> {
        self.ground.root_paths()
    }

    /// What is protected on this machine; policy judges with the same list.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// How strongly the commands of this session are confined.
    pub fn sandbox_level(&self) -> SandboxLevel {
        self.sandbox.report().level
    }

    /// A path as people and the model see it: relative to the first directory where it lies in it. Safe to show.
    pub fn shown(&self, path: &Path) -> String {
        self.ground.shown(path)
    }

    /// The files of `call` that no longer are what it was planned with.
    pub(crate) fn changed_files(&self, call: &PlannedCall) -> Vec<PathBuf> {
        content::changed_files(&self.ground, &self.programs, call)
    }

    /// Whether a search may look into a file or directory without being asked about it by name: not the host's own
    /// files, not credentials, nothing policy blocks.
    pub(crate) fn is_searchable(&self, path: &Path, policy: &Searchable) -> bool {
        // A name without one reading cannot be compared with protected ones.
        let Some(path) = path.to_str().and_then(|text| HostPath::parse(text).ok()) else { return false };
        protection(&path, Access::Read, &self.places).is_none() && policy.admits(&path)
    }

    /// The session's private directory. Its commands write there too.
    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// A sandbox for programs that may write to the workspace.
    pub(crate) fn writing(
        &self,
        cwd: &Path,
        network: bool,
        env: Environment,
    ) -> Result<Confinement, PrepareError> {
        self.confine(if network { Reach::WriteAndNetwork } else { Reach::Write }, cwd, env)
    }

    /// A sandbox for programs that may only read the workspace.
    pub(crate) fn reading(&self, cwd: &Path, env: Environment) -> Result<Confinement, PrepareError> {
        self.confine(Reach::Read, cwd, env)
    }

    fn confine(&self, reach: Reach, cwd: &Path, env: Environment) -> Result<Confinement, PrepareError> {
        let requested: Vec<_> =
            env.requested.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let host_env = env.into_host_env();
        let mut known = self.domains.known.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = &mut known[reach as usize];
        if let Some(prepared) = slot.as_ref().filter(|prepared| prepared.is_current()) {
            return prepared.at(cwd, &requested, &host_env);
        }
        let held: Vec<Held> = self.ground.roots_held().collect();
        let (read_held, write_held) =
            if reach == Reach::Read { (held, Vec::new()) } else { (Vec::new(), held) };
        let prepared = self.sandbox.prepare(&SandboxSpec {
            read: self.read.clone(),
            write: Vec::new(),
            read_held,
            write_held,
            private_tmp: self.scratch.clone(),
            cwd: cwd.to_owned(),
            network: reach == Reach::WriteAndNetwork,
            limits: self.limits,
            env: requested,
            host_env,
        })?;
        *slot = Some(prepared.clone());
        Ok(prepared)
    }
}

/// Variables of a command, beyond the sandbox's own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// Asked for by the caller; checked.
    pub(crate) requested: Vec<(String, String)>,
    /// Set by the host's own code.
    pub(crate) own: Vec<(&'static str, String)>,
    /// Settings handed to git, in the variables it reads them from: unlike `-c` they take any name.
    pub(crate) settings: Vec<(String, String)>,
}

impl Environment {
    fn into_host_env(self) -> Vec<(OsString, OsString)> {
        let mut all: Vec<(OsString, OsString)> =
            self.own.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        if !self.settings.is_empty() {
            all.push(("GIT_CONFIG_COUNT".into(), self.settings.len().to_string().into()));
        }
        for (index, (key, value)) in self.settings.into_iter().enumerate() {
            all.push((format!("GIT_CONFIG_KEY_{index}").into(), key.into()));
            all.push((format!("GIT_CONFIG_VALUE_{index}").into(), value.into()));
        }
        all
    }
}

/// Without a home nothing is taken for the owner's credentials; the path stands for none.
const NO_HOME: &str = "/nonexistent";

fn places(home: Option<&Path>, protected: &[PathBuf]) -> Result<Places, WorkspaceError> {
    let parse = |path: &Path| {
        let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let failed = |reason: String| WorkspaceError::Place { path: path.to_owned(), reason };
        let text = resolved.to_str().ok_or_else(|| failed("its name is not UTF-8".to_owned()))?;
        HostPath::parse(text).map_err(|fault| failed(fault.to_string()))
    };
    let home = parse(home.unwrap_or(Path::new(NO_HOME)))?;
    let own = protected.iter().map(|path| parse(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(Places::new(&home, &own))
}

#[cfg(test)]
mod tests;
