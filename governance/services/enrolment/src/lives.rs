//! Whether one identity is used by two machines at once, told from heartbeats.
//!
//! A host that runs since an instant says so with every heartbeat (server time less its uptime). Restarts, sleep and
//! machines brought back from a snapshot move that instant later; nothing moves it back. So two instants that take turns
//! are two hosts that run at the same time. One return may be the server's own clock that was set; three are not. A
//! backup that was restored elsewhere while the original is gone is one life after another, and no alarm.

/// Instants this close are one, in milliseconds: heartbeats may arrive late, and replicas' clocks differ a little.
const SAME_MILLIS: i64 = 5 * 60_000;

/// Returns from one life to the other after which a second machine is suspected.
const ENOUGH: i64 = 3;

/// What is remembered of a host's lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lives {
    /// Start of the life that was heard last, in milliseconds.
    pub(crate) life: Option<i64>,
    /// Start of the one before.
    pub(crate) other: Option<i64>,
    /// How often they took turns.
    pub(crate) swaps: i64,
}

impl Lives {
    /// After a heartbeat of a host that runs since `start`.
    pub(crate) fn heard(self, start: i64) -> Self {
        let is =
            |life: Option<i64>| life.is_some_and(|life| life.abs_diff(start) <= SAME_MILLIS.unsigned_abs());
        if is(self.life) {
            self
        } else if is(self.other) {
            // What was remembered is kept, so that small differences do not add up.
            Self { life: self.other, other: self.life, swaps: self.swaps.saturating_add(1) }
        } else {
            Self { life: Some(start), other: self.life, swaps: 0 }
        }
    }

    /// Two machines run at the same time.
    pub(crate) fn suspicious(self) -> bool {
        self.swaps >= ENOUGH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;

    fn after(starts: &[i64]) -> Lives {
        starts.iter().fold(Lives::default(), |lives, start| lives.heard(*start))
    }

    #[test]
    fn two_machines_that_take_turns_are_suspected() {
        assert!(after(&[0, HOUR, 0, HOUR, 0]).suspicious());
        assert!(after(&[0, 20_000, HOUR, HOUR + MINUTE, 30_000, HOUR, 10_000]).suspicious());
    }

    #[test]
    fn one_machine_is_not_whatever_happens_to_it() {
        // Late heartbeats; restarts; sleep; a snapshot; a restored backup; a server clock set back, and then a restart.
        let lives: &[&[i64]] = &[
            &[0, MINUTE, 2 * MINUTE, 0, 4 * MINUTE, 0, MINUTE],
            &[0, HOUR, 2 * HOUR, 3 * HOUR],
            &[0, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, 40 * MINUTE],
            &[HOUR, 5 * HOUR, 5 * HOUR, 5 * HOUR],
            &[HOUR, 0, 0, HOUR, HOUR, 2 * HOUR],
        ];
        for starts in lives {
            assert!(!after(starts).suspicious(), "{starts:?}");
        }
    }
}
