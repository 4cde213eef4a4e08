//! Rows of a task under way, and of answered commands.

use std::borrow::Cow;

use lanyard_ports::journal::{Baseline, Checkpoint, CommandRecord};
use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::ChangeKind;
use lanyard_protocol::event::Usage;
use lanyard_protocol::id::{ArtifactId, CommandId, PrincipalId, SessionId, StepId, TaskId};
use lanyard_protocol::method::Response;
use lanyard_protocol::principal::Principal;
use lanyard_protocol::session::TaskOptions;
use serde::{Deserialize, Serialize};

use super::{Record, RecordError, from_bytes, path_bytes, path_from, to_bytes};
use crate::table::TableId;

/// The stored form of [`Checkpoint`].
#[derive(Serialize, Deserialize)]
struct CheckpointRow<'a> {
    session_id: Cow<'a, SessionId>,
    task_id: Cow<'a, TaskId>,
    prompt: Cow<'a, str>,
    options: Cow<'a, TaskOptions>,
    initiator: Cow<'a, Principal>,
    step_id: Cow<'a, StepId>,
    step_number: u32,
    calls_under_way: bool,
    usage: Usage,
    started_at: Timestamp,
    resumes: u32,
}

impl Record for Checkpoint {
    const TABLE: TableId = TableId::Checkpoints;

    fn encode(&self) -> Result<Vec<u8>, RecordError> {
        to_bytes(&CheckpointRow {
            session_id: Cow::Borrowed(&self.session_id),
            task_id: Cow::Borrowed(&self.task_id),
            prompt: Cow::Borrowed(&self.prompt),
            options: Cow::Borrowed(&self.options),
            initiator: Cow::Borrowed(&self.initiator),
            step_id: Cow::Borrowed(&self.step_id),
            step_number: self.step_number,
            calls_under_way: self.calls_under_way,
            usage: self.usage,
            started_at: self.started_at,
            resumes: self.resumes,
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let row: CheckpointRow<'_> = from_bytes(bytes)?;
        Ok(Self {
            session_id: row.session_id.into_owned(),
            task_id: row.task_id.into_owned(),
            prompt: row.prompt.into_owned(),
            options: row.options.into_owned(),
            initiator: row.initiator.into_owned(),
            step_id: row.step_id.into_owned(),
            step_number: row.step_number,
            calls_under_way: row.calls_under_way,
            usage: row.usage,
            started_at: row.started_at,
            resumes: row.resumes,
        })
    }
}

/// The stored form of [`Baseline`].
#[derive(Serialize, Deserialize)]
struct BaselineRow<'a> {
    session_id: Cow<'a, SessionId>,
    task_id: Cow<'a, TaskId>,
    path: Vec<u8>,
    content: Cow<'a, Option<ArtifactId>>,
    change: ChangeKind,
}

impl Record for Baseline {
    const TABLE: TableId = TableId::Baselines;

    fn encode(&self) -> Result<Vec<u8>, RecordError> {
        to_bytes(&BaselineRow {
            session_id: Cow::Borrowed(&self.session_id),
            task_id: Cow::Borrowed(&self.task_id),
            path: path_bytes(&self.path)?,
            content: Cow::Borrowed(&self.content),
            change: self.change,
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let row: BaselineRow<'_> = from_bytes(bytes)?;
        Ok(Self {
            session_id: row.session_id.into_owned(),
            task_id: row.task_id.into_owned(),
            path: path_from(row.path)?,
            content: row.content.into_owned(),
            change: row.change,
        })
    }
}

/// The stored form of [`CommandRecord`].
#[derive(Serialize, Deserialize)]
struct CommandRow<'a> {
    command_id: Cow<'a, CommandId>,
    principal: Cow<'a, PrincipalId>,
    fingerprint: Cow<'a, str>,
    response: Cow<'a, Response>,
    at: Timestamp,
}

impl Record for CommandRecord {
    const TABLE: TableId = TableId::Commands;

    fn encode(&self) -> Result<Vec<u8>, RecordError> {
        to_bytes(&CommandRow {
            command_id: Cow::Borrowed(&self.command_id),
            principal: Cow::Borrowed(&self.principal),
            fingerprint: Cow::Borrowed(&self.fingerprint),
            response: Cow::Borrowed(&self.response),
            at: self.at,
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let row: CommandRow<'_> = from_bytes(bytes)?;
        Ok(Self {
            command_id: row.command_id.into_owned(),
            principal: row.principal.into_owned(),
            fingerprint: row.fingerprint.into_owned(),
            response: row.response.into_owned(),
            at: row.at,
        })
    }
}
