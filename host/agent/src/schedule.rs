//! Which calls of a step may run now. Pure: it is told what happened and says what may start.
//!
//! Calls keep the model's order only where it matters: a [`Lane::Read`] runs beside anything but a barrier, a
//! [`Lane::Write`] beside writes to other paths, a [`Lane::Barrier`] alone, after everything before it and before
//! everything after it. A call that waits for a person holds back only what must come after it.

use std::path::PathBuf;

use lanyard_ports::router::Lane;
use lanyard_protocol::session::SessionState;

/// Calls of one step that run at a time. Enough to hide the latency of reads and requests; children of one step do not
/// starve the machine of processes or the person of an overview.
pub const MAX_RUNNING: usize = 8;

/// A transition that the call's state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("call {position} of the step cannot be {what} now")]
pub struct ScheduleError {
    position: usize,
    what: &'static str,
}

/// A call as the router prepared it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// How it may run beside others.
    pub lane: Lane,
    /// Whether a person must answer first.
    pub awaits_person: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asked,
    Ready,
    Running,
    Done,
}

#[derive(Debug, Clone)]
struct Slot {
    lane: Lane,
    awaits_person: bool,
    stage: Stage,
}

/// The calls of one step.
#[derive(Debug, Clone)]
pub struct Schedule {
    slots: Vec<Slot>,
    halted: bool,
}

impl Schedule {
    /// Calls in the model's order; `None` stands for one that has its result already.
    pub fn new(calls: impl IntoIterator<Item = Option<Prepared>>) -> Self {
        let slot = |call: Option<Prepared>| match call {
            Some(Prepared { lane, awaits_person }) => Slot { lane, awaits_person, stage: Stage::Asked },
            None => Slot { lane: Lane::Read, awaits_person: false, stage: Stage::Done },
        };
        Self { slots: calls.into_iter().map(slot).collect(), halted: false }
    }

    /// The call may run as far as policy and people are concerned.
    pub fn ready(&mut self, position: usize) -> Result<(), ScheduleError> {
        self.step(position, &[Stage::Asked], Stage::Ready, "made ready")
    }

    /// The call has its result, run or not.
    pub fn done(&mut self, position: usize) -> Result<(), ScheduleError> {
        self.step(position, &[Stage::Asked, Stage::Ready, Stage::Running], Stage::Done, "finished")
    }

    /// From now on nothing starts.
    pub fn halt(&mut self) {
        self.halted = true;
    }

    /// The first call that may start, which counts as running from now on.
    pub fn start_next(&mut self) -> Option<usize> {
        if self.halted || self.count(Stage::Running) >= MAX_RUNNING {
            return None;
        }
        let position = (0..self.slots.len()).find(|position| self.may_start(*position))?;
        self.slots[position].stage = Stage::Running;
        Some(position)
    }

    /// Whether every call has its result.
    pub fn is_done(&self) -> bool {
        self.slots.iter().all(|slot| slot.stage == Stage::Done)
    }

    /// Positions of calls without a result, and whether each has been started.
    pub fn unfinished(&self) -> Vec<(usize, bool)> {
        let open = self.slots.iter().enumerate().filter(|(_, slot)| slot.stage != Stage::Done);
        open.map(|(position, slot)| (position, slot.stage == Stage::Running)).collect()
    }

    /// Whether a call is running.
    pub fn has_started(&self, position: usize) -> bool {
        self.slots.get(position).is_some_and(|slot| slot.stage == Stage::Running)
    }

    /// The session's state while the step is in this one: a waiting person counts before a running tool.
    pub fn state(&self) -> SessionState {
        let asks = |slot: &Slot| slot.awaits_person && slot.stage == Stage::Asked;
        if self.slots.iter().any(asks) {
            SessionState::WaitingForApproval
        } else {
            SessionState::WaitingForTool
        }
    }

    fn may_start(&self, position: usize) -> bool {
        let slot = &self.slots[position];
        let before = &self.slots[..position];
        slot.stage == Stage::Ready
            && before.iter().all(|other| other.stage == Stage::Done || beside(&other.lane, &slot.lane))
    }

    fn count(&self, stage: Stage) -> usize {
        self.slots.iter().filter(|slot| slot.stage == stage).count()
    }

    fn step(
        &mut self,
        position: usize,
        from: &[Stage],
        to: Stage,
        what: &'static str,
    ) -> Result<(), ScheduleError> {
        match self.slots.get_mut(position) {
            Some(slot) if from.contains(&slot.stage) => {
                slot.stage = to;
                Ok(())
            }
            _ => Err(ScheduleError { position, what }),
        }
    }
}

/// Whether two calls may run at the same time. Symmetric: a later call that has started never blocks an earlier one.
fn beside(a: &Lane, b: &Lane) -> bool {
    match (a, b) {
        (Lane::Barrier, _) | (_, Lane::Barrier) => false,
        (Lane::Read, _) | (_, Lane::Read) => true,
        (Lane::Write(a), Lane::Write(b)) => a.iter().all(|a| b.iter().all(|b| !overlap(a, b))),
    }
}

/// The same path, or one inside the other (a moved or deleted directory).
fn overlap(a: &PathBuf, b: &PathBuf) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::cases;

    fn read() -> Option<Prepared> {
        Some(Prepared { lane: Lane::Read, awaits_person: false })
    }
    fn write(path: &str) -> Option<Prepared> {
        Some(Prepared { lane: Lane::Write(vec![path.into()]), awaits_person: false })
    }
    fn barrier() -> Option<Prepared> {
        Some(Prepared { lane: Lane::Barrier, awaits_person: false })
    }
    fn asks(call: Option<Prepared>) -> Option<Prepared> {
        call.map(|call| Prepared { awaits_person: true, ..call })
    }

    fn start_all(schedule: &mut Schedule) -> Vec<usize> {
        std::iter::from_fn(|| schedule.start_next()).collect()
    }

    #[test]
    fn reads_and_writes_to_other_paths_run_together() {
        let mut schedule =
            Schedule::new([read(), write("/w/a"), write("/w/b"), write("/w/a"), write("/w"), read()]);
        (0..6).for_each(|i| schedule.ready(i).unwrap());
        assert_eq!(start_all(&mut schedule), [0, 1, 2, 5]);
        schedule.done(1).unwrap();
        assert_eq!(start_all(&mut schedule), [3]);
        schedule.done(2).unwrap();
        schedule.done(3).unwrap();
        assert_eq!(start_all(&mut schedule), [4], "the directory waits for everything inside it");
    }

    #[test]
    fn a_barrier_runs_alone_and_in_its_place() {
        let mut schedule = Schedule::new([read(), barrier(), read()]);
        (0..3).for_each(|i| schedule.ready(i).unwrap());
        assert_eq!(start_all(&mut schedule), [0]);
        schedule.done(0).unwrap();
        assert_eq!(start_all(&mut schedule), [1]);
        schedule.done(1).unwrap();
        assert_eq!(start_all(&mut schedule), [2]);
    }

    #[test]
    fn an_approval_holds_back_only_what_must_come_after_it() {
        let mut schedule = Schedule::new([asks(write("/w/a")), read(), write("/w/a"), write("/w/b")]);
        assert_eq!(schedule.state(), SessionState::WaitingForApproval);
        (1..4).for_each(|i| schedule.ready(i).unwrap());
        assert_eq!(start_all(&mut schedule), [1, 3]);
        schedule.ready(0).unwrap();
        assert_eq!(schedule.state(), SessionState::WaitingForTool);
        assert_eq!(start_all(&mut schedule), [0]);
        schedule.done(0).unwrap();
        assert_eq!(start_all(&mut schedule), [2]);
    }

    #[test]
    fn at_most_eight_run_at_a_time() {
        let mut schedule = Schedule::new((0..20).map(|_| read()));
        (0..20).for_each(|i| schedule.ready(i).unwrap());
        assert_eq!(start_all(&mut schedule).len(), MAX_RUNNING);
    }

    #[test]
    fn impossible_moves_are_errors() {
        let mut schedule = Schedule::new([read(), None]);
        assert!(schedule.ready(7).is_err());
        assert!(schedule.ready(1).is_err(), "it has its result");
        schedule.ready(0).unwrap();
        assert!(schedule.ready(0).is_err());
        schedule.done(0).unwrap();
        assert!(schedule.done(0).is_err());
    }

    fn lane() -> impl Strategy<Value = Lane> {
        let path = prop::sample::select(vec!["/w", "/w/a", "/w/a/b", "/w/c", "/x"]);
        prop_oneof![
            Just(Lane::Read),
            prop::collection::vec(path, 1..3)
                .prop_map(|paths| Lane::Write(paths.into_iter().map(PathBuf::from).collect())),
            Just(Lane::Barrier),
        ]
    }

    proptest! {
        #![proptest_config(cases(256))]

        /// Whatever the lanes and the order of answers and results: calls that run together may, order is kept where
        /// it matters, nothing is forgotten, and nothing starts after a halt.
        #[test]
        fn any_order_of_events_is_safe_and_ends(
            lanes in prop::collection::vec(prop::option::weighted(0.9, (lane(), any::<bool>())), 0..14),
            picks in prop::collection::vec((any::<prop::sample::Index>(), 0u8..4), 0..80),
            halt_at in prop::option::of(0usize..40),
        ) {
            let prepared = |(lane, awaits_person)| Prepared { lane, awaits_person };
            let mut schedule = Schedule::new(lanes.iter().cloned().map(|call| call.map(prepared)));
            let lane_of = |i: usize| lanes[i].as_ref().map(|(lane, _)| lane.clone()).unwrap();
            let mut running: Vec<usize> = Vec::new();
            let mut halted = false;
            for (turn, (pick, action)) in picks.into_iter().enumerate() {
                if halt_at == Some(turn) {
                    schedule.halt();
                    halted = true;
                }
                let open = schedule.unfinished();
                let Some((position, started)) = (!open.is_empty()).then(|| open[pick.index(open.len())]) else {
                    break;
                };
                match action {
                    0 | 1 if !started => { let _ = schedule.ready(position); }
                    2 if started || halted => {
                        schedule.done(position).unwrap();
                        running.retain(|one| *one != position);
                    }
                    3 if !started => schedule.done(position).unwrap(),
                    _ => {}
                }
                while let Some(next) = schedule.start_next() {
                    prop_assert!(!halted);
                    for other in &running {
                        prop_assert!(beside(&lane_of(*other), &lane_of(next)));
                    }
                    for (earlier, _) in schedule.unfinished().into_iter().filter(|(i, _)| *i < next) {
                        prop_assert!(beside(&lane_of(earlier), &lane_of(next)), "overtook a call it depends on");
                    }
                    running.push(next);
                    prop_assert!(running.len() <= MAX_RUNNING);
                }
            }
            // Nothing is stuck: what is left can always be brought to its end.
            while !schedule.is_done() {
                let before = schedule.unfinished().len();
                for (position, started) in schedule.unfinished() {
                    if !started { let _ = schedule.ready(position); }
                }
                while schedule.start_next().is_some() {}
                let runnable = schedule.unfinished().into_iter().find(|(_, started)| *started || halted);
                prop_assert!(runnable.is_some(), "deadlock");
                schedule.done(runnable.unwrap().0).unwrap();
                prop_assert!(schedule.unfinished().len() < before);
            }
        }
    }
}
