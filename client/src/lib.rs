//! The client's side of the agent API, without IO: bytes in, values and bytes out.
//!
//! [`Client`] pairs replies with calls, gives every mutating call the key that makes its repetition harmless,
//! follows sessions and the host's log by cursor so that each durable event is seen exactly once and in order,
//! notices when pieces of a stream are missing, and decides after a broken connection what is sent again. It knows
//! no socket, no clock and no source of chance: the driver hands in frames, [`Tick`]s and a [`RandomSource`].
//!
//! The driver's duties, in any order and as often as it likes:
//!
//! * after connecting: [`Client::on_connected`]; when the connection ends: [`Client::on_disconnected`];
//! * write every frame [`Client::poll_transmit`] returns, and hand every received one to [`Client::feed`];
//! * call [`Client::handle_timeout`] when [`Client::next_timeout`] has come.
//!
//! Generic over the codec, so that the terminal (JSON-RPC, QUIC) and the browser share it.

mod client;
mod cursor;
mod deltas;
mod heartbeat;
mod idempotency;
mod incoming;
mod pending;
mod reconnect;
mod subscriptions;

#[cfg(test)]
mod lab;
#[cfg(test)]
mod tests;

pub use client::{Client, SendError};
pub use heartbeat::{MISSED_PROBES, PROBE_AFTER};
pub use idempotency::RandomSource;
pub use incoming::{FeedError, Incoming};
pub use lanyard_protocol::Tick;
pub use reconnect::Backoff;
pub use subscriptions::{Channel, MAX_SUBSCRIPTIONS};
