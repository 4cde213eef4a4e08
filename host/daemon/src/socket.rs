//! The local socket: for the owner of the host alone, mode 0600, peers checked by the kernel's word.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lanyard_protocol::codec::JsonRpcCodec;
use lanyard_protocol::principal::Principal;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::api::peer::{LineSink, Lines};
use crate::api::serve::serve;
use crate::host::Host;
use crate::principals::owner;

/// Connections at a time; the next one waits in the listener's queue. Each may hold some megabytes of requests.
const MAX_CONNECTIONS: usize = 128;

/// Pause after a failed `accept`, so that running out of file descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct SocketError {
    /// The socket.
    pub path: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

/// Opens the socket, replacing one that a dead host left: the caller holds the state directory's lock, so nobody
/// else listens there.
pub(crate) fn listen(path: &Path) -> Result<UnixListener, SocketError> {
    let fail = |source| SocketError { path: path.to_owned(), source };
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(fail(e)),
    }
    // The directory is 0700, so nobody can connect between the two calls.
    let listener = UnixListener::bind(path).map_err(fail)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).map_err(fail)?;
    Ok(listener)
}

/// Accepts until the host stops. Connections end on their own after that, within the shutdown's bound.
pub(crate) async fn accept(host: Arc<Host>, listener: UnixListener, tasks: TaskTracker) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let me = rustix::process::geteuid().as_raw();
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = host.stop.cancelled() => return,
        };
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = host.stop.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(principal) = authenticate(&stream, me) else { continue };
        let host = host.clone();
        tasks.spawn(async move {
            let _place = place;
            host.connections.fetch_add(1, Ordering::Relaxed);
            let stop = host.stop.clone();
            let (reader, writer) = stream.into_split();
            serve(host.clone(), principal, JsonRpcCodec, Lines::new(reader), LineSink::new(writer), stop)
                .await;
            host.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// The owner, when the process at the other end runs as the host's own user.
fn authenticate(stream: &UnixStream, me: u32) -> Option<Principal> {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == me => {}
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), "another user reached the socket and was turned away");
            return None;
        }
        Err(error) => {
            tracing::warn!(%error, "a peer whose user is unknown was turned away");
            return None;
        }
    }
    owner().ok()
}
