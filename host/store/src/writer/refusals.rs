//! Batches nobody waited for that could not be written: their session's log has a hole.
//!
//! Nothing more is written to such a session, and whoever tries is told why, until somebody has read it anew from disk
//! ([`Write::Reread`]). Telling only the first who comes would let another part of the host, an answer to a question
//! for instance, hear of the hole while the one that appended goes on building on it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lanyard_ports::journal::{JournalError, Write};
use lanyard_protocol::id::SessionId;

/// Sessions remembered; a refused append is a defect or a full disk, either shows in the log beyond that.
const MAX_SESSIONS: usize = 4_096;

/// See the module. Shared by the writer and those who append.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    by_session: Mutex<HashMap<SessionId, JournalError>>,
}

impl Refusals {
    /// Remembers that an appended batch was not written.
    pub(super) fn note(&self, batch: &[Write], why: &JournalError) {
        self.note_sessions(sessions(batch).cloned().collect(), why);
    }

    /// The same, for a batch that is gone already. The first reason stays.
    pub(super) fn note_sessions(&self, sessions: Vec<SessionId>, why: &JournalError) {
        let mut held = self.lock();
        for session in sessions {
            if held.len() < MAX_SESSIONS {
                held.entry(session).or_insert_with(|| why.clone());
            }
        }
    }

    /// Why a batch must not be written: an earlier one of its sessions was not.
    pub(crate) fn held_against(&self, batch: &[Write]) -> Option<JournalError> {
        let held = self.lock();
        if held.is_empty() || deletes(batch) {
            return None;
        }
        sessions(batch).filter(|session| !rereads(batch, session)).find_map(|session| {
            Some(match held.get(session)? {
                JournalError::Full(text) => JournalError::Full(text.clone()),
                other => JournalError::Refused(format!(
                    "something appended earlier to session {session} was not written ({other})"
                )),
            })
        })
    }

    /// The batch is written: sessions it deletes or has read anew are as their log says.
    pub(super) fn forgive(&self, sessions: &[SessionId]) {
        let mut held = self.lock();
        for session in sessions {
            held.remove(session);
        }
    }

    /// Nothing panics while holding the lock; if it did, the state would still be whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, JournalError>> {
        self.by_session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a batch deletes a session: nothing builds on what it had, and it makes room.
pub(super) fn deletes(batch: &[Write]) -> bool {
    batch.iter().any(|write| matches!(write, Write::DeleteSession(_)))
}

/// Whether a batch may be written where the disk is about to be full: it makes room, or takes a right away, which must
/// not wait for room.
pub(super) fn takes_away(batch: &[Write]) -> bool {
    batch.iter().any(|write| {
        matches!(
            write,
            Write::DeleteSession(_)
                | Write::RemoveDevice(_)
                | Write::AcknowledgeOutbox { .. }
                | Write::Unenrol
        )
    })
}

fn rereads(batch: &[Write], session: &SessionId) -> bool {
    batch.iter().any(|write| matches!(write, Write::Reread(read) if read == session))
}

/// The sessions against which nothing stands once a batch is written.
pub(super) fn forgiven(batch: &[Write]) -> Vec<SessionId> {
    let begun = batch.iter().filter_map(|write| match write {
        Write::Reread(id) | Write::DeleteSession(id) => Some(id.clone()),
        _ => None,
    });
    begun.collect()
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
        Write::ClearCheckpoint(id) | Write::Reread(id) | Write::DeleteSession(id) => Some(id),
        Write::Baseline(baseline) => Some(&baseline.session_id),
        // What the centre has of a session builds on nothing in its log, and must not be held up by a hole in it.
        Write::CentralSession(_) | Write::Shipped { .. } | Write::ForgetCentralSession(_) => None,
        Write::Rule(_)
        | Write::RemoveRule(_)
        | Write::Command(_)
        | Write::Audit(_)
        | Write::Host(_)
        | Write::Device(_)
        | Write::RemoveDevice(_)
        | Write::Connection(_)
        | Write::Enrol(_)
        | Write::Unenrol
        | Write::AcknowledgeOutbox { .. }
        | Write::AuditHead(_)
        | Write::CentralCommand(_)
        | Write::Count(_) => None,
    })
}
