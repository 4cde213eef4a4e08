//! Streams in a Noise session: what lies between a carrier's messages and everything else, after the handshake.

use lanyard_pairing::mux::{Limits, Mux, MuxError, Role};
use lanyard_pairing::noise::{HandshakeError, Session, SessionError};

/// First byte of a carrier: what the handshake that follows is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `Noise_XX`: between strangers.
    Pairing = 1,
    /// `Noise_IK`: a paired device.
    Paired = 2,
}

impl Purpose {
    /// The first message on a carrier.
    pub(crate) fn announce(self, handshake: &[u8]) -> Vec<u8> {
        let mut message = Vec::with_capacity(1 + handshake.len());
        message.push(self as u8);
        message.extend_from_slice(handshake);
        message
    }
}

/// How the bytes of a carrier turned out to be of no use. Says nothing about the host: anybody on the way can do this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The handshake came to nothing.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// A message was not the session's next one.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The host itself broke the protocol of streams.
    #[error(transparent)]
    Mux(#[from] MuxError),
    /// It broke that of frames or answers.
    #[error("the host {0}")]
    Answer(&'static str),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Wire {
    session: Session,
    pub(crate) mux: Mux,
}

impl Wire {
    pub(crate) fn new(session: Session, limits: Limits) -> Self {
        Self { session, mux: Mux::new(Role::Initiator, limits) }
    }

    /// Takes in a message of the carrier.
    ///
    /// # Errors
    /// See [`Fault`]; the carrier is of no more use.
    pub(crate) fn feed(&mut self, sealed: &[u8]) -> Result<(), Fault> {
        let message = self.session.open(sealed)?;
        Ok(self.mux.feed(&message)?)
    }

    /// The next message for the carrier, which has to be sent. An error of the session counts as nothing to send: the
    /// next message received finds the same.
    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        if self.session.is_over() {
            return None;
        }
        let message = self.mux.poll_transmit()?;
        self.session.seal(&message).ok()
    }
}
