//! Rows the store keeps for itself: what would otherwise have to be counted.

use lanyard_protocol::Timestamp;
use serde::{Deserialize, Serialize};

/// Counters of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Number of its last event; 0 when there is none.
    pub(crate) last_seq: u64,
    /// Messages in its thread.
    pub(crate) messages: u64,
    /// Its approvals that wait.
    pub(crate) pending_approvals: u32,
}

/// Counters of the whole store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Number of the last host event.
    pub(crate) host_seq: u64,
    /// Number of the first host event still kept; 0 before the first.
    pub(crate) host_first: u64,
    /// Number of the last outbox row.
    pub(crate) outbox_seq: u64,
    /// Tasks that completed.
    pub(crate) tasks_completed: u64,
    /// Tasks that failed.
    pub(crate) tasks_failed: u64,
    /// Tasks that were cancelled.
    pub(crate) tasks_cancelled: u64,
    /// Approvals that wait.
    pub(crate) approvals_pending: u64,
    /// Bytes of artifacts that have an owner.
    pub(crate) artifact_bytes: u64,
    /// Bytes of keys and values in all tables but `meta`.
    pub(crate) row_bytes: u64,
}

/// A schema version this file has been brought to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MigrationRow {
    /// When.
    pub(crate) applied_at: Timestamp,
    /// By which version of this crate.
    pub(crate) by: String,
}

/// A session's hold on an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnerRow {
    /// Bytes of the artifact.
    pub(crate) size: u64,
}
