//! Audit records of model calls: which model, how much, how it went. No word of what was asked or answered.

use lanyard_ports::journal::Checkpoint;
use lanyard_protocol::envelope::{BoundedContext, Component, EventEnvelope, Severity};
use lanyard_protocol::event::{EventBody, Usage};
use lanyard_protocol::id::{EventId, StepId, WorkspaceId};
use lanyard_protocol::{Json, Timestamp};
use serde_json::{Value, json};

/// The tenant of a host that is its own; the store puts the centre's in its place while there is one.
const OWN_TENANT: &str = "local";

/// What is on record of a model call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelCall {
    event_type: &'static str,
    severity: Severity,
    payload: Value,
}

impl ModelCall {
    /// The call that an event of the log ends, if it ends one. `asked`: the model that has not answered yet; kept by whoever
    /// calls this for one event after the other.
    pub(crate) fn ended_by(body: &EventBody, asked: &mut Option<String>) -> Option<Self> {
        match body {
            EventBody::LlmRequestStarted(started) => {
                *asked = Some(started.model.clone());
                None
            }
            EventBody::LlmRequestCompleted(done) => {
                *asked = None;
                Some(Self::completed(json!({
                "model": done.model,
                "purpose": "answer",
                "finishReason": done.finish_reason,
                "inputTokens": done.usage.input_tokens,
                "outputTokens": done.usage.output_tokens,
                "toolCalls": done.tool_calls,
                "durationMs": done.duration_ms,
                "streamId": done.stream_id,
                })))
            }
            EventBody::TaskFailed(failed) => asked.take().map(|model| Self {
                event_type: "llm_request_failed",
                severity: Severity::Warning,
                payload: json!({ "model": model, "purpose": "answer", "errorCode": failed.error.code }),
            }),
            _ => None,
        }
    }

    /// A summary of older messages.
    pub(crate) fn summary(model: &str, usage: &Usage) -> Self {
        Self::completed(json!({
            "model": model,
            "purpose": "summary",
            "inputTokens": usage.input_tokens,
            "outputTokens": usage.output_tokens,
        }))
    }

    fn completed(payload: Value) -> Self {
        Self { event_type: "llm_request_completed", severity: Severity::Info, payload }
    }

    /// As it is kept.
    pub(crate) fn envelope(
        self,
        event_id: EventId,
        at: Timestamp,
        workspace_id: WorkspaceId,
        mark: &Checkpoint,
        step: Option<StepId>,
    ) -> EventEnvelope {
        EventEnvelope {
            event_id,
            event_type: self.event_type.to_owned(),
            timestamp: at,
            tenant_id: OWN_TENANT.to_owned(),
            user_id: mark.initiator.id.to_string(),
            workspace_id,
            session_id: mark.session_id.clone(),
            task_id: Some(mark.task_id.clone()),
            step_id: step.or_else(|| Some(mark.step_id.clone())),
            tool_call_id: None,
            component: Component::LocalAgentHost,
            bounded_context: BoundedContext::AgentExecution,
            severity: self.severity,
            payload: Json(self.payload),
        }
    }
}
