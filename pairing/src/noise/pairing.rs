//! `Noise_XX`: a session between peers that do not know each other yet. It proves that the peer holds the key it names,
//! not that the key is the right one: that is what the pairing inside is for.

use rand_core::CryptoRngCore;

use super::handshake::{Handshake, HandshakeError, Pattern};
use super::session::Session;

/// `→ e` · `← e, ee, s, es` · `→ s, se`.
const XX: Pattern = Pattern { name: "Noise_XX_25519_ChaChaPoly_BLAKE2s", lengths: &[32, 96, 64] };

/// The device, after its first message.
pub struct Initiator(Handshake);

impl Initiator {
    /// Begins with the device's X25519 secret; gives the first message.
    ///
    /// # Errors
    /// [`HandshakeError::Defect`] only.
    pub fn start(secret: &[u8; 32], rng: &mut impl CryptoRngCore) -> Result<(Self, Vec<u8>), HandshakeError> {
        let mut handshake = Handshake::initiate(XX, secret, None, rng)?;
        let message = handshake.write()?;
        Ok((Self(handshake), message))
    }

    /// Takes the host's message; gives the session and the message that has to be sent before any of its own.
    ///
    /// # Errors
    /// When the message is not one of an honest host.
    pub fn finish(mut self, message: &[u8]) -> Result<(Session, Vec<u8>), HandshakeError> {
        self.0.read(message)?;
        let last = self.0.write()?;
        Ok((self.0.into_session()?, last))
    }
}

/// The host, after its message.
pub struct Responder(Handshake);

impl Responder {
    /// Takes the device's first message with the host's X25519 secret; gives the answer.
    ///
    /// # Errors
    /// When the message is not one of an honest device.
    pub fn answer(
        secret: &[u8; 32],
        message: &[u8],
        rng: &mut impl CryptoRngCore,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let mut handshake = Handshake::respond(XX, secret, rng)?;
        handshake.read(message)?;
        let answer = handshake.write()?;
        Ok((Self(handshake), answer))
    }

    /// Takes the device's last message.
    ///
    /// # Errors
    /// When the device does not prove its key.
    pub fn finish(mut self, message: &[u8]) -> Result<Session, HandshakeError> {
        self.0.read(message)?;
        self.0.into_session()
    }
}

impl std::fmt::Debug for Initiator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("pairing::Initiator")
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("pairing::Responder")
    }
}
