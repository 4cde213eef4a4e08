//! Whether the store still works. One fault of the disk stops the writer for the life of the process: redb itself
//! refuses to go on after an I/O error, and what a half-dead disk acknowledges is worth nothing.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use lanyard_ports::journal::JournalError;

use crate::damage::{AtWork, Note, Phase};
use crate::error::Fault;

/// Shared by the writer and every reader.
#[derive(Debug)]
pub(crate) struct Condition {
    /// The fault that stopped the writer, in words.
    fault: OnceLock<String>,
    /// Where a note of damage is left for the next start.
    note: Arc<Path>,
}

impl Condition {
    /// Works, so far. `note` is where a note of damage is left for the next start.
    pub(crate) fn new(note: Arc<Path>) -> Self {
        Self { fault: OnceLock::new(), note }
    }

    /// Marks the thread as at work in this store for as long as the value lives.
    pub(crate) fn at_work(&self) -> AtWork {
        AtWork::new(Phase::InUse, Arc::clone(&self.note))
    }

    /// Fails once the writer has stopped.
    pub(crate) fn check(&self) -> Result<(), JournalError> {
        match self.fault.get() {
            Some(fault) => Err(JournalError::Poisoned(fault.clone())),
            None => Ok(()),
        }
    }

    /// Stops the writer; the first reason stays.
    pub(crate) fn poison(&self, fault: String) {
        tracing::error!(%fault, "the store stops accepting writes");
        // A second fault follows from the first.
        let _ = self.fault.set(fault);
    }

    /// What the callers of the group that met the fault are told. Stops the writer.
    pub(crate) fn write_failed(&self, fault: &Fault) -> JournalError {
        self.note_damage(fault);
        if fault.is_disk_full() {
            self.poison(format!("the disk was full while writing ({fault})"));
            return JournalError::Full(format!(
                "the disk is full ({fault}); nothing acknowledged is lost: free some space and restart the host"
            ));
        }
        self.poison(format!("writing failed: {fault}"));
        JournalError::Poisoned(format!("writing failed: {fault}"))
    }

    /// What a reader that met a fault is told.
    pub(crate) fn read_failed(&self, fault: &Fault) -> JournalError {
        if let Err(stopped) = self.check() {
            return stopped;
        }
        self.note_damage(fault);
        if fault.is_corruption() {
            return JournalError::Corrupt(format!(
                "{fault}; restart the host: it checks the store and moves it aside if it cannot be repaired"
            ));
        }
        JournalError::Poisoned(format!("reading failed: {fault}"))
    }

    fn note_damage(&self, fault: &Fault) {
        if !fault.is_corruption() {
            return;
        }
        if let Err(error) = Note::leave(&self.note, Phase::InUse, fault) {
            tracing::error!(path = %self.note.display(), %error, "the note of damage could not be left");
        }
    }
}
