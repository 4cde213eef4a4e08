//! How long to wait before the next attempt to connect.

use std::time::Duration;

use crate::idempotency::RandomSource;

/// First wait. A restarted local host is back within tens of milliseconds.
const FIRST: Duration = Duration::from_millis(50);

/// Longest wait, so that a host that returns after minutes is found within seconds.
const LONGEST: Duration = Duration::from_secs(3);

/// Doubling waits with jitter: half of each is fixed, half is chance, so that many clients of one host do not
/// return in step.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The wait before the next attempt.
    pub fn next_wait(&mut self, random: &mut impl RandomSource) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.attempts.min(16)).min(LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        let half = doubled / 2;
        let span = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).max(1);
        // The remainder is below `span`, which is a u64.
        let chance = u64::try_from(random.next_u128() % u128::from(span)).unwrap_or(0);
        half + Duration::from_millis(chance)
    }

    /// Starts from the shortest wait again, after a connection that worked.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, FIRST, LONGEST};

    #[test]
    fn waits_grow_to_a_cap_and_start_anew() {
        let mut most = || u128::MAX - 1;
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..40).map(|_| backoff.next_wait(&mut most)).collect();
        assert!(waits.iter().all(|wait| *wait >= FIRST / 2 && *wait <= LONGEST));
        assert!(waits[39] >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.next_wait(&mut most) <= FIRST);
    }
}
