//! Finds the host of a state directory by its manifest and connects to its socket.
//!
//! The manifest is a hint: what counts is that somebody answers on the socket, and that the kernel says it is a
//! process of the user who owns the manifest. Nothing is sent before that.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use lanyard_daemon::Manifest;
use lanyard_protocol::version::PROTOCOL_VERSION;

use super::remote::RemoteError;

/// Why no host can be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostError {
    /// None runs, as far as its state directory tells.
    #[error("no host runs for {}; start one with `lanyard up`", state_dir.display())]
    None {
        /// The state directory.
        state_dir: PathBuf,
    },
    /// The manifest cannot be read.
    #[error("{}: {source}; if no host runs, remove the file", manifest.display())]
    Manifest {
        /// The file.
        manifest: PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
    /// The socket is there and cannot be connected to.
    #[error("the host's socket {} cannot be reached: {source}{}", socket.display(), way_out(source))]
    Socket {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody else answers there.
    #[error("the socket {} is served by user {peer}, not by {owner} who owns the manifest; nothing was sent", socket.display())]
    Stranger {
        /// The socket.
        socket: PathBuf,
        /// Who serves it.
        peer: u32,
        /// Who should.
        owner: u32,
    },
    /// Host and command do not fit.
    #[error(
        "the running host (version {version}) speaks protocol {theirs}, this command {PROTOCOL_VERSION}; restart it with `lanyard stop` and `lanyard up` of one version"
    )]
    Version {
        /// The host's version.
        version: String,
        /// The host's protocol.
        theirs: u16,
    },
    /// A host was started and ended at once.
    #[error("the host could not be started:\n{reason}\n(the whole log is {})", log.display())]
    DidNotStart {
        /// The end of its log.
        reason: String,
        /// The log.
        log: PathBuf,
    },
    /// A host was started and cannot be reached.
    #[error("the host was started but could not be reached within {seconds} s; its log is {}", log.display())]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// The log.
        log: PathBuf,
    },
    /// It could not even be tried.
    #[error("a host cannot be started: {0}")]
    CannotStart(String),
    /// The connection broke and did not come back.
    #[error("the host went away{}; start it again with `lanyard up`: what was acknowledged is kept", after(.0))]
    Gone(Option<String>),
    /// A paired host cannot be talked to.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

fn after(detail: &Option<String>) -> String {
    detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default()
}

/// Whether nobody is there to answer: the leftovers of a host that was killed.
fn is_left_over(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused)
}

fn way_out(error: &std::io::Error) -> &'static str {
    match is_left_over(error) {
        true => {
            "; its host seems to have been killed: start it again with `lanyard up`, nothing acknowledged is lost"
        }
        false => "",
    }
}

impl HostError {
    /// Whether it means that no host runs, so that starting one would help.
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            HostError::None { .. } => true,
            HostError::Socket { source, .. } => is_left_over(source),
            _ => false,
        }
    }
}

/// Connects to the running host of a state directory. Blocks for a moment only: the socket is local.
pub(crate) fn attach(state_dir: &Path) -> Result<UnixStream, HostError> {
    let path = state_dir.join("server.json");
    let manifest = Manifest::read(state_dir)
        .map_err(|source| HostError::Manifest { manifest: path.clone(), source })?
        .ok_or_else(|| HostError::None { state_dir: state_dir.to_owned() })?;
    let owner =
        std::fs::metadata(&path).map_err(|_| HostError::None { state_dir: state_dir.to_owned() })?.uid();
    let socket = manifest.socket;
    let stream = UnixStream::connect(&socket)
        .map_err(|source| HostError::Socket { socket: socket.clone(), source })?;
    check_peer(&stream, owner, &socket)?;
    if manifest.protocol_version != PROTOCOL_VERSION {
        return Err(HostError::Version { version: manifest.version, theirs: manifest.protocol_version });
    }
    Ok(stream)
}

/// Whether a process holds the state directory. Never waits; a directory that was never used is held by nobody.
pub(crate) fn lock_is_held(state_dir: &Path) -> bool {
    let Ok(lock) = std::fs::File::open(state_dir.join("lock")) else { return false };
    if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockShared).is_err() {
        return true;
    }
    // A shared lock, given back at once: it goes with the file, but a child between fork and exec shares that.
    let _ = rustix::fs::flock(&lock, rustix::fs::FlockOperation::Unlock);
    false
}

/// The kernel's word on who serves the socket.
#[cfg(target_os = "linux")]
fn check_peer(stream: &UnixStream, owner: u32, socket: &Path) -> Result<(), HostError> {
    let peer = rustix::net::sockopt::socket_peercred(stream)
        .map_err(|e| HostError::Socket { socket: socket.to_owned(), source: e.into() })?
        .uid
        .as_raw();
    if peer == owner {
        return Ok(());
    }
    Err(HostError::Stranger { socket: socket.to_owned(), peer, owner })
}

/// Elsewhere the directories' permissions are what keeps strangers away.
#[cfg(not(target_os = "linux"))]
fn check_peer(_: &UnixStream, _: u32, _: &Path) -> Result<(), HostError> {
    Ok(())
}
