//! The list of sessions, last changed first, plain and searched.

use data_encoding::BASE64URL_NOPAD;
use lanyard_ports::journal::{JournalError, SessionRecord};
use lanyard_protocol::id::{SessionId, WorkspaceId};
use lanyard_protocol::session::SessionSummary;

use super::{View, bad_index};
use crate::error::corrupt;
use crate::keys;
use crate::record::{Digest, RecordError};
use crate::table::TableId;

/// Sessions one search call looks at; each costs a digest of at most 32 KiB.
const SEARCH_SESSIONS: usize = 500;

/// Longest cursor taken from a client: an index key in base64.
const CURSOR_BYTES: usize = 256;

impl View<'_> {
    /// A session, with its counters.
    pub(crate) fn session(&self, id: &SessionId) -> Result<SessionRecord, JournalError> {
        let mut record: SessionRecord = self
            .get(id.as_str().as_bytes())?
            .ok_or_else(|| JournalError::NotFound(format!("session {id}")))?;
        let head = self.head(id)?;
        record.summary.last_seq = head.last_seq;
        record.summary.pending_approvals = head.pending_approvals;
        Ok(record)
    }

    /// Sessions, last changed first. With a query those whose name, prompts or answers contain it, of which the
    /// newest 32 KiB per session are searched; at most [`SEARCH_SESSIONS`] are looked at, so that a page may be short
    /// and still name a cursor. A session that changes while a client pages moves to the front; the host log says so.
    pub(crate) fn list_sessions(
        &self,
        query: Option<&str>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<SessionSummary>, Option<String>), JournalError> {
        let query = query.map(str::to_lowercase);
        let end = cursor.map(parse_cursor).transpose()?;
        let mut index = match &end {
            Some(end) => self.range(TableId::SessionsByChange, ..end.as_slice())?,
            None => self.range(TableId::SessionsByChange, ..)?,
        };
        let mut found = Vec::new();
        for looked_at in 1.. {
            let Some(row) = index.next_back() else { break };
            let (key, _) = row.map_err(|error| self.failed(error))?;
            match self.listed(key.value(), query.as_deref()) {
                Ok(summary) => found.extend(summary),
                // One damaged session does not hide the others.
                Err(error @ (JournalError::Corrupt(_) | JournalError::NotFound(_))) => {
                    tracing::error!(%error, "a session is left out of the list");
                }
                Err(error) => return Err(error),
            }
            if found.len() >= limit || (query.is_some() && looked_at >= SEARCH_SESSIONS) {
                let more = index.next_back().is_some();
                return Ok((found, more.then(|| BASE64URL_NOPAD.encode(key.value()))));
            }
        }
        Ok((found, None))
    }

    /// The session of an entry of the index, if it answers the query.
    fn listed(&self, entry: &[u8], query: Option<&str>) -> Result<Option<SessionSummary>, JournalError> {
        let summary = self.session(&session_of(entry)?)?.summary;
        let Some(query) = query else { return Ok(Some(summary)) };
        if summary.name.to_lowercase().contains(query) {
            return Ok(Some(summary));
        }
        let digest: Option<Digest> = self.get(summary.session_id.as_str().as_bytes())?;
        Ok(digest.is_some_and(|digest| digest.text.contains(query)).then_some(summary))
    }

    /// The workspace known for a set of directories.
    pub(crate) fn workspace_for(
        &self,
        key: Result<Vec<u8>, RecordError>,
    ) -> Result<Option<WorkspaceId>, JournalError> {
        let key = key.map_err(|why| corrupt(TableId::Workspaces, &[], &why))?;
        self.get(&key)
    }

    /// Sessions whose task was under way.
    pub(crate) fn unfinished(&self) -> Result<Vec<SessionId>, JournalError> {
        let mut sessions = Vec::new();
        for row in self.range(TableId::Checkpoints, ..)? {
            let (key, _) = row.map_err(|error| self.failed(error))?;
            sessions.push(id_from(TableId::Checkpoints, key.value(), key.value())?);
        }
        Ok(sessions)
    }
}

/// The session an entry of the index by change stands for.
fn session_of(key: &[u8]) -> Result<SessionId, JournalError> {
    let id = keys::after_time(key).ok_or_else(|| bad_index(TableId::SessionsByChange, key))?;
    id_from(TableId::SessionsByChange, key, id)
}

fn id_from(table: TableId, key: &[u8], id: &[u8]) -> Result<SessionId, JournalError> {
    std::str::from_utf8(id).ok().and_then(|id| SessionId::new(id).ok()).ok_or_else(|| bad_index(table, key))
}

/// Any bytes serve as a bound; only their number is limited.
fn parse_cursor(cursor: &str) -> Result<Vec<u8>, JournalError> {
    let bad = || {
        JournalError::Refused(
            "the cursor is not one of ListSessions: leave it out to start from the newest session".to_owned(),
        )
    };
    if cursor.len() > CURSOR_BYTES {
        return Err(bad());
    }
    BASE64URL_NOPAD.decode(cursor.as_bytes()).map_err(|_| bad())
}
