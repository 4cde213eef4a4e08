//! The second half of a step: calls are under way, their results are awaited.

use lanyard_ports::journal::Checkpoint;
use lanyard_protocol::event::{EventBody, ToolCompleted};
use lanyard_protocol::id::{PrincipalId, StepId, WorkspaceId};
use lanyard_protocol::message::MessageToolCall;
use lanyard_protocol::policy::SandboxLevel;
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolStatus};
use lanyard_protocol::{ErrorCode, WireError};

use super::guards::{Guards, MAX_IDENTICAL_RESULTS, Repetition};
use super::record::{AcceptedCall, CallOutcome, Draft, Record, TaskEnd};
use super::{Course, Ended, MAX_CALLS_PER_STEP, Moved, Next, Paused, TurnError};

/// Calls are to be run.
#[derive(Debug)]
pub struct Calling {
    course: Course,
    calls: Vec<AcceptedCall>,
    left_out: usize,
}

impl Calling {
    pub(super) fn new(course: Course, calls: Vec<AcceptedCall>, left_out: usize) -> Self {
        Self { course, calls, left_out }
    }

    /// The step a checkpoint stands in: the calls of its answer that have no result in the thread yet.
    pub fn resumed(mark: Checkpoint, workspace_id: WorkspaceId, open: Vec<MessageToolCall>) -> Self {
        let course = Course { mark, workspace_id, guards: Guards::default() };
        let calls = open.into_iter().map(|call| reaccept(&course, call)).collect();
        Self { course, calls, left_out: 0 }
    }

    /// The state as a checkpoint.
    pub fn mark(&self) -> &Checkpoint {
        &self.course.mark
    }

    /// The calls, in the model's order.
    pub fn calls(&self) -> &[AcceptedCall] {
        &self.calls
    }

    /// Every call has its result; `outcomes` in the order of [`Calling::calls`].
    pub fn finished(
        mut self,
        outcomes: Vec<CallOutcome>,
        next_step: StepId,
    ) -> Result<Moved<Next>, TurnError> {
        let mut records = self.report(&outcomes)?;
        let worst = self.calls.iter().zip(&outcomes).map(|(call, outcome)| {
            let verdict = self.course.guards.count(&call.request, &outcome.result);
            (verdict, call.request.tool_name.clone())
        });
        let worst = worst.max_by_key(|(verdict, _)| *verdict);
        if self.left_out > 0 {
            let text = format!(
                "You asked for {} calls in one answer; only the first {MAX_CALLS_PER_STEP} were taken.",
                self.left_out + MAX_CALLS_PER_STEP
            );
            records.push(self.course.note(&text));
        }
        match worst {
            Some((Repetition::Stop(_), tool)) => {
                records.push(self.course.step_completed(self.count()));
                let message = format!(
                    "the model asked for {tool} with the same arguments {MAX_IDENTICAL_RESULTS} times and got the \
                     same result each time; say in a new prompt what it should do differently"
                );
                let error = WireError::new(ErrorCode::ToolExecutionFailed, message);
                return Ok(self.course.ended(records, TaskEnd::Failed(error)).into());
            }
            Some((Repetition::Tell(times), tool)) => {
                let text = format!(
                    "You have called {tool} {times} times with the same arguments and the same result. Repeating it \
                     will not help: try something else, or say what you need."
                );
                records.push(self.course.note(&text));
            }
            Some((Repetition::Harmless, _)) | None => {}
        }
        let calls = self.count();
        Ok(self.course.close_step(records, calls, next_step))
    }

    /// The task was cancelled; calls that ran or would have run have a result all the same, so that the thread stays
    /// whole.
    pub fn cancelled(
        self,
        outcomes: Vec<CallOutcome>,
        by: Option<PrincipalId>,
    ) -> Result<Moved<Ended>, TurnError> {
        let records = self.report(&outcomes)?;
        Ok(self.course.ended(records, TaskEnd::Cancelled { by }))
    }

    /// The host stops. Results are not reported: on resume the router tells those that were recorded.
    pub fn suspended(self, reason: String) -> Moved<Paused> {
        self.course.paused(Vec::new(), reason)
    }

    /// Tool messages in the model's order, and `tool_completed` where nobody has told it yet.
    fn report(&self, outcomes: &[CallOutcome]) -> Result<Vec<Record>, TurnError> {
        let same = |position: &usize| {
            let call = self.calls.get(*position).map(|call| &call.request.tool_call_id);
            call == outcomes.get(*position).map(|outcome| &outcome.result.tool_call_id)
        };
        let longest = self.calls.len().max(outcomes.len());
        if let Some(position) = (0..longest).find(|position| !same(position)) {
            return Err(TurnError::ResultMismatch { step: self.course.mark.step_number, position });
        }
        let mut records = Vec::with_capacity(outcomes.len() * 2);
        for CallOutcome { result, told } in outcomes {
            if !told {
                records.push(self.course.event(completed(result)));
            }
            records.push(Record::Message(Draft::result(&self.course.mark.step_id, result)));
            records.push(Record::Reported(result.tool_call_id.clone()));
        }
        Ok(records)
    }

    fn count(&self) -> u32 {
        u32::try_from(self.calls.len()).unwrap_or(u32::MAX)
    }
}

/// A call read back from the thread.
fn reaccept(course: &Course, call: MessageToolCall) -> AcceptedCall {
    let problem = (!call.arguments.0.is_object()).then(|| "the arguments are not a JSON object".to_owned());
    let mark = &course.mark;
    let request = ToolRequest {
        tool_name: call.tool_name,
        arguments: call.arguments,
        workspace_id: course.workspace_id.clone(),
        session_id: mark.session_id.clone(),
        task_id: mark.task_id.clone(),
        step_id: mark.step_id.clone(),
        tool_call_id: call.tool_call_id,
        capability: None,
    };
    AcceptedCall { request, problem }
}

impl AcceptedCall {
    /// The result of a call that never goes to the router, because its arguments are not a JSON object.
    pub fn refusal(&self) -> Option<ToolResult> {
        let problem = self.problem.as_deref()?;
        let message = format!(
            "{problem}. Send one JSON object that matches the schema of {}; nothing was run",
            self.request.tool_name
        );
        let error = WireError::new(ErrorCode::InvalidRequest, message);
        Some(ToolResult::of(&self.request, ToolStatus::Failed).with_error(error))
    }
}

/// `tool_completed` of a call that no tool ran.
fn completed(result: &ToolResult) -> EventBody {
    EventBody::ToolCompleted(ToolCompleted {
        result: result.clone(),
        exit_code: None,
        duration_ms: 0,
        sandbox_level: SandboxLevel::None,
        changes: Vec::new(),
        replayed: false,
    })
}
