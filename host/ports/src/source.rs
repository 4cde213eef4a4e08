//! Time and fresh ids, passed in so that tests decide them.

use lanyard_protocol::Timestamp;

/// The wall clock.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Fresh ids.
pub trait IdSource: Send + Sync {
    /// A text valid as any protocol id: the prefix, `_`, and at least 80 random bits in lower-case base32 or hex.
    fn fresh(&self, prefix: &str) -> String;
}
