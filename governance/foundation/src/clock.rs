//! Time and fresh ids.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lanyard_protocol::Timestamp;
use lanyard_protocol::id::IdError;

use crate::fault::Fault;

/// The wall clock of the server.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The system's, moved by an offset that may change while it runs: how retention and purge are tried out
/// (`lanyard-central --clock-offset-seconds`, and tests).
#[derive(Debug, Clone, Default)]
pub struct MovedClock(Arc<AtomicI64>);

impl MovedClock {
    /// Ahead (or, negative, behind) by so many milliseconds from now on.
    pub fn set(&self, offset_millis: i64) {
        self.0.store(offset_millis, Ordering::Relaxed);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        Timestamp::now().plus_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Random bytes from the system.
pub fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| Fault::internal("the system gives no random bytes", &e))?;
    Ok(bytes)
}

/// A fresh id: the prefix, `_`, and 120 random bits in lower-case base32.
pub fn fresh_id<T: TryFrom<String, Error = IdError>>(prefix: &str) -> Result<T, Fault> {
    let text = data_encoding::BASE32_NOPAD.encode(&random::<15>()?).to_lowercase();
    T::try_from(format!("{prefix}_{text}")).map_err(|e| Fault::internal("an id could not be made", &e))
}
