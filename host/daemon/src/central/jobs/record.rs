//! The log of a job: the same events as of a task with one step and one call, without a model. So whoever follows the
//! session, here or at the centre, sees the job as it goes, and its history reads like any other.

use std::sync::Arc;

use lanyard_ports::journal::{CallPhase, JournalError, NewEvent, SessionProgress, Write};
use lanyard_protocol::Timestamp;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{
    EventBody, SessionCompleted, SessionStarted, StepCompleted, StepStarted, TaskCancelled, TaskCompleted,
    TaskFailed, TaskStarted, ToolCompleted, Usage,
};
use lanyard_protocol::id::{EventId, MessageId, WorkspaceId};
use lanyard_protocol::json::Json;
use lanyard_protocol::message::{ConversationMessage, MessageToolCall, Provenance, Role, Trust};
use lanyard_protocol::policy::SandboxLevel;
use lanyard_protocol::principal::Principal;
use lanyard_protocol::session::{ModelInfo, SessionState, TaskOptions, TaskState, TaskSummary};
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolStatus};

use super::note::Ids;
use crate::host::Host;

/// Stands where the model is named: there is none.
const NO_MODEL: &str = "none (a job)";

/// Writes the log of one job.
pub(super) struct Record {
    pub(super) host: Arc<Host>,
    pub(super) ids: Ids,
    pub(super) workspace: WorkspaceId,
    pub(super) title: String,
    pub(super) started_at: Timestamp,
}

impl Record {
    /// How a job's one task runs.
    pub(super) fn options() -> TaskOptions {
        TaskOptions { max_steps: 1, ..TaskOptions::default() }
    }

    /// The task begins: on disk when this returns.
    pub(super) async fn begin(
        &self,
        initiator: &Principal,
        request: &ToolRequest,
        bundle_version: String,
    ) -> Result<(), JournalError> {
        let model = ModelInfo {
            name: NO_MODEL.to_owned(),
            endpoint: String::new(),
            demo: false,
            source: "job".to_owned(),
        };
        let started = TaskStarted {
            prompt: self.title.clone(),
            options: Self::options(),
            initiator: initiator.clone(),
            model,
            instructions: Vec::new(),
        };
        let step = StepStarted { step_id: self.ids.step.clone(), step_number: 1, max_steps: 1 };
        let call = MessageToolCall {
            tool_call_id: self.ids.call.clone(),
            tool_name: request.tool_name.clone(),
            arguments: request.arguments.clone(),
        };
        let batch = vec![
            self.event(EventBody::SessionStarted(SessionStarted { policy_bundle_version: bundle_version }))?,
            self.event(EventBody::TaskStarted(started))?,
            self.message(Role::User, self.title.clone(), None)?,
            self.event(EventBody::StepStarted(step))?,
            self.message(Role::Assistant, String::new(), Some(call))?,
            self.progress(SessionState::SessionRunning, Some((TaskState::Running, None, None))),
        ];
        self.host.journal.commit(batch).await
    }

    /// Where the session stands meanwhile.
    pub(super) async fn state(&self, state: SessionState) {
        let written = self.host.journal.append(vec![self.progress(state, None)]).await;
        if let Err(error) = written {
            tracing::error!(%error, session = %self.ids.session, "where a job stands could not be recorded");
        }
    }

    /// The task ends with the call.
    pub(super) async fn end(&self, result: &ToolResult, reason: Option<&str>) -> Result<(), JournalError> {
        let error = error_of(result, reason);
        let (state, ended) = match result.status {
            ToolStatus::Succeeded => {
                let done = TaskCompleted { text: String::new(), steps: 1, usage: Usage::default() };
                (TaskState::Completed, EventBody::TaskCompleted(done))
            }
            ToolStatus::Cancelled => {
                (TaskState::Cancelled, EventBody::TaskCancelled(TaskCancelled { by: None, steps: 1 }))
            }
            ToolStatus::Failed | ToolStatus::Denied | ToolStatus::Indeterminate => {
                (TaskState::Failed, EventBody::TaskFailed(TaskFailed { error: error.clone(), steps: 1 }))
            }
        };
        let error = (state == TaskState::Failed).then_some(error);
        let step = StepCompleted { step_id: self.ids.step.clone(), step_number: 1, tool_calls: 1 };
        let text = result.output_text.clone().or_else(|| result.error.as_ref().map(|e| e.message.clone()));
        let mut batch = vec![
            self.message(Role::Tool, text.unwrap_or_default(), None)?,
            self.event(EventBody::StepCompleted(step))?,
            self.event(ended)?,
            self.progress(SessionState::SessionRunning, Some((state, error, Some(self.host.clock.now())))),
        ];
        batch.extend(self.reported()?);
        self.host.journal.commit(batch).await
    }

    /// The session has done what it was for, or was cancelled: nobody starts anything in it any more.
    pub(super) async fn close(&self, cancelled: bool) -> Result<(), JournalError> {
        let state = if cancelled { SessionState::SessionCancelled } else { SessionState::SessionCompleted };
        let mut ended = self.event(EventBody::SessionCompleted(SessionCompleted { tasks: 1 }))?;
        if let Write::Event(event) = &mut ended {
            event.task_id = None;
        }
        self.host.journal.commit(vec![ended, self.progress(state, None)]).await
    }

    /// A call that was never begun, and of which nobody else tells.
    pub(super) async fn dropped(&self, result: &ToolResult) -> Result<(), JournalError> {
        let completed = ToolCompleted {
            result: result.clone(),
            exit_code: None,
            duration_ms: 0,
            sandbox_level: SandboxLevel::None,
            changes: Vec::new(),
            replayed: false,
        };
        self.host.journal.append(vec![self.event(EventBody::ToolCompleted(completed))?]).await
    }

    /// A call that was under way when an earlier host died: nobody knows, and nobody tries again.
    pub(super) async fn unknown(&self) -> Result<ToolResult, JournalError> {
        let session = &self.ids.session;
        let Some(mut record) = self.host.journal.call(session, &self.ids.call)? else {
            return Err(JournalError::NotFound(format!("call {}", self.ids.call)));
        };
        let text = "the host stopped while the job ran: it is not known whether it took effect, and it was not repeated; \
                    look at the state of things";
        let error = WireError::new(ErrorCode::OutcomeUnknown, text);
        let result = ToolResult::of(&record.request, ToolStatus::Indeterminate).with_error(error);
        let completed = ToolCompleted {
            result: result.clone(),
            exit_code: None,
            duration_ms: 0,
            sandbox_level: SandboxLevel::None,
            changes: Vec::new(),
            replayed: true,
        };
        record.phase = CallPhase::Indeterminate;
        record.completed = Some(completed.clone());
        let event = self.event(EventBody::ToolCompleted(completed))?;
        self.host.journal.commit(vec![Write::Call(Box::new(record)), event]).await?;
        Ok(result)
    }

    fn reported(&self) -> Result<Option<Write>, JournalError> {
        let record = self.host.journal.call(&self.ids.session, &self.ids.call)?;
        let ended = |phase| matches!(phase, CallPhase::Finished | CallPhase::Indeterminate);
        Ok(record.filter(|record| ended(record.phase)).map(|mut record| {
            record.phase = CallPhase::Reported;
            Write::Call(Box::new(record))
        }))
    }

    fn event(&self, body: EventBody) -> Result<Write, JournalError> {
        let in_step = matches!(
            body,
            EventBody::StepStarted(_) | EventBody::StepCompleted(_) | EventBody::ToolCompleted(_)
        );
        Ok(Write::Event(Box::new(NewEvent {
            event_id: EventId::new(self.host.ids.fresh("evt")).map_err(refused)?,
            workspace_id: self.workspace.clone(),
            session_id: self.ids.session.clone(),
            task_id: Some(self.ids.task.clone()),
            step_id: in_step.then(|| self.ids.step.clone()),
            timestamp: self.host.clock.now(),
            body,
        })))
    }

    fn message(
        &self,
        role: Role,
        content: String,
        call: Option<MessageToolCall>,
    ) -> Result<Write, JournalError> {
        let answers = (role == Role::Tool).then(|| self.ids.call.clone());
        Ok(Write::Message(Box::new(ConversationMessage {
            message_id: MessageId::new(self.host.ids.fresh("msg")).map_err(refused)?,
            session_id: self.ids.session.clone(),
            task_id: Some(self.ids.task.clone()),
            step_id: (role != Role::User).then(|| self.ids.step.clone()),
            role,
            content,
            tool_calls: call.into_iter().collect(),
            tool_call_id: answers,
            token_count: None,
            // Nobody at this machine has written it.
            provenance: Some(Provenance { source: "job".to_owned(), trust: Trust::Untrusted }),
            timestamp: self.host.clock.now(),
        })))
    }

    fn progress(
        &self,
        state: SessionState,
        task: Option<(TaskState, Option<WireError>, Option<Timestamp>)>,
    ) -> Write {
        let task = task.map(|(state, error, ended_at)| TaskSummary {
            task_id: self.ids.task.clone(),
            prompt: self.title.clone(),
            state,
            steps: 1,
            error,
            started_at: self.started_at,
            ended_at,
        });
        Write::Progress(Box::new(SessionProgress {
            session_id: self.ids.session.clone(),
            state: Some(state),
            task,
            name: None,
            add_tokens: 0,
            at: self.host.clock.now(),
        }))
    }
}

/// Why a job did not succeed, as its task says it.
fn error_of(result: &ToolResult, reason: Option<&str>) -> WireError {
    if let Some(error) = &result.error {
        return error.clone();
    }
    let text = reason.unwrap_or("the job did not succeed; its call has the detail");
    WireError::new(ErrorCode::ToolExecutionFailed, text)
}

fn refused(error: lanyard_protocol::id::IdError) -> JournalError {
    JournalError::Refused(error.to_string())
}

/// The call of a job.
pub(super) fn request(ids: &Ids, workspace: &WorkspaceId, tool: &str, arguments: &Json) -> ToolRequest {
    ToolRequest {
        tool_name: tool.to_owned(),
        arguments: arguments.clone(),
        workspace_id: workspace.clone(),
        session_id: ids.session.clone(),
        task_id: ids.task.clone(),
        step_id: ids.step.clone(),
        tool_call_id: ids.call.clone(),
        capability: None,
    }
}
