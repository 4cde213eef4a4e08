//! What is between a device and a host: QUIC for programs, a Noise channel for browsers, pairing over either, and
//! finding hosts by mDNS.
//!
//! * TLS 1.3 with raw public keys both ways (RFC 7250): a peer *is* its Ed25519 key; no names, no certificates, no
//!   dates. Unknown keys get as far as the pairing protocol and nowhere else.
//! * A page cannot use QUIC. Whatever carries its messages is trusted with nothing: handshake, encryption and streams are
//!   inside ([`noise`]).
//! * One bidirectional stream for each request, one for each subscription; postcard frames, length-prefixed, capped.
//! * Nothing here decides who may do what: the host's allow-list and handlers are the daemon's.
//!
//! Both ends live here, so that one crate knows what is on the wire. Source: seed 001, design 3-pairing-and-transport.

pub mod close;
pub mod dial;
pub mod discovery;
pub mod framing;
pub mod host;
pub mod join;
pub mod keyfile;
#[cfg(test)]
mod lab;
pub mod limits;
pub mod noise;
pub mod peer;
mod reset;
pub mod session;
mod socket;
mod tls;
mod welcome;

/// ALPN of the agent API; only paired devices.
pub const ALPN_SESSION: &[u8] = b"lanyard/1";

/// ALPN of pairing (and of asking how a host's key follows from an older one); anybody.
pub const ALPN_PAIRING: &[u8] = b"lanyard-pair/1";

/// Default UDP port, and the TCP port of the page.
pub const DEFAULT_PORT: u16 = 7717;
