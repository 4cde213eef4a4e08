//! The first half of a step: the model is asked, its answer decides what comes next.

use lanyard_ports::journal::Checkpoint;
use lanyard_ports::model::{AskedArguments, AskedCall, ModelAnswer};
use lanyard_protocol::approval::RiskLevel;
use lanyard_protocol::event::{EventBody, LlmRequestCompleted, PolicyExpired, ToolRequested, Usage};
use lanyard_protocol::id::{PrincipalId, StepId, ToolCallId, WorkspaceId};
use lanyard_protocol::message::MessageToolCall;
use lanyard_protocol::session::SessionState;
use lanyard_protocol::tool::ToolRequest;
use lanyard_protocol::{ErrorCode, Json, Timestamp, WireError};
use serde_json::Value;

use super::guards::{Guards, MAX_CONTINUATIONS, MAX_EMPTY_ANSWERS};
use super::record::{AcceptedCall, Draft, Record, TaskEnd};
use super::{Answered, Calling, Course, Ended, FreshIds, MAX_CALLS_PER_STEP, Moved, Next, Paused, TurnError};
use crate::budget;

/// Names a gateway accepts in history; a longer one made up by the model is cut.
const MAX_TOOL_NAME: usize = 64;

/// The model is to be asked, once.
#[derive(Debug)]
pub struct Asking {
    course: Course,
}

impl Asking {
    pub(super) fn new(course: Course) -> Self {
        Self { course }
    }

    /// The first step of a task. `mark` names it: step 1, nothing under way.
    pub fn begin(mark: Checkpoint, workspace_id: WorkspaceId) -> Moved<Asking> {
        let course = Course { mark, workspace_id, guards: Guards::default() };
        let mut records = Vec::new();
        course.open_step(&mut records);
        Moved { records, next: Asking { course } }
    }

    /// The step a checkpoint stands in, its question to be asked again.
    pub fn resumed(mark: Checkpoint, workspace_id: WorkspaceId) -> Asking {
        Asking { course: Course { mark, workspace_id, guards: Guards::default() } }
    }

    /// The state as a checkpoint.
    pub fn mark(&self) -> &Checkpoint {
        &self.course.mark
    }

    /// Tokens spent beside the answer (a summary made to fit the window).
    pub fn spent(&mut self, usage: Usage) {
        self.course.mark.usage = budget::sum(self.course.mark.usage, usage);
    }

    /// The model answered.
    pub fn answered(mut self, answered: Answered, ids: FreshIds) -> Result<Moved<Next>, TurnError> {
        let Answered { answer, usage, stream_id, duration_ms } = answered;
        let asked = answer.calls.len().min(MAX_CALLS_PER_STEP);
        if ids.calls.len() < asked {
            return Err(TurnError::TooFewIds { given: ids.calls.len(), needed: asked });
        }
        self.spent(usage);
        let completed = EventBody::LlmRequestCompleted(LlmRequestCompleted {
            model: answer.model.clone(),
            finish_reason: answer.finish_reason.clone(),
            text: answer.text.clone(),
            stream_id,
            tool_calls: u32::try_from(answer.calls.len()).unwrap_or(u32::MAX),
            usage,
            duration_ms,
        });
        let records = vec![self.course.event(completed), Record::Tokens(budget::total(&usage))];
        Ok(if !answer.calls.is_empty() {
            self.with_calls(records, answer, usage, ids.calls)
        } else if answer.finish_reason == "content_filter" {
            let error = WireError::new(
                ErrorCode::LlmGuardrailBlocked,
                "the gateway's guardrail stopped the answer; change the prompt and try again",
            );
            self.course.ended(records, TaskEnd::Failed(error)).into()
        } else if answer.text.trim().is_empty() {
            self.empty(records, ids.next_step)
        } else {
            self.with_text(records, answer, usage, ids.next_step)
        })
    }

    fn with_calls(
        mut self,
        mut records: Vec<Record>,
        answer: ModelAnswer,
        usage: Usage,
        ids: Vec<ToolCallId>,
    ) -> Moved<Next> {
        self.course.guards.progressed();
        let asked = answer.calls.len();
        let taken: Vec<AcceptedCall> = answer
            .calls
            .into_iter()
            .take(MAX_CALLS_PER_STEP)
            .zip(ids)
            .map(|(call, id)| self.accept(call, id))
            .collect();
        let calls = taken.iter().map(message_call).collect();
        let step = self.course.mark.step_id.clone();
        let draft = Draft::answer(&step, &answer.model, answer.text, calls, usage.output_tokens);
        records.push(Record::Message(draft));
        self.course.mark.calls_under_way = true;
        records.push(Record::Checkpoint(self.course.mark.clone()));
        records.push(Record::State(SessionState::WaitingForTool));
        for call in taken.iter().filter(|call| call.problem.is_some()) {
            records.push(self.course.event(refused_request(call)));
        }
        let calling = Calling::new(self.course, taken, asked.saturating_sub(MAX_CALLS_PER_STEP));
        Moved { records, next: Next::Call(calling) }
    }

    /// A call as the model gave it, with the host's id, which alone counts.
    fn accept(&self, call: AskedCall, tool_call_id: ToolCallId) -> AcceptedCall {
        let (arguments, problem) = match call.arguments {
            AskedArguments::Object(json) => (json, None),
            AskedArguments::Malformed { text, problem } => (Json(Value::String(text)), Some(problem)),
        };
        let mark = &self.course.mark;
        let request = ToolRequest {
            tool_name: tool_name(&call.tool_name),
            arguments,
            workspace_id: self.course.workspace_id.clone(),
            session_id: mark.session_id.clone(),
            task_id: mark.task_id.clone(),
            step_id: mark.step_id.clone(),
            tool_call_id,
            capability: None,
        };
        AcceptedCall { request, problem }
    }

    fn empty(mut self, mut records: Vec<Record>, next_step: StepId) -> Moved<Next> {
        self.course.guards.empty_answers += 1;
        if self.course.guards.empty_answers > MAX_EMPTY_ANSWERS {
            let error = WireError::new(
                ErrorCode::LlmUnavailable,
                format!("the model answered nothing {} times in a row", MAX_EMPTY_ANSWERS + 1),
            );
            return self.course.ended(records, TaskEnd::Failed(error)).into();
        }
        let text = "Your last answer was empty. Call a tool, or answer in plain words if the task is done.";
        records.push(self.course.note(text));
        self.course.close_step(records, 0, next_step)
    }

    fn with_text(
        mut self,
        mut records: Vec<Record>,
        answer: ModelAnswer,
        usage: Usage,
        next_step: StepId,
    ) -> Moved<Next> {
        let step = self.course.mark.step_id.clone();
        let text = answer.text.clone();
        records.push(Record::Message(Draft::answer(
            &step,
            &answer.model,
            answer.text,
            Vec::new(),
            usage.output_tokens,
        )));
        self.course.guards.empty_answers = 0;
        self.course.guards.partial.push_str(&text);
        let cut = answer.finish_reason == "length";
        if cut && self.course.guards.continuations < MAX_CONTINUATIONS {
            self.course.guards.continuations += 1;
            let text = "Your answer was cut at the output limit. Go on exactly where it stopped.";
            records.push(self.course.note(text));
            return self.course.close_step(records, 0, next_step);
        }
        let mut text = std::mem::take(&mut self.course.guards.partial);
        if cut {
            text.push_str("\n[the answer was cut at the model's output limit]");
        }
        records.push(self.course.step_completed(0));
        self.course.ended(records, TaskEnd::Completed { text }).into()
    }

    /// There is no answer, and there will be none.
    pub fn failed(self, error: WireError) -> Moved<Ended> {
        self.course.ended(Vec::new(), TaskEnd::Failed(error))
    }

    /// The task was cancelled while the model was asked.
    pub fn cancelled(self, by: Option<PrincipalId>) -> Moved<Ended> {
        self.course.ended(Vec::new(), TaskEnd::Cancelled { by })
    }

    /// The bundle ran out; the question is asked again on resume.
    pub fn expired(self, expired_at: Timestamp, reason: String) -> Moved<Paused> {
        let expired = self.course.event(EventBody::PolicyExpired(PolicyExpired { expired_at }));
        self.course.paused(vec![expired], reason)
    }

    /// The host stops, or policy does not let the model be asked for now; the question is asked again on resume.
    pub fn suspended(self, reason: String) -> Moved<Paused> {
        self.course.paused(Vec::new(), reason)
    }
}

/// The call as it stands in the thread.
pub(super) fn message_call(call: &AcceptedCall) -> MessageToolCall {
    MessageToolCall {
        tool_call_id: call.request.tool_call_id.clone(),
        tool_name: call.request.tool_name.clone(),
        arguments: call.request.arguments.clone(),
    }
}

/// `tool_requested` of a call the router never sees.
fn refused_request(call: &AcceptedCall) -> EventBody {
    EventBody::ToolRequested(ToolRequested {
        tool_call_id: call.request.tool_call_id.clone(),
        tool_name: call.request.tool_name.clone(),
        arguments: call.request.arguments.clone(),
        capability: None,
        summary: format!("Malformed call of {}", call.request.tool_name),
        risk_level: RiskLevel::Low,
    })
}

/// The name as a gateway takes it back: an invented one with other characters would spoil every later request.
fn tool_name(given: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let name: String = given.chars().take(MAX_TOOL_NAME).map(|c| if allowed(c) { c } else { '_' }).collect();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}
