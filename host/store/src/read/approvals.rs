//! Approvals, newest first, in pages of bounded size.

use lanyard_ports::journal::{JournalError, PREFIX_REACH};
use lanyard_protocol::approval::ApprovalRecord;
use lanyard_protocol::id::{ApprovalId, SessionId};

use super::{PAGE_BYTES, View, bad_index, decode};
use crate::keys;
use crate::table::TableId;

/// A page being filled.
struct Page {
    found: Vec<ApprovalRecord>,
    bytes: usize,
    limit: usize,
    /// Rows taken in whatever their size.
    at_least: usize,
}

impl Page {
    fn new(limit: usize, at_least: usize) -> Self {
        Self { found: Vec::new(), bytes: 0, limit, at_least }
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.limit
    }

    /// Takes a row in; `false` when it does not fit any more, and then nothing later may.
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<bool, JournalError> {
        self.bytes = self.bytes.saturating_add(value.len());
        if self.bytes > PAGE_BYTES && self.found.len() >= self.at_least {
            return Ok(false);
        }
        self.found.push(decode(key, value)?);
        Ok(true)
    }
}

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

    /// Looks at the keys of [`PREFIX_REACH`] approvals; reads only those that fit.
    pub(crate) fn approvals_by_prefix(
        &self,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<ApprovalRecord>, JournalError> {
        let index = TableId::ApprovalsByTime;
        // Two, so that one alone is never the rest of an ambiguous answer.
        let mut page = Page::new(limit, 2);
        for row in self.range(index, ..)?.rev().take(PREFIX_REACH) {
            if page.is_full() {
                break;
            }
            let (key, _) = row.map_err(|error| self.failed(error))?;
            let record = keys::after_time(key.value()).ok_or_else(|| bad_index(index, key.value()))?;
            let id = keys::second_text(record).ok_or_else(|| bad_index(index, key.value()))?;
            if id.starts_with(prefix) && !self.add(index, key.value(), record, &mut page)? {
                break;
            }
        }
        Ok(page.found)
    }

    /// Keys of those that wait, oldest first.
    pub(crate) fn pending_approvals(
        &self,
        limit: usize,
    ) -> Result<Vec<(SessionId, ApprovalId)>, JournalError> {
        let index = TableId::ApprovalsPending;
        self.range(index, ..)?
            .take(limit)
            .map(|row| {
                let (key, _) = row.map_err(|error| self.failed(error))?;
                let record = keys::after_time(key.value());
                record.and_then(keys::approval_of).ok_or_else(|| bad_index(index, key.value()))
            })
            .collect()
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
        let mut page = Page::new(limit, 1);
        for row in self.range(index, ..)?.rev() {
            if page.is_full() {
                break;
            }
            let (key, _) = row.map_err(|error| self.failed(error))?;
            let record = keys::after_time(key.value()).ok_or_else(|| bad_index(index, key.value()))?;
            let wanted = prefix.as_ref().is_none_or(|prefix| record.starts_with(prefix));
            if wanted && !self.add(index, key.value(), record, &mut page)? {
                break;
            }
        }
        Ok(page.found)
    }

    fn approvals_of(&self, session: &SessionId, limit: usize) -> Result<Vec<ApprovalRecord>, JournalError> {
        let index = TableId::ApprovalsBySession;
        let mut page = Page::new(limit, 1);
        for row in self.under(index, &keys::prefix(session.as_str()))?.rev() {
            if page.is_full() {
                break;
            }
            let (key, _) = row.map_err(|error| self.failed(error))?;
            let other = keys::from_approval_by_session(session, key.value())
                .ok_or_else(|| bad_index(index, key.value()))?;
            if !self.add(index, key.value(), &other.record, &mut page)? {
                break;
            }
        }
        Ok(page.found)
    }

    /// Adds the record at `key`, which the entry of an index leads to; `false` when the page is full.
    fn add(&self, index: TableId, entry: &[u8], key: &[u8], page: &mut Page) -> Result<bool, JournalError> {
        let value = self.table(TableId::Approvals)?.get(key).map_err(|error| self.failed(error))?;
        let value = value.ok_or_else(|| bad_index(index, entry))?;
        page.take(key, value.value())
    }
}
