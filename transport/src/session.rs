//! The client's end of a session: one owner task that opens a stream for each frame sent and hands back what arrives.
//!
//! It moves frames and understands none: [`lanyard_client::Client`] does that. A frame that is sent goes out on a
//! stream of its own; what the host sends on it, reply and events, comes back through [`Session::receive`]. When a
//! stream breaks, or ends without a word, while the connection lives, the connection is given up: the client's cursors
//! make the next one whole.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lanyard_protocol::limits::MAX_IN_FLIGHT;
use quinn::ReadError;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::close::{CloseCode, Ended};
use crate::dial::Dialer;
use crate::framing::{FrameError, read_frame, write_frame};
use crate::noise::StreamBroken;
use crate::peer::{Connection, Peer, Priority, SendHalf};
use crate::socket;

/// Longest frame taken from a host: a page of a thousand long events has a few MiB.
pub const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Frames that wait for a stream: as many as a client may have unanswered. So sending never waits for receiving, and
/// a caller that does one after the other cannot block itself.
const OUTBOX: usize = MAX_IN_FLIGHT;

/// Frames received and not yet fetched; beyond them the streams are not read, and the host waits.
const INBOX: usize = 64;

/// How often this machine's own address is looked at. Three system calls each.
const WATCH: Duration = Duration::from_secs(2);

/// See the module. The connection ends when it is dropped; frames that were not answered then may be lost.
#[derive(Debug)]
pub struct Session<C: Connection = Peer> {
    peer: C,
    outbox: mpsc::Sender<Vec<u8>>,
    inbox: mpsc::Receiver<Vec<u8>>,
    ended: Arc<OnceLock<Ended>>,
}

impl Session {
    /// Takes a connection over. Needs a tokio runtime. Watches this machine's own address and moves the socket with it.
    pub fn start(peer: Peer, dialer: Dialer) -> Self {
        let mut own_address = OwnAddress::of(&peer, &dialer);
        Self::watched(peer, move |peer| own_address.look(peer, &dialer))
    }
}

impl<C: Connection> Session<C> {
    /// Takes a connection of whatever kind over. Needs a tokio runtime.
    pub fn over(peer: C) -> Self {
        Self::watched(peer, |_| {})
    }

    fn watched(peer: C, watch: impl FnMut(&C) + Send + 'static) -> Self {
        let (outbox, to_send) = mpsc::channel(OUTBOX);
        let (received, inbox) = mpsc::channel(INBOX);
        let ended = Arc::new(OnceLock::new());
        let owner = Owner { peer: peer.clone(), to_send, received };
        // Ends with the connection, or when this session is dropped.
        tokio::spawn(owner.run(watch, ended.clone()));
        Self { peer, outbox, inbox, ended }
    }

    /// Hands a frame on; waits while too many are under way. Cancel-safe: a cancelled send was not made.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn send(&mut self, frame: Vec<u8>) -> Result<(), Ended> {
        self.outbox.send(frame).await.map_err(|_| self.why())
    }

    /// The next frame of any stream. Cancel-safe.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn receive(&mut self) -> Result<Vec<u8>, Ended> {
        match self.inbox.recv().await {
            Some(frame) => Ok(frame),
            None => Err(self.why()),
        }
    }

    /// Where the host is.
    pub fn address(&self) -> std::net::SocketAddr {
        self.peer.address()
    }

    fn why(&self) -> Ended {
        self.ended.get().cloned().unwrap_or(Ended::Here)
    }
}

/// The task behind a session.
#[derive(Debug)]
struct Owner<C> {
    peer: C,
    to_send: mpsc::Receiver<Vec<u8>>,
    received: mpsc::Sender<Vec<u8>>,
}

impl<C: Connection> Owner<C> {
    async fn run(mut self, watch: impl FnMut(&C), ended: Arc<OnceLock<Ended>>) {
        let why = self.drive(watch).await;
        // Told before the channels close, which is with `self`.
        ended.get_or_init(|| why);
    }

    async fn drive(&mut self, mut watch: impl FnMut(&C)) -> Ended {
        // More streams would only wait for the host's credit.
        let most = usize::try_from(C::STREAMS).unwrap_or(usize::MAX);
        let mut exchanges = JoinSet::new();
        let mut next = None;
        let mut watches = interval(WATCH);
        watches.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = self.peer.ended() => return ended,
                () = self.received.closed() => {
                    self.peer.close(CloseCode::Done);
                    return Ended::Here;
                }
                Some(frame) = self.to_send.recv(), if next.is_none() && exchanges.len() < most => {
                    next = Some(frame);
                }
                streams = self.peer.open(), if next.is_some() => match streams {
                    Ok(streams) => {
                        let frame = next.take().unwrap_or_default();
                        exchanges.spawn(exchange(streams, frame, self.received.clone()));
                    }
                    Err(ended) => return ended,
                },
                Some(done) = exchanges.join_next() => {
                    let broken = match done {
                        Ok(Ok(())) => continue,
                        Ok(Err(broken)) => broken,
                        Err(_) => Broken::Off,
                    };
                    return self.give_up(broken);
                }
                _ = watches.tick() => watch(&self.peer),
            }
        }
    }

    /// A stream broke: because of the connection, or alone.
    fn give_up(&self, broken: Broken) -> Ended {
        if let Some(ended) = self.peer.has_ended() {
            return ended;
        }
        debug!(host = %self.peer.address(), ?broken, "a stream broke; the connection is given up");
        let (code, ended) = match broken {
            Broken::Reset(code) if code != CloseCode::Done => (CloseCode::Done, Ended::ByPeer(code)),
            Broken::Reset(_) | Broken::Off => {
                (CloseCode::Done, Ended::Failed("the host broke off an answer".to_owned()))
            }
            Broken::TooLong => {
                (CloseCode::Protocol, Ended::Failed("the host sent an answer beyond all bounds".to_owned()))
            }
        };
        self.peer.close(code);
        ended
    }
}

/// How a stream broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Reset(CloseCode),
    TooLong,
    /// It ended within a frame or before the first.
    Off,
}

impl From<FrameError> for Broken {
    fn from(error: FrameError) -> Self {
        let FrameError::Io(error) = error else { return Broken::TooLong };
        let cause = error.get_ref();
        let code = match cause.and_then(|cause| cause.downcast_ref::<ReadError>()) {
            Some(ReadError::Reset(code)) => code.into_inner(),
            _ => match cause.and_then(|cause| cause.downcast_ref::<StreamBroken>()) {
                Some(StreamBroken::Reset(code)) => (*code).into(),
                _ => return Broken::Off,
            },
        };
        Broken::Reset(CloseCode::from_number(code))
    }
}

/// One frame out, on a stream of its own, and everything that comes back on it.
async fn exchange(
    (mut send, mut recv): (impl SendHalf, impl AsyncRead + Unpin),
    frame: Vec<u8>,
    received: mpsc::Sender<Vec<u8>>,
) -> Result<(), Broken> {
    send.set_priority(Priority::Control);
    // A host that refuses a frame stops reading it and says why on the other half; when the connection is gone, that
    // half knows too.
    if write_frame(&mut send, &frame).await.is_ok() {
        let _ = send.finish().await;
    }
    drop(frame);
    let mut answered = false;
    while let Some(frame) = read_frame(&mut recv, MAX_ANSWER_BYTES).await? {
        answered = true;
        if received.send(frame).await.is_err() {
            // The session was dropped; its owner ends the connection.
            return Ok(());
        }
    }
    if answered { Ok(()) } else { Err(Broken::Off) }
}

/// The address this machine sends from, as last seen.
#[derive(Debug)]
struct OwnAddress {
    last: Option<IpAddr>,
    moves: u64,
}

impl OwnAddress {
    fn of(peer: &Peer, dialer: &Dialer) -> Self {
        Self { last: socket::source_for(peer.address()).ok(), moves: dialer.moves() }
    }

    /// Moves the socket when the address is another, or is back after it was away.
    fn look(&mut self, peer: &Peer, dialer: &Dialer) {
        let now = socket::source_for(peer.address()).ok();
        if self.must_move(now, dialer.moves()) {
            match dialer.rebind() {
                Ok(()) => debug!(host = %peer.address(), "this machine's address changed; the socket moved"),
                // Tried again when the address changes again; until then the connection lives or times out.
                Err(error) => debug!(%error, "the socket could not be moved"),
            }
        }
        *self = Self { last: now, moves: dialer.moves() };
    }

    /// Not when another session of the same socket has done it since the last look.
    fn must_move(&self, now: Option<IpAddr>, moves: u64) -> bool {
        now.is_some() && now != self.last && moves == self.moves
    }
}

#[cfg(test)]
mod tests;
