//! A job's life as a state machine: pure, and tried in every order by its tests.
//!
//! `queued → leased → running → final`. A job that may have run is never handed out again. Until it runs, a person's
//! word is the last; once it runs, the host's is: also when it comes late. A job whose host was not heard of while it ran
//! is indeterminate, *presumed* so; the host that held the lease may still say how it ended, once.

use lanyard_governance_api::job::JobState;
use lanyard_governance_api::limits::LEASE_SECONDS;
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::CommandId;

/// Length of a lease, in milliseconds.
pub(super) const LEASE_MILLIS: i64 = LEASE_SECONDS as i64 * 1_000;

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Standing {
    pub(super) state: JobState,
    /// Not claimed after.
    pub(super) expires_at: Timestamp,
    /// Of the life of the host that claimed it; kept when it is over, so that a repeated report is known.
    pub(super) lease_key: Option<CommandId>,
    /// The lease ends at this instant; absent when there is none.
    pub(super) lease_until: Option<Timestamp>,
    /// It is indeterminate because its host was away, and the host may know better.
    pub(super) presumed: bool,
}

/// What happens to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// The host that it is for says where it stands.
    Report { key: &'a CommandId, state: JobState },
    /// A person takes it back.
    Cancel,
    /// The host does not take it.
    HostRefused,
    /// The host's enrolment was revoked.
    HostRevoked,
}

/// Why an event has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No host may report this state.
    NotReportable,
    /// It was not claimed.
    NotClaimed,
    /// Another life of the host holds it.
    OtherLease,
    /// It runs already.
    Backwards,
    /// It is over.
    Over,
}

/// What an event did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It stands differently now, or its lease is longer.
    Changed,
    /// Said before.
    Repeated,
    /// Nothing yet: the host is asked to stop, and decides.
    HostDecides,
    /// It had been given up, and the host has told how it ended.
    Settled,
    /// It was given up, and the host says that it still runs: nothing changes until it has ended.
    StillRuns,
}

impl Standing {
    pub(super) fn queued(expires_at: Timestamp) -> Self {
        Self { state: JobState::Queued, expires_at, lease_key: None, lease_until: None, presumed: false }
    }

    /// When it changes by itself.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        match self.state {
            JobState::Queued => Some(self.expires_at),
            JobState::Leased | JobState::Running => self.lease_until,
            _ => None,
        }
    }

    /// What time alone does. Whether it did something.
    pub(super) fn lapse(&mut self, now: Timestamp) -> bool {
        if self.due_at().is_none_or(|due| now < due) {
            return false;
        }
        let ran = self.state == JobState::Running;
        self.end(if ran { JobState::Indeterminate } else { JobState::Expired });
        self.presumed = ran;
        true
    }

    /// What an event does at an instant to which time was let pass.
    pub(super) fn on(&mut self, event: Event<'_>, now: Timestamp) -> Result<Effect, Refusal> {
        use JobState as S;
        match event {
            Event::Report { key, state } => self.report(key, state, now),
            Event::Cancel => match self.state {
                S::Queued | S::Leased => Ok(self.end(S::Cancelled)),
                S::Running => Ok(Effect::HostDecides),
                S::Cancelled => Ok(Effect::Repeated),
                _ => Err(Refusal::Over),
            },
            Event::HostRefused => match self.state {
                S::Queued | S::Leased => Ok(self.end(S::Denied)),
                _ => Err(Refusal::Over),
            },
            Event::HostRevoked => match self.state {
                S::Queued | S::Leased => Ok(self.end(S::Cancelled)),
                S::Running => Ok(self.end(S::Indeterminate)),
                _ => Err(Refusal::Over),
            },
        }
    }

    fn report(&mut self, key: &CommandId, state: JobState, now: Timestamp) -> Result<Effect, Refusal> {
        use JobState as S;
        if matches!(state, S::Queued | S::Expired) {
            return Err(Refusal::NotReportable);
        }
        let own = self.lease_key.as_ref() == Some(key);
        match (self.state, state) {
            (S::Queued, S::Leased) => {
                self.lease_key = Some(key.clone());
                Ok(self.hold(S::Leased, now))
            }
            (S::Queued, _) => Err(Refusal::NotClaimed),
            (S::Indeterminate, said) if self.presumed && own => match said {
                S::Leased => Err(Refusal::Over),
                S::Running => Ok(Effect::StillRuns),
                // Also that nobody knows: then there is no more to come.
                over => {
                    self.end(over);
                    self.presumed = false;
                    Ok(Effect::Settled)
                }
            },
            (over, same) if over.is_final() && over == same && own => Ok(Effect::Repeated),
            (over, _) if over.is_final() => Err(Refusal::Over),
            _ if !own => Err(Refusal::OtherLease),
            (S::Running, S::Leased) => Err(Refusal::Backwards),
            (_, over) if over.is_final() => Ok(self.end(over)),
            (_, held) => Ok(self.hold(held, now)),
        }
    }

    fn hold(&mut self, state: JobState, now: Timestamp) -> Effect {
        self.state = state;
        self.lease_until = Some(now.plus_millis(LEASE_MILLIS));
        Effect::Changed
    }

    fn end(&mut self, state: JobState) -> Effect {
        self.state = state;
        self.lease_until = None;
        Effect::Changed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashSet, VecDeque};

    use super::*;

    const STATES: [JobState; 9] = [
        JobState::Queued,
        JobState::Leased,
        JobState::Running,
        JobState::Succeeded,
        JobState::Failed,
        JobState::Denied,
        JobState::Expired,
        JobState::Cancelled,
        JobState::Indeterminate,
    ];

    /// Rank in the one order in which states may follow.
    fn rank(state: JobState) -> u8 {
        match state {
            JobState::Queued => 0,
            JobState::Leased => 1,
            JobState::Running => 2,
            _ => 3,
        }
    }

    fn check(was: &Standing, is: &Standing, what: &str) {
        use JobState as S;
        assert!(rank(is.state) >= rank(was.state), "{was:?} → {is:?} by {what}");
        if was.presumed && was != is {
            assert!(was.state == S::Indeterminate && !is.presumed && is.state.is_final(), "{is:?} by {what}");
            assert!(is.state != S::Expired, "it ran: {what}");
        } else if was.state.is_final() {
            assert_eq!(was, is, "over is over, but {what}");
        }
        assert!(!is.presumed || is.state == S::Indeterminate, "{is:?}");
        if was.state == S::Running {
            assert!(!matches!(is.state, S::Expired), "it ran: {what}");
        }
        if is.state == S::Indeterminate && was.state != is.state {
            assert!(was.state == S::Running || what.contains("Indeterminate"), "{was:?} by {what}");
        }
        assert_eq!(is.lease_until.is_some(), matches!(is.state, S::Leased | S::Running), "{is:?}");
        if was.lease_key.is_some() {
            assert_eq!(was.lease_key, is.lease_key, "a lease is never taken over: {what}");
        }
        if matches!(is.state, S::Leased | S::Running | S::Succeeded | S::Failed) {
            assert!(is.lease_key.is_some(), "{is:?}");
        }
    }

    /// Every state that can be reached in half an hour of ten-second steps, by every event in every order.
    #[test]
    fn no_order_of_events_breaks_the_rules() {
        let keys = [CommandId::new("one").unwrap(), CommandId::new("two").unwrap()];
        let start = Timestamp::from_millis(1_000_000);
        let mut events = vec![Event::Cancel, Event::HostRefused, Event::HostRevoked];
        for key in &keys {
            events.extend(STATES.map(|state| Event::Report { key, state }));
        }
        let first = (Standing::queued(start.plus_millis(30_000)), start);
        let (mut seen, mut open) = (HashSet::new(), VecDeque::from([first]));
        let mut reached = HashSet::new();
        while let Some((was, now)) = open.pop_front() {
            if !seen.insert((was.clone(), now)) || now.millis_since(start) > 300_000 {
                continue;
            }
            reached.insert(was.state);
            for event in &events {
                let mut is = was.clone();
                let what = format!("{event:?}");
                match is.on(*event, now) {
                    Err(_) | Ok(Effect::Repeated | Effect::HostDecides | Effect::StillRuns) => {
                        assert_eq!(is, was, "{what}");
                    }
                    Ok(effect) => {
                        assert_eq!(effect == Effect::Settled, was.presumed, "{what}");
                        if let Event::Report { key, state } = event {
                            assert_eq!(is.state, *state);
                            assert_eq!(is.lease_key.as_ref(), Some(*key), "only the holder reports");
                        }
                    }
                }
                check(&was, &is, &what);
                open.push_back((is, now));
            }
            for seconds in [10, 60] {
                let (mut is, later) = (was.clone(), now.plus_millis(seconds * 1_000));
                let lapsed = is.lapse(later);
                assert_eq!(lapsed, is != was);
                assert!(is.due_at().is_none_or(|due| due > later), "nothing due is left");
                check(&was, &is, "time");
                open.push_back((is, later));
            }
        }
        assert_eq!(reached.len(), STATES.len());
        assert!(seen.len() > 300, "{} situations", seen.len());
    }

    #[test]
    fn the_usual_life_and_its_ends() {
        let (one, two) = (CommandId::new("one").unwrap(), CommandId::new("two").unwrap());
        let now = Timestamp::from_millis(0);
        let says = |key, state| Event::Report { key, state };
        let mut job = Standing::queued(now.plus_millis(10_000));
        assert_eq!(job.on(says(&one, JobState::Running), now), Err(Refusal::NotClaimed));
        assert_eq!(job.on(says(&one, JobState::Leased), now), Ok(Effect::Changed));
        assert_eq!(job.on(says(&two, JobState::Leased), now), Err(Refusal::OtherLease));
        let later = now.plus_millis(50_000);
        assert!(!job.lapse(later));
        assert_eq!(job.on(says(&one, JobState::Running), later), Ok(Effect::Changed));
        assert_eq!(job.lease_until, Some(later.plus_millis(LEASE_MILLIS)));
        assert_eq!(job.on(says(&one, JobState::Leased), later), Err(Refusal::Backwards));
        assert_eq!(job.on(Event::Cancel, later), Ok(Effect::HostDecides));
        assert_eq!(job.on(says(&one, JobState::Succeeded), later), Ok(Effect::Changed));
        assert_eq!(job.on(says(&one, JobState::Succeeded), later), Ok(Effect::Repeated));
        assert_eq!(job.on(says(&two, JobState::Succeeded), later), Err(Refusal::Over));
        assert_eq!(job.on(says(&one, JobState::Failed), later), Err(Refusal::Over));
        assert_eq!(job.on(Event::HostRevoked, later), Err(Refusal::Over));
        let mut unclaimed = Standing::queued(now.plus_millis(10_000));
        assert!(unclaimed.lapse(later) && unclaimed.state == JobState::Expired);
    }

    #[test]
    fn a_host_that_was_away_says_how_it_ended_once_and_nobody_else_does() {
        let (one, two) = (CommandId::new("one").unwrap(), CommandId::new("two").unwrap());
        let now = Timestamp::from_millis(0);
        let says = |key, state| Event::Report { key, state };
        let mut given_up = Standing::queued(now.plus_millis(10_000));
        for state in [JobState::Leased, JobState::Running] {
            assert_eq!(given_up.on(says(&one, state), now), Ok(Effect::Changed));
        }
        let later = now.plus_millis(LEASE_MILLIS);
        assert!(given_up.lapse(later) && given_up.state == JobState::Indeterminate);
        assert_eq!(given_up.on(says(&two, JobState::Succeeded), later), Err(Refusal::Over));
        assert_eq!(given_up.on(says(&one, JobState::Leased), later), Err(Refusal::Over));
        assert_eq!(given_up.on(Event::Cancel, later), Err(Refusal::Over));
        assert_eq!(given_up.on(says(&one, JobState::Running), later), Ok(Effect::StillRuns));
        for state in [
            JobState::Succeeded,
            JobState::Failed,
            JobState::Denied,
            JobState::Cancelled,
            JobState::Indeterminate,
        ] {
            let mut job = given_up.clone();
            assert_eq!(job.on(says(&one, state), later), Ok(Effect::Settled));
            assert_eq!((job.state, job.lease_until), (state, None));
            assert_eq!(job.on(says(&one, state), later), Ok(Effect::Repeated), "after a lost answer");
            for other in [JobState::Running, JobState::Succeeded, JobState::Failed] {
                let again = job.on(says(&one, other), later);
                assert!(again == Err(Refusal::Over) || other == state, "{state:?}, then {other:?}");
            }
        }
        // What the host itself does not know, and what a revoked host leaves, stays.
        for mut job in [
            Standing { presumed: false, ..given_up.clone() },
            Standing { state: JobState::Expired, presumed: false, ..given_up },
        ] {
            assert_eq!(job.on(says(&one, JobState::Succeeded), later), Err(Refusal::Over));
        }
    }
}
