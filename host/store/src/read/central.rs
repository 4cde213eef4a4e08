//! What the central services have, and what waits for them.

use lanyard_ports::journal::{
    AuditBacklog, AuditHead, BACKLOG_REACH, CentralSession, Enrolment, JournalError, LogBacklog, Unshipped,
};
use lanyard_protocol::envelope::EventEnvelope;
use lanyard_protocol::id::SessionId;

use super::{View, bad_index, decode};
use crate::error::corrupt;
use crate::keys;
use crate::record::{CentralRow, CentralSessionRow};
use crate::schema::CENTRAL_KEY;
use crate::table::TableId;

impl View<'_> {
    fn central(&self) -> Result<CentralRow, JournalError> {
        Ok(self.get(CENTRAL_KEY)?.unwrap_or_default())
    }

    pub(crate) fn enrolment(&self) -> Result<Option<Enrolment>, JournalError> {
        Ok(self.central()?.enrolment.map(Enrolment::from))
    }

    pub(crate) fn audit_head(&self) -> Result<AuditHead, JournalError> {
        Ok(self.central()?.head())
    }

    pub(crate) fn central_command(&self) -> Result<u64, JournalError> {
        Ok(self.central()?.command)
    }

    pub(crate) fn central_session(
        &self,
        session: &SessionId,
    ) -> Result<Option<CentralSession>, JournalError> {
        let row: Option<CentralSessionRow> = self.get(session.as_str().as_bytes())?;
        Ok(row.map(|row| row.with(session.clone())))
    }

    /// Outbox rows after a number; while enrolled none of before the enrolment.
    pub(crate) fn outbox(&self, after: u64, limit: usize) -> Result<Vec<(u64, EventEnvelope)>, JournalError> {
        let first = self.central()?.first_unsent().unwrap_or(0);
        let start = keys::number(first.max(after.saturating_add(1)));
        let mut found = Vec::new();
        for row in self.range(TableId::Outbox, start.as_slice()..)?.take(limit) {
            let (key, value) = row.map_err(|error| self.failed(error))?;
            let number = keys::trailing_number(key.value())
                .ok_or_else(|| corrupt(TableId::Outbox, key.value(), &"not a number"))?;
            found.push((number, decode(key.value(), value.value())?));
        }
        Ok(found)
    }

    pub(crate) fn audit_backlog(&self) -> Result<AuditBacklog, JournalError> {
        let Some(first) = self.central()?.first_unsent() else { return Ok(AuditBacklog::default()) };
        // Rows are numbered without gaps, and while enrolled only an acknowledgement takes any away.
        let records = (self.totals()?.outbox_seq + 1).saturating_sub(first);
        let oldest: Option<EventEnvelope> = if records == 0 { None } else { self.get(&keys::number(first))? };
        Ok(AuditBacklog { records, oldest_at: oldest.map(|record| record.timestamp) })
    }

    /// Audit records that are not sent: all of them where there is nowhere to send them.
    pub(crate) fn outbox_depth(&self) -> Result<u64, JournalError> {
        match self.central()?.first_unsent() {
            Some(_) => Ok(self.audit_backlog()?.records),
            None => self.len(TableId::Outbox),
        }
    }

    pub(crate) fn unshipped(&self, limit: usize) -> Result<Vec<Unshipped>, JournalError> {
        self.range(TableId::CentralQueue, ..)?
            .take(limit)
            .map(|row| {
                let (key, _) = row.map_err(|error| self.failed(error))?;
                let session = keys::queued_session(key.value())
                    .ok_or_else(|| bad_index(TableId::CentralQueue, key.value()))?;
                let row: CentralSessionRow = self
                    .get(session.as_str().as_bytes())?
                    .ok_or_else(|| bad_index(TableId::CentralQueue, key.value()))?;
                let last_seq = if row.deleted { row.shipped_seq } else { self.head(&session)?.last_seq };
                Ok(Unshipped { session: row.with(session), last_seq })
            })
            .collect()
    }

    pub(crate) fn log_backlog(&self) -> Result<LogBacklog, JournalError> {
        let waiting = self.unshipped(BACKLOG_REACH)?;
        let events = waiting.iter().map(|one| one.last_seq.saturating_sub(one.session.shipped_seq)).sum();
        Ok(LogBacklog { sessions: self.len(TableId::CentralQueue)?, events })
    }
}
