//! The real clock and the real randomness.

use data_encoding::BASE32_NOPAD;
use lanyard_ports::source::{BootClock, Clock, IdSource};
use lanyard_protocol::{Tick, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// The system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

impl BootClock for SystemClock {
    fn boot(&self) -> Tick {
        // Elsewhere the monotonic clock is the one that counts sleep.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        const BOOT: ClockId = ClockId::Boottime;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        const BOOT: ClockId = ClockId::Monotonic;
        let now = clock_gettime(BOOT);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let millis = u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000;
        Tick::from_millis(seconds.saturating_mul(1_000).saturating_add(millis))
    }
}

/// Ids of 80 random bits from the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RandomIds;

impl IdSource for RandomIds {
    fn fresh(&self, prefix: &str) -> String {
        let mut bytes = [0u8; 10];
        if let Err(e) = getrandom::fill(&mut bytes) {
            // Without randomness ids would repeat and records be overwritten; there is no way to go on.
            tracing::error!(error = %e, "the operating system gives no randomness");
            std::process::abort();
        }
        format!("{prefix}_{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use lanyard_ports::source::IdSource;
    use lanyard_protocol::id::SessionId;

    use super::RandomIds;

    #[test]
    fn ids_fit_the_grammar_and_differ() {
        let (a, b) = (RandomIds.fresh("sess"), RandomIds.fresh("sess"));
        assert_ne!(a, b);
        SessionId::new(a).unwrap();
    }
}
