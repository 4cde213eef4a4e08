//! What moves a channel's messages between a page and the host: a WebSocket, or, where a browser refuses one, a streamed
//! answer one way and requests in sequence the other.
//!
//! A carrier knows nothing of what it carries, and nobody is known by it: who is at the other end, the channel inside
//! proves. What a carrier owes is order, bounds, and to notice when nobody is there any more.

mod fetch;
mod table;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use lanyard_transport::noise::Carrier;

pub(super) use fetch::{open, post, stream};
pub(super) use table::Table;
pub(super) use websocket::{Bearer, stopped, upgrade};

/// How long the other end may take for a polite end.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long after the host's word to stop a carrier may go on: the channel tells the device within a second, and the
/// network side waits for two.
const STOP: Duration = Duration::from_millis(1_800);

/// The name of what is inside, for WebSocket's choice of protocol.
const PROTOCOL: &str = "lanyard.v1";

/// Takes a new carrier and runs a channel over it. Must not block.
pub(crate) type Opener = Arc<dyn Fn(Carrier) + Send + Sync>;
