//! What both patterns share: a handshake of fixed steps over the library's state.

use rand_core::CryptoRngCore;
use snow::{Builder, HandshakeState};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::primitives::{Primitives, TAG};
use super::session::Session;
use super::{MAX_HANDSHAKE_BYTES, PROLOGUE};
use crate::channel::{Channel, ChannelKey};

/// Why there is no session. The state is gone; a carrier closes the connection and says nothing to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Not one of the messages of this handshake, or one that carries a payload.
    #[error("the peer's handshake message has {got} bytes and not {expected}: it speaks something else")]
    Length {
        /// Bytes this step has.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// The peer is not who it has to be, has another version, or was interfered with.
    #[error(
        "the peer's handshake does not verify: it is another host or another version, or somebody interferes; \
         pair again if the host was reinstalled"
    )]
    Unverified,
    /// A key to which every secret agrees with the same result: no honest peer has it.
    #[error("the peer uses a key no honest peer has: somebody may interfere with the connection")]
    WeakKey,
    /// Our own key came back.
    #[error("the peer uses this side's own key: somebody may interfere with the connection")]
    OwnKey,
    /// The library refused a step that is always possible.
    #[error("the handshake could not be computed: this is a defect of this program")]
    Defect,
}

/// A pattern with its fixed lengths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pattern {
    pub(super) name: &'static str,
    /// Lengths of the library's messages, in order. Payloads are empty, so a length says it all.
    pub(super) lengths: &'static [usize],
}

/// A handshake between two steps.
pub(super) struct Handshake {
    state: HandshakeState,
    lengths: std::slice::Iter<'static, usize>,
    own: [u8; 32],
}

impl Handshake {
    pub(super) fn initiate(
        pattern: Pattern,
        secret: &[u8; 32],
        remote: Option<&[u8; 32]>,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Self, HandshakeError> {
        Self::new(pattern, secret, remote, rng, |builder| builder.build_initiator())
    }

    pub(super) fn respond(
        pattern: Pattern,
        secret: &[u8; 32],
        rng: &mut impl CryptoRngCore,
    ) -> Result<Self, HandshakeError> {
        Self::new(pattern, secret, None, rng, |builder| builder.build_responder())
    }

    fn new(
        pattern: Pattern,
        secret: &[u8; 32],
        remote: Option<&[u8; 32]>,
        rng: &mut impl CryptoRngCore,
        build: impl FnOnce(Builder<'_>) -> Result<HandshakeState, snow::Error>,
    ) -> Result<Self, HandshakeError> {
        let own = PublicKey::from(&StaticSecret::from(*secret)).to_bytes();
        if remote == Some(&own) {
            return Err(HandshakeError::OwnKey);
        }
        let mut ephemeral = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *ephemeral);
        let parameters = pattern.name.parse().map_err(refused)?;
        let mut builder = Builder::with_resolver(parameters, Primitives { ephemeral }.boxed())
            .prologue(PROLOGUE)
            .and_then(|builder| builder.local_private_key(secret))
            .map_err(refused)?;
        if let Some(remote) = remote {
            builder = builder.remote_public_key(remote).map_err(refused)?;
        }
        Ok(Self { state: build(builder).map_err(refused)?, lengths: pattern.lengths.iter(), own })
    }

    fn next_length(&mut self) -> Result<usize, HandshakeError> {
        self.lengths.next().copied().ok_or(HandshakeError::Defect)
    }

    pub(super) fn write(&mut self) -> Result<Vec<u8>, HandshakeError> {
        let expected = self.next_length()?;
        // The library wants room for a tag even where a message has none.
        let mut message = vec![0; MAX_HANDSHAKE_BYTES + TAG];
        let length = self.state.write_message(&[], &mut message).map_err(refused)?;
        if length != expected {
            return Err(HandshakeError::Defect);
        }
        message.truncate(length);
        Ok(message)
    }

    pub(super) fn read(&mut self, message: &[u8]) -> Result<(), HandshakeError> {
        let expected = self.next_length()?;
        if message.len() != expected {
            return Err(HandshakeError::Length { expected, got: message.len() });
        }
        match self.state.read_message(message, &mut []).map_err(refused)? {
            0 => {}
            _ => return Err(HandshakeError::Defect),
        }
        match self.peer() {
            Some(peer) if peer == self.own => Err(HandshakeError::OwnKey),
            _ => Ok(()),
        }
    }

    /// The peer's long-term key, once a message has brought it.
    pub(super) fn peer(&self) -> Option<[u8; 32]> {
        self.state.get_remote_static().and_then(|key| key.try_into().ok())
    }

    /// After the last step: reads the hash, then changes into transport mode.
    pub(super) fn into_session(self) -> Result<Session, HandshakeError> {
        let peer = self.peer().ok_or(HandshakeError::Defect)?;
        let binding = self.state.get_handshake_hash().try_into().map_err(|_| HandshakeError::Defect)?;
        let channel = Channel { binding, peer: ChannelKey::Agreement(peer) };
        Ok(Session::new(self.state.into_transport_mode().map_err(refused)?, channel))
    }
}

fn refused(error: snow::Error) -> HandshakeError {
    match error {
        snow::Error::Decrypt => HandshakeError::Unverified,
        snow::Error::Dh => HandshakeError::WeakKey,
        _ => HandshakeError::Defect,
    }
}
