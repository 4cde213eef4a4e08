//! The calls of a paired connection, each on a stream of its own: the same as `lanyard-transport`'s session on QUIC.
//!
//! A call's frame goes out and its half of the stream is finished; the answer, and the events that follow it, come back
//! on the other half. A stream that breaks, or ends without a word, ends the connection: the client's cursors make the
//! next one whole.

use std::collections::BTreeMap;

use lanyard_pairing::mux::{Class, MuxEvent, OpenError, Read, ResetCode, StreamId};
use lanyard_protocol::method::Method;

use crate::close;
use crate::frames::{Frames, framed};
use crate::wire::{Fault, Wire};

/// Longest frame taken from a host: a page of a thousand long events has a few MiB. As on QUIC.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// One call under way.
#[derive(Debug)]
struct Exchange {
    /// What is still to be written of its frame.
    unwritten: Vec<u8>,
    frames: Frames,
    answered: bool,
}

/// See the module. At most as many as the connection has streams.
#[derive(Debug, Default)]
pub(crate) struct Exchanges(BTreeMap<StreamId, Exchange>);

/// A frame of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The call's stream.
    pub(crate) stream: StreamId,
    /// It is the answer; others are events that follow it.
    pub(crate) first: bool,
    pub(crate) bytes: Vec<u8>,
}

/// What came of a message of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// Frames, in the order of each stream.
    Frames(Vec<Frame>),
    /// The host has ended the connection, and says why.
    Closed(u32),
}

impl Exchanges {
    /// Opens a stream for a call; `None` while as many are open as may be.
    ///
    /// # Errors
    /// The connection is over.
    pub(crate) fn open(wire: &mut Wire, method: Method) -> Result<Option<StreamId>, Fault> {
        match wire.mux.open(class(method)) {
            Ok(stream) => Ok(Some(stream)),
            Err(OpenError::TooMany) => Ok(None),
            Err(OpenError::Ended) => Err(Fault::Answer("takes no more requests on this connection")),
        }
    }

    /// Sends a call on a fresh stream.
    ///
    /// # Errors
    /// The stream is gone.
    pub(crate) fn send(&mut self, wire: &mut Wire, stream: StreamId, frame: &[u8]) -> Result<(), Fault> {
        let frames = Frames::up_to(MAX_ANSWER_BYTES);
        let mut exchange = Exchange { unwritten: framed(frame), frames, answered: false };
        exchange.write(wire, stream)?;
        self.0.insert(stream, exchange);
        Ok(())
    }

    /// Takes in a message of the carrier.
    ///
    /// # Errors
    /// See [`Fault`]; the connection is of no more use.
    pub(crate) fn feed(&mut self, wire: &mut Wire, message: &[u8]) -> Result<Arrived, Fault> {
        wire.feed(message)?;
        self.turn(wire)
    }

    /// Goes on after something was received, or sent, which makes room for more.
    ///
    /// # Errors
    /// See [`Fault`]; the connection is of no more use.
    pub(crate) fn turn(&mut self, wire: &mut Wire) -> Result<Arrived, Fault> {
        let mut arrived = Vec::new();
        while let Some(event) = wire.mux.poll_event() {
            match event {
                MuxEvent::Closed(code) => return Ok(Arrived::Closed(code)),
                MuxEvent::Readable(stream) => self.read(wire, stream, &mut arrived)?,
                MuxEvent::Writable(stream) => {
                    if let Some(exchange) = self.0.get_mut(&stream) {
                        exchange.write(wire, stream)?;
                    }
                }
                MuxEvent::Reset { stream, .. } => {
                    if self.0.remove(&stream).is_some() {
                        return Err(Fault::Answer("broke off an answer"));
                    }
                }
                // A host has no reason to open streams here; it is told that nobody listens.
                MuxEvent::Opened { stream, .. } => drop(wire.mux.reset(stream, ResetCode(close::DONE))),
                MuxEvent::CanOpen => {}
            }
        }
        Ok(Arrived::Frames(arrived))
    }

    fn read(&mut self, wire: &mut Wire, stream: StreamId, arrived: &mut Vec<Frame>) -> Result<(), Fault> {
        let Some(exchange) = self.0.get_mut(&stream) else { return Ok(()) };
        loop {
            match wire.mux.read(stream) {
                Ok(Read::Chunk(chunk)) => {
                    let mut chunk = &chunk[..];
                    let too_long = |_| Fault::Answer("sent an answer beyond all bounds");
                    while let Some(bytes) = exchange.frames.take(&mut chunk).map_err(too_long)? {
                        let first = !std::mem::replace(&mut exchange.answered, true);
                        arrived.push(Frame { stream, first, bytes });
                    }
                }
                Ok(Read::Blocked) => return Ok(()),
                Ok(Read::Finished) => {
                    let whole = exchange.answered && !exchange.frames.is_within();
                    if !exchange.unwritten.is_empty() {
                        // Answered before all of it was asked: the rest is of no interest to the host.
                        let _ = wire.mux.reset(stream, ResetCode(close::DONE));
                    }
                    self.0.remove(&stream);
                    return if whole { Ok(()) } else { Err(Fault::Answer("broke off an answer")) };
                }
                Err(_) => return Err(Fault::Answer("broke off an answer")),
            }
        }
    }
}

impl Exchange {
    /// Writes what the stream takes, then its end.
    fn write(&mut self, wire: &mut Wire, stream: StreamId) -> Result<(), Fault> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let gone = |_| Fault::Answer("broke off a request");
        let taken = wire.mux.write(stream, &self.unwritten).map_err(gone)?;
        self.unwritten.drain(..taken);
        if self.unwritten.is_empty() {
            self.unwritten = Vec::new();
            wire.mux.finish(stream).map_err(gone)?;
        }
        Ok(())
    }
}

/// Files and long answers go behind everything else.
fn class(method: Method) -> Class {
    match method {
        Method::GetFile
        | Method::GetArtifact
        | Method::GetHistory
        | Method::GetPatchPreview
        | Method::PutAttachment => Class::Bulk,
        _ => Class::Interactive,
    }
}
