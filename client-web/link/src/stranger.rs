//! A pairing channel from the device's end, without IO: the handshake between strangers, then one stream of pairing
//! messages. For pairing itself, and for asking a host with unknown keys how they follow from the known ones.

use std::collections::VecDeque;

use lanyard_pairing::message::{MAX_MESSAGE_BYTES, ToDevice, ToHost};
use lanyard_pairing::mux::{Class, Limits, MuxEvent, Read, ResetCode, StreamId};
use lanyard_pairing::noise::pairing::Initiator;
use lanyard_pairing::{Channel, IdentityKeys};
use rand_core::CryptoRngCore;

use crate::close;
use crate::frames::{Frames, framed};
use crate::wire::{Fault, Purpose, Wire};

/// What came of a message.
#[derive(Debug)]
pub(crate) enum Said {
    /// The channel is there; the device speaks first.
    Ready(Channel),
    /// A pairing message.
    Message(ToDevice),
    /// The host has nothing more to say.
    Finished,
}

#[derive(Debug)]
enum Stage {
    Shaking(Box<Initiator>),
    Open { wire: Box<Wire>, stream: StreamId, frames: Frames },
    Over,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Stranger {
    stage: Stage,
    /// Handshake messages to be sent.
    outgoing: VecDeque<Vec<u8>>,
    said: VecDeque<Said>,
    /// Bytes of pairing messages the stream has not taken yet.
    unwritten: Vec<u8>,
    finishing: bool,
}

impl Stranger {
    /// Begins on a fresh carrier.
    ///
    /// # Errors
    /// [`Fault::Handshake`], by a defect only.
    pub(crate) fn start(keys: &IdentityKeys, rng: &mut impl CryptoRngCore) -> Result<Self, Fault> {
        let (initiator, first) = Initiator::start(&keys.agreement_secret(), rng)?;
        Ok(Self {
            stage: Stage::Shaking(Box::new(initiator)),
            outgoing: VecDeque::from([Purpose::Pairing.announce(&first)]),
            said: VecDeque::new(),
            unwritten: Vec::new(),
            finishing: false,
        })
    }

    /// Takes in a message of the carrier; [`Stranger::poll`] has what came of it.
    ///
    /// # Errors
    /// See [`Fault`]; the carrier is of no more use.
    pub(crate) fn feed(&mut self, message: &[u8]) -> Result<(), Fault> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Shaking(initiator) => {
                let (session, last) = initiator.finish(message)?;
                self.outgoing.push_back(last);
                let channel = session.channel();
                let mut wire = Box::new(Wire::new(session, Limits::PAIRING));
                let opened = wire.mux.open(Class::Interactive);
                let stream = opened.map_err(|_| Fault::Answer("takes no stream"))?;
                self.stage = Stage::Open { wire, stream, frames: Frames::up_to(MAX_MESSAGE_BYTES) };
                self.said.push_back(Said::Ready(channel));
                Ok(())
            }
            Stage::Open { mut wire, stream, mut frames } => {
                wire.feed(message)?;
                let read = read(&mut wire, stream, &mut frames, &mut self.said);
                self.stage = Stage::Open { wire, stream, frames };
                self.write();
                read
            }
            Stage::Over => Ok(()),
        }
    }

    /// What happened next.
    pub(crate) fn poll(&mut self) -> Option<Said> {
        self.said.pop_front()
    }

    /// Says something; nothing before [`Said::Ready`].
    pub(crate) fn send(&mut self, message: &ToHost) {
        self.unwritten.extend_from_slice(&framed(&message.encode()));
        self.write();
    }

    /// Says nothing more. The host answers with [`Said::Finished`] once it has read everything.
    pub(crate) fn finish(&mut self) {
        self.finishing = true;
        self.write();
    }

    /// The next message for the carrier.
    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        if let Some(message) = self.outgoing.pop_front() {
            return Some(message);
        }
        let Stage::Open { wire, .. } = &mut self.stage else { return None };
        let message = wire.poll_transmit()?;
        self.write();
        Some(message)
    }

    fn write(&mut self) {
        let Stage::Open { wire, stream, .. } = &mut self.stage else { return };
        // A stream that is gone, or finished, takes nothing; that it is gone was told as the end of what the host says.
        match wire.mux.write(*stream, &self.unwritten) {
            Ok(taken) => drop(self.unwritten.drain(..taken)),
            Err(_) => self.unwritten.clear(),
        }
        if self.finishing && self.unwritten.is_empty() {
            self.finishing = false;
            // Gone already: then there is nothing to finish.
            let _ = wire.mux.finish(*stream);
        }
    }
}

fn read(
    wire: &mut Wire,
    stream: StreamId,
    frames: &mut Frames,
    said: &mut VecDeque<Said>,
) -> Result<(), Fault> {
    while let Some(event) = wire.mux.poll_event() {
        match event {
            // A host opens no streams here; it gets no answer.
            MuxEvent::Opened { stream, .. } => drop(wire.mux.reset(stream, ResetCode(close::DONE))),
            MuxEvent::Readable(readable) if readable == stream => loop {
                match wire.mux.read(stream) {
                    Ok(Read::Chunk(chunk)) => take(frames, &chunk, said)?,
                    Ok(Read::Blocked) => break,
                    Ok(Read::Finished) | Err(_) => {
                        said.push_back(Said::Finished);
                        break;
                    }
                }
            },
            MuxEvent::Reset { .. } | MuxEvent::Closed(_) => said.push_back(Said::Finished),
            MuxEvent::Readable(_) | MuxEvent::Writable(_) | MuxEvent::CanOpen => {}
        }
    }
    Ok(())
}

fn take(frames: &mut Frames, mut chunk: &[u8], said: &mut VecDeque<Said>) -> Result<(), Fault> {
    let malformed = Fault::Answer("sent something that is not a pairing message");
    while let Some(frame) = frames.take(&mut chunk).map_err(|_| malformed)? {
        said.push_back(Said::Message(ToDevice::decode(&frame).map_err(|_| malformed)?));
    }
    Ok(())
}
