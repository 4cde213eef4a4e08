//! Sessions and tasks: states, options, summaries (seed 004 §2a, §6, §7).

use serde::{Deserialize, Serialize};

use crate::error::WireError;
use crate::id::{SessionId, TaskId, WorkspaceId};
use crate::limits::DEFAULT_MAX_STEPS;
use crate::policy::Capability;
use crate::timestamp::Timestamp;

/// States of the agent loop (seed 004 §7). With parallel calls: approval before tool before model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SessionState {
    /// Ready, no task yet.
    SessionCreated,
    /// Between waits; also idle between tasks.
    SessionRunning,
    /// The model is answering.
    WaitingForLlm,
    /// A person is asked.
    WaitingForApproval,
    /// A tool runs.
    WaitingForTool,
    /// A task stands still until somebody resumes the session.
    SessionPaused,
    /// Ended by its user.
    SessionCompleted,
    /// Ended by a fault.
    SessionFailed,
    /// Cancelled as a whole.
    SessionCancelled,
}

impl SessionState {
    /// Whether the session accepts no further task.
    pub fn is_final(self) -> bool {
        matches!(self, Self::SessionCompleted | Self::SessionFailed | Self::SessionCancelled)
    }
}

/// When a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ApprovalMode {
    /// For every call that changes anything.
    Always,
    /// Where policy asks.
    #[default]
    OnRiskyActions,
    /// Never, except where a rule says `mustAsk`. Needs `admin` or the local owner.
    Never,
}

/// How a task may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TaskOptions {
    /// Steps before the task fails with `MAX_STEPS_EXCEEDED`, 1–200.
    pub max_steps: u32,
    /// Whether tools may use the network at all.
    pub allow_network: bool,
    /// When a person is asked.
    pub approval_mode: ApprovalMode,
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self { max_steps: DEFAULT_MAX_STEPS, allow_network: true, approval_mode: ApprovalMode::default() }
    }
}

/// Where the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExecutionEnvironment {
    /// On this machine.
    #[default]
    Desktop,
    /// In a backend sandbox (not offered by this host).
    CloudSandbox,
}

/// How a workspace is reused (seed 004 §2a).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceScope {
    /// One per project directory, reused.
    Local,
    /// One per general chat.
    General,
    /// In a backend sandbox (not offered by this host).
    Cloud,
}

/// Which project the session is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkspaceHint {
    /// Absolute project directories; the first is where commands run.
    #[serde(default)]
    pub local_paths: Vec<String>,
    /// A workspace known from before.
    pub workspace_id: Option<WorkspaceId>,
}

/// What the client is; for diagnosis only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientInfo {
    /// Version of the client.
    pub desktop_app_version: Option<String>,
    /// Version of the host the client expects.
    pub local_agent_host_version: Option<String>,
    /// Operating system family.
    pub os_family: Option<String>,
    /// Operating system version.
    pub os_version: Option<String>,
}

/// The model in use. `demo` means no AI answers; every client shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// Name sent to the gateway.
    pub name: String,
    /// Where it is reached; empty for the demo model.
    pub endpoint: String,
    /// The built-in demo model: deterministic, no AI.
    pub demo: bool,
    /// How it was chosen: `config`, `environment`, `ollama`, `lm-studio`, `llama.cpp`, `demo`; `task` when
    /// the task itself named it.
    pub source: String,
}

/// How a task ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Under way or paused.
    Running,
    /// Done.
    Completed,
    /// Gave up; the event says why.
    Failed,
    /// Cancelled.
    Cancelled,
}

/// One task of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskSummary {
    /// The task.
    pub task_id: TaskId,
    /// What was asked, cut to a line.
    pub prompt: String,
    /// How it ended.
    pub state: TaskState,
    /// Steps taken.
    pub steps: u32,
    /// Why it failed.
    pub error: Option<WireError>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// One line of the session list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionSummary {
    /// The session.
    pub session_id: SessionId,
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// How the workspace is reused.
    pub workspace_scope: WorkspaceScope,
    /// The directories it is about.
    pub workspace_roots: Vec<String>,
    /// Given by the user, else the first prompt cut to a line.
    pub name: String,
    /// Where the loop stands.
    pub state: SessionState,
    /// The last task.
    pub last_task: Option<TaskSummary>,
    /// Questions waiting for a person.
    pub pending_approvals: u32,
    /// Last durable event.
    pub last_seq: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When something last happened.
    pub updated_at: Timestamp,
}

/// Whether host and client fit (seed 004 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CompatibilityStatus {
    /// They fit.
    Compatible,
    /// They do not; no bundle is issued.
    Incompatible,
}

/// What a session may do, in the short form clients show ("what may this host do").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicySummary {
    /// Version of the bundle in force.
    pub policy_bundle_version: String,
    /// When it must be renewed.
    pub expires_at: Timestamp,
    /// Granted without asking.
    pub free: Vec<Capability>,
    /// Granted after asking.
    pub asks: Vec<Capability>,
}
