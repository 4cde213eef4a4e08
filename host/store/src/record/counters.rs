//! Rows the store keeps for itself: what would otherwise have to be counted.

use lanyard_protocol::Timestamp;
use lanyard_protocol::limits::HEALTH_DAYS;
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

/// Tasks that ended in the last days, oldest day first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct DaysRow {
    /// One for each day on which one ended.
    pub(crate) days: Vec<DayRow>,
}

/// Tasks that ended on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct DayRow {
    /// Days since 1970-01-01, UTC.
    pub(crate) day: u32,
    /// That completed.
    pub(crate) completed: u32,
    /// That failed.
    pub(crate) failed: u32,
    /// That were cancelled.
    pub(crate) cancelled: u32,
}

impl DaysRow {
    /// The row of a day. Days too far from it in either direction go: those before are over, those after come from a
    /// clock that was wrong for a while.
    pub(crate) fn day(&mut self, day: u32) -> &mut DayRow {
        let near = u32::try_from(HEALTH_DAYS).unwrap_or(u32::MAX);
        self.days.retain(|row| row.day.abs_diff(day) < near);
        let at = self.days.partition_point(|row| row.day < day);
        if self.days.get(at).is_none_or(|row| row.day != day) {
            self.days.insert(at, DayRow { day, ..DayRow::default() });
        }
        &mut self.days[at]
    }
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
