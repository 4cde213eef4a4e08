//! Starts a host that outlives the command, and waits until it can be reached.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::attach::{HostError, attach};

/// The flag of `lanyard up` that leaves the terminal and writes to the log.
const DETACHED_FLAG: &str = "--detached";

/// The log of detached hosts, in the state directory.
pub(crate) const LOG: &str = "host.log";

/// A log longer than this is put aside (one old one is kept) before the next host starts.
const LOG_MAX_BYTES: u64 = 8 << 20;

/// How long a host may take until it can be reached. It takes milliseconds; repairing a large store after a power
/// loss takes seconds.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Waits between looks at the manifest: short for as long as a host usually takes, then longer.
const USUAL_START: Duration = Duration::from_millis(50);
const FIRST_WAIT: Duration = Duration::from_micros(300);
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// Bytes of the log's end shown when a host does not start.
const SHOWN_LOG_BYTES: u64 = 2_048;

/// Connects to the running host, or starts one. `announce` is called before a host is started.
pub(crate) fn attach_or_start(state_dir: &Path, announce: impl FnOnce()) -> Result<UnixStream, HostError> {
    match attach(state_dir) {
        Err(error) if error.is_absence() => {}
        done => return done,
    }
    announce();
    let log_start = prepare_log(state_dir)?;
    let child = spawn(state_dir)?;
    wait_until_ready(state_dir, child, log_start)
}

fn cannot(what: &Path) -> impl FnOnce(std::io::Error) -> HostError {
    move |e| HostError::CannotStart(format!("{}: {e}", what.display()))
}

/// Creates the state directory where needed and returns the length of the log so far.
fn prepare_log(state_dir: &Path) -> Result<u64, HostError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(cannot(state_dir))?;
    let log = state_dir.join(LOG);
    let length = std::fs::metadata(&log).map_or(0, |meta| meta.len());
    if length <= LOG_MAX_BYTES {
        return Ok(length);
    }
    std::fs::rename(&log, state_dir.join(format!("{LOG}.1"))).map_err(cannot(&log))?;
    Ok(0)
}

fn spawn(state_dir: &Path) -> Result<Child, HostError> {
    let program = std::env::current_exe().map_err(|e| HostError::CannotStart(e.to_string()))?;
    let path = state_dir.join(LOG);
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(cannot(&path))?;
    let errors = log.try_clone().map_err(cannot(&path))?;
    Command::new(&program)
        .arg("--state-dir")
        .arg(state_dir)
        .args(["up", DETACHED_FLAG])
        // A host must not pin the directory somebody happened to be in.
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(cannot(&program))
}

/// Looks for a host until there is one. It may be another than the child, when two commands start one at a time:
/// the child then ends without an error and the other one is used.
fn wait_until_ready(state_dir: &Path, mut child: Child, log_start: u64) -> Result<UnixStream, HostError> {
    let log = state_dir.join(LOG);
    let started = Instant::now();
    let mut wait = FIRST_WAIT;
    loop {
        match attach(state_dir) {
            Err(error) if error.is_absence() => {}
            done => return done,
        }
        let ended = child.try_wait().map_err(|e| HostError::CannotStart(e.to_string()))?;
        if ended.is_some_and(|status| !status.success()) {
            return Err(HostError::DidNotStart { reason: end_of(&log, log_start), log });
        }
        if started.elapsed() > READY_WITHIN {
            return Err(HostError::NotReady { seconds: READY_WITHIN.as_secs(), log });
        }
        std::thread::sleep(wait);
        if started.elapsed() > USUAL_START {
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

/// What was written to a log since a position, cut to its last lines.
fn end_of(log: &Path, from: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(SHOWN_LOG_BYTES)).min(length)))?;
        let mut bytes = Vec::new();
        file.take(SHOWN_LOG_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    };
    match read() {
        Ok(text) if text.is_empty() => "it ended without a word".to_owned(),
        Ok(text) => text,
        Err(e) => format!("its log cannot be read: {e}"),
    }
}
