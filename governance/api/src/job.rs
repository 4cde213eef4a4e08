//! Jobs: one tool call dispatched to a host (seed 000).

use lanyard_protocol::id::{CommandId, SessionId};
use lanyard_protocol::tool::ToolResult;
use lanyard_protocol::{Json, Timestamp};
use serde::{Deserialize, Serialize};

use crate::id::{AgentId, JobId, UserId};

/// Body of `POST /jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewJob {
    /// The host; it must be online and take jobs.
    pub agent_id: AgentId,
    /// The tool.
    pub tool_name: String,
    /// Its arguments; an object.
    pub arguments: Json,
    /// Directory on the host; one of those its heartbeat names, or below one.
    pub workspace: String,
    /// What it is for, shown to whoever approves it.
    pub title: String,
    /// Chosen by the caller: the same key is the same job.
    pub idempotency_key: CommandId,
    /// Seconds until it expires unless claimed, 10–86,400; an hour when absent.
    #[cfg_attr(feature = "schema", schemars(range(min = 10, max = 86_400)))]
    pub expires_in_seconds: Option<u32>,
}

/// Where a job stands. Never queued again after `running`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits to be claimed.
    Queued,
    /// Claimed, not begun: policy is asked, perhaps a person.
    Leased,
    /// Runs, or may have run.
    Running,
    /// Done.
    Succeeded,
    /// Ran and failed.
    Failed,
    /// Policy or a person refused it; it never ran.
    Denied,
    /// Not claimed in time, or its lease ran out before it ran.
    Expired,
    /// Taken back before it ran, or stopped.
    Cancelled,
    /// It ran, and nobody knows how it ended. Where only the centre does not know, because the host was away, the host
    /// that held the lease may still say it: see [`Job::late`].
    Indeterminate,
}

impl JobState {
    /// Nothing more will happen, but that a host comes back and says how an [`JobState::Indeterminate`] one ended.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Leased | Self::Running)
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// The job.
    pub job_id: JobId,
    /// The host.
    pub agent_id: AgentId,
    /// The tool.
    pub tool_name: String,
    /// Its arguments.
    pub arguments: Json,
    /// Directory on the host.
    pub workspace: String,
    /// What it is for.
    pub title: String,
    /// Where it stands.
    pub state: JobState,
    /// Why, in a sentence.
    pub reason: Option<String>,
    /// The session in which it runs on the host; its timeline is the live result.
    pub session_id: Option<SessionId>,
    /// The outcome.
    pub result: Option<ToolResult>,
    /// The outcome was told after the centre had given the job up as indeterminate.
    #[serde(default)]
    pub late: bool,
    /// Who dispatched it; never approves it.
    pub created_by: UserId,
    /// When.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Not claimed after.
    pub expires_at: Timestamp,
    /// The lease ends at this instant.
    pub lease_until: Option<Timestamp>,
}

/// Query of `GET /jobs`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobQuery {
    /// Of one host.
    pub agent_id: Option<AgentId>,
    /// In one state.
    pub state: Option<JobState>,
    /// See [`crate::page::PageQuery`].
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 500)))]
    pub limit: Option<u32>,
    /// See [`crate::page::PageQuery`].
    pub next_token: Option<String>,
}

/// Body of `POST /jobs/{id}/progress`, from the host that holds the lease. Claiming is `leased`; each report renews the
/// lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobProgress {
    /// Where it stands; not `queued`, `expired`.
    pub state: JobState,
    /// Chosen by the host when it claims; another host or an earlier life of this one has another.
    pub lease_key: CommandId,
    /// The session in which it runs.
    pub session_id: Option<SessionId>,
    /// Why, in a sentence.
    pub reason: Option<String>,
    /// The outcome, in a final state.
    pub result: Option<ToolResult>,
}
