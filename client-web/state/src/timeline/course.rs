//! Where the task under way stands, and what happens at this moment.

use lanyard_protocol::Timestamp;
use lanyard_protocol::event::{EventBody, SessionEvent, TextDelta};
use lanyard_protocol::id::{StepId, StreamId, TaskId};

use super::call::CallState;
use super::told::Told;
use crate::visible::{Marks, line};

/// Most bytes of text held for a step that is still to come: far more than a model writes while an event reaches the
/// disk. The rest comes with the whole answer.
const MAX_HELD_BYTES: usize = 64 * 1024;

/// What happens at this moment.
#[derive(Debug, Clone, PartialEq)]
pub enum Activity {
    /// No task is under way.
    Idle,
    /// The model is asked and has said nothing yet.
    Thinking,
    /// The model writes.
    Writing,
    /// The model did not answer and is asked again at this instant.
    Retrying(Timestamp),
    /// That many calls run.
    Running(usize),
    /// That many calls wait for a person.
    Asking(usize),
    /// Between two things.
    Working,
    /// The task stands still.
    Paused(String),
    /// The session takes no further task.
    Over,
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    Asked,
    Retrying(Timestamp),
    Between,
    Paused(String),
    Idle,
    Over,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Course {
    /// The task under way; none when the last one ended.
    task: Told<Option<TaskId>>,
    step: Told<(StepId, u32, u32)>,
    phase: Told<Phase>,
    began: Told<Timestamp>,
}

impl Course {
    /// The task under way.
    pub fn task(&self) -> Option<&TaskId> {
        self.task.get().and_then(Option::as_ref)
    }

    /// Number of the step under way, and the most there may be.
    pub fn step(&self) -> Option<(u32, u32)> {
        self.task()?;
        let begun = self.step.seq() > self.began.seq() || self.began.get().is_none();
        self.step.get().filter(|_| begun).map(|(_, number, of)| (*number, *of))
    }

    /// When the last task began, where that was told.
    pub fn began(&self) -> Option<Timestamp> {
        self.began.get().copied()
    }

    /// What happens, given the answer and the calls of the step under way.
    pub(super) fn activity(&self, writes: bool, calls: &[CallState]) -> Activity {
        let phase = self.phase.get().unwrap_or(&Phase::Idle);
        match phase {
            Phase::Over => return Activity::Over,
            Phase::Idle => return Activity::Idle,
            Phase::Paused(reason) => return Activity::Paused(reason.clone()),
            _ => {}
        }
        let count = |state: CallState| calls.iter().filter(|call| **call == state).count();
        let (asks, runs) = (count(CallState::Asks), count(CallState::Running));
        match phase {
            _ if asks > 0 => Activity::Asking(asks),
            _ if runs > 0 => Activity::Running(runs),
            _ if writes => Activity::Writing,
            Phase::Asked => Activity::Thinking,
            Phase::Retrying(until) => Activity::Retrying(*until),
            _ => Activity::Working,
        }
    }

    /// Takes a durable event into account.
    pub(super) fn passed(&mut self, seq: u64, event: &SessionEvent) {
        let phase = match &event.body {
            EventBody::TaskStarted(_) => {
                self.task.tell(seq, event.task_id.clone());
                self.began.tell(seq, event.timestamp);
                Phase::Between
            }
            EventBody::StepStarted(step) => {
                self.step.tell(seq, (step.step_id.clone(), step.step_number, step.max_steps));
                self.under_way(seq, event);
                Phase::Between
            }
            EventBody::LlmRequestStarted(_) => Phase::Asked,
            EventBody::LlmRetry(retry) => {
                let delay = i64::try_from(retry.delay_ms).unwrap_or(i64::MAX);
                Phase::Retrying(event.timestamp.plus_millis(delay))
            }
            EventBody::SessionPaused(paused) => {
                Phase::Paused(line(&paused.reason, Marks::Missing).into_owned())
            }
            EventBody::SessionCompleted(_) | EventBody::SessionFailed(_) => Phase::Over,
            EventBody::SessionCreated(_) => Phase::Idle,
            body if body.ends_task() => {
                self.task.tell(seq, None);
                Phase::Idle
            }
            // A late result of a call does not end a pause, nor does what is told about the session as a whole.
            _ if event.task_id.is_none() => return,
            EventBody::SessionResumed(_) => Phase::Between,
            EventBody::PolicyExpired(_) | EventBody::StepLimitNear(_) | EventBody::ContextCompacted(_) => {
                return;
            }
            _ => Phase::Between,
        };
        if event.task_id.is_some() && !event.body.ends_task() {
            self.under_way(seq, event);
        }
        self.phase.tell(seq, phase);
    }

    /// An event of a task means that it is under way, unless its end is told later.
    fn under_way(&mut self, seq: u64, event: &SessionEvent) {
        self.task.tell(seq, event.task_id.clone());
    }

    /// Whether a step is still to come, so that its text must wait.
    pub(super) fn is_before(&self, step: &StepId) -> bool {
        match self.step.get() {
            Some((here, ..)) if here == step => false,
            Some(_) => true,
            // Nothing tells yet: somebody looks in in the middle of a task.
            None => self.began.get().is_some(),
        }
    }
}

/// Text of a step that is still to come. Pieces are sent as they are written, events once they are on the disk.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) step: StepId,
    pub(super) stream: StreamId,
    pub(super) text: String,
    pub(super) incomplete: bool,
}

impl Held {
    /// Holds a piece; text of another stream before it is void: only one answer is written at a time.
    pub(super) fn hold(slot: &mut Option<Self>, step: &StepId, delta: &TextDelta, missing: u64) {
        let held = match slot.take().filter(|held| held.stream == delta.stream_id) {
            Some(held) => slot.insert(held),
            None => slot.insert(Self {
                step: step.clone(),
                stream: delta.stream_id.clone(),
                text: String::new(),
                incomplete: false,
            }),
        };
        let room = held.text.len().saturating_add(delta.text.len()) <= MAX_HELD_BYTES;
        held.incomplete |= missing > 0 || !room;
        if !held.incomplete {
            held.text.push_str(&delta.text);
        }
    }
}
