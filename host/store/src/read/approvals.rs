//! Approvals, newest first.

use lanyard_ports::journal::JournalError;
use lanyard_protocol::approval::ApprovalRecord;
use lanyard_protocol::id::SessionId;

use super::{View, bad_index};
use crate::keys;
use crate::table::TableId;

impl View<'_> {
    /// Approvals of one session or all, pending or all.
    pub(crate) fn approvals(
        &self,
        session: Option<&SessionId>,
        include_settled: bool,
        limit: usize,
    ) -> Result<Vec<ApprovalRecord>, JournalError> {
        match (session, include_settled) {
            (Some(session), true) => self.approvals_of(session, limit),
            (session, false) => self.approvals_in(TableId::ApprovalsPending, session, limit),
            (None, true) => self.approvals_in(TableId::ApprovalsByTime, None, limit),
        }
    }

    /// By an index over all sessions. With a session given only for those that wait, which are few: each belongs to
    /// a call under way and expires within minutes.
    fn approvals_in(
        &self,
        index: TableId,
        session: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<ApprovalRecord>, JournalError> {
        let prefix = session.map(|session| keys::prefix(session.as_str()));
        let mut found = Vec::new();
        for row in self.range(index, ..)?.rev() {
            if found.len() >= limit {
                break;
            }
            let (key, _) = row.map_err(|error| self.failed(error))?;
            let record = keys::after_time(key.value()).ok_or_else(|| bad_index(index, key.value()))?;
            if prefix.as_ref().is_none_or(|prefix| record.starts_with(prefix)) {
                found.push(self.approval_at(index, key.value(), record)?);
            }
        }
        Ok(found)
    }

    fn approvals_of(&self, session: &SessionId, limit: usize) -> Result<Vec<ApprovalRecord>, JournalError> {
        let index = TableId::ApprovalsBySession;
        let mut found = Vec::new();
        for row in self.under(index, &keys::prefix(session.as_str()))?.rev() {
            if found.len() >= limit {
                break;
            }
            let (key, _) = row.map_err(|error| self.failed(error))?;
            let other = keys::from_approval_by_session(session, key.value())
                .ok_or_else(|| bad_index(index, key.value()))?;
            found.push(self.approval_at(index, key.value(), &other.record)?);
        }
        Ok(found)
    }

    fn approval_at(&self, index: TableId, entry: &[u8], key: &[u8]) -> Result<ApprovalRecord, JournalError> {
        self.get(key)?.ok_or_else(|| bad_index(index, entry))
    }
}
