//! Why a sandbox is not started, a spec refused, a program not found.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use super::env::EnvironmentError;

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
    /// A held directory is not where it was opened.
    #[error(
        "{path} is not the directory this session was opened on any more: put it back, or start a new session; \
         no program is started there"
    )]
    Swapped {
        /// Where it was opened.
        path: PathBuf,
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
