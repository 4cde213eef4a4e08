//! The turn machine: one task as a chain of states, each consumed by its transition. No IO, clock or randomness.
//!
//! ```text
//!            ┌────────── next step ─────────┐
//!            ▼                              │
//!  begin ► Asking ── answer with calls ► Calling
//!            │ └ answer without calls ──┐   │
//!            │ failed / cancelled ──────┤   │ cancelled / stopped by a guard
//!            ▼                          ▼   ▼
//!          Paused ◄──── host stops ──── Ended
//! ```
//!
//! A state *is* the order to the driver: [`Asking`] means "ask the model once", [`Calling`] "run these calls",
//! [`Ended`] and [`Paused`] "stop". Whoever holds one holds the only way forward, so two model calls at once, a second
//! end event or an answer without a question cannot be written down. What a caller can still get wrong (results of
//! other calls than were asked for) is a [`TurnError`].
//!
//! Every transition returns the [`Record`]s to be written as one batch before its next state is acted on.

mod asking;
mod calling;
pub mod guards;
pub mod record;
#[cfg(test)]
mod tests;

use lanyard_ports::journal::Checkpoint;
use lanyard_ports::model::ModelAnswer;
use lanyard_protocol::event::{
    EventBody, SessionPaused, StepCompleted, StepLimitNear, StepStarted, TaskCancelled, TaskCompleted,
    TaskFailed, Usage,
};
use lanyard_protocol::id::{StepId, StreamId, ToolCallId, WorkspaceId};
use lanyard_protocol::limits::MAX_MAX_STEPS;
use lanyard_protocol::session::SessionState;
use lanyard_protocol::{ErrorCode, WireError};

use guards::Guards;
use record::{Draft, Record, TaskEnd};

pub use asking::Asking;
pub use calling::Calling;

/// Calls taken from one answer. Models ask for a dozen at most; the rest of a flood is left out and the model told.
pub const MAX_CALLS_PER_STEP: usize = 64;

/// What a transition could not accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TurnError {
    /// Results do not answer the calls one for one, in order.
    #[error("the results of step {step} do not match its calls at position {position}")]
    ResultMismatch {
        /// The step.
        step: u32,
        /// First position that differs.
        position: usize,
    },
    /// Fewer fresh ids than calls.
    #[error("{given} call ids were given for {needed} calls")]
    TooFewIds {
        /// Ids given.
        given: usize,
        /// Ids needed.
        needed: usize,
    },
}

/// The records of a transition and the state after it.
#[derive(Debug)]
#[must_use = "records must be written and the state acted on"]
pub struct Moved<S> {
    /// To be written first, as one batch.
    pub records: Vec<Record>,
    /// What comes then.
    pub next: S,
}

/// The state after a step.
#[derive(Debug)]
pub enum Next {
    /// Ask the model.
    Ask(Asking),
    /// Run calls.
    Call(Calling),
    /// The task is over.
    End(Ended),
    /// The task stands still.
    Pause(Paused),
}

impl From<Moved<Ended>> for Moved<Next> {
    fn from(Moved { records, next }: Moved<Ended>) -> Self {
        Moved { records, next: Next::End(next) }
    }
}

impl From<Moved<Paused>> for Moved<Next> {
    fn from(Moved { records, next }: Moved<Paused>) -> Self {
        Moved { records, next: Next::Pause(next) }
    }
}

/// An answer with what the driver measured around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The answer.
    pub answer: ModelAnswer,
    /// Tokens, as reported, else estimated.
    pub usage: Usage,
    /// The stream its deltas came on.
    pub stream_id: StreamId,
    /// Milliseconds from request to last byte.
    pub duration_ms: u64,
}

/// Ids made outside, since the machine has no randomness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreshIds {
    /// One for each call of the answer.
    pub calls: Vec<ToolCallId>,
    /// For the step after this one; unused when there is none.
    pub next_step: StepId,
}

/// What every state of a task carries.
#[derive(Debug, Clone)]
struct Course {
    mark: Checkpoint,
    workspace_id: WorkspaceId,
    guards: Guards,
}

impl Course {
    fn max_steps(&self) -> u32 {
        self.mark.options.max_steps.clamp(1, MAX_MAX_STEPS)
    }

    fn event(&self, body: EventBody) -> Record {
        Record::of_step(&self.mark.step_id, body)
    }

    fn note(&self, text: &str) -> Record {
        Record::Message(Draft::note(&self.mark.step_id, text))
    }

    /// `step_started`, the warning when few steps are left, and the checkpoint that stands for both.
    fn open_step(&self, records: &mut Vec<Record>) {
        let (step_number, max_steps) = (self.mark.step_number, self.max_steps());
        records.push(self.event(EventBody::StepStarted(StepStarted {
            step_id: self.mark.step_id.clone(),
            step_number,
            max_steps,
        })));
        if step_number == warn_at(max_steps) {
            records.push(self.event(EventBody::StepLimitNear(StepLimitNear { step_number, max_steps })));
            let left = max_steps - step_number + 1;
            records.push(self.note(&format!(
                "{left} of {max_steps} steps are left, this one included. Finish, or say what remains to be done."
            )));
        }
        records.push(Record::Checkpoint(self.mark.clone()));
    }

    /// `step_completed`, then the next step, or the end when there is none left.
    fn close_step(mut self, mut records: Vec<Record>, calls: u32, next_step: StepId) -> Moved<Next> {
        records.push(self.step_completed(calls));
        let max_steps = self.max_steps();
        if self.mark.step_number >= max_steps {
            let error = WireError::new(
                ErrorCode::MaxStepsExceeded,
                format!(
                    "the task used all its {max_steps} steps; say \"go on\" in a new prompt or raise maxSteps"
                ),
            );
            return self.ended(records, TaskEnd::Failed(error)).into();
        }
        self.mark.step_id = next_step;
        self.mark.step_number += 1;
        self.mark.calls_under_way = false;
        self.mark.resumes = 0;
        self.open_step(&mut records);
        Moved { records, next: Next::Ask(Asking::new(self)) }
    }

    fn step_completed(&self, tool_calls: u32) -> Record {
        self.event(EventBody::StepCompleted(StepCompleted {
            step_id: self.mark.step_id.clone(),
            step_number: self.mark.step_number,
            tool_calls,
        }))
    }

    fn ended(self, mut records: Vec<Record>, end: TaskEnd) -> Moved<Ended> {
        records.extend(end_records(&self.mark, end.clone()));
        Moved { records, next: Ended { end } }
    }

    fn paused(self, mut records: Vec<Record>, reason: String) -> Moved<Paused> {
        // The mark is written again: a pause is a clean stop, and what a restart finds must say so.
        records.push(Record::Checkpoint(self.mark));
        let body = EventBody::SessionPaused(SessionPaused { reason: reason.clone() });
        records.push(Record::of_task(body));
        records.push(Record::State(SessionState::SessionPaused));
        Moved { records, next: Paused { reason } }
    }
}

/// The end of a task: exactly one event that ends it, and the change of its summary.
pub(crate) fn end_records(mark: &Checkpoint, end: TaskEnd) -> [Record; 3] {
    let steps = mark.step_number;
    let body = match end.clone() {
        TaskEnd::Completed { text } => {
            EventBody::TaskCompleted(TaskCompleted { text, steps, usage: mark.usage })
        }
        TaskEnd::Failed(error) => EventBody::TaskFailed(TaskFailed { error, steps }),
        TaskEnd::Cancelled { by } => EventBody::TaskCancelled(TaskCancelled { by, steps }),
    };
    [Record::of_task(body), Record::State(SessionState::SessionRunning), Record::TaskEnded { end, steps }]
}

/// The step at which 80 % of the steps are taken, this one included.
fn warn_at(max_steps: u32) -> u32 {
    (max_steps * 4).div_ceil(5)
}

/// The task is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// How.
    pub end: TaskEnd,
}

/// The task stands still; its checkpoint stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// Why, and what makes it go on.
    pub reason: String,
}
