//! Session Service: the handshake, the life of a session, its tasks and its timeline (seed 004 §6, §7).

use std::collections::BTreeMap;

use lanyard_protocol::event::SessionEvent;
use lanyard_protocol::id::{SessionId, TaskId, WorkspaceId};
use lanyard_protocol::policy::{ApprovalRule, PolicyBundle};
use lanyard_protocol::session::{
    ClientInfo, CompatibilityStatus, ExecutionEnvironment, SessionState, TaskState, WorkspaceHint,
};
use lanyard_protocol::{Timestamp, WireError};
use serde::{Deserialize, Serialize};

use crate::id::{AgentId, JobId, UserId};

/// Body of `POST /sessions`. Tenant and user are the caller's, never the body's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionRequest {
    /// The host's own id for it; the same id from the same agent is the same session, so that a lost answer costs
    /// nothing. Absent: the server chooses.
    pub session_id: Option<SessionId>,
    /// Where the agent runs.
    pub execution_environment: ExecutionEnvironment,
    /// What the session is about. With paths the workspace is `local` and found again; without, `general` and new.
    pub workspace_hint: WorkspaceHint,
    /// Versions and system.
    pub client_info: ClientInfo,
    /// Capabilities the host can enforce.
    pub supported_capabilities: Vec<String>,
    /// Tools the host has.
    pub supported_tools: Vec<String>,
    /// Policy schema versions the host understands.
    pub supported_schema_versions: Vec<String>,
    /// Name for people.
    pub name: Option<String>,
    /// The job it was opened for.
    pub job_id: Option<JobId>,
}

/// Body of `POST /sessions/{id}/resume`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResumeRequest {
    /// Last event number the host holds. Fewer than it has told: its records were set back, and it is refused with 409.
    pub checkpoint_cursor: Option<u64>,
    /// As in [`SessionRequest`].
    pub client_info: ClientInfo,
    /// As in [`SessionRequest`].
    pub supported_capabilities: Vec<String>,
    /// As in [`SessionRequest`].
    pub supported_tools: Vec<String>,
    /// As in [`SessionRequest`].
    pub supported_schema_versions: Vec<String>,
}

/// Answer of create and resume: everything a host needs before it starts (seed 004 §6).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionGrant {
    /// The session.
    pub session_id: SessionId,
    /// Its workspace; always present.
    pub workspace_id: WorkspaceId,
    /// Whether host and policy fit together. An incompatible session gets no bundle and cannot run.
    pub compatibility_status: CompatibilityStatus,
    /// What does not fit, and the way out.
    pub incompatibility_reason: Option<String>,
    /// The policy; absent when incompatible.
    pub policy_bundle: Option<PolicyBundle>,
    /// Where the model is; absent when the tenant has configured none, and the host's own is used.
    pub llm_gateway: Option<LlmGateway>,
    /// Bounds of the session.
    pub limits: SessionLimits,
    /// The bundle's rules, again, for clients that show them.
    pub approval_rules: Vec<ApprovalRule>,
    /// Switches of the tenant.
    pub feature_flags: BTreeMap<String, bool>,
    /// What the host does while the centre is away.
    pub when_away: WhenAway,
    /// The session cannot be resumed after this instant.
    pub expires_at: Timestamp,
    /// The server's clock; only this counts.
    pub server_time: Timestamp,
}

/// Where a session's model calls go.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LlmGateway {
    /// Base URL of an OpenAI-compatible API.
    pub endpoint: String,
    /// Bearer token; short-lived, for this session.
    pub auth_token: String,
    /// The model to ask for; absent: the first of the bundle's that the gateway has.
    pub model: Option<String>,
    /// When the token runs out; resume gives a new one. Absent: the gateway's own rule.
    pub expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for LlmGateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LlmGateway").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Bounds of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionLimits {
    /// Steps of one task.
    pub max_steps: u32,
    /// Tokens of the session.
    pub max_session_tokens: u64,
    /// Bytes of one artifact.
    pub max_artifact_bytes: u64,
    /// Events of the timeline are wanted (else only the history after each task).
    pub timeline: bool,
}

/// What a host does with a session while the centre is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhenAway {
    /// Goes on while the bundle is valid and its offline grace lasts.
    #[default]
    Continue,
    /// Pauses as soon as it is noticed.
    Pause,
}

/// A session as the centre knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionInfo {
    /// The session.
    pub session_id: SessionId,
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// The host.
    pub agent_id: AgentId,
    /// Whose it is.
    pub user_id: UserId,
    /// Name for people.
    pub name: String,
    /// Where it stands.
    pub state: SessionState,
    /// Why it is paused, failed or cancelled.
    pub reason: Option<String>,
    /// Where the agent runs.
    pub execution_environment: ExecutionEnvironment,
    /// Versions and system.
    pub client_info: ClientInfo,
    /// Whether host and policy fitted at the last handshake.
    pub compatibility_status: CompatibilityStatus,
    /// Version of the policy last issued.
    pub policy_bundle_version: Option<String>,
    /// The job it was opened for.
    pub job_id: Option<JobId>,
    /// Tasks so far.
    pub tasks: u32,
    /// The last task.
    pub last_task: Option<CentralTask>,
    /// Number of the last event of the timeline.
    pub last_seq: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Not resumable after this.
    pub expires_at: Timestamp,
}

/// Query of `GET /sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionQuery {
    /// Of one host.
    pub agent_id: Option<AgentId>,
    /// Of one workspace.
    pub workspace_id: Option<WorkspaceId>,
    /// `true`: only those that have not ended. `false`: only those that have.
    pub open: Option<bool>,
    /// See [`crate::page::PageQuery`].
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 500)))]
    pub limit: Option<u32>,
    /// See [`crate::page::PageQuery`].
    pub next_token: Option<String>,
}

/// Body of `POST /sessions/{id}/cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CancelRequest {
    /// Why, for whoever works in it.
    pub reason: String,
}

/// Body of `PATCH /sessions/{id}/name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenameRequest {
    /// The new name.
    pub name: String,
}

/// Body of `POST /sessions/{id}/state`: what the host says of where it stands. Transitions as seed 004 §7.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateReport {
    /// Where it stands.
    pub state: SessionState,
    /// Why, where it is paused or failed.
    pub reason: Option<String>,
    /// Number of the event that says so; an older report changes nothing.
    pub seq: u64,
}

/// Body of `POST /sessions/{id}/tasks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskReport {
    /// The task; a repeated report changes nothing.
    pub task_id: TaskId,
    /// Its prompt, where the tenant wants the timeline.
    pub prompt: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
}

/// Body of `POST /sessions/{id}/tasks/{tid}/complete`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskCompletion {
    /// How it ended; not `running`.
    pub state: TaskState,
    /// Steps taken.
    pub steps: u32,
    /// Tokens used.
    pub tokens: u64,
    /// Why it did not succeed.
    pub error: Option<WireError>,
    /// When.
    pub ended_at: Timestamp,
}

/// A task as the centre knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CentralTask {
    /// The task.
    pub task_id: TaskId,
    /// Its prompt, where known; in lists its first 2,000 characters.
    pub prompt: Option<String>,
    /// How it stands.
    pub state: TaskState,
    /// Steps taken.
    pub steps: u32,
    /// Tokens used.
    pub tokens: u64,
    /// Why it did not succeed.
    pub error: Option<WireError>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Body of `POST /sessions/{id}/events`: durable events in order, without gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventBatch {
    /// The events. Those the server has already are skipped.
    pub events: Vec<SessionEvent>,
}

/// Answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventsAccepted {
    /// Number of the last event the server holds; the host goes on after it.
    pub last_seq: u64,
}

/// Body of the internal `POST /sessions/forget`: whose events, prompts and names are to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForgetRequest {
    /// Sessions of this workspace.
    pub workspace_id: WorkspaceId,
    /// This one only.
    pub session_id: Option<SessionId>,
    /// Only what did not change since.
    pub before: Option<Timestamp>,
}

/// Answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Forgotten {
    /// Sessions from which something was removed now.
    pub sessions: u64,
    /// There are more: ask again.
    pub more: bool,
}

/// Query of `GET /sessions/{id}/events` and of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventQuery {
    /// Events after this number.
    pub after: Option<u64>,
    /// Rows wanted.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 500)))]
    pub limit: Option<u32>,
}

/// A page of the timeline, ascending.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventPage {
    /// The events.
    pub events: Vec<SessionEvent>,
    /// Number of the last event the server holds.
    pub last_seq: u64,
}
