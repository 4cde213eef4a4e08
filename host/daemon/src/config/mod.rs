//! Configuration: file < environment < flags, checked once, before anything is bound or written.
//!
//! Raw values ([`raw::RawConfig`]) become a [`Config`] whose every field is usable as it stands. Unknown keys and
//! unknown `LANYARD_*` variables fail: a misspelt restriction must not be skipped.

mod env;
mod listen;
mod raw;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lanyard_model::ModelConfig;

use crate::state_dir::default_state_dir;
use raw::RawConfig;

pub use listen::Listen;

/// Bytes the store may take on disk unless configured otherwise. Years of sessions, and yet no full disk.
const DEFAULT_STORE_MAX_BYTES: u64 = 10 << 30;

/// Jobs at once unless configured otherwise: each may run a program, and the machine is somebody's.
const DEFAULT_JOBS: u32 = 4;

/// Most jobs at once that can be asked for; tasks of people want to run too.
const MAX_JOBS: u32 = 16;

/// Why the host cannot be configured. Each text names the key and the way out.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No place for the state directory.
    #[error("no home directory is known; pass --state-dir DIR or set LANYARD_STATE_DIR")]
    NoStateDir,
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others could have written it, or could read a secret in it.
    #[error("{path} {problem}; run: chmod {mode} {path}")]
    Untrusted {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
        /// Permission bits that mend it.
        mode: &'static str,
    },
    /// The file is not TOML, or has a key or value that does not belong there.
    #[error("{path}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Position and problem.
        message: String,
    },
    /// An environment variable is unknown or has a wrong value.
    #[error("{name}: {message}")]
    Environment {
        /// The variable.
        name: String,
        /// The problem and the way out.
        message: String,
    },
    /// A value that cannot be used.
    #[error("{key}: {message}")]
    Value {
        /// `table.key`, or the flag.
        key: &'static str,
        /// The problem and the way out.
        message: String,
    },
}

/// Where values come from, weakest first: file in the state directory, environment, these flags.
#[derive(Debug, Clone, Default)]
pub struct ConfigSources {
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--workspace`, repeated. Replaces `host.workspaces` when given.
    pub workspaces: Vec<PathBuf>,
    /// `--listen`.
    pub listen: Option<Listen>,
}

/// What happens to tasks that were under way when the host stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResumePolicy {
    /// They go on by themselves.
    #[default]
    Auto,
    /// They wait for `ResumeSession`.
    Ask,
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where state lies; absolute. Created by the start, not here.
    pub state_dir: PathBuf,
    /// Name of the host for people.
    pub host_name: String,
    /// Directories sessions may be about, canonical; the first is the default. The owner at the machine may choose
    /// others, remote principals may not.
    pub workspaces: Vec<PathBuf>,
    /// Address of the network surfaces.
    pub listen: Listen,
    /// Nobody chose it: where it is taken, the host runs without its network side.
    pub listen_by_default: bool,
    /// Whether the host can be found by name.
    pub discovery: bool,
    /// What to do with interrupted tasks.
    pub resume: ResumePolicy,
    /// How the model is found.
    pub model: ModelConfig,
    /// Most bytes of store and artifacts.
    pub store_max_bytes: u64,
    /// Directories children may read besides the system's and the workspace.
    pub sandbox_read: Vec<PathBuf>,
    /// The owner accepts that, without a full sandbox, programs run by the agent could approve their own requests.
    pub accept_unconfined: bool,
    /// Seconds an approval waits.
    pub approval_seconds: u32,
    /// Tools behind the central services that may be used from this machine; absent: whichever those offer.
    pub backend_tools: Option<Vec<String>>,
    /// Most tokens of one session.
    pub max_session_tokens: u64,
    /// Jobs of the central services that run at once, if the owner takes any.
    pub central_jobs: usize,
}

impl Config {
    /// Reads and checks everything. Touches no file but the configuration file and the named directories.
    pub fn load(sources: ConfigSources) -> Result<Self, ConfigError> {
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok()?;
                name.starts_with("LANYARD_").then(|| (name, value.to_string_lossy().into_owned()))
            })
            .collect();
        Self::from_parts(sources, &environment)
    }

    /// [`Config::load`] with the environment handed in.
    fn from_parts(sources: ConfigSources, environment: &[(String, String)]) -> Result<Self, ConfigError> {
        let from_environment = env::read(environment)?;
        let state_dir = match sources.state_dir.or(from_environment.state_dir) {
            Some(dir) => absolute("--state-dir", &dir)?,
            None => default_state_dir().ok_or(ConfigError::NoStateDir)?,
        };
        let mut raw = read_file(&state_dir.join("config.toml"))?;
        let gateway_from_environment = from_environment.raw.model.endpoint.is_some();
        raw.overlay(from_environment.raw);
        if !sources.workspaces.is_empty() {
            raw.host.workspaces = Some(sources.workspaces);
        }
        if sources.listen.is_some() {
            raw.host.listen = sources.listen;
        }
        let mut config = check(raw, state_dir)?;
        config.model.from_environment = gateway_from_environment;
        Ok(config)
    }
}

/// Reads the file if there is one. Neither it nor its directory may be writable by others: who writes the
/// configuration decides what the agent may do and whom it talks to.
fn read_file(path: &Path) -> Result<RawConfig, ConfigError> {
    // Only a file that is not there means no configuration: one that cannot be looked at, or a link to nowhere, may
    // hold restrictions.
    match path.symlink_metadata() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(RawConfig::default()),
        Err(source) => return Err(ConfigError::Unreadable { path: path.to_owned(), source }),
        Ok(_) => {}
    }
    for checked in [path.parent().unwrap_or(path), path] {
        only_mine_to_write(checked)?;
    }
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|e| ConfigError::Invalid {
        path: path.to_owned(),
        message: e.to_string().trim_end().to_owned(),
    })
}

/// Refuses what somebody else owns or may write to.
pub(crate) fn only_mine_to_write(path: &Path) -> Result<(), ConfigError> {
    let meta = std::fs::metadata(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let untrusted = |problem, mode| Err(ConfigError::Untrusted { path: path.to_owned(), problem, mode });
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me && meta.uid() != 0 {
        return untrusted("belongs to another user and is not trusted", "go-w");
    }
    if meta.mode() & 0o022 != 0 {
        return untrusted("can be written by others", "go-w");
    }
    Ok(())
}

/// Refuses a file that others can read besides.
pub(crate) fn only_mine_to_read(path: &Path) -> Result<(), ConfigError> {
    only_mine_to_write(path)?;
    let meta = std::fs::metadata(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    if meta.mode() & 0o044 == 0 {
        return Ok(());
    }
    Err(ConfigError::Untrusted {
        path: path.to_owned(),
        problem: "holds a secret and can be read by others",
        mode: "600",
    })
}

fn absolute(key: &'static str, path: &Path) -> Result<PathBuf, ConfigError> {
    std::path::absolute(path)
        .map_err(|e| ConfigError::Value { key, message: format!("{}: {e}", path.display()) })
}

/// A directory that exists, as one canonical path.
pub(crate) fn directory(key: &'static str, path: &Path) -> Result<PathBuf, ConfigError> {
    let shown = path.display();
    let canonical = std::fs::canonicalize(path).map_err(|e| ConfigError::Value {
        key,
        message: match e.kind() {
            std::io::ErrorKind::NotFound => {
                format!("{shown} does not exist; create it or name another directory")
            }
            _ => format!("{shown}: {e}"),
        },
    })?;
    if canonical.is_dir() {
        return Ok(canonical);
    }
    Err(ConfigError::Value { key, message: format!("{shown} is not a directory") })
}

fn check(raw: RawConfig, state_dir: PathBuf) -> Result<Config, ConfigError> {
    let workspaces = raw.host.workspaces.unwrap_or_default();
    let workspaces = workspaces.iter().map(|w| directory("--workspace", w)).collect::<Result<Vec<_>, _>>()?;
    let approval_seconds =
        raw.policy.approval_seconds.unwrap_or(lanyard_protocol::limits::DEFAULT_APPROVAL_SECONDS);
    if !(5..=86_400).contains(&approval_seconds) {
        let message = format!("{approval_seconds} is outside 5–86400 seconds");
        return Err(ConfigError::Value { key: "policy.approval_seconds", message });
    }
    let store_max_bytes = raw.store.max_bytes.unwrap_or(DEFAULT_STORE_MAX_BYTES);
    if store_max_bytes < 16 << 20 {
        let message = format!("{store_max_bytes} is below 16777216, which a store needs to work at all");
        return Err(ConfigError::Value { key: "store.max_bytes", message });
    }
    let central_jobs = raw.central.jobs.unwrap_or(DEFAULT_JOBS);
    if !(1..=MAX_JOBS).contains(&central_jobs) {
        let message =
            format!("{central_jobs} is outside 1–{MAX_JOBS}; to take none, say so with `lanyard enroll`");
        return Err(ConfigError::Value { key: "central.jobs", message });
    }
    let model = raw.model.check()?;
    let sandbox_read = raw.policy.sandbox_read.unwrap_or_default();
    Ok(Config {
        host_name: raw.host.name.unwrap_or_else(machine_name),
        workspaces,
        listen_by_default: raw.host.listen.is_none(),
        listen: raw.host.listen.unwrap_or_default(),
        discovery: raw.discovery.enabled.unwrap_or(true),
        resume: raw.host.resume.unwrap_or_default(),
        model,
        store_max_bytes,
        sandbox_read: sandbox_read
            .iter()
            .map(|d| directory("policy.sandbox_read", d))
            .collect::<Result<Vec<_>, _>>()?,
        accept_unconfined: raw.policy.accept_unconfined.unwrap_or(false),
        approval_seconds,
        backend_tools: raw.policy.backend_tools,
        max_session_tokens: raw.limits.max_session_tokens.unwrap_or(2_000_000).max(1),
        central_jobs: usize::try_from(central_jobs).unwrap_or(1),
        state_dir,
    })
}

fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "lanyard host".to_owned() } else { name }
}

#[cfg(test)]
mod tests;
