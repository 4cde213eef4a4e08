//! Audit Service: chained records, search, proof, export (seed 004 §13, §17).
//!
//! Each source numbers its records from 1 and chains them:
//! `hash(n) = SHA-256(hash(n-1) ‖ u64 big-endian n ‖ canonical JSON of the event)`, with 32 zero bytes before the first.
//! Canonical JSON is what `lanyard_protocol::codec::to_json` writes, members in the order of the type.

use lanyard_protocol::Timestamp;
use lanyard_protocol::envelope::{EventEnvelope, Severity};
use lanyard_protocol::id::{SessionId, TaskId, WorkspaceId};
use serde::{Deserialize, Serialize};

use crate::id::AgentId;

/// One record as its source sends it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChainedEvent {
    /// Number in the source's chain, from 1 without gaps.
    pub seq: u64,
    /// Hex SHA-256; see the module.
    pub hash: String,
    /// The event.
    pub event: EventEnvelope,
}

/// Body of `POST /audit/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditBatch {
    /// Ascending, without gaps.
    pub records: Vec<ChainedEvent>,
}

/// Answer to it (202): what is stored durably now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AuditAccepted {
    /// Number of the source's last record.
    pub last_seq: u64,
    /// Records taken now.
    pub accepted: u64,
    /// Records that were there already.
    pub duplicates: u64,
    /// Records that contradict what is stored; each is kept as an alert, and the source should tell its owner.
    pub conflicts: u64,
}

/// A record as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// The chain it belongs to: an agent, or `service:…`.
    pub source: String,
    /// Number in it.
    pub seq: u64,
    /// Hex SHA-256.
    pub hash: String,
    /// When the server took it.
    pub received_at: Timestamp,
    /// The event.
    pub event: EventEnvelope,
}

/// Query of `GET /audit/events` and `GET /audit/export`. Newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditQuery {
    /// Of one chain.
    pub source: Option<String>,
    /// Of one session.
    pub session_id: Option<SessionId>,
    /// Of one task.
    pub task_id: Option<TaskId>,
    /// Of one workspace.
    pub workspace_id: Option<WorkspaceId>,
    /// Of one kind.
    pub event_type: Option<String>,
    /// Of one user.
    pub user_id: Option<String>,
    /// At least this urgent.
    pub severity: Option<Severity>,
    /// Received at or after.
    pub from: Option<Timestamp>,
    /// Received before.
    pub to: Option<Timestamp>,
    /// Occurs in the payload's text (lower-case).
    pub text: Option<String>,
    /// See [`crate::page::PageQuery`].
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 500)))]
    pub limit: Option<u32>,
    /// See [`crate::page::PageQuery`].
    pub next_token: Option<String>,
    /// Export only.
    pub format: Option<ExportFormat>,
}

/// How records are exported; both are one JSON object a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// `AuditRecord`.
    #[default]
    JsonLines,
    /// CloudEvents 1.0.
    CloudEvents,
}

/// Query of `GET /audit/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifyQuery {
    /// One chain; absent: all.
    pub source: Option<String>,
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Each chain looked at.
    pub chains: Vec<ChainVerdict>,
    /// All of them are whole.
    pub whole: bool,
}

/// One chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ChainVerdict {
    /// An agent, or `service:…`.
    pub source: String,
    /// First number that is kept; what is older was removed by retention up to a checkpoint.
    pub first_seq: u64,
    /// Last number.
    pub last_seq: u64,
    /// Hash of the last; anchor it outside to prove that nothing was cut off the end.
    pub head: String,
    /// Records looked at.
    pub records: u64,
    /// The first fault found: what, and at which number.
    pub fault: Option<String>,
    /// Records that came twice with different content.
    pub conflicts: u64,
}

/// Answer of `GET /audit/sources/{source}`: where a chain stands, so that a host that was restored goes on rightly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ChainHead {
    /// Number of the last record; 0 before the first.
    pub last_seq: u64,
    /// Its hash; 64 zeros before the first.
    pub hash: String,
}

/// Body of `PUT /audit/retention`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    /// Days records are kept, at most 3,650 and at least as many as the installation says
    /// ([`RetentionState::least_days`]).
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3_650)))]
    pub days: u32,
}

/// Answer of `/audit/retention`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RetentionState {
    /// Days records are kept now.
    pub days: u32,
    /// Fewer days that were asked for and do not count yet: a shorter time waits, so that somebody sees it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingRetention>,
    /// The fewest days that can be set.
    pub least_days: u32,
}

/// A shorter time that does not count yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PendingRetention {
    /// Days records will be kept.
    pub days: u32,
    /// From when on. Until then it can be taken back by setting more.
    pub from: Timestamp,
}

/// Body of the internal `POST /audit/services`: what central's own services record. The Audit Service chains it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceRecords {
    /// The agent they are about, if any.
    pub agent_id: Option<AgentId>,
    /// The events; their component must be a service.
    pub events: Vec<EventEnvelope>,
}
