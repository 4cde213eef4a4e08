//! The Noise session the browser speaks inside whatever carries it, without IO.
//!
//! A page cannot use QUIC, and no TLS it can have is out of reach of a proxy that ends it. So the browser's messages go
//! through a session of their own, between the long-term X25519 keys of device and host:
//!
//! * [`pairing`]: `Noise_XX_25519_ChaChaPoly_BLAKE2s`, for peers that do not know each other. Whose key it is, the
//!   pairing inside finds out, bound to this session by [`Channel::binding`](crate::Channel).
//! * [`paired`]: `Noise_IK_25519_ChaChaPoly_BLAKE2s`, for a device that knows its host.
//!
//! Both take three messages, each of one fixed length and **without payload** (a payload in the first message of IK can
//! be replayed), and give the same [`Session`]. A host has one only after the device has proven its key *in this
//! session*: IK's own two messages do not show that, therefore the third is an empty message of the session itself.
//!
//! ```text
//! device                                  host
//!   Initiator::start   ── 32 or 96 ──▶    pairing::Responder::answer, or paired::Claim::read … answer
//!   Initiator::finish  ◀── 96 or 48 ──
//!                      ── 64 or 16 ──▶    Responder::finish
//! ```
//! What is sealed is strictly in sequence: a frame that is replayed, left out, out of order or altered ends the session.
//! Randomness is passed in. Source: the Noise specification, revision 34.

mod handshake;
pub mod paired;
pub mod pairing;
mod primitives;
mod session;

#[cfg(test)]
mod tests;

pub use handshake::HandshakeError;
pub use session::{MAX_PLAINTEXT_BYTES, MAX_SEALED_BYTES, REKEY_AFTER, Session, SessionError};

/// Mixed into every handshake: who speaks another version cannot finish it.
pub const PROLOGUE: &[u8] = b"lanyard-channel/1";

/// Longest message of a handshake, in bytes: for carriers, who read nothing longer before there is a session.
pub const MAX_HANDSHAKE_BYTES: usize = 96;
