//! Identity, pairing and the browser's secure channel, without IO: bytes in, values and bytes out.
//!
//! A device that knows a short code (or has scanned the QR code) and a host that shows it find out that they mean each
//! other, learn each other's long-term keys, and let a person grant rights. SPAKE2 gives a shared key only; what it
//! lacks is added here: key confirmation, identities, channel binding, refusal of degenerate points, a transcript over
//! everything said (`docs/security.md`, `docs/decisions/0009-pairing.md`).
//!
//! * One struct per state, each consumed by its transition; an error destroys the state. The order of messages is
//!   checked by the compiler on our side and by the states on the peer's.
//! * Time ([`lanyard_protocol::Tick`]) and randomness ([`rand_core`]) are passed in; nothing here waits, reads or writes.
//! * The same messages travel on QUIC (`transport`) and in the browser's Noise channel.
//!
//! Source: RFC 9382 (SPAKE2; the `spake2` crate predates it and has other constants),
//! RFC 5869 (HKDF), RFC 8032 (Ed25519), RFC 7748 (X25519), the Noise specification rev. 34.

pub mod abort;
pub mod channel;
pub mod code;
pub mod device;
pub mod digits;
pub mod entrance;
pub mod grant;
pub mod host;
pub mod identity;
#[cfg(feature = "lab")]
pub mod lab;
pub mod link;
pub mod message;
pub mod mux;
pub mod noise;
mod proof;
#[cfg(any(test, feature = "lab"))]
mod random;
mod request;
mod resumption;
mod schedule;
mod spake;
mod transcript;
pub mod window;

pub use abort::Abort;
pub use channel::{Channel, ChannelKey};
pub use code::PairingCode;
pub use digits::Digits;
pub use entrance::Entrance;
pub use grant::Grant;
pub use identity::{Fingerprint, IdentityKeys, PublicIdentity, RotationRecord};
pub use link::{LinkSecret, PairingLink};

#[cfg(test)]
mod tests;
