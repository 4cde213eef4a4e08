//! What the health panel and `lanyard doctor` show.

use serde::{Deserialize, Serialize};

use crate::id::HostId;
use crate::policy::SandboxLevel;
use crate::session::{ModelInfo, TaskSummary};
use crate::timestamp::Timestamp;

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// As it should be.
    Ok,
    /// Works, with less than it could.
    Degraded,
    /// Does not work.
    Bad,
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// Stable name: `model`, `sandbox`, `store`, `outbox`, …
    pub name: String,
    /// How well.
    pub status: HealthStatus,
    /// What was found, in a sentence.
    pub message: String,
    /// What to do about it, when there is something to do.
    pub action: Option<String>,
}

/// Counts since the store was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HealthCounters {
    /// Tasks that completed.
    pub tasks_completed: u64,
    /// Tasks that failed.
    pub tasks_failed: u64,
    /// Tasks that were cancelled.
    pub tasks_cancelled: u64,
    /// Sessions kept.
    pub sessions: u64,
    /// Approvals waiting now.
    pub approvals_pending: u64,
    /// Connections open now.
    pub connections: u64,
    /// Bytes of the store file and the artifacts.
    pub store_bytes: u64,
    /// `store.max_bytes`.
    pub store_max_bytes: u64,
    /// Audit records not yet forwarded.
    pub outbox_depth: u64,
    /// Events in the log.
    pub events: u64,
}

/// Tasks that ended on one day (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskDay {
    /// Days since 1970-01-01.
    pub day: u32,
    /// Completed.
    pub completed: u32,
    /// Failed.
    pub failed: u32,
    /// Cancelled.
    pub cancelled: u32,
}

/// How often something happened, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReasonCount {
    /// A stable word: `code_wrong`, `timed_out`, …
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// What the network side has seen since the store was made. Kept on this machine, never uploaded by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct NetworkCounters {
    /// Pairing windows opened.
    pub windows_opened: u64,
    /// Devices that proved to know something about pairing: a code was tried or a link used.
    pub pairing_attempts: u64,
    /// Devices paired.
    pub pairings: u64,
    /// Pairings that came to nothing, by reason.
    pub pairing_aborts: Vec<ReasonCount>,
    /// Connections of paired devices.
    pub connections: u64,
    /// Connections that were turned away, by reason.
    pub refused: Vec<ReasonCount>,
    /// Connections that ended, by reason.
    pub disconnects: Vec<ReasonCount>,
    /// Subscriptions that went on from a cursor.
    pub resumes: u64,
}

/// Whether this host can be found by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DiscoveryHealth {
    /// `off`, `starting`, `advertising` or `failed`.
    pub state: DiscoveryState,
    /// The name advertised, or why there is none.
    pub detail: String,
}

/// See [`DiscoveryHealth`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DiscoveryState {
    /// Switched off by configuration.
    Off,
    /// Not yet announced.
    Starting,
    /// Announced on at least one interface.
    Advertising,
    /// It does not work here; the host is reached by address or link.
    Failed,
}

/// The network side of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct NetworkHealth {
    /// What devices know the host by.
    pub host_id: HostId,
    /// The address devices connect to; absent when the network side is switched off.
    pub listening: Option<String>,
    /// Addresses under which devices may reach it, likeliest first.
    pub reachable_at: Vec<String>,
    /// Where its page is served, likeliest first; empty when it is not.
    pub origins: Vec<String>,
    /// Whether it is found by name.
    pub discovery: DiscoveryHealth,
    /// Devices paired.
    pub devices: u64,
    /// Those connected now.
    pub devices_connected: u64,
    /// What has happened.
    pub counters: NetworkCounters,
}

/// The host's condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HealthReport {
    /// The worst of the checks.
    pub status: HealthStatus,
    /// Version of the host.
    pub version: String,
    /// Wire contract it speaks.
    pub protocol_version: u16,
    /// Process id.
    pub pid: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// Seconds since.
    pub uptime_seconds: u64,
    /// Where its state lies.
    pub state_dir: String,
    /// Resident memory, bytes; absent where the system does not tell.
    pub rss_bytes: Option<u64>,
    /// The model in use.
    pub model: ModelInfo,
    /// How children are confined.
    pub sandbox_level: SandboxLevel,
    /// The last task that ended.
    pub last_task: Option<TaskSummary>,
    /// Tasks that ended, by day, oldest first, the last one today; see
    /// [`crate::limits::HEALTH_DAYS`].
    pub days: Vec<TaskDay>,
    /// Counts.
    pub counters: HealthCounters,
    /// The network side.
    pub network: NetworkHealth,
    /// Everything looked at.
    pub checks: Vec<HealthCheck>,
}
