//! Rows of a session: its record and the text it is found by.

use std::borrow::Cow;

use lanyard_ports::journal::SessionRecord;
use lanyard_protocol::principal::Principal;
use lanyard_protocol::session::{SessionSummary, WorkspaceScope};
use serde::{Deserialize, Serialize};

use super::{Record, RecordError, from_bytes, from_bytes_as, path_bytes, path_from, to_bytes, to_bytes_as};
use crate::table::TableId;

/// Bytes of text kept per session to be searched. A few hundred prompts; a search over a thousand sessions reads a
/// few tens of mebibytes at most.
const DIGEST_BYTES: usize = 32 * 1024;

/// Bytes one prompt or answer adds at most, so that a pasted file does not push out everything else.
const PIECE_BYTES: usize = 4 * 1024;

/// Stands between two pieces, so that no match spans both.
const BETWEEN: char = '\n';

/// Lower-case text of a session's prompts and final answers, oldest first, the oldest dropped when it is too long.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Digest {
    /// The text.
    pub(crate) text: String,
}

impl Digest {
    /// Adds a prompt or an answer.
    pub(crate) fn add(&mut self, piece: &str) {
        let lower = piece[..floor(piece, PIECE_BYTES)].to_lowercase();
        self.text.push_str(&lower);
        self.text.push(BETWEEN);
        if let Some(excess) = self.text.len().checked_sub(DIGEST_BYTES) {
            self.text.drain(..ceil(&self.text, excess));
        }
    }
}

/// The last character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

/// The first character boundary at or after `at`.
fn ceil(text: &str, at: usize) -> usize {
    (at..=text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len())
}

/// The stored form of [`SessionRecord`].
#[derive(Serialize, Deserialize)]
struct SessionRow<'a> {
    summary: Cow<'a, SessionSummary>,
    roots: Vec<Vec<u8>>,
    scope: WorkspaceScope,
    created_by: Cow<'a, Principal>,
    tokens_used: u64,
}

/// Version of [`EnrolledRow`]; sessions of a host that is its own are stored as they always were.
const ENROLLED_VERSION: u8 = 2;

/// The stored form of a session that belongs to an enrolment.
#[derive(Serialize, Deserialize)]
struct EnrolledRow<'a> {
    session: SessionRow<'a>,
    agent_id: Cow<'a, str>,
}

impl Record for SessionRecord {
    const TABLE: TableId = TableId::Sessions;

    fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let session = SessionRow {
            summary: Cow::Borrowed(&self.summary),
            roots: self.roots.iter().map(|root| path_bytes(root)).collect::<Result<_, _>>()?,
            scope: self.scope,
            created_by: Cow::Borrowed(&self.created_by),
            tokens_used: self.tokens_used,
        };
        match &self.agent_id {
            None => to_bytes(&session),
            Some(agent_id) => {
                to_bytes_as(ENROLLED_VERSION, &EnrolledRow { session, agent_id: Cow::Borrowed(agent_id) })
            }
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (row, agent_id) = if bytes.first() == Some(&ENROLLED_VERSION) {
            let EnrolledRow { session, agent_id } = from_bytes_as(ENROLLED_VERSION, bytes)?;
            (session, Some(agent_id.into_owned()))
        } else {
            (from_bytes(bytes)?, None)
        };
        let row: SessionRow<'_> = row;
        Ok(Self {
            summary: row.summary.into_owned(),
            roots: row.roots.into_iter().map(path_from).collect::<Result<_, _>>()?,
            scope: row.scope,
            created_by: row.created_by.into_owned(),
            tokens_used: row.tokens_used,
            agent_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_bounded_and_keeps_the_newest() {
        let mut digest = Digest::default();
        for i in 0..100 {
            digest.add(&format!("PROMPT {i} {}", "Ä".repeat(3000)));
        }
        assert!(digest.text.len() <= DIGEST_BYTES);
        assert!(digest.text.contains("prompt 99 ä"));
        assert!(!digest.text.contains("prompt 3 "));
    }

    #[test]
    fn a_piece_is_cut_between_characters() {
        let mut digest = Digest::default();
        digest.add(&format!("x{}", "Ä".repeat(PIECE_BYTES)));
        assert!(digest.text.len() <= PIECE_BYTES + 1);
    }
}
