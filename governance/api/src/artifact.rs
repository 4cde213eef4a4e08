//! Workspace Service: workspaces, artifacts, session history (seed 004 §2a, §8a).

use lanyard_protocol::Timestamp;
use lanyard_protocol::id::{ArtifactId, SessionId, StepId, TaskId, ToolCallId, WorkspaceId};
use lanyard_protocol::message::ConversationMessage;
use lanyard_protocol::session::WorkspaceScope;
use serde::{Deserialize, Serialize};

use crate::id::{AgentId, UserId};

/// A workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceRecord {
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// How it is reused.
    pub workspace_scope: WorkspaceScope,
    /// Whose it is.
    pub user_id: UserId,
    /// The directory on the host, for `local` ones.
    pub local_path: Option<String>,
    /// Artifacts kept.
    pub artifacts: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last used; purged 90 days after.
    pub last_active_at: Timestamp,
}

/// Body of the internal `POST /workspaces`: finds or makes the workspace of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveWorkspace {
    /// Whose.
    pub user_id: UserId,
    /// On which host: the same path on another machine is another project.
    pub agent_id: AgentId,
    /// Absolute directories, the first names the workspace; empty for a general one.
    pub local_paths: Vec<String>,
    /// The id the host knows it by already.
    pub workspace_id: Option<WorkspaceId>,
}

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ArtifactType {
    /// The whole thread of a session: JSON Lines of `ConversationMessage`. One per session.
    SessionHistory,
    /// What a tool wrote.
    ToolOutput,
    /// What a task changed in files: JSON of `PatchPreview`, as the files stood when the host sent it.
    FileDiff,
}

/// Query of `POST /workspaces/{id}/artifacts`; the body is the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArtifactQuery {
    /// What it is.
    pub artifact_type: ArtifactType,
    /// The session.
    pub session_id: SessionId,
    /// The task.
    pub task_id: Option<TaskId>,
    /// The step.
    pub step_id: Option<StepId>,
    /// The call.
    pub tool_call_id: Option<ToolCallId>,
    /// For a history: number of the last event it covers. An older one than is stored is refused with 409.
    pub seq: Option<u64>,
    /// Expected hex SHA-256 of the content; another is refused.
    pub sha256: Option<String>,
}

/// Query of `GET /workspaces/{id}/artifacts`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArtifactsQuery {
    /// Only of this session.
    pub session_id: Option<SessionId>,
    /// Only of this kind.
    pub artifact_type: Option<ArtifactType>,
    /// Rows wanted, 1–[`crate::limits::MAX_PAGE`].
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 500)))]
    pub limit: Option<u32>,
    /// [`crate::page::Page::next_token`] of the page before.
    pub next_token: Option<String>,
}

/// An artifact. Its URI names no store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ArtifactRecord {
    /// Content address.
    pub artifact_id: ArtifactId,
    /// What it is.
    pub artifact_type: ArtifactType,
    /// Where it is fetched: `/workspaces/{id}/artifacts/{artifactId}`.
    pub uri: String,
    /// The session.
    pub session_id: SessionId,
    /// The task.
    pub task_id: Option<TaskId>,
    /// The step.
    pub step_id: Option<StepId>,
    /// The call.
    pub tool_call_id: Option<ToolCallId>,
    /// Size.
    pub bytes: u64,
    /// For a history: number of the last event it covers.
    pub seq: Option<u64>,
    /// When it was stored.
    pub created_at: Timestamp,
}

/// A session with something kept in a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceSession {
    /// The session.
    pub session_id: SessionId,
    /// Its history, if one is stored.
    pub history: Option<ArtifactRecord>,
    /// Other artifacts of it.
    pub artifacts: u64,
    /// When something was last stored.
    pub last_active_at: Timestamp,
}

/// Answer of `GET /workspaces/{id}/sessions/{sid}/history`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionHistory {
    /// The session.
    pub session_id: SessionId,
    /// Number of the last event it covers.
    pub seq: u64,
    /// The thread.
    pub messages: Vec<ConversationMessage>,
}

/// Answer of the internal `POST /workspaces/purge`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Purged {
    /// Workspaces removed.
    pub workspaces: u64,
    /// Objects removed from the store.
    pub objects: u64,
}
