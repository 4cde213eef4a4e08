//! An established, authenticated connection, the same at both ends: what every kind of it can do ([`Connection`]), and
//! the one over QUIC.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use lanyard_pairing::channel::EXPORTER_LABEL;
use lanyard_pairing::{Channel, ChannelKey};
use quinn::VarInt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;

use crate::close::{CloseCode, Ended};
use crate::limits::SESSION_STREAMS;

/// A connection with a proven peer that has many streams: QUIC, or a browser's channel. Cheap to clone; it ends when the
/// last clone is gone.
pub trait Connection: std::fmt::Debug + Clone + Send + Sync + 'static {
    /// The sending half of a stream.
    type Send: SendHalf;
    /// The receiving half of a stream.
    type Recv: AsyncRead + std::fmt::Debug + Unpin + Send + 'static;

    /// Streams a paired device may have open.
    const STREAMS: u32;

    /// Where the peer is now.
    fn address(&self) -> SocketAddr;

    /// The key the connection has proven of the peer.
    fn key(&self) -> ChannelKey;

    /// What a pairing is bound to.
    ///
    /// # Errors
    /// The connection is gone.
    fn channel(&self) -> Result<Channel, Ended>;

    /// Opens a stream; waits for credit. Cancel-safe.
    ///
    /// # Errors
    /// The connection is gone.
    fn open(&self) -> impl Future<Output = Result<(Self::Send, Self::Recv), Ended>> + Send;

    /// The next stream the peer opened. Cancel-safe.
    ///
    /// # Errors
    /// The connection is gone.
    fn accept(&self) -> impl Future<Output = Result<(Self::Send, Self::Recv), Ended>> + Send;

    /// Ends the connection; a second call does nothing.
    fn close(&self, code: CloseCode);

    /// Waits for the end. Cancel-safe.
    fn ended(&self) -> impl Future<Output = Ended> + Send;

    /// Whether the connection has ended, and how.
    fn has_ended(&self) -> Option<Ended>;
}

/// The sending half of a stream.
pub trait SendHalf: AsyncWrite + std::fmt::Debug + Unpin + Send + 'static {
    /// Sets what goes first, where that is not settled by who opened the stream.
    fn set_priority(&self, priority: Priority);

    /// Ends this direction, after everything written.
    ///
    /// # Errors
    /// It has ended already, or the connection is gone.
    fn finish(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Resolves when nothing more can be done with what was sent: it has arrived as far as can be told, or nobody wants
    /// it. Before [`SendHalf::finish`] only the latter. Does not borrow the half.
    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static;
}

/// A stream's two halves.
pub type Streams = (quinn::SendStream, quinn::RecvStream);

/// What goes first when a connection is full. Within a class streams take turns; only data that has not been handed to
/// the network yet can be overtaken, so bulk also has to be written in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Files, command output: must never be in anybody's way.
    Bulk,
    /// Events of subscriptions.
    Events,
    /// Requests, replies, approvals.
    Control,
}

impl Priority {
    /// Sets it for what is sent on a stream from now on. Every stream starts as [`Priority::Events`].
    pub fn set(self, stream: &quinn::SendStream) {
        let number = match self {
            Priority::Bulk => -1,
            Priority::Events => 0,
            Priority::Control => 1,
        };
        // An error says that the stream is closed, which the next write tells better.
        let _ = stream.set_priority(number);
    }
}

/// Cheap to clone; the connection ends when the last clone is gone or [`Peer::close`] is called.
#[derive(Debug, Clone)]
pub struct Peer {
    connection: quinn::Connection,
    key: [u8; 32],
    /// At a host, a place among the connections of strangers; free again when the last clone is gone.
    _place: Option<Arc<OwnedSemaphorePermit>>,
}

impl Peer {
    pub(crate) fn new(connection: quinn::Connection, key: [u8; 32]) -> Self {
        Self { connection, key, _place: None }
    }

    pub(crate) fn stranger(
        connection: quinn::Connection,
        key: [u8; 32],
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { connection, key, _place: Some(Arc::new(place)) }
    }

    /// Where the peer is now; changes when it migrates.
    pub fn address(&self) -> SocketAddr {
        unmapped(self.connection.remote_address())
    }

    /// The Ed25519 key TLS has proven.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// What a pairing is bound to (TLS exporter).
    ///
    /// # Errors
    /// The connection is gone.
    pub fn channel(&self) -> Result<Channel, Ended> {
        let mut binding = [0; 32];
        match self.connection.export_keying_material(&mut binding, EXPORTER_LABEL, b"") {
            Ok(()) => Ok(Channel { binding, peer: ChannelKey::Signing(self.key) }),
            Err(_) => Err(self.connection.close_reason().map_or(Ended::Here, Ended::from)),
        }
    }

    /// Opens a stream; waits for credit. Cancel-safe.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn open(&self) -> Result<Streams, Ended> {
        Ok(self.connection.open_bi().await?)
    }

    /// The next stream the peer opened. Cancel-safe.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn accept(&self) -> Result<Streams, Ended> {
        Ok(self.connection.accept_bi().await?)
    }

    /// Ends the connection; a second call does nothing.
    pub fn close(&self, code: CloseCode) {
        close(&self.connection, code);
    }

    /// Waits for the end. Cancel-safe.
    pub async fn ended(&self) -> Ended {
        self.connection.closed().await.into()
    }

    /// Names the connection within its endpoint, for logs.
    pub fn stable_id(&self) -> usize {
        self.connection.stable_id()
    }
}

impl Connection for Peer {
    type Send = quinn::SendStream;
    type Recv = quinn::RecvStream;

    const STREAMS: u32 = SESSION_STREAMS;

    fn address(&self) -> SocketAddr {
        Peer::address(self)
    }

    fn key(&self) -> ChannelKey {
        ChannelKey::Signing(self.key)
    }

    fn channel(&self) -> Result<Channel, Ended> {
        Peer::channel(self)
    }

    async fn open(&self) -> Result<Streams, Ended> {
        Peer::open(self).await
    }

    async fn accept(&self) -> Result<Streams, Ended> {
        Peer::accept(self).await
    }

    fn close(&self, code: CloseCode) {
        Peer::close(self, code);
    }

    async fn ended(&self) -> Ended {
        Peer::ended(self).await
    }

    fn has_ended(&self) -> Option<Ended> {
        self.connection.close_reason().map(Ended::from)
    }
}

impl SendHalf for quinn::SendStream {
    fn set_priority(&self, priority: Priority) {
        priority.set(self);
    }

    async fn finish(&mut self) -> io::Result<()> {
        quinn::SendStream::finish(self).map_err(io::Error::other)
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let stopped = quinn::SendStream::stopped(self);
        async move {
            // Everything was acknowledged, the peer has stopped it, or it is gone with the connection.
            let _ = stopped.await;
        }
    }
}

pub(crate) fn close(connection: &quinn::Connection, code: CloseCode) {
    connection.close(VarInt::from_u32(code.number()), b"");
}

/// IPv4 as people know it, where a socket for both families says `::ffff:192.168.1.7`.
pub(crate) fn unmapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => (v4, v6.port()).into(),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}
