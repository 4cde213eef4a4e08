//! Enrolled hosts: heartbeats and what the console shows of them.

use lanyard_protocol::Timestamp;
use lanyard_protocol::policy::SandboxLevel;
use serde::{Deserialize, Serialize};

use crate::enrolment::MachineInfo;
use crate::id::{AgentId, UserId};

/// Body of `POST /agents/{id}/heartbeat`, every 60 s ± 10 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Heartbeat {
    /// The machine.
    pub machine: MachineInfo,
    /// The policy epoch in force on it; 0 before the first.
    pub policy_epoch: u64,
    /// How programs are confined.
    pub sandbox_level: SandboxLevel,
    /// Records that wait to be sent.
    pub outbox_depth: u64,
    /// Seconds since the host started.
    pub uptime_seconds: u64,
    /// Tasks running now.
    pub tasks_running: u32,
    /// Sessions kept.
    pub sessions: u64,
    /// Resident memory, bytes.
    pub rss_bytes: Option<u64>,
    /// Devices paired.
    pub devices: u64,
    /// The owner takes jobs.
    pub accepts_jobs: bool,
    /// The owner takes answers to approvals from the centre.
    pub accepts_answers: bool,
    /// Directories in which jobs may work; empty unless jobs are taken.
    pub workspaces: Vec<String>,
    /// The host's own clock.
    pub client_time: Timestamp,
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatAnswer {
    /// The tenant's epoch.
    pub policy_epoch: u64,
    /// Number of the last command for this host.
    pub last_command: u64,
    /// The certificate should be renewed now.
    pub renew: bool,
    /// The server's clock.
    pub server_time: Timestamp,
    /// Seconds until the next.
    pub heartbeat_seconds: u32,
}

/// How an agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Heard of within two and a half heartbeats.
    Online,
    /// Not heard of since.
    Offline,
    /// Not heard of for fifteen minutes.
    Stale,
    /// Its enrolment was revoked.
    Revoked,
}

/// A host as the console shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AgentInfo {
    /// The host.
    pub agent_id: AgentId,
    /// Whose.
    pub user_id: UserId,
    /// Class of machine, from its token.
    pub class: String,
    /// How it is.
    pub state: AgentState,
    /// As last told.
    pub machine: MachineInfo,
    /// The last heartbeat.
    pub heartbeat: Option<Heartbeat>,
    /// When it was taken.
    pub last_seen_at: Option<Timestamp>,
    /// Milliseconds its clock is ahead of the server's.
    pub clock_skew_millis: i64,
    /// When it enrolled.
    pub enrolled_at: Timestamp,
    /// When its certificate runs out.
    pub certificate_not_after: Timestamp,
    /// When and why it was revoked.
    pub revoked: Option<AgentRevocation>,
    /// A second machine tried to use its identity. Stays until an administrator clears it, or revokes the host.
    pub clone_suspected: bool,
}

/// Why an agent was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AgentRevocation {
    /// When.
    pub at: Timestamp,
    /// Who; absent when the host itself unenrolled.
    pub by: Option<UserId>,
    /// Why.
    pub reason: String,
}

/// Body of `POST /agents/{id}/revoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevokeAgent {
    /// Why; told to the host's owner.
    pub reason: String,
}

/// Body of `POST /agents/{id}/clone-mark/clear`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClearCloneMark {
    /// What was found, for the record: 1–2,000 bytes.
    pub reason: String,
}

/// Answer of the internal `GET /agents/counts`: what a policy's rollout is counted from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EpochCounts {
    /// Hosts online.
    pub online: u64,
    /// Of these, hosts whose epoch is at least the one asked for.
    pub confirmed: u64,
    /// Some of those whose epoch is not.
    pub waiting: Vec<AgentId>,
}

/// Query of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EpochQuery {
    /// The epoch.
    pub epoch: u64,
}
