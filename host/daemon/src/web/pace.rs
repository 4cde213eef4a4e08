//! How long anybody may take for anything.

use std::time::Duration;

/// The times of a connection; shorter in tests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// From connecting to the end of the TLS handshake. A phone on a bad Wi-Fi needs one second; a person whom his
    /// browser asks whether to go on is on another connection by then.
    pub(super) handshake: Duration,
    /// A request's headers, and nothing at all between two requests.
    pub(super) headers: Duration,
    /// A request's body: 256 KiB at a very bad 13 KB/s.
    pub(super) body: Duration,
    /// How often the other end of a carrier is made to show that it is there, and middle boxes that something is going
    /// on.
    pub(super) ping: Duration,
    /// Silence after which nobody is there: three pings.
    pub(super) gone: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(15),
            body: Duration::from_secs(20),
            ping: Duration::from_secs(15),
            gone: Duration::from_secs(45),
        }
    }
}
