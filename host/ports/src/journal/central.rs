//! What the journal keeps for the central services: whose the host is, what they hold, what waits for them.

use lanyard_protocol::Timestamp;
use lanyard_protocol::id::{SessionId, WorkspaceId};

/// To whom this host belongs, as far as its records are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// What the centre knows this host by; its chain of audit records has that name.
    pub agent_id: String,
    /// The tenant. Every audit record made from now on carries it.
    pub tenant_id: String,
    /// Number of the first outbox row that is the centre's. What was made before belongs to this machine alone and is
    /// never sent. Kept by the store: what a writer puts here is ignored.
    pub first_outbox: u64,
}

/// The end of the chain of audit records that the centre holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditHead {
    /// Number of the last record in the chain; 0 before the first.
    pub seq: u64,
    /// Its SHA-256; zeros before the first.
    pub hash: [u8; 32],
}

/// A session that the centre knows, and how far its log was sent there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CentralSession {
    /// The session.
    pub session_id: SessionId,
    /// Its workspace as the centre knows it.
    pub workspace_id: WorkspaceId,
    /// Events up to this number were sent and taken. Moves by [`super::Write::Shipped`] only.
    pub shipped_seq: u64,
    /// The centre wants the events themselves, not only the history after each task.
    pub timeline: bool,
    /// The longest artifact, in bytes, that may be uploaded: what `Workspace.Upload` of the central policy grants. Absent:
    /// it grants nothing, and nothing is uploaded.
    pub upload: Option<u64>,
    /// The job it was opened for.
    pub job_id: Option<String>,
    /// It was deleted on this host, which the centre has not been told yet. Kept by the store.
    pub deleted: bool,
}

/// A session whose log is ahead of what the centre has, or whose deletion it was not told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unshipped {
    /// The session.
    pub session: CentralSession,
    /// Number of the last event in its log; `shipped_seq` for a deleted one.
    pub last_seq: u64,
}

/// Audit records that wait to be sent to the centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditBacklog {
    /// How many; 0 while the host is not enrolled.
    pub records: u64,
    /// When the oldest of them was made.
    pub oldest_at: Option<Timestamp>,
}

/// Session logs that wait to be sent to the centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogBacklog {
    /// Sessions in [`super::Journal::unshipped`].
    pub sessions: u64,
    /// Their events. Counted in at most [`BACKLOG_REACH`] sessions.
    pub events: u64,
}

/// Sessions in which [`super::Journal::log_backlog`] counts events: some milliseconds.
pub const BACKLOG_REACH: usize = 1_000;
