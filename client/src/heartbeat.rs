//! Decides when silence becomes a question, and when unanswered questions mean that the link is dead.

use std::time::Duration;

use lanyard_protocol::Tick;

/// Silence after which the host is probed. Short enough that a frozen host is noticed in seconds, long enough that
/// an idle watcher costs a host nothing.
pub const PROBE_AFTER: Duration = Duration::from_secs(5);

/// Probes without an answer after which the link counts as dead (design: "reconnecting" after 3).
pub const MISSED_PROBES: u32 = 3;

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Nothing.
    Wait,
    /// Ask for a sign of life.
    Probe,
    /// Give the connection up.
    Dead,
}

/// Watches one connection. Any frame counts as a sign of life, not only the answer to a probe.
#[derive(Debug, Clone)]
pub(crate) struct Heartbeat {
    due: Tick,
    unanswered: u32,
}

impl Heartbeat {
    pub(crate) fn started(now: Tick) -> Self {
        Self { due: now.plus(PROBE_AFTER), unanswered: 0 }
    }

    pub(crate) fn heard(&mut self, now: Tick) {
        *self = Self::started(now);
    }

    pub(crate) fn due(&self) -> Tick {
        self.due
    }

    pub(crate) fn beat(&mut self, now: Tick) -> Beat {
        if now < self.due {
            return Beat::Wait;
        }
        if self.unanswered >= MISSED_PROBES {
            return Beat::Dead;
        }
        self.unanswered += 1;
        self.due = now.plus(PROBE_AFTER);
        Beat::Probe
    }
}

#[cfg(test)]
mod tests {
    use super::{Beat, Heartbeat, MISSED_PROBES, PROBE_AFTER};
    use lanyard_protocol::Tick;

    fn at(periods: u32) -> Tick {
        Tick::default().plus(PROBE_AFTER * periods)
    }

    #[test]
    fn three_unanswered_probes_are_the_end() {
        let mut heart = Heartbeat::started(at(0));
        assert_eq!(heart.beat(at(0)), Beat::Wait);
        for period in 1..=MISSED_PROBES {
            assert_eq!(heart.due(), at(period));
            assert_eq!(heart.beat(at(period)), Beat::Probe, "{period}");
            assert_eq!(heart.beat(at(period)), Beat::Wait, "one probe a period");
        }
        assert_eq!(heart.beat(at(MISSED_PROBES + 1)), Beat::Dead);
    }

    #[test]
    fn any_sign_of_life_starts_the_count_anew() {
        let mut heart = Heartbeat::started(at(0));
        for period in 1..=MISSED_PROBES {
            heart.beat(at(period));
        }
        heart.heard(at(MISSED_PROBES));
        for period in 1..=MISSED_PROBES {
            assert_eq!(heart.beat(at(MISSED_PROBES + period)), Beat::Probe);
        }
        assert_eq!(heart.beat(at(2 * MISSED_PROBES + 1)), Beat::Dead);
    }
}
