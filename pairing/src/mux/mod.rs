//! Many streams in one ordered channel of messages, without IO: what QUIC gives the native devices, for the browser.
//!
//! A message is at most as long as a Noise message may be, and holds whole [frames](frame). Each direction of a stream
//! has its own credit, granted as the reader consumes: a reader that stalls stalls its own stream and no other.
//!
//! * **Order.** Control frames go first. Then the data of interactive streams, one frame of each in turn. Then at most
//!   one frame of one bulk stream, for which room is always kept: an approval waits behind 16 KiB of a download at most,
//!   and a download always moves.
//! * **Bounds.** A side may open as many streams as the other has granted it slots; a slot comes back when the other
//!   side is done with the stream, unread data included. With the credit this bounds what anybody can make us hold:
//!   [`Limits::max_buffered`].
//! * **Ends.** A stream ends when both sides have finished it, or by a reset from either, which ends both directions and
//!   is answered by one. Frames that cross a reset are dropped; every other breach of the protocol is a [`MuxError`] and
//!   ends the connection.
//! * **Close.** Either side may end the connection and say why ([`Mux::close`]). That is the last thing it says, and
//!   everything that was not read by then is dropped, on both sides.
//!
//! The channel below has to be reliable and ordered, and its user polls [`Mux::poll_transmit`] only when it can take a
//! message: whatever waits below is out of reach of the priorities here. There is no clock; keep-alive is the carrier's.

mod connection;
pub mod frame;
mod stream;
mod transmit;

#[cfg(test)]
mod tests;

pub use connection::{Mux, OpenError, Read, StreamError};

use crate::noise::MAX_PLAINTEXT_BYTES;

/// Longest message, so that each fits a Noise message.
pub const MAX_MESSAGE_BYTES: usize = MAX_PLAINTEXT_BYTES;

/// Most data in a frame: the grain of fairness. What an approval may wait behind takes 13 ms at 10 Mbit/s.
pub const MAX_DATA_BYTES: usize = 16 * 1024;

/// Who speaks first in the channel. Initiators (devices) open odd streams, responders even ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The device.
    Initiator,
    /// The host.
    Responder,
}

/// Names a stream in its connection. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u32);

impl StreamId {
    fn is_of(self, role: Role) -> bool {
        (self.0 % 2 == 1) == (role == Role::Initiator)
    }
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a stream was reset; the meaning is the application's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResetCode(pub u32);

/// How a stream's data, in both directions, stand to other streams'. Chosen by who opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Requests, answers, events, approvals: first.
    Interactive,
    /// Files and the output of programs: with what is left, never nothing.
    Bulk,
}

/// What a side grants the other. Both ends of a connection use the same, which follow from what the channel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    streams: u32,
    window: u32,
}

impl Limits {
    /// Between strangers: one stream with the pairing, and one for a second try beside it. The window holds the two
    /// longest messages of a pairing.
    pub const PAIRING: Self = Self { streams: 2, window: 16 * 1024 };

    /// After it. A page has a subscription for each open session, one for the host, and a few requests: 32 are ample.
    /// The window fills 20 ms at 100 Mbit/s.
    pub const PAIRED: Self = Self { streams: 32, window: 256 * 1024 };

    /// Streams each side may have open at a time, of those it has opened itself.
    pub const fn streams(self) -> u32 {
        self.streams
    }

    /// Bytes a side may send on a stream beyond what the other has consumed.
    pub fn window(self) -> u32 {
        self.window
    }

    /// Bytes a stream takes from its writer before they are sent: two frames keep the channel busy.
    pub fn send_buffer(self) -> usize {
        (self.window as usize).min(2 * MAX_DATA_BYTES)
    }

    /// Most bytes of data a side ever holds: 18 MiB with [`Limits::PAIRED`], 128 KiB with [`Limits::PAIRING`].
    pub fn max_buffered(self) -> usize {
        2 * self.streams as usize * (self.window as usize + self.send_buffer())
    }
}

/// What happened; see [`Mux::poll_event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MuxEvent {
    /// The peer has opened a stream.
    Opened {
        /// The stream.
        stream: StreamId,
        /// Its class, for both directions.
        class: Class,
    },
    /// There is something new to [`Mux::read`], be it the end. Told once; read until [`Read::Blocked`].
    Readable(StreamId),
    /// A stream that took less than was to be written takes more.
    Writable(StreamId),
    /// The peer has reset the stream, which is gone with everything unread and unsent.
    Reset {
        /// The stream.
        stream: StreamId,
        /// Why.
        code: ResetCode,
    },
    /// After [`OpenError::TooMany`]: there is room for another stream.
    CanOpen,
    /// The peer has ended the connection; why is the application's meaning. The last event: every stream is gone, with
    /// everything unread and unsent.
    Closed(u32),
}

/// How the peer broke the protocol. The connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MuxError {
    /// A message without a frame.
    #[error("the peer sent an empty message")]
    Empty,
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("the peer sent a message of {0} bytes, more than the channel has")]
    TooLong(usize),
    /// A frame of no known kind.
    #[error("the peer sent a frame of unknown kind {0}: update the older side")]
    Kind(u8),
    /// The message ends within a frame.
    #[error("the peer sent a frame that is cut off")]
    Truncated,
    /// Data of no bytes, or more than [`MAX_DATA_BYTES`].
    #[error("the peer sent a data frame of {0} bytes")]
    DataLength(usize),
    /// A class that does not exist, or a grant of nothing.
    #[error("the peer sent a frame with a value that has no meaning")]
    Value,
    /// A frame on a stream nobody has opened.
    #[error("the peer sent a frame on stream {0}, which was never opened")]
    NeverOpened(StreamId),
    /// A stream was opened that is not the next of the peer's.
    #[error("the peer opened stream {0} out of turn")]
    OpenedOutOfTurn(StreamId),
    /// More streams than granted.
    #[error("the peer opened more streams than it was granted")]
    TooManyStreams,
    /// Data beyond the credit.
    #[error("the peer sent more on stream {0} than it was granted")]
    CreditOverrun(StreamId),
    /// Credit or slots beyond what a connection has.
    #[error("the peer granted more than a connection has")]
    GrantOverflow,
    /// Data after the end of a stream.
    #[error("the peer sent data on stream {0} after its end")]
    AfterEnd(StreamId),
}
