//! The place reached in one numbered log (a session's, or the host's).
//!
//! A log is numbered from 1 without gaps. The cursor lets each number through once and in order. When a number is
//! missing it asks for the log from the last number on, and lets nothing through until that replay arrives.

/// Replays asked for at one place before the subscription is given up. A link that loses a frame now and then needs
/// one or two; a host that never sends the missing number must not be asked for ever.
pub(crate) const MAX_REPLAYS: u32 = 16;

/// Whether the host has confirmed that it sends from this cursor on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A subscription has been or will be asked for; what arrives out of order is the old one's and is dropped.
    Asked,
    /// The host confirmed it.
    Live,
}

/// What to do with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the next one. `skipped` numbers before it cannot be had: the host sent them, this build could not read
    /// them.
    Deliver {
        /// How many.
        skipped: u64,
    },
    /// It was seen, or a replay that holds it is on its way.
    Drop,
    /// Numbers are missing: ask for the log from [`Cursor::resume_from`] on.
    Replay,
    /// Numbers are still missing after [`MAX_REPLAYS`] replays.
    GiveUp,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    /// The last number let through; unknown for a subscription to "whatever comes" before its first event.
    at: Option<u64>,
    /// The last number written when the host confirmed such a subscription.
    floor: Option<u64>,
    phase: Phase,
    replays: u32,
    /// A frame that may have been one of this log could not be read since the host's last confirmation.
    unreadable: bool,
}

impl Cursor {
    /// Everything after a number.
    pub(crate) fn after(seq: u64) -> Self {
        Self { at: Some(seq), ..Self::new_events_only() }
    }

    /// Whatever comes, from the first event that arrives.
    pub(crate) fn new_events_only() -> Self {
        Self { at: None, floor: None, phase: Phase::Asked, replays: 0, unreadable: false }
    }

    /// The last number that need not be sent again, when one is known.
    pub(crate) fn resume_from(&self) -> Option<u64> {
        self.at.or(self.floor)
    }

    /// The host confirmed the subscription; `last` is the last number it had written.
    pub(crate) fn confirmed(&mut self, last: u64) {
        self.phase = Phase::Live;
        self.unreadable = false;
        if self.at.is_none() {
            self.floor = Some(last);
        }
    }

    /// The subscription is (to be) asked for again.
    pub(crate) fn asked_again(&mut self) {
        self.phase = Phase::Asked;
    }

    /// A frame could not be read and may have been an event of this log.
    pub(crate) fn saw_unreadable(&mut self) {
        self.unreadable = true;
    }

    /// Judges an event's number, and moves on when it is let through.
    pub(crate) fn offer(&mut self, seq: u64) -> Verdict {
        let next = match (self.at, self.floor) {
            (Some(at), _) if seq <= at => return Verdict::Drop,
            (Some(at), _) => at.saturating_add(1),
            // Nothing was seen yet: anything up to the first new number may be where the host begins.
            (None, Some(floor)) => seq.min(floor.saturating_add(1)),
            (None, None) => seq,
        };
        if seq == next {
            return self.deliver(seq, 0);
        }
        if self.phase == Phase::Asked {
            return Verdict::Drop;
        }
        // Once is chance; unreadable again in the replay means that it is there and this build cannot read it.
        if self.unreadable && self.replays > 0 {
            return self.deliver(seq, seq - next);
        }
        self.replays += 1;
        if self.replays > MAX_REPLAYS {
            return Verdict::GiveUp;
        }
        self.at = Some(next - 1);
        self.phase = Phase::Asked;
        Verdict::Replay
    }

    fn deliver(&mut self, seq: u64, skipped: u64) -> Verdict {
        self.at = Some(seq);
        self.replays = 0;
        Verdict::Deliver { skipped }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, MAX_REPLAYS, Verdict};

    const NEXT: Verdict = Verdict::Deliver { skipped: 0 };

    #[test]
    fn each_number_passes_once_and_a_gap_asks_for_a_replay() {
        let mut cursor = Cursor::after(4);
        cursor.confirmed(4);
        assert_eq!(cursor.offer(5), NEXT);
        assert_eq!(cursor.offer(5), Verdict::Drop);
        assert_eq!(cursor.offer(3), Verdict::Drop);
        assert_eq!(cursor.offer(8), Verdict::Replay);
        assert_eq!(cursor.resume_from(), Some(5));
        assert_eq!(cursor.offer(9), Verdict::Drop, "the replay holds it");
        cursor.confirmed(9);
        for seq in 6..=9 {
            assert_eq!(cursor.offer(seq), NEXT);
        }
    }

    #[test]
    fn without_a_starting_point_the_first_new_event_is_it() {
        for (first, verdict) in [(7, NEXT), (8, NEXT), (9, Verdict::Replay)] {
            let mut cursor = Cursor::new_events_only();
            cursor.confirmed(7);
            assert_eq!(cursor.offer(first), verdict, "{first}");
        }
        let mut early = Cursor::new_events_only();
        assert_eq!(early.offer(9), NEXT, "it may overtake the confirmation");
        early.confirmed(9);
        assert_eq!(early.offer(10), NEXT);
    }

    #[test]
    fn what_cannot_be_read_is_skipped_and_counted_not_asked_for_again_and_again() {
        let mut cursor = Cursor::after(0);
        cursor.confirmed(3);
        cursor.saw_unreadable();
        assert_eq!(cursor.offer(3), Verdict::Replay, "the frame may have been something else");
        cursor.confirmed(3);
        cursor.saw_unreadable();
        assert_eq!(cursor.offer(3), Verdict::Deliver { skipped: 2 });
        assert_eq!(cursor.offer(5), Verdict::Replay, "each gap is looked into");
        cursor.confirmed(5);
        assert_eq!(cursor.offer(5), Verdict::Replay, "a confirmation forgets the unreadable frame");
    }

    #[test]
    fn a_host_that_never_sends_a_number_is_not_asked_for_ever() {
        let mut cursor = Cursor::after(0);
        for _ in 0..MAX_REPLAYS {
            cursor.confirmed(2);
            assert_eq!(cursor.offer(2), Verdict::Replay);
        }
        cursor.confirmed(2);
        assert_eq!(cursor.offer(2), Verdict::GiveUp);
    }
}
