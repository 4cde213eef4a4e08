//! The envelope of audit and telemetry records (seed 004 §13, plus step and call ids).

use serde::{Deserialize, Serialize};

use crate::id::{EventId, SessionId, StepId, TaskId, ToolCallId, WorkspaceId};
use crate::json::Json;
use crate::timestamp::Timestamp;

/// The component a record speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[expect(missing_docs, reason = "the names are the seed's component names")]
pub enum Component {
    DesktopApp,
    LocalAgentHost,
    LocalToolRuntime,
    LocalPolicyEnforcer,
    #[serde(rename = "LocalApprovalUI")]
    LocalApprovalUi,
    SessionService,
    #[serde(rename = "LLMGateway")]
    LlmGateway,
    PolicyService,
    ApprovalService,
    WorkspaceService,
    AuditService,
    TelemetryService,
    BackendToolService,
}

/// The bounded context a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[expect(missing_docs, reason = "the names are the seed's bounded contexts")]
pub enum BoundedContext {
    AgentExecution,
    ToolExecution,
    PolicyGuardrails,
    SessionCoordination,
    WorkspaceArtifacts,
    Approval,
    ObservabilityAudit,
}

/// How urgent a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the usual three")]
pub enum Severity {
    Info,
    Warning,
    Error,
}

/// One audit or telemetry record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventEnvelope {
    /// Unique; the dedupe key at the receiver.
    pub event_id: EventId,
    /// One of the event names.
    pub event_type: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The tenant; `local` without a backend.
    pub tenant_id: String,
    /// The user.
    pub user_id: String,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The session.
    pub session_id: SessionId,
    /// The task.
    pub task_id: Option<TaskId>,
    /// The step.
    pub step_id: Option<StepId>,
    /// The call.
    pub tool_call_id: Option<ToolCallId>,
    /// Who speaks.
    pub component: Component,
    /// In which context.
    pub bounded_context: BoundedContext,
    /// How urgent.
    pub severity: Severity,
    /// Particulars; an object.
    pub payload: Json,
}
