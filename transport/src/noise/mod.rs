//! The browser's leg: a Noise session over any [`Carrier`], with the multiplexer's streams inside.
//!
//! A page cannot use QUIC, and the TLS it has may end in a proxy. So what moves its messages is only a carrier, trusted
//! with nothing: handshake, encryption, streams and back-pressure are in here, the same for every carrier.
//!
//! ```text
//! WebSocket, fetch + POST, … ── Carrier ──▶ NoiseHost::accept ── Arrival ──▶ NoisePeer ── (MuxSend, MuxRecv) ──▶ the API
//! ```
//! A connection has one task that owns it and as many handles as one likes. When it ends and can say so, its
//! last message says why, as a [`CloseCode`](crate::close::CloseCode); that word is the only authentic one about it.

mod carrier;
pub mod device;
mod driver;
mod held;
mod host;
mod peer;
mod stream;

#[cfg(test)]
mod tests;

pub use carrier::{CARRIER_QUEUE, Carrier, CarrierEnd, MAX_CARRIED_BYTES};
pub use host::NoiseHost;
pub use peer::NoisePeer;
pub use stream::{MuxRecv, MuxSend, StreamBroken};

/// First byte of a device's first message: it wants to be paired, or to ask for the host's lineage.
pub const PAIRING: u8 = 1;

/// First byte of a device's first message: it is paired.
pub const PAIRED: u8 = 2;
