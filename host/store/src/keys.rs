//! How keys are spelled. Ids go in as their bytes; their grammar has no NUL, so a NUL ends each of them and no id's
//! rows lie among another's. Numbers and times are big-endian, so that byte order is their order.

use std::path::{Path, PathBuf};

use lanyard_protocol::Timestamp;
use lanyard_protocol::id::{ApprovalId, ArtifactId, CommandId, PrincipalId, SessionId, TaskId, ToolCallId};

use sha2::{Digest, Sha256};

use crate::record::{RecordError, path_bytes};

/// Ends an id inside a key.
const END: u8 = 0;

/// Bytes of a number or a time.
const NUMBER: usize = 8;

fn joined(id: &str, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(id.len() + 1 + rest.len());
    key.extend_from_slice(id.as_bytes());
    key.push(END);
    key.extend_from_slice(rest);
    key
}

fn millis(at: Timestamp) -> [u8; NUMBER] {
    // A timestamp is never negative, see its constructor.
    u64::try_from(at.as_millis()).unwrap_or(0).to_be_bytes()
}

/// Start of the keys that belong to an id.
pub(crate) fn prefix(id: &str) -> Vec<u8> {
    joined(id, &[])
}

/// First key after all that begin with `prefix`; `None` when there can be no such key.
pub(crate) fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// A number alone: host log, outbox, migrations.
pub(crate) fn number(n: u64) -> Vec<u8> {
    n.to_be_bytes().to_vec()
}

/// Event or message of a session.
pub(crate) fn numbered(session: &SessionId, n: u64) -> Vec<u8> {
    joined(session.as_str(), &n.to_be_bytes())
}

/// The number a key ends with.
pub(crate) fn trailing_number(key: &[u8]) -> Option<u64> {
    key.last_chunk::<NUMBER>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// Task of a session.
pub(crate) fn task(session: &SessionId, task: &TaskId) -> Vec<u8> {
    joined(session.as_str(), task.as_str().as_bytes())
}

/// Call of a session.
pub(crate) fn call(session: &SessionId, call: &ToolCallId) -> Vec<u8> {
    joined(session.as_str(), call.as_str().as_bytes())
}

/// Approval of a session.
pub(crate) fn approval(session: &SessionId, approval: &ApprovalId) -> Vec<u8> {
    joined(session.as_str(), approval.as_str().as_bytes())
}

/// Approval in the indices by time.
pub(crate) fn approval_by_time(at: Timestamp, session: &SessionId, approval: &ApprovalId) -> Vec<u8> {
    let mut key = millis(at).to_vec();
    key.extend(self::approval(session, approval));
    key
}

/// Approval in the index by session.
pub(crate) fn approval_by_session(session: &SessionId, at: Timestamp, approval: &ApprovalId) -> Vec<u8> {
    let mut rest = millis(at).to_vec();
    rest.extend_from_slice(approval.as_str().as_bytes());
    joined(session.as_str(), &rest)
}

/// From a key of the index by session to those of the record and of the indices by time.
pub(crate) fn from_approval_by_session(session: &SessionId, key: &[u8]) -> Option<ApprovalKeys> {
    let rest = key.get(session.as_str().len() + 1..)?;
    let (time, approval) = rest.split_first_chunk::<NUMBER>()?;
    let record = joined(session.as_str(), approval);
    let by_time = [time.as_slice(), &record].concat();
    Some(ApprovalKeys { record, by_time })
}

/// See [`from_approval_by_session`].
pub(crate) struct ApprovalKeys {
    /// In `approvals`.
    pub(crate) record: Vec<u8>,
    /// In `approvals_by_time` and `approvals_pending`.
    pub(crate) by_time: Vec<u8>,
}

/// From a key of an index by time to what follows the time.
pub(crate) fn after_time(key: &[u8]) -> Option<&[u8]> {
    key.get(NUMBER..)
}

/// From a key of an index by time to the time.
pub(crate) fn time_of(key: &[u8]) -> Option<u64> {
    key.first_chunk::<NUMBER>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// Session in the index by change.
pub(crate) fn by_change(at: Timestamp, session: &SessionId) -> Vec<u8> {
    let mut key = millis(at).to_vec();
    key.extend_from_slice(session.as_str().as_bytes());
    key
}

/// Start of the baselines of a task.
pub(crate) fn baselines(session: &SessionId, task: &TaskId) -> Vec<u8> {
    joined(session.as_str(), &prefix(task.as_str()))
}

/// Baseline of a file in a task.
pub(crate) fn baseline(session: &SessionId, task: &TaskId, path: &Path) -> Result<Vec<u8>, RecordError> {
    let mut key = baselines(session, task);
    key.extend(path_bytes(path)?);
    Ok(key)
}

/// A set of directories, whatever their order. A hash, because paths may be longer than keys should be.
pub(crate) fn workspace(roots: &[PathBuf]) -> Result<Vec<u8>, RecordError> {
    let mut paths = roots.iter().map(|root| path_bytes(root)).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    paths.dedup();
    let mut hash = Sha256::new();
    for path in paths {
        hash.update(path);
        hash.update([END]);
    }
    Ok(hash.finalize().to_vec())
}

/// Session in the line of those to be sent.
pub(crate) fn queued(place: u64, session: &SessionId) -> Vec<u8> {
    let mut key = place.to_be_bytes().to_vec();
    key.extend_from_slice(session.as_str().as_bytes());
    key
}

/// The session in a key of that line.
pub(crate) fn queued_session(key: &[u8]) -> Option<SessionId> {
    SessionId::new(std::str::from_utf8(key.get(NUMBER..)?).ok()?).ok()
}

/// Command of a principal.
pub(crate) fn command(principal: &PrincipalId, command: &CommandId) -> Vec<u8> {
    joined(principal.as_str(), command.as_str().as_bytes())
}

/// Command in the index by time.
pub(crate) fn command_by_time(at: Timestamp, principal: &PrincipalId, command: &CommandId) -> Vec<u8> {
    let mut key = millis(at).to_vec();
    key.extend(self::command(principal, command));
    key
}

/// Owner of an artifact.
pub(crate) fn owner(artifact: &ArtifactId, session: &SessionId) -> Vec<u8> {
    joined(artifact.as_str(), session.as_str().as_bytes())
}

/// Artifact of a session.
pub(crate) fn owned(session: &SessionId, artifact: &ArtifactId) -> Vec<u8> {
    joined(session.as_str(), artifact.as_str().as_bytes())
}

/// The text after the first id of a key.
pub(crate) fn second_text(key: &[u8]) -> Option<&str> {
    let end = key.iter().position(|byte| *byte == END)?;
    std::str::from_utf8(key.get(end + 1..)?).ok()
}

/// From the key of an approval to its ids.
pub(crate) fn approval_of(key: &[u8]) -> Option<(SessionId, ApprovalId)> {
    let end = key.iter().position(|byte| *byte == END)?;
    let session = std::str::from_utf8(key.get(..end)?).ok()?;
    Some((SessionId::new(session).ok()?, ApprovalId::new(second_text(key)?).ok()?))
}

/// A key as error texts show it.
pub(crate) fn shown(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(text: &str) -> SessionId {
        SessionId::new(text).unwrap()
    }

    #[test]
    fn no_session_lies_within_the_prefix_of_another() {
        let (short, long) = (session("a"), session("a.b"));
        let (start, end) = (prefix(short.as_str()), after(&prefix(short.as_str())).unwrap());
        let foreign = numbered(&long, 1);
        assert!(!(start <= foreign && foreign < end));
        let own = numbered(&short, u64::MAX);
        assert!(start <= own && own < end);
    }

    #[test]
    fn numbers_sort_as_numbers() {
        let s = session("s");
        assert!(numbered(&s, 255) < numbered(&s, 256));
        assert_eq!(trailing_number(&numbered(&s, 77)), Some(77));
        assert_eq!(trailing_number(b"short"), None);
    }

    #[test]
    fn the_end_of_a_prefix_carries_over() {
        assert_eq!(after(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after(&[1, 0xff]), Some(vec![2]));
        assert_eq!(after(&[0xff]), None);
    }

    #[test]
    fn index_keys_lead_back_to_the_record() {
        let (s, a, at) = (session("s"), ApprovalId::new("ap1").unwrap(), Timestamp::from_millis(5));
        let keys = from_approval_by_session(&s, &approval_by_session(&s, at, &a)).unwrap();
        assert_eq!(keys.record, approval(&s, &a));
        assert_eq!(keys.by_time, approval_by_time(at, &s, &a));
        assert_eq!(after_time(&keys.by_time), Some(keys.record.as_slice()));
        assert_eq!(time_of(&keys.by_time), Some(5));
        assert_eq!(approval_of(&keys.record), Some((s, a)));
        assert_eq!(approval_of(b"no end"), None);
    }
}
