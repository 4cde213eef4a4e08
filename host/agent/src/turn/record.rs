//! What a transition wants written: the machine's own words, without clock, message ids or store.

use lanyard_ports::journal::Checkpoint;
use lanyard_protocol::WireError;
use lanyard_protocol::event::{EventBody, Usage};
use lanyard_protocol::id::{PrincipalId, StepId, ToolCallId};
use lanyard_protocol::message::{MessageToolCall, Provenance, Role, Trust};
use lanyard_protocol::session::SessionState;
use lanyard_protocol::tool::{ToolRequest, ToolResult};

/// Provenance of the person's prompts.
pub const SOURCE_USER: &str = "user";

/// Provenance of notes by which the loop steers the model.
pub const SOURCE_HOST: &str = "host";

/// One thing to be recorded. All records of one transition go into one batch, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// An event of the session's log.
    Event {
        /// The step it belongs to; absent for what concerns the task as a whole.
        step: Option<StepId>,
        /// What.
        body: Box<EventBody>,
    },
    /// A message of the thread.
    Message(Draft),
    /// A call's result is in the thread now.
    Reported(ToolCallId),
    /// The loop's own state.
    Checkpoint(Checkpoint),
    /// Where the session stands.
    State(SessionState),
    /// Tokens a model call used.
    Tokens(u64),
    /// A call of the model that is no answer to the task: a summary of older messages. Its end is in no event.
    Summarised {
        /// Who was asked.
        model: String,
        /// What it used.
        usage: Usage,
    },
    /// A task begins: it joins the session's row. Comes after its checkpoint.
    TaskBegun {
        /// A name for a session that has none.
        name: Option<String>,
    },
    /// The task is over: its summary changes, its checkpoint goes, the session is idle.
    TaskEnded {
        /// How.
        end: TaskEnd,
        /// Steps taken.
        steps: u32,
    },
}

impl Record {
    /// An event of a step.
    pub fn of_step(step: &StepId, body: EventBody) -> Self {
        Record::Event { step: Some(step.clone()), body: Box::new(body) }
    }

    /// An event of the task as a whole.
    pub fn of_task(body: EventBody) -> Self {
        Record::Event { step: None, body: Box::new(body) }
    }
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskEnd {
    /// Done.
    Completed {
        /// The answer.
        text: String,
    },
    /// Gave up.
    Failed(WireError),
    /// Cancelled.
    Cancelled {
        /// By whom; absent when the host did.
        by: Option<PrincipalId>,
    },
}

/// A message to be added to the thread.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The step that produced it.
    pub step: Option<StepId>,
    /// Who speaks.
    pub role: Role,
    /// The text.
    pub content: String,
    /// Calls the model asked for.
    pub tool_calls: Vec<MessageToolCall>,
    /// The call it answers.
    pub tool_call_id: Option<ToolCallId>,
    /// Size in tokens, when reported.
    pub token_count: Option<u32>,
    /// Where the text came from.
    pub provenance: Provenance,
}

impl Draft {
    fn new(role: Role, content: String, source: &str, trust: Trust) -> Self {
        Self {
            step: None,
            role,
            content,
            tool_calls: Vec::new(),
            tool_call_id: None,
            token_count: None,
            provenance: Provenance { source: source.to_owned(), trust },
        }
    }

    /// The person's prompt.
    pub fn prompt(text: &str) -> Self {
        Self::new(Role::User, text.to_owned(), SOURCE_USER, Trust::Trusted)
    }

    /// A note by which the loop steers the model. Must not quote what a tool or the model
    /// wrote, tool names excepted, which are plain words by then.
    pub fn note(step: &StepId, text: &str) -> Self {
        let draft = Self::new(Role::User, format!("[host] {text}"), SOURCE_HOST, Trust::Trusted);
        Self { step: Some(step.clone()), ..draft }
    }

    /// The model's answer. Derived from untrusted data as it is, it is no instruction to anyone.
    pub fn answer(
        step: &StepId,
        model: &str,
        text: String,
        calls: Vec<MessageToolCall>,
        tokens: u64,
    ) -> Self {
        let draft = Self::new(Role::Assistant, text, &format!("model:{model}"), Trust::Untrusted);
        Self {
            step: Some(step.clone()),
            tool_calls: calls,
            token_count: Some(u32::try_from(tokens).unwrap_or(u32::MAX)),
            ..draft
        }
    }

    /// A call's result: data, whatever it says.
    pub fn result(step: &StepId, result: &ToolResult) -> Self {
        let source = format!("tool:{}", result.tool_name);
        let draft = Self::new(Role::Tool, crate::result_text::compose(result), &source, Trust::Untrusted);
        Self { step: Some(step.clone()), tool_call_id: Some(result.tool_call_id.clone()), ..draft }
    }
}

/// A call taken from an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct AcceptedCall {
    /// As it goes to the router. For a refused call the arguments are the model's raw text.
    pub request: ToolRequest,
    /// Why it never goes to the router: its arguments are not a JSON object.
    pub problem: Option<String>,
}

/// A call with its result.
#[derive(Debug, Clone, PartialEq)]
pub struct CallOutcome {
    /// The result.
    pub result: ToolResult,
    /// Whether `tool_completed` for it is recorded already, or must not be because the call was never announced.
    /// False: the loop records it.
    pub told: bool,
}
