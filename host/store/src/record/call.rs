//! Rows of a tool call. The request lies in a table of its own, see [`TableId::CallRequests`].

use std::path::PathBuf;

use lanyard_ports::journal::{CallPhase, CallRecord, Replay};
use lanyard_protocol::event::ToolCompleted;
use lanyard_protocol::id::ApprovalId;
use lanyard_protocol::tool::ToolRequest;
use serde::{Deserialize, Serialize};

use super::{Record, RecordError, from_bytes, path_bytes, path_from, to_bytes};
use crate::table::TableId;

/// What of a call changes as it goes on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CallRow {
    /// How far it has come.
    pub(crate) phase: CallPhase,
    /// What a restart may do with it.
    pub(crate) replay: Replay,
    /// The approval that let it run.
    pub(crate) approval_id: Option<ApprovalId>,
    /// The outcome.
    pub(crate) completed: Option<ToolCompleted>,
}

impl CallRow {
    /// The whole record.
    pub(crate) fn with(self, request: ToolRequest) -> CallRecord {
        let Self { phase, replay, approval_id, completed } = self;
        CallRecord { request, phase, replay, approval_id, completed }
    }
}

/// The stored form of [`CallPhase`]; new ones are appended.
#[derive(Serialize, Deserialize)]
enum PhaseRow {
    Planned,
    Authorized,
    Started,
    Finished,
    Indeterminate,
    Reported,
}

/// The stored form of [`Replay`]; new ones are appended.
#[derive(Serialize, Deserialize)]
enum ReplayRow {
    PureRead,
    FileWrite { path: Vec<u8>, pre: Option<String>, post: Option<String> },
    Opaque,
}

/// The stored form of [`CallRow`].
#[derive(Serialize, Deserialize)]
struct StoredCall {
    phase: PhaseRow,
    replay: ReplayRow,
    approval_id: Option<ApprovalId>,
    completed: Option<ToolCompleted>,
}

impl From<CallPhase> for PhaseRow {
    fn from(phase: CallPhase) -> Self {
        match phase {
            CallPhase::Planned => Self::Planned,
            CallPhase::Authorized => Self::Authorized,
            CallPhase::Started => Self::Started,
            CallPhase::Finished => Self::Finished,
            CallPhase::Indeterminate => Self::Indeterminate,
            CallPhase::Reported => Self::Reported,
        }
    }
}

impl From<PhaseRow> for CallPhase {
    fn from(phase: PhaseRow) -> Self {
        match phase {
            PhaseRow::Planned => Self::Planned,
            PhaseRow::Authorized => Self::Authorized,
            PhaseRow::Started => Self::Started,
            PhaseRow::Finished => Self::Finished,
            PhaseRow::Indeterminate => Self::Indeterminate,
            PhaseRow::Reported => Self::Reported,
        }
    }
}

fn replay_row(replay: &Replay) -> Result<ReplayRow, RecordError> {
    Ok(match replay {
        Replay::PureRead => ReplayRow::PureRead,
        Replay::FileWrite { path, pre, post } => {
            ReplayRow::FileWrite { path: path_bytes(path)?, pre: pre.clone(), post: post.clone() }
        }
        Replay::Opaque => ReplayRow::Opaque,
    })
}

fn replay_from(row: ReplayRow) -> Result<Replay, RecordError> {
    Ok(match row {
        ReplayRow::PureRead => Replay::PureRead,
        ReplayRow::FileWrite { path, pre, post } => {
            let path: PathBuf = path_from(path)?;
            Replay::FileWrite { path, pre, post }
        }
        ReplayRow::Opaque => Replay::Opaque,
    })
}

impl Record for CallRow {
    const TABLE: TableId = TableId::Calls;

    fn encode(&self) -> Result<Vec<u8>, RecordError> {
        to_bytes(&StoredCall {
            phase: self.phase.into(),
            replay: replay_row(&self.replay)?,
            approval_id: self.approval_id.clone(),
            completed: self.completed.clone(),
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let row: StoredCall = from_bytes(bytes)?;
        Ok(Self {
            phase: row.phase.into(),
            replay: replay_from(row.replay)?,
            approval_id: row.approval_id,
            completed: row.completed,
        })
    }
}
