//! An established, authenticated connection, the same at both ends.

use std::net::SocketAddr;
use std::sync::Arc;

use lanyard_pairing::channel::EXPORTER_LABEL;
use lanyard_pairing::{Channel, ChannelKey};
use quinn::VarInt;
use tokio::sync::OwnedSemaphorePermit;

use crate::close::{CloseCode, Ended};

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

    /// The connection ended, and how.
    pub(crate) fn has_ended(&self) -> Option<Ended> {
        self.connection.close_reason().map(Ended::from)
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
