//! How values are stored: one byte of record version, then postcard.
//!
//! Protocol types are stored as they are; types of the ports, which have no encoding of their own, go through the
//! private rows of this module. A stored form never changes silently: a new one gets a new version byte and the old
//! one stays readable. The bytes of one sample of each record are pinned in a test.

mod call;
mod central;
mod counters;
mod device;
mod session;
mod task;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use lanyard_protocol::approval::{ApprovalRecord, RememberedRule};
use lanyard_protocol::codec::{from_postcard, to_postcard};
use lanyard_protocol::device::ConnectionRecord;
use lanyard_protocol::envelope::EventEnvelope;
use lanyard_protocol::event::{HostEvent, SessionEvent};
use lanyard_protocol::id::WorkspaceId;
use lanyard_protocol::message::ConversationMessage;
use lanyard_protocol::session::TaskSummary;
use lanyard_protocol::tool::ToolRequest;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use call::CallRow;
pub(crate) use central::{CentralRow, CentralSessionRow, EnrolmentRow};
pub(crate) use counters::{DaysRow, Head, MigrationRow, OwnerRow, Totals};
pub(crate) use device::CounterRow;
pub(crate) use session::Digest;

use crate::table::TableId;

/// Version byte of every record, but for those that say otherwise.
const VERSION: u8 = 1;

/// Why bytes are not a record, or a value cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// Written by something newer, or damaged.
    #[error("its record version is {0}, this host reads {VERSION}")]
    Version(u8),
    /// Not what postcard expects.
    #[error("{0}")]
    Encoding(String),
    /// Only on systems whose paths are not byte strings.
    #[cfg(not(unix))]
    #[error("the path {0} is not Unicode")]
    Path(String),
}

/// A value of a table.
pub(crate) trait Record: Sized {
    /// Where it lives.
    const TABLE: TableId;

    /// The stored form.
    fn encode(&self) -> Result<Vec<u8>, RecordError>;

    /// Back from the stored form. Never panics; trailing bytes are refused.
    fn decode(bytes: &[u8]) -> Result<Self, RecordError>;
}

/// Encodes a row under the current version.
fn to_bytes<T: Serialize>(row: &T) -> Result<Vec<u8>, RecordError> {
    to_bytes_as(VERSION, row)
}

fn to_bytes_as<T: Serialize>(version: u8, row: &T) -> Result<Vec<u8>, RecordError> {
    let body = to_postcard(row).map_err(|e| RecordError::Encoding(e.to_string()))?;
    let mut bytes = Vec::with_capacity(body.len() + 1);
    bytes.push(version);
    bytes.extend(body);
    Ok(bytes)
}

/// Decodes a row of the current version.
fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RecordError> {
    from_bytes_as(VERSION, bytes)
}

fn from_bytes_as<T: DeserializeOwned>(version: u8, bytes: &[u8]) -> Result<T, RecordError> {
    match bytes {
        [] => Err(RecordError::Empty),
        [found, body @ ..] if *found == version => {
            from_postcard(body).map_err(|e| RecordError::Encoding(e.to_string()))
        }
        [other, ..] => Err(RecordError::Version(*other)),
    }
}

/// Types that are their own row.
macro_rules! stored_as_they_are {
    ($($type:ty => $table:ident;)*) => {$(
        impl Record for $type {
            const TABLE: TableId = TableId::$table;

            fn encode(&self) -> Result<Vec<u8>, RecordError> {
                to_bytes(self)
            }

            fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
                from_bytes(bytes)
            }
        }
    )*};
}

stored_as_they_are! {
    ApprovalRecord => Approvals;
    CentralRow => Central;
    ConnectionRecord => Connections;
    ConversationMessage => Messages;
    CounterRow => Counters;
    DaysRow => Meta;
    Digest => Digests;
    EventEnvelope => Outbox;
    Head => Heads;
    HostEvent => HostEvents;
    MigrationRow => Migrations;
    OwnerRow => ArtifactOwners;
    RememberedRule => Rules;
    SessionEvent => Events;
    TaskSummary => Tasks;
    ToolRequest => CallRequests;
    Totals => Meta;
    WorkspaceId => Workspaces;
}

/// A path as bytes, without loss.
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "on other systems a path may have no byte form")]
pub(crate) fn path_bytes(path: &Path) -> Result<Vec<u8>, RecordError> {
    use std::os::unix::ffi::OsStrExt;
    Ok(path.as_os_str().as_bytes().to_vec())
}

/// A path as bytes, without loss.
#[cfg(not(unix))]
pub(crate) fn path_bytes(path: &Path) -> Result<Vec<u8>, RecordError> {
    let text = path.to_str().ok_or_else(|| RecordError::Path(path.display().to_string()))?;
    Ok(text.as_bytes().to_vec())
}

/// Back from [`path_bytes`].
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "on other systems not every byte string is a path")]
fn path_from(bytes: Vec<u8>) -> Result<PathBuf, RecordError> {
    use std::os::unix::ffi::OsStringExt;
    Ok(std::ffi::OsString::from_vec(bytes).into())
}

/// Back from [`path_bytes`].
#[cfg(not(unix))]
fn path_from(bytes: Vec<u8>) -> Result<PathBuf, RecordError> {
    let text = String::from_utf8(bytes).map_err(|e| RecordError::Path(e.to_string()))?;
    Ok(text.into())
}

/// Decodes a value of the table at `table` (see the order in `table.rs`), for fuzzing: whether it is a record.
/// Whatever the bytes, it returns.
pub fn fuzz_decode(table: u8, bytes: &[u8]) -> bool {
    TableId::from_index(table).is_some_and(|table| decodes(table, bytes))
}

/// Whether a value of a table can be read. Indices hold no value.
fn decodes(table: TableId, bytes: &[u8]) -> bool {
    fn reads<R: Record>(bytes: &[u8]) -> bool {
        R::decode(bytes).is_ok()
    }
    match table {
        TableId::Meta => reads::<Totals>(bytes) || reads::<DaysRow>(bytes),
        TableId::Migrations => reads::<MigrationRow>(bytes),
        TableId::Sessions => reads::<lanyard_ports::journal::SessionRecord>(bytes),
        TableId::Heads => reads::<Head>(bytes),
        TableId::Digests => reads::<Digest>(bytes),
        TableId::Workspaces => reads::<WorkspaceId>(bytes),
        TableId::Tasks => reads::<TaskSummary>(bytes),
        TableId::Events => reads::<SessionEvent>(bytes),
        TableId::Messages => reads::<ConversationMessage>(bytes),
        TableId::CallRequests => reads::<ToolRequest>(bytes),
        TableId::Calls => reads::<CallRow>(bytes),
        TableId::Approvals => reads::<ApprovalRecord>(bytes),
        TableId::Rules => reads::<RememberedRule>(bytes),
        TableId::Checkpoints => reads::<lanyard_ports::journal::Checkpoint>(bytes),
        TableId::Baselines => reads::<lanyard_ports::journal::Baseline>(bytes),
        TableId::Commands => reads::<lanyard_ports::journal::CommandRecord>(bytes),
        TableId::HostEvents => reads::<HostEvent>(bytes),
        TableId::Outbox => reads::<EventEnvelope>(bytes),
        TableId::ArtifactOwners => reads::<OwnerRow>(bytes),
        TableId::Devices => reads::<lanyard_ports::journal::DeviceRecord>(bytes),
        TableId::Connections => reads::<ConnectionRecord>(bytes),
        TableId::Counters => reads::<CounterRow>(bytes),
        TableId::Central => reads::<CentralRow>(bytes),
        TableId::CentralSessions => reads::<CentralSessionRow>(bytes),
        TableId::SessionsByChange
        | TableId::ApprovalsByTime
        | TableId::ApprovalsBySession
        | TableId::ApprovalsPending
        | TableId::CommandsByTime
        | TableId::ArtifactsBySession
        | TableId::CentralQueue => bytes.is_empty(),
    }
}
