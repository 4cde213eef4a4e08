//! What a client makes of frames and of time passing.

use lanyard_protocol::event::{HostEvent, SessionEvent};
use lanyard_protocol::method::{Method, Response};
use lanyard_protocol::rpc::RequestId;
use lanyard_protocol::{ErrorCode, WireError};

use crate::subscriptions::Channel;

/// Something the driver's user should know.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// The answer to a call. Each call is answered at most once.
    Reply {
        /// Which call.
        id: RequestId,
        /// The method it called.
        method: Method,
        /// The answer.
        answer: Result<Box<Response>, WireError>,
    },
    /// The connection broke after the call was sent, and it is not one that may be repeated: whether it took effect
    /// is unknown.
    Unanswered {
        /// Which call.
        id: RequestId,
        /// The method it called.
        method: Method,
    },
    /// The next durable event of a followed session: each exactly once, in order.
    Event(Box<SessionEvent>),
    /// A piece of streamed text not seen before, already cut to its new part. `missing` bytes before it never came;
    /// the event that completes the stream holds the whole.
    Delta {
        /// The event.
        event: Box<SessionEvent>,
        /// Bytes lost before it.
        missing: u64,
    },
    /// The next event of the host's log: each exactly once, in order.
    HostEvent(Box<HostEvent>),
    /// Durable events that this build could not read come before the next one of this channel.
    Skipped {
        /// The log they are missing from.
        channel: Channel,
        /// How many.
        count: u64,
    },
    /// No more events will come of a log that was followed.
    Ended {
        /// The log.
        channel: Channel,
        /// Why.
        error: WireError,
    },
    /// An error that belongs to no call: the host could not make out which one it answers.
    Complaint(WireError),
    /// A notification this build does not know; newer hosts may send some.
    Unknown(String),
    /// The host has been silent through all probes. The driver should drop the connection and make a new one.
    Dead,
}

/// Why a frame was no use. The connection may go on; a driver that gets many should end it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct FeedError {
    /// What was wrong with it.
    pub message: String,
}

/// The error a caller gets when an answer to its call came and could not be read.
pub(crate) fn unreadable_answer(message: impl std::fmt::Display) -> WireError {
    WireError::new(
        ErrorCode::InternalError,
        format!("{message}; host and client may be of different versions: restart the host (`lanyard stop`)"),
    )
}
