//! What carries a browser's channel: whole messages, reliable and in order, whatever moves them.

use std::net::SocketAddr;

use lanyard_pairing::noise::MAX_SEALED_BYTES;
use tokio::sync::mpsc;

/// Longest message a carrier has to take, in bytes, in either direction. One that is longer ends the connection; who
/// moves the messages reads no further than this.
pub const MAX_CARRIED_BYTES: usize = MAX_SEALED_BYTES;

/// Messages that may wait in a carrier, in each direction. One is on its way while the next is made; what waits here is
/// out of reach of the multiplexer's order, so an approval may be behind two messages of at most 64 KiB.
pub const CARRIER_QUEUE: usize = 2;

/// The channel's side of a carrier.
///
/// * Each vector is one whole message. An empty one is none and ends the connection.
/// * When either queue is closed by the other side, the carrier is gone, and so is the connection.
/// * When this side lets go of both queues, the connection is over: whatever is still in `outgoing` is delivered (the
///   last message says why it ended), then the carrier is closed. It takes nothing more from the device meanwhile.
/// * Silence is the carrier's business: there is no clock in the channel once the handshake is done. A carrier that has
///   heard nothing of the device for too long closes its ends.
#[derive(Debug)]
pub struct Carrier {
    /// What the device sends. Not read while the channel has no room: the carrier then stops reading too.
    pub incoming: mpsc::Receiver<Vec<u8>>,
    /// What the device is sent.
    pub outgoing: mpsc::Sender<Vec<u8>>,
    /// Where the device is, as far as the carrier can tell.
    pub address: SocketAddr,
}

/// The other side of a [`Carrier`]: for whoever moves the messages.
#[derive(Debug)]
pub struct CarrierEnd {
    /// Takes what arrived from the far end; waits while the channel has no room.
    pub arrived: mpsc::Sender<Vec<u8>>,
    /// Gives what has to go to the far end; `None` when nothing more comes.
    pub departing: mpsc::Receiver<Vec<u8>>,
}

impl Carrier {
    /// A carrier with a device at an address, and the end that moves its messages.
    pub fn new(address: SocketAddr) -> (Self, CarrierEnd) {
        let (arrived, incoming) = mpsc::channel(CARRIER_QUEUE);
        let (outgoing, departing) = mpsc::channel(CARRIER_QUEUE);
        (Self { incoming, outgoing, address }, CarrierEnd { arrived, departing })
    }

    /// Two carriers that lead to each other.
    pub fn pair(address: SocketAddr) -> (Self, Self) {
        let (one, end) = Self::new(address);
        (one, Self { incoming: end.departing, outgoing: end.arrived, address })
    }
}
