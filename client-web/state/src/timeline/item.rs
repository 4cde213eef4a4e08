//! What a timeline is made of.

use std::sync::Arc;

use lanyard_protocol::Timestamp;
use lanyard_protocol::event::Usage;
use lanyard_protocol::id::{PrincipalId, StepId, StreamId, TaskId, ToolCallId};

use super::call::Call;
use super::told::Told;
use crate::markdown::Document;

/// Names an item for as long as its timeline lives; also when its place changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemNo(pub(super) u32);

/// What an item is about; two events with the same one speak of the same item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    Task(TaskId),
    Step(StepId),
    Stream(StreamId),
    Call(ToolCallId),
    End(TaskId),
    /// A note: the event itself.
    Event(u64),
    /// Events that could not be read, after that one.
    Gap(u64),
}

/// Where an item stands: the number of the first event that speaks of it; what streams and is not numbered yet comes
/// last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub(super) u64, pub(super) u32);

/// What everything streamed and not numbered stands behind.
pub(super) const LAST: u64 = u64::MAX;

/// One item with what it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The task.
    pub task: Option<TaskId>,
    /// When its first event was.
    pub at: Timestamp,
    /// What it is.
    pub item: Item,
    pub(super) about: About,
    pub(super) place: Place,
}

/// What is shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// What a person asked for.
    Prompt(Prompt),
    /// A step of the model begins.
    Step(Step),
    /// Words of the model.
    Answer(Answer),
    /// A call of a tool.
    Call(Box<Call>),
    /// Something to be known about the session.
    Note(Note),
    /// A task has ended.
    End(End),
}

/// See [`Item::Prompt`].
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// The words, harmless.
    pub text: Arc<str>,
    /// Characters left out.
    pub cut: usize,
    /// Who asked.
    pub by: PrincipalId,
    /// That one's name.
    pub by_name: String,
    /// The model, and where it is.
    pub model: String,
    /// The demo answers: no AI.
    pub demo: bool,
    /// Files whose instructions are in force.
    pub instructions: Vec<String>,
    /// Most steps.
    pub max_steps: u32,
    /// Tools may use the network.
    pub network: bool,
}

/// See [`Item::Step`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Step {
    pub(super) started: Told<(u32, u32)>,
    pub(super) usage: Told<Usage>,
    pub(super) calls: Told<u32>,
}

impl Step {
    /// Its number within the task, from 1; none when it began before what is shown.
    pub fn number(&self) -> Option<u32> {
        self.started.get().map(|(number, _)| *number)
    }

    /// Tokens used in it.
    pub fn usage(&self) -> Usage {
        self.usage.get().copied().unwrap_or_default()
    }
}

/// See [`Item::Answer`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// What is shown.
    pub text: Document,
    /// The whole, as the host has it; none while it streams.
    pub(super) whole: Told<Arc<str>>,
    /// Pieces were missed: the rest comes with the whole.
    pub incomplete: bool,
    /// The model stopped at its longest answer.
    pub cut: bool,
    /// Its task ended before it did: this is all there is, and only here.
    pub lost: bool,
}

impl Answer {
    /// Whether more may come.
    pub fn streams(&self) -> bool {
        self.whole.get().is_none() && !self.lost
    }

    /// The whole text, for copying; none while it streams.
    pub fn whole(&self) -> Option<&str> {
        self.whole.get().map(AsRef::as_ref)
    }
}

/// See [`Item::Note`].
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// The model did not answer; it is asked again.
    Retry {
        /// Why, in a sentence.
        why: String,
        /// The attempt that follows.
        next: u32,
        /// Most attempts.
        of: u32,
        /// Milliseconds until then.
        delay_ms: u64,
    },
    /// Older messages were shortened.
    Compacted {
        /// Estimated tokens before.
        before: u32,
        /// After.
        after: u32,
    },
    /// The task stands still.
    Paused(String),
    /// It goes on.
    Resumed(String),
    /// Few steps are left.
    StepLimit {
        /// This step.
        step: u32,
        /// Most.
        of: u32,
    },
    /// The policy ran out.
    PolicyExpired,
    /// The session was ended.
    SessionEnded,
    /// The session broke.
    SessionFailed(String),
    /// Events that this page cannot read.
    Unreadable(u64),
}

/// See [`Item::End`].
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// How.
    pub how: Ending,
    /// Steps taken.
    pub steps: u32,
    /// When the task began, when that is known here.
    pub began: Option<Timestamp>,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// Done.
    Completed {
        /// What the answer says beyond the model's last words.
        added: Document,
        /// The answer, whole.
        whole: Arc<str>,
        /// Tokens used.
        usage: Usage,
    },
    /// Gave up.
    Failed {
        /// Why, in a person's words.
        why: String,
        /// The stable code.
        code: &'static str,
    },
    /// Cancelled.
    Cancelled {
        /// By whom; none: by the host.
        by: Option<PrincipalId>,
    },
}
