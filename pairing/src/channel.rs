//! The channel a pairing runs in, as far as the pairing depends on it.

use crate::identity::PublicIdentity;

/// The key the channel itself has proven of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKey {
    /// Ed25519, by TLS raw public keys (RFC 7250): the X25519 key remains to be proven.
    Signing([u8; 32]),
    /// X25519, by Noise: the Ed25519 key remains to be proven.
    Agreement([u8; 32]),
}

impl ChannelKey {
    /// Whether an identity claims this key as its own. Compared in constant time.
    pub fn belongs_to(&self, identity: &PublicIdentity) -> bool {
        use subtle::ConstantTimeEq;
        match self {
            ChannelKey::Signing(key) => key.ct_eq(&identity.signing).into(),
            ChannelKey::Agreement(key) => key.ct_eq(&identity.agreement).into(),
        }
    }
}

/// See the module. Both ends of an honest channel have the same binding; two channels never have.
#[derive(Debug, Clone, Copy)]
pub struct Channel {
    /// QUIC: the TLS exporter (RFC 8446 §7.5) under [`EXPORTER_LABEL`]; browser: the Noise handshake hash.
    pub binding: [u8; 32],
    /// Whom the channel leads to.
    pub peer: ChannelKey,
}

/// Label of the TLS exporter; its context is empty.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-lanyard-pairing-v1";
