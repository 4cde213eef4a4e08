//! Time and fresh ids, passed in so that tests decide them.

use lanyard_protocol::{Tick, Timestamp};

/// The wall clock.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The clock that counts from the machine's start, sleep included (`CLOCK_BOOTTIME`). Nobody sets it: what must not be
/// prolonged by setting a clock back is counted on it.
pub trait BootClock: Send + Sync {
    /// Now.
    fn boot(&self) -> Tick;
}

/// Fresh ids.
pub trait IdSource: Send + Sync {
    /// A text valid as any protocol id: the prefix, `_`, and at least 80 random bits in lower-case base32 or hex.
    fn fresh(&self, prefix: &str) -> String;
}
