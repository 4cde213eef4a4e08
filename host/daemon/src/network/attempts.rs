//! The limit over all typed codes of a host: at most thirty attempts within any hour, a restart in between or not.
//!
//! A code of 40 bits withstands three guesses; this keeps somebody from getting three guesses at each of a thousand
//! codes. The link of the QR code does not count and is not limited: it cannot be guessed.
//!
//! The last thirty attempts are kept as thirty counters of the store, each the instant of one attempt in milliseconds.
//! Counters only grow, so the oldest one is raised to the present: bounded, and exact over a sliding hour.

use lanyard_ports::journal::{Journal, JournalError};
use lanyard_protocol::Timestamp;

/// Attempts within an hour. A household that adds ten devices with three typing errors each stays below it.
const LIMIT: usize = 30;

/// The span, in milliseconds.
const HOUR: u64 = 60 * 60 * 1000;

/// Names of the counters; two digits follow.
const PREFIX: &str = "limit.typed_code.";

/// See the module.
#[derive(Debug)]
pub(super) struct TypedAttempts {
    /// Instants of attempts as they were, in milliseconds; 0 where there was none.
    at: [u64; LIMIT],
    /// The counters. Behind `at` only when the clock was set back: counters cannot follow it.
    stored: [u64; LIMIT],
}

impl TypedAttempts {
    /// Reads what was tried before the host was started.
    pub(super) fn load(journal: &dyn Journal) -> Result<Self, JournalError> {
        let mut stored = [0; LIMIT];
        for (name, count) in journal.counts(PREFIX)? {
            let slot = name.strip_prefix(PREFIX).and_then(|digits| digits.parse::<usize>().ok());
            if let Some(slot) = slot.and_then(|slot| stored.get_mut(slot)) {
                *slot = count;
            }
        }
        Ok(Self { at: stored, stored })
    }

    /// Whether another attempt is allowed.
    ///
    /// An instant more than an hour ahead comes from a clock that was wrong then and does not count: the owner could
    /// type no code until that day. Who can set the clock of this machine needs no code.
    pub(super) fn allows(&self, now: Timestamp) -> bool {
        self.at.iter().any(|at| !is_recent(*at, now))
    }

    /// Takes an attempt; what is returned is to be added to the counters before the attempt goes on.
    pub(super) fn take(&mut self, now: Timestamp) -> Vec<(String, u64)> {
        let millis = millis(now);
        // The one that counts least: not recent, then the oldest; counters that can still be raised first.
        let key = |slot: &usize| {
            let (at, stored) = (self.at.get(*slot).copied(), self.stored.get(*slot).copied());
            (is_recent(at.unwrap_or(0), now), stored > Some(millis), at)
        };
        let Some(slot) = (0..LIMIT).min_by_key(key) else { return Vec::new() };
        let (Some(at), Some(stored)) = (self.at.get_mut(slot), self.stored.get_mut(slot)) else {
            return Vec::new();
        };
        *at = millis;
        let raise = millis.saturating_sub(*stored);
        *stored += raise;
        vec![(format!("{PREFIX}{slot:02}"), raise)]
    }
}

fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(0)
}

fn is_recent(at: u64, now: Timestamp) -> bool {
    millis(now).abs_diff(at) < HOUR
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::Timestamp;

    use super::{HOUR, LIMIT, TypedAttempts};

    const START: i64 = 1_800_000_000_000;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(START + i64::try_from(millis).unwrap())
    }

    fn fresh() -> TypedAttempts {
        TypedAttempts { at: [0; LIMIT], stored: [0; LIMIT] }
    }

    /// As after a restart: from the counters alone.
    fn restarted(counters: &std::collections::BTreeMap<String, u64>) -> TypedAttempts {
        let mut stored = [0; LIMIT];
        for (name, count) in counters {
            stored[name.rsplit_once('.').unwrap().1.parse::<usize>().unwrap()] = *count;
        }
        TypedAttempts { at: stored, stored }
    }

    #[test]
    fn thirty_within_any_hour_whatever_the_restarts() {
        let mut counters = std::collections::BTreeMap::<String, u64>::new();
        let mut taken = Vec::new();
        // Tries every minute for five hours, restarted before each try.
        for minute in 0..300 {
            let now = minute * 60_000;
            let mut attempts = restarted(&counters);
            if !attempts.allows(at(now)) {
                continue;
            }
            taken.push(now);
            for (name, add) in attempts.take(at(now)) {
                *counters.entry(name).or_default() += add;
            }
        }
        for from in &taken {
            let within = taken.iter().filter(|t| (*from..from + HOUR).contains(t)).count();
            assert!(within <= LIMIT, "{within} within an hour");
        }
        assert_eq!(taken.len(), 5 * LIMIT, "no more is refused than must be");
        assert_eq!(counters.len(), LIMIT);
    }

    #[test]
    fn a_clock_that_was_far_ahead_locks_nobody_out_and_a_small_step_back_frees_nobody() {
        let mut attempts = fresh();
        for _ in 0..LIMIT {
            assert!(attempts.allows(at(HOUR * 24 * 365)));
            attempts.take(at(HOUR * 24 * 365));
        }
        assert!(attempts.allows(at(0)), "back from a wrong year");
        for _ in 0..LIMIT {
            attempts.take(at(0));
        }
        assert!(!attempts.allows(at(0)));
        assert!(!fresh_full_at(HOUR / 2).allows(at(0)), "half an hour back");
    }

    fn fresh_full_at(millis: u64) -> TypedAttempts {
        let mut attempts = fresh();
        for _ in 0..LIMIT {
            attempts.take(at(millis));
        }
        attempts
    }
}
