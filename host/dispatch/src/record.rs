//! Builds the rows that go with each state of a call: events for clients, audit records for the centre.

use std::sync::Arc;

use lanyard_ports::journal::{JournalError, NewEvent, Write};
use lanyard_ports::source::{Clock, IdSource};
use lanyard_protocol::Json;
use lanyard_protocol::approval::ApprovalRequest;
use lanyard_protocol::envelope::{BoundedContext, Component, EventEnvelope, Severity};
use lanyard_protocol::event::EventBody;
use lanyard_protocol::id::{IdError, SessionId, StepId, TaskId, ToolCallId, WorkspaceId};
use lanyard_protocol::tool::ToolRequest;
use serde_json::Value;

/// A fresh id of any kind.
pub(crate) fn fresh_id<T: TryFrom<String, Error = IdError>>(
    ids: &dyn IdSource,
    prefix: &str,
) -> Result<T, JournalError> {
    T::try_from(ids.fresh(prefix)).map_err(|e| JournalError::Refused(e.to_string()))
}

/// The chain of ids every record carries.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    workspace_id: WorkspaceId,
    session_id: SessionId,
    task_id: TaskId,
    step_id: StepId,
    tool_call_id: ToolCallId,
}

impl From<&ToolRequest> for Chain {
    fn from(request: &ToolRequest) -> Self {
        Self {
            workspace_id: request.workspace_id.clone(),
            session_id: request.session_id.clone(),
            task_id: request.task_id.clone(),
            step_id: request.step_id.clone(),
            tool_call_id: request.tool_call_id.clone(),
        }
    }
}

impl From<&ApprovalRequest> for Chain {
    fn from(request: &ApprovalRequest) -> Self {
        Self {
            workspace_id: request.workspace_id.clone(),
            session_id: request.session_id.clone(),
            task_id: request.task_id.clone(),
            step_id: request.step_id.clone(),
            tool_call_id: request.tool_call_id.clone(),
        }
    }
}

/// What an audit record is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    pub(crate) component: Component,
    pub(crate) context: BoundedContext,
    pub(crate) severity: Severity,
}

/// Dates and names records.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    /// Tenant of this host; `local` without a backend.
    pub(crate) tenant_id: String,
}

impl Recorder {
    /// An event of a session.
    pub(crate) fn event(&self, chain: impl Into<Chain>, body: EventBody) -> Result<Write, JournalError> {
        let chain = chain.into();
        Ok(Write::Event(Box::new(NewEvent {
            event_id: fresh_id(&*self.ids, "evt")?,
            workspace_id: chain.workspace_id,
            session_id: chain.session_id,
            task_id: Some(chain.task_id),
            step_id: Some(chain.step_id),
            timestamp: self.clock.now(),
            body,
        })))
    }

    /// A record for the central services. `payload` must hold neither file contents nor outputs.
    pub(crate) fn audit(
        &self,
        chain: impl Into<Chain>,
        user: &str,
        event_type: &str,
        about: About,
        payload: Value,
    ) -> Result<Write, JournalError> {
        let chain = chain.into();
        Ok(Write::Audit(Box::new(EventEnvelope {
            event_id: fresh_id(&*self.ids, "aud")?,
            event_type: event_type.to_owned(),
            timestamp: self.clock.now(),
            tenant_id: self.tenant_id.clone(),
            user_id: user.to_owned(),
            workspace_id: chain.workspace_id,
            session_id: chain.session_id,
            task_id: Some(chain.task_id),
            step_id: Some(chain.step_id),
            tool_call_id: Some(chain.tool_call_id),
            component: about.component,
            bounded_context: about.context,
            severity: about.severity,
            payload: Json(payload),
        })))
    }
}
