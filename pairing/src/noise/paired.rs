//! `Noise_IK`: a session between a device and the host it is paired with.
//!
//! The device's first message names it, hidden from everybody but the host, so the host can refuse it before it answers.
//! That message alone can be a replayed one; the third, empty one cannot.

use rand_core::CryptoRngCore;

use super::handshake::{Handshake, HandshakeError, Pattern};
use super::primitives::TAG;
use super::session::Session;

/// `← s` (known before) · `→ e, es, s, ss` · `← e, ee, se`.
const IK: Pattern = Pattern { name: "Noise_IK_25519_ChaChaPoly_BLAKE2s", lengths: &[96, 48] };

/// The device, after its first message.
pub struct Initiator(Handshake);

impl Initiator {
    /// Begins with the device's X25519 secret, towards the host's public key as the pairing gave it; gives the first
    /// message.
    ///
    /// # Errors
    /// When the host's key cannot be one: of small order, or the device's own.
    pub fn start(
        secret: &[u8; 32],
        host: &[u8; 32],
        rng: &mut impl CryptoRngCore,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let mut handshake = Handshake::initiate(IK, secret, Some(host), rng)?;
        let message = handshake.write()?;
        Ok((Self(handshake), message))
    }

    /// Takes the host's message; gives the session and the message that has to be sent before any other.
    ///
    /// # Errors
    /// When the answer is not from the host that was meant.
    pub fn finish(mut self, message: &[u8]) -> Result<(Session, Vec<u8>), HandshakeError> {
        self.0.read(message)?;
        let mut session = self.0.into_session()?;
        let last = session.seal(&[]).map_err(|_| HandshakeError::Defect)?;
        Ok((session, last))
    }
}

/// A device that says who it is. Whether it is there at all, or somebody repeats what it once sent, is not known.
pub struct Claim {
    handshake: Handshake,
    device: [u8; 32],
}

impl Claim {
    /// Reads a device's first message with the host's X25519 secret.
    ///
    /// # Errors
    /// When the message is not for this host, or not one of an honest device.
    pub fn read(
        secret: &[u8; 32],
        message: &[u8],
        rng: &mut impl CryptoRngCore,
    ) -> Result<Self, HandshakeError> {
        let mut handshake = Handshake::respond(IK, secret, rng)?;
        handshake.read(message)?;
        let device = handshake.peer().ok_or(HandshakeError::Defect)?;
        Ok(Self { handshake, device })
    }

    /// The X25519 key claimed. A host answers only those it is paired with.
    pub fn device(&self) -> &[u8; 32] {
        &self.device
    }

    /// Answers it. Nothing is to be recorded of the device before [`Responder::finish`].
    ///
    /// # Errors
    /// When the device's key is of small order.
    pub fn answer(mut self) -> Result<(Responder, Vec<u8>), HandshakeError> {
        let answer = self.handshake.write()?;
        Ok((Responder(self.handshake.into_session()?), answer))
    }
}

/// The host, after its message.
pub struct Responder(Session);

impl Responder {
    /// Takes the device's last message, the first that only the device itself can make for this session.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn finish(mut self, message: &[u8]) -> Result<Session, HandshakeError> {
        if message.len() != TAG {
            return Err(HandshakeError::Length { expected: TAG, got: message.len() });
        }
        self.0.open(message).map_err(|_| HandshakeError::Unverified)?;
        Ok(self.0)
    }
}

impl std::fmt::Debug for Initiator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("paired::Initiator")
    }
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("paired::Claim").field("device", &self.device).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("paired::Responder")
    }
}
