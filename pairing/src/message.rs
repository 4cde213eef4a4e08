//! The messages of a pairing, as postcard, the same on QUIC and in the browser's channel.
//!
//! ```text
//! device                                    host
//!   Hello    ──────────────────────────────▶        versions, name, platform, keys, scopes; with a link: a MAC
//!            ◀──────────────────────────────  Offer version, sid, keys, name, commitment
//!   ShareA   ──────────────────────────────▶        SPAKE2 share, nonce; the attempt slot starts
//!            ◀────────────────────────────── ShareB SPAKE2 share; the attempt is on disk
//!   ConfirmA ──────────────────────────────▶        confirmation and proof of the other key
//!            ◀──────────────────────────── ConfirmB confirmation, proof, nonce; both show the digits
//!            ◀───────────────── Grant (or Abort)    a person has decided
//!   Ack      ──────────────────────────────▶        the device has written it down
//! ```
//! A device that lost the connection while it waited sends `Resume` first on the next one.

use lanyard_protocol::principal::Scope;
use serde::{Deserialize, Serialize};

use crate::abort::Abort;
use crate::identity::{Fingerprint, Lineage, PublicIdentity};

/// Longest pairing message, in bytes. A lineage of [`crate::identity::MAX_LINEAGE`] records is the longest one.
pub const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// Versions of the pairing protocol this build speaks, best first.
pub const VERSIONS: &[u16] = &[1];

/// Names one attempt; chosen by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sid(pub [u8; 16]);

/// The first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Versions offered, best first.
    pub versions: Vec<u16>,
    /// What the device calls itself; 1–64 bytes without control characters.
    pub name: String,
    /// What it runs on.
    pub platform: String,
    /// Its keys.
    pub device: PublicIdentity,
    /// A one-time X25519 key, to prove the host's long-term one against.
    pub ephemeral: [u8; 32],
    /// Rights asked for.
    pub scopes: Vec<Scope>,
    /// With a link: HMAC under its secret over the channel binding and this message without the MAC.
    pub link_mac: Option<[u8; 32]>,
}

/// The host's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The version chosen among those offered.
    pub version: u16,
    /// The attempt.
    pub sid: Sid,
    /// The host's keys.
    pub host: PublicIdentity,
    /// A one-time X25519 key, to prove the device's long-term one against.
    pub ephemeral: [u8; 32],
    /// What the host calls itself.
    pub name: String,
    /// Hash over label, sid, the host's nonce and its SPAKE2 share: neither can be chosen after seeing the device's.
    pub commitment: [u8; 32],
}

/// The device's half of the key exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareA {
    /// SPAKE2 message, 33 bytes.
    pub share: Vec<u8>,
    /// For the digits.
    pub nonce: [u8; 32],
}

/// The host's half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareB {
    /// SPAKE2 message, 33 bytes.
    pub share: Vec<u8>,
}

/// The device proves first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmA {
    /// Key confirmation over the transcript.
    pub confirmation: [u8; 32],
    /// Proof of the long-term key the channel has not proven: an Ed25519 signature or a MAC.
    pub proof: Vec<u8>,
}

/// The host proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmB {
    /// Key confirmation over the transcript.
    pub confirmation: [u8; 32],
    /// Proof of the long-term key the channel has not proven.
    pub proof: Vec<u8>,
    /// Opens the commitment.
    pub nonce: [u8; 32],
}

/// A device that waits for an answer is back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The attempt.
    pub sid: Sid,
    /// MAC under the resume key over sid, the new channel's binding and the device's keys.
    pub mac: [u8; 32],
}

/// A grant, sealed with ChaCha20-Poly1305 under the grant key; sid and device are associated data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedGrant {
    /// Fresh for each sealing.
    pub nonce: [u8; 12],
    /// Ciphertext and tag.
    pub sealed: Vec<u8>,
}

/// What a device sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHost {
    /// See [`Hello`].
    Hello(Hello),
    /// See [`ShareA`].
    ShareA(ShareA),
    /// See [`ConfirmA`].
    ConfirmA(ConfirmA),
    /// See [`Resume`].
    Resume(Resume),
    /// The grant is written down: MAC under the resume key over sid and "ack".
    Ack([u8; 32]),
    /// A paired device met an unknown host key and asks how it follows from the one it knows.
    Lineage(Fingerprint),
    /// The device gives up.
    Abort(Abort),
}

/// What a host sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDevice {
    /// See [`Offer`].
    Offer(Offer),
    /// See [`ShareB`].
    ShareB(ShareB),
    /// See [`ConfirmB`].
    ConfirmB(ConfirmB),
    /// To `Resume`: nobody has answered yet.
    Waiting,
    /// See [`SealedGrant`].
    Grant(SealedGrant),
    /// To `Lineage`.
    Lineage(Lineage),
    /// The pairing came to nothing.
    Abort(Abort),
}

/// Bytes of a plain struct.
pub(crate) fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    // An empty text instead would be hashed, or sealed, as if it had been said.
    #[expect(
        clippy::expect_used,
        reason = "postcard fails on sequences of unknown length only; there are none"
    )]
    postcard::to_allocvec(value).expect("a plain struct can be written")
}

macro_rules! wire {
    ($($name:ident),*) => {$(
        impl $name {
            /// As bytes, framing excluded.
            pub fn encode(&self) -> Vec<u8> {
                to_bytes(self)
            }

            /// From a frame. Longer ones, and bytes left over, are refused.
            ///
            /// # Errors
            /// [`Abort::Malformed`].
            pub fn decode(frame: &[u8]) -> Result<Self, Abort> {
                if frame.len() > MAX_MESSAGE_BYTES {
                    return Err(Abort::Malformed);
                }
                match postcard::take_from_bytes(frame) {
                    Ok((message, [])) => Ok(message),
                    Ok(_) | Err(_) => Err(Abort::Malformed),
                }
            }
        }
    )*};
}

wire!(ToHost, ToDevice);
