//! Batches nobody waited for that could not be written. Their session's next commit is refused with the reason, so
//! that whoever appended learns that the log has a hole before building on it.

use std::collections::HashMap;

use lanyard_ports::journal::{JournalError, Write};
use lanyard_protocol::id::SessionId;

/// Sessions remembered; a refused append is a defect or a full disk, either shows in the log beyond that.
const MAX_SESSIONS: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    by_session: HashMap<SessionId, JournalError>,
}

impl Refusals {
    /// Remembers that an appended batch was not written.
    pub(super) fn note(&mut self, batch: &[Write], why: &JournalError) {
        self.note_sessions(sessions(batch).cloned().collect(), why);
    }

    /// The same, for a batch that is gone already.
    pub(super) fn note_sessions(&mut self, sessions: Vec<SessionId>, why: &JournalError) {
        for session in sessions {
            if self.by_session.len() < MAX_SESSIONS {
                self.by_session.insert(session, why.clone());
            }
        }
    }

    /// Why a batch that somebody waits for must not be written: an earlier one of its sessions was not. Told once.
    pub(super) fn held_against(&mut self, batch: &[Write]) -> Option<JournalError> {
        if self.by_session.is_empty() || deletes(batch) {
            return None;
        }
        sessions(batch).find_map(|session| {
            let why = self.by_session.remove(session)?;
            Some(match why {
                JournalError::Full(text) => JournalError::Full(text),
                other => JournalError::Refused(format!(
                    "something appended earlier to session {session} was not written ({other})"
                )),
            })
        })
    }
}

/// Whether a batch deletes a session: nothing builds on what it had, and it makes room.
pub(super) fn deletes(batch: &[Write]) -> bool {
    batch.iter().any(|write| matches!(write, Write::DeleteSession(_)))
}

/// The sessions a batch writes to.
pub(super) fn sessions(batch: &[Write]) -> impl Iterator<Item = &SessionId> {
    batch.iter().filter_map(|write| match write {
        Write::Session(record) => Some(&record.summary.session_id),
        Write::Progress(progress) => Some(&progress.session_id),
        Write::Event(event) => Some(&event.session_id),
        Write::Message(message) => Some(&message.session_id),
        Write::Call(record) => Some(&record.request.session_id),
        Write::Approval(record) => Some(&record.request.session_id),
        Write::Checkpoint(checkpoint) => Some(&checkpoint.session_id),
        Write::ClearCheckpoint(id) | Write::DeleteSession(id) => Some(id),
        Write::Baseline(baseline) => Some(&baseline.session_id),
        Write::Rule(_) | Write::RemoveRule(_) | Write::Command(_) | Write::Audit(_) | Write::Host(_) => None,
    })
}
