//! Everything read by its key, or in the order of a key.

use std::ops::Bound;

use lanyard_ports::journal::{Baseline, CallRecord, Checkpoint, CommandRecord, JournalError};
use lanyard_protocol::approval::{ApprovalRecord, RememberedRule};
use lanyard_protocol::event::HostEvent;
use lanyard_protocol::health::{HealthCounters, TaskDay};
use lanyard_protocol::id::{ApprovalId, CommandId, PrincipalId, SessionId, TaskId, ToolCallId};
use lanyard_protocol::message::ConversationMessage;
use lanyard_protocol::session::TaskSummary;
use lanyard_protocol::tool::ToolRequest;

use super::{View, decode};
use crate::error::corrupt;
use crate::keys;
use crate::record::{CallRow, DaysRow, Record, Totals};
use crate::schema::{DAYS_KEY, TOTALS_KEY};
use crate::space::Space;
use crate::table::TableId;

impl View<'_> {
    pub(crate) fn task(
        &self,
        session: &SessionId,
        task: &TaskId,
    ) -> Result<Option<TaskSummary>, JournalError> {
        self.get(&keys::task(session, task))
    }

    pub(crate) fn messages(
        &self,
        session: &SessionId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<ConversationMessage>, JournalError> {
        self.expect_session(session)?;
        let (first, last) = (keys::numbered(session, from), keys::numbered(session, u64::MAX));
        self.collect(TableId::Messages, Bound::Included(&first), Bound::Included(&last), limit)
    }

    pub(crate) fn message_count(&self, session: &SessionId) -> Result<u64, JournalError> {
        Ok(self.head(session)?.messages)
    }

    pub(crate) fn call(
        &self,
        session: &SessionId,
        id: &ToolCallId,
    ) -> Result<Option<CallRecord>, JournalError> {
        let key = keys::call(session, id);
        let Some(row) = self.get::<CallRow>(&key)? else { return Ok(None) };
        let request: Option<ToolRequest> = self.get(&key)?;
        let request = request.ok_or_else(|| corrupt(TableId::Calls, &key, &"its request is missing"))?;
        Ok(Some(row.with(request)))
    }

    pub(crate) fn approval(
        &self,
        session: &SessionId,
        id: &ApprovalId,
    ) -> Result<Option<ApprovalRecord>, JournalError> {
        self.get(&keys::approval(session, id))
    }

    pub(crate) fn rules(&self) -> Result<Vec<RememberedRule>, JournalError> {
        self.collect(TableId::Rules, Bound::Unbounded, Bound::Unbounded, usize::MAX)
    }

    pub(crate) fn checkpoint(&self, session: &SessionId) -> Result<Option<Checkpoint>, JournalError> {
        self.get(session.as_str().as_bytes())
    }

    pub(crate) fn baselines(
        &self,
        session: &SessionId,
        task: &TaskId,
    ) -> Result<Vec<Baseline>, JournalError> {
        let prefix = keys::baselines(session, task);
        self.under(TableId::Baselines, &prefix)?
            .map(|row| {
                let (key, value) = row.map_err(|error| self.failed(error))?;
                decode(key.value(), value.value())
            })
            .collect()
    }

    pub(crate) fn command(
        &self,
        principal: &PrincipalId,
        id: &CommandId,
    ) -> Result<Option<CommandRecord>, JournalError> {
        self.get(&keys::command(principal, id))
    }

    /// Host events after a number, and the number of the last one written. The log is a ring: a reader that finds the
    /// first event beyond `after + 1` has missed the ones between and lists anew.
    pub(crate) fn host_events(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<HostEvent>, u64), JournalError> {
        let start = keys::number(after);
        let events = self.collect(TableId::HostEvents, Bound::Excluded(&start), Bound::Unbounded, limit)?;
        Ok((events, self.totals()?.host_seq))
    }

    /// Counters of the last commit.
    pub(crate) fn totals(&self) -> Result<Totals, JournalError> {
        Ok(self.get::<Totals>(TOTALS_KEY)?.unwrap_or_default())
    }

    /// Tasks that ended, by day, oldest first. A row that cannot be read is as good as none.
    pub(crate) fn task_days(&self) -> Result<Vec<TaskDay>, JournalError> {
        let days = match self.get::<DaysRow>(DAYS_KEY) {
            Ok(days) => days.unwrap_or_default().days,
            Err(error @ JournalError::Corrupt(_)) => {
                tracing::error!(%error, "the tasks of the last days are left out");
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let told = days.into_iter().map(|row| TaskDay {
            day: row.day,
            completed: row.completed,
            failed: row.failed,
            cancelled: row.cancelled,
        });
        Ok(told.collect())
    }

    pub(crate) fn counters(&self, space: &Space) -> Result<HealthCounters, JournalError> {
        let totals = self.totals()?;
        Ok(HealthCounters {
            tasks_completed: totals.tasks_completed,
            tasks_failed: totals.tasks_failed,
            tasks_cancelled: totals.tasks_cancelled,
            sessions: self.len(TableId::Sessions)?,
            approvals_pending: totals.approvals_pending,
            connections: 0,
            store_bytes: space.used(totals.row_bytes, totals.artifact_bytes),
            store_max_bytes: space.max_bytes(),
            outbox_depth: self.outbox_depth()?,
            events: self.len(TableId::Events)?,
        })
    }

    /// The first `limit` rows within bounds.
    fn collect<R: Record>(
        &self,
        table: TableId,
        start: Bound<&Vec<u8>>,
        end: Bound<&Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<R>, JournalError> {
        let mut found = Vec::new();
        let bounds = (start.map(Vec::as_slice), end.map(Vec::as_slice));
        for row in self.range(table, bounds)?.take(limit) {
            let (key, value) = row.map_err(|error| self.failed(error))?;
            found.push(decode(key.value(), value.value())?);
        }
        Ok(found)
    }
}
