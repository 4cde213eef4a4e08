//! Runs one program in a sandbox to its end: feeds it, streams and keeps its output, bounds its time, and leaves no
//! process of it behind.

mod capture;
mod drive;
mod output;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::sandbox::{Confinement, ResolveError, SandboxReport};

pub use capture::Captured;

/// Standard input of one call, in bytes: it is part of what an approval shows, so it stays small.
pub const MAX_STDIN: usize = 1 << 20;
/// Output kept of one stream when the caller does not say otherwise.
pub const DEFAULT_KEEP: usize = 10 << 20;
/// Output after which the program is ended: by then it is a loop, not a log.
pub const MAX_OUTPUT: u64 = 256 << 20;
/// How long asked-for processes have to end by themselves before they are killed.
pub const TERMINATE_GRACE: Duration = Duration::from_secs(5);

/// How long one call may take: 1 to 600 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timeout(Duration);

impl Timeout {
    /// The longest.
    pub const MAX: Self = Self(Duration::from_secs(600));

    /// # Errors
    /// When `seconds` is not within 1 to 600.
    pub fn from_secs(seconds: u64) -> Result<Self, RunError> {
        if (1..=600).contains(&seconds) {
            Ok(Self(Duration::from_secs(seconds)))
        } else {
            Err(RunError::Timeout { seconds })
        }
    }

    /// As a duration.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0
    }
}

/// How standard output and standard error are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Streams {
    /// One pipe for both: the order is exactly the program's own, as in a terminal. All of it counts as stdout.
    #[default]
    Merged,
    /// Two pipes: each is whole, the order between them is only approximate.
    Separate,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// A path, taken from the working directory, or a name, looked up in the sandbox's search path.
    pub program: OsString,
    /// Arguments without the program's name.
    pub args: Vec<OsString>,
    /// At most [`MAX_STDIN`] bytes; `None` is an empty input, never a wait for one.
    pub stdin: Option<Vec<u8>>,
    /// Counted from the start of the program.
    pub timeout: Timeout,
    /// How output is read.
    pub streams: Streams,
    /// Bytes kept of each stream; more is counted and left out of the middle.
    pub keep: usize,
}

impl Invocation {
    /// An invocation without input and with the defaults: merged streams, [`DEFAULT_KEEP`], the given timeout.
    #[must_use]
    pub fn new(
        program: impl Into<OsString>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        timeout: Timeout,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            stdin: None,
            timeout,
            streams: Streams::default(),
            keep: DEFAULT_KEEP,
        }
    }
}

/// Where a chunk comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or both when merged.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputChunk {
    /// Its stream.
    pub stream: Stream,
    /// Bytes of the same stream before it.
    pub offset: u64,
    /// Never empty; may end within a character.
    pub bytes: Vec<u8>,
}

/// How the first process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// By a signal nobody here sent.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// Ended after its timeout.
    TimedOut,
    /// Ended because the call was cancelled.
    Cancelled,
    /// Ended after [`MAX_OUTPUT`] bytes.
    OutputLimit,
    /// Ended because it had more processes than [`crate::sandbox::Limits::tasks`].
    ProcessLimit,
}

/// A finished call.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended.
    pub end: End,
    /// Standard output, or both streams when merged.
    pub stdout: Captured,
    /// Standard error; empty when merged.
    pub stderr: Captured,
    /// From the start of the program to its end and that of its last descendant.
    pub duration: Duration,
    /// What was enforced on it.
    pub sandbox: Arc<SandboxReport>,
    /// Processes it had left running, which were ended with it.
    pub ended_descendants: u32,
    /// Directories of the host whose mode a child had changed; it is as before again.
    pub restored: Vec<PathBuf>,
    /// Processes that survived SIGKILL for two seconds (they wait in the kernel). 0 but for broken file systems.
    pub surviving_processes: u32,
}

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Out of range.
    #[error("a timeout of {seconds} s is not possible: choose 1 to 600 seconds")]
    Timeout {
        /// As given.
        seconds: u64,
    },
    /// Too much input.
    #[error("{length} bytes of standard input are too many: at most {MAX_STDIN}, write a file instead")]
    StdinTooLarge {
        /// As given.
        length: usize,
    },
    /// The token was cancelled already.
    #[error("cancelled before the program was started")]
    Cancelled,
    /// No such program.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The child could not confine itself, so the program was not started.
    #[error("the sandbox could not be put on ({step}): {source}")]
    Sandbox {
        /// What it was doing.
        step: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// The system did not start it.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// The resolved program.
        program: PathBuf,
        /// The reason; `NotFound` for an existing file means its interpreter is missing.
        source: io::Error,
    },
    /// The pipes or the process could not be read any more. All its processes have been ended.
    #[error("lost the running program: {0}")]
    Lost(io::Error),
}

/// Runs a program to its end.
///
/// Output goes to `output` while it runs, in order, and waits there when the receiver is slow: read it concurrently. A
/// receiver that is dropped, or that takes nothing for a second after the program has ended, loses the rest; what is
/// kept in [`Finished`] is whole up to [`Invocation::keep`] either way.
///
/// When this returns, no process started by the program is left. On timeout and cancellation they are asked to end
/// (SIGTERM) and killed after [`TERMINATE_GRACE`]; what the program left running in the background when it ended by
/// itself is ended at once.
///
/// # Cancel safety
/// Dropping the future kills all processes, blocking for the milliseconds that takes.
///
/// # Errors
/// Only when nothing was run, or nothing could be learnt of what ran; a program that fails is a [`Finished`].
pub async fn run(
    confinement: &Confinement,
    invocation: Invocation,
    output: Option<mpsc::Sender<OutputChunk>>,
    cancel: &CancellationToken,
) -> Result<Finished, RunError> {
    let length = invocation.stdin.as_ref().map_or(0, Vec::len);
    if length > MAX_STDIN {
        return Err(RunError::StdinTooLarge { length });
    }
    if cancel.is_cancelled() {
        return Err(RunError::Cancelled);
    }
    drive::Running::start(confinement, invocation, output)?.finish(cancel).await
}
