//! Rows about the central services: to whom the host belongs, and what the centre has of each session.

use std::borrow::Cow;

use lanyard_ports::journal::{AuditHead, CentralSession, Enrolment};
use lanyard_protocol::id::{SessionId, WorkspaceId};
use serde::{Deserialize, Serialize};

use super::{Record, RecordError, from_bytes, from_bytes_as, to_bytes, to_bytes_as};
use crate::table::TableId;

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

/// What is stored of a [`CentralSession`]; its session is the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CentralSessionRow {
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) shipped_seq: u64,
    pub(crate) timeline: bool,
    pub(crate) upload: Option<u64>,
    pub(crate) job_id: Option<String>,
    pub(crate) deleted: bool,
    /// Its place in the line; absent: nothing of it waits.
    pub(crate) place: Option<u64>,
}

impl CentralSessionRow {
    pub(crate) fn with(self, session_id: SessionId) -> CentralSession {
        let Self { workspace_id, shipped_seq, timeline, upload, job_id, deleted, place: _ } = self;
        CentralSession { session_id, workspace_id, shipped_seq, timeline, upload, job_id, deleted }
    }
}

/// The stored form of [`CentralSessionRow`].
#[derive(Serialize, Deserialize)]
struct Known<'a> {
    workspace_id: Cow<'a, WorkspaceId>,
    shipped_seq: u64,
    timeline: bool,
    job_id: Cow<'a, Option<String>>,
    deleted: bool,
    place: Option<u64>,
}

/// Version of [`Uploading`]; sessions of which nothing may be uploaded are stored as they always were.
const UPLOADING_VERSION: u8 = 2;

/// The stored form of a session whose artifacts may be uploaded.
#[derive(Serialize, Deserialize)]
struct Uploading<'a> {
    known: Known<'a>,
    upload: u64,
}

impl Record for CentralSessionRow {
    const TABLE: TableId = TableId::CentralSessions;

    fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let known = Known {
            workspace_id: Cow::Borrowed(&self.workspace_id),
            shipped_seq: self.shipped_seq,
            timeline: self.timeline,
            job_id: Cow::Borrowed(&self.job_id),
            deleted: self.deleted,
            place: self.place,
        };
        match self.upload {
            None => to_bytes(&known),
            Some(upload) => to_bytes_as(UPLOADING_VERSION, &Uploading { known, upload }),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (known, upload) = if bytes.first() == Some(&UPLOADING_VERSION) {
            let Uploading { known, upload } = from_bytes_as(UPLOADING_VERSION, bytes)?;
            (known, Some(upload))
        } else {
            (from_bytes(bytes)?, None)
        };
        let Known { workspace_id, shipped_seq, timeline, job_id, deleted, place } = known;
        let (workspace_id, job_id) = (workspace_id.into_owned(), job_id.into_owned());
        Ok(Self { workspace_id, shipped_seq, timeline, upload, job_id, deleted, place })
    }
}
