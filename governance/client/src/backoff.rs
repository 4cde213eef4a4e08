//! How long to wait before trying again: exponential with full jitter. Pure; randomness is handed in.

use std::time::Duration;

/// The first ceiling.
pub const BASE: Duration = Duration::from_secs(1);

/// The highest ceiling: a centre that comes back after a night is found within five minutes, and ten thousand hosts
/// that wait for it ask some thirty times a second together.
pub const CAP: Duration = Duration::from_secs(300);

/// Longest `Retry-After` that is obeyed; a longer one is a fault of the server.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// Shortest wait, so that a lucky draw does not turn into a busy loop.
const FLOOR: Duration = Duration::from_millis(50);

/// Counts failures in a row.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Before the first failure.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more failure: how long to wait. `random` is any number, evenly distributed; `retry_after` is what the server
    /// asked for, which is the least that is waited (up to an hour), with jitter on top so that not everybody comes back
    /// at once.
    pub fn next(&mut self, random: u64, retry_after: Option<Duration>) -> Duration {
        let ceiling = BASE.saturating_mul(1 << self.failures.min(16)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        let least = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
        (least + share(ceiling, random)).max(FLOOR)
    }

    /// The same with a number from the system, where no server asked for anything.
    pub fn pause(&mut self) -> Duration {
        self.next(random(), None)
    }

    /// It worked: the next failure is the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// `whole` times `random / 2^64`.
fn share(whole: Duration, random: u64) -> Duration {
    let nanos = whole.as_nanos().saturating_mul(u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A duration moved evenly within ± a tenth, so that hosts that began together do not stay together.
pub(crate) fn spread(around: Duration, random: u64) -> Duration {
    around - around / 10 + share(around / 5, random)
}

/// A number from the system. Without one, hosts may come back together; that is no reason to stop.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_double_from_a_second_to_five_minutes() {
        let mut backoff = Backoff::new();
        let longest: Vec<u64> = (0..12).map(|_| backoff.next(u64::MAX, None).as_millis() as u64).collect();
        let ceilings = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300];
        for (got, ceiling) in longest.iter().zip(ceilings) {
            assert!(*got <= ceiling * 1_000 && *got >= ceiling * 1_000 - 1, "{got} ms for {ceiling} s");
        }
        backoff.reset();
        assert_eq!(backoff.next(u64::MAX, None).as_millis(), 999);
    }

    #[test]
    fn jitter_is_full() {
        let mut backoff = Backoff { failures: 4 };
        assert_eq!(backoff.clone().next(0, None), FLOOR);
        assert_eq!(backoff.next(1 << 63, None), Duration::from_secs(8));
    }

    #[test]
    fn what_the_server_asks_for_is_the_least_but_not_for_ever() {
        let ask = Some(Duration::from_secs(30));
        assert_eq!(Backoff::new().next(0, ask), Duration::from_secs(30));
        assert!(Backoff::new().next(u64::MAX, ask) > Duration::from_millis(30_990));
        let year = Some(Duration::from_secs(365 * 86_400));
        assert!(Backoff::new().next(u64::MAX, year) <= MAX_RETRY_AFTER + BASE);
    }

    #[test]
    fn counting_never_overflows() {
        let mut backoff = Backoff { failures: u32::MAX };
        assert!(backoff.next(u64::MAX, None) <= CAP);
        assert_eq!(backoff.failures(), u32::MAX);
    }

    #[test]
    fn spreading_stays_within_a_tenth() {
        let minute = Duration::from_secs(60);
        assert_eq!(spread(minute, 0), Duration::from_secs(54));
        assert_eq!(spread(minute, 1 << 63), minute);
        assert!(spread(minute, u64::MAX) <= Duration::from_secs(66));
    }
}
