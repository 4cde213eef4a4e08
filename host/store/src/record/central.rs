//! Rows about the central services: to whom the host belongs, and what the centre has of each session.

use lanyard_ports::journal::{AuditHead, CentralSession, Enrolment};
use lanyard_protocol::id::{SessionId, WorkspaceId};
use serde::{Deserialize, Serialize};

/// The one row of `central`. Apart from `meta`, whose counters every commit rewrites.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct CentralRow {
    /// To whom the host belongs.
    pub(crate) enrolment: Option<EnrolmentRow>,
    /// Number of the last outbox row that was sent and taken.
    pub(crate) sent: u64,
    /// Number of the last record of the chain.
    pub(crate) head_seq: u64,
    /// Its hash.
    pub(crate) head_hash: [u8; 32],
    /// Number of the last command carried out.
    pub(crate) command: u64,
    /// Last place given out in the line of sessions to be sent.
    pub(crate) place: u64,
}

/// The stored form of [`Enrolment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EnrolmentRow {
    pub(crate) agent_id: String,
    pub(crate) tenant_id: String,
    pub(crate) first_outbox: u64,
}

impl CentralRow {
    /// Number of the first outbox row that waits to be sent; `None` while the host is its own.
    pub(crate) fn first_unsent(&self) -> Option<u64> {
        self.enrolment.as_ref().map(|enrolment| enrolment.first_outbox.max(self.sent.saturating_add(1)))
    }

    pub(crate) fn head(&self) -> AuditHead {
        AuditHead { seq: self.head_seq, hash: self.head_hash }
    }
}

impl From<EnrolmentRow> for Enrolment {
    fn from(row: EnrolmentRow) -> Self {
        let EnrolmentRow { agent_id, tenant_id, first_outbox } = row;
        Self { agent_id, tenant_id, first_outbox }
    }
}

/// The stored form of [`CentralSession`]; its session is the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CentralSessionRow {
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) shipped_seq: u64,
    pub(crate) timeline: bool,
    pub(crate) job_id: Option<String>,
    pub(crate) deleted: bool,
    /// Its place in the line; absent: nothing of it waits.
    pub(crate) place: Option<u64>,
}

impl CentralSessionRow {
    pub(crate) fn with(self, session_id: SessionId) -> CentralSession {
        let Self { workspace_id, shipped_seq, timeline, job_id, deleted, place: _ } = self;
        CentralSession { session_id, workspace_id, shipped_seq, timeline, job_id, deleted }
    }
}
