//! A batch before it is written: its rows in memory, over what the transaction already holds.
//!
//! Applying a batch reads through the stage, so that later rows of a batch build on earlier ones. A batch that is
//! refused is dropped with its stage and leaves no trace; one that is accepted is poured into the tables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lanyard_ports::journal::{SessionRecord, Write};
use lanyard_protocol::Timestamp;
use lanyard_protocol::event::{HostEvent, HostEventBody, SessionChanged, SessionEvent};
use lanyard_protocol::id::{ArtifactId, SessionId};

use super::tables::Tables;
use crate::error::{Fault, Rejection, corrupt, refused, unstorable};
use crate::keys;
use crate::record::{Head, Record, Totals};
use crate::table::TableId;

/// What a commit has to tell and to tidy up.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Numbered events.
    pub(crate) events: Vec<Arc<SessionEvent>>,
    /// Numbered host events.
    pub(crate) host_events: Vec<Arc<HostEvent>>,
    /// Artifacts that lost an owner and may have none left.
    pub(crate) orphans: Vec<ArtifactId>,
}

impl Outcome {
    /// Adds what a later batch of the same transaction did.
    pub(super) fn extend(&mut self, later: Outcome) {
        self.events.extend(later.events);
        self.host_events.extend(later.host_events);
        self.orphans.extend(later.orphans);
    }
}

/// See the module.
pub(super) struct Stage<'a, 't> {
    tables: &'a mut Tables<'t>,
    /// Per table: rows put (`Some`) and removed (`None`).
    rows: Vec<BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
    /// Prefixes removed from the tables below; rows put afterwards are in `rows`.
    cleared: Vec<(TableId, Vec<u8>)>,
    /// Counters, as they will be.
    pub(super) totals: Totals,
    /// What will be told.
    pub(super) outcome: Outcome,
    /// Sessions whose row changed, and when; each is told once, as the batch leaves it.
    changed: BTreeSet<SessionId>,
    changed_at: Timestamp,
}

impl<'a, 't> Stage<'a, 't> {
    /// An empty stage over the tables.
    pub(super) fn new(tables: &'a mut Tables<'t>, totals: Totals) -> Self {
        Self {
            tables,
            rows: TableId::ALL.iter().map(|_| BTreeMap::new()).collect(),
            cleared: Vec::new(),
            totals,
            outcome: Outcome::default(),
            changed: BTreeSet::new(),
            changed_at: Timestamp::default(),
        }
    }

    /// Stages a whole batch and pours it into the tables. On a rejection the tables are as they were.
    pub(super) fn write(mut self, batch: Vec<Write>) -> Result<(Totals, Outcome), Rejection> {
        for write in batch {
            self.apply(write)?;
        }
        self.tell_changed()?;
        self.pour().map_err(Rejection::Fault)
    }

    /// Pours the staged rows into the tables.
    pub(super) fn pour(self) -> Result<(Totals, Outcome), Fault> {
        for (table, prefix) in &self.cleared {
            self.tables.remove_prefix(*table, prefix)?;
        }
        for (table, rows) in TableId::ALL.iter().zip(self.rows) {
            for (key, value) in rows {
                match value {
                    Some(value) => self.tables.insert(*table, &key, &value)?,
                    None => self.tables.remove(*table, &key)?,
                }
            }
        }
        Ok((self.totals, self.outcome))
    }

    /// The stored bytes of a row.
    pub(super) fn raw(&mut self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        if let Some(staged) = self.rows[table.index()].get(key) {
            return Ok(staged.clone());
        }
        if self.is_cleared(table, key) {
            return Ok(None);
        }
        self.tables.get(table, key)
    }

    /// A row.
    pub(super) fn get<R: Record>(&mut self, key: &[u8]) -> Result<Option<R>, Rejection> {
        match self.raw(R::TABLE, key)? {
            None => Ok(None),
            Some(bytes) => match R::decode(&bytes) {
                Ok(record) => Ok(Some(record)),
                Err(why) => Err(Rejection::Batch(corrupt(R::TABLE, key, &why))),
            },
        }
    }

    /// Whether a row is there.
    pub(super) fn has(&mut self, table: TableId, key: &[u8]) -> Result<bool, Fault> {
        Ok(self.raw(table, key)?.is_some())
    }

    /// Puts a row.
    pub(super) fn put<R: Record>(&mut self, key: Vec<u8>, record: &R) -> Result<(), Rejection> {
        let bytes = record.encode().map_err(|why| unstorable(R::TABLE, &why))?;
        self.put_raw(R::TABLE, key, bytes);
        Ok(())
    }

    /// Puts bytes already encoded.
    pub(super) fn put_raw(&mut self, table: TableId, key: Vec<u8>, bytes: Vec<u8>) {
        self.rows[table.index()].insert(key, Some(bytes));
    }

    /// Puts a row of an index, which has no value.
    pub(super) fn mark(&mut self, table: TableId, key: Vec<u8>) {
        self.put_raw(table, key, Vec::new());
    }

    /// Removes a row, if it is there.
    pub(super) fn remove(&mut self, table: TableId, key: Vec<u8>) {
        self.rows[table.index()].insert(key, None);
    }

    /// Removes every row whose key begins with `prefix`, which is not empty.
    pub(super) fn clear(&mut self, table: TableId, prefix: Vec<u8>) {
        self.rows[table.index()].retain(|key, _| !key.starts_with(&prefix));
        self.cleared.push((table, prefix));
    }

    /// Every key that begins with `prefix`, in no particular order.
    pub(super) fn keys_under(&mut self, table: TableId, prefix: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
        let mut found = self.tables.keys_under(table, prefix)?;
        found.retain(|key| !self.is_cleared(table, key) && !self.rows[table.index()].contains_key(key));
        let staged =
            self.rows[table.index()].iter().filter(|(key, value)| value.is_some() && key.starts_with(prefix));
        found.extend(staged.map(|(key, _)| key.clone()));
        Ok(found)
    }

    fn is_cleared(&self, table: TableId, key: &[u8]) -> bool {
        self.cleared.iter().any(|(cleared, prefix)| *cleared == table && key.starts_with(prefix))
    }

    /// A session that must be there.
    pub(super) fn session(&mut self, id: &SessionId) -> Result<SessionRecord, Rejection> {
        self.get(id.as_str().as_bytes())?.ok_or_else(|| no_session(id))
    }

    /// The counters of a session that must be there.
    pub(super) fn head(&mut self, id: &SessionId) -> Result<Head, Rejection> {
        self.get(id.as_str().as_bytes())?.ok_or_else(|| no_session(id))
    }

    /// Fails unless the session is there.
    pub(super) fn expect_session(&mut self, id: &SessionId) -> Result<(), Rejection> {
        if self.has(TableId::Heads, id.as_str().as_bytes())? { Ok(()) } else { Err(no_session(id)) }
    }

    /// Notes that a session's row changed.
    pub(super) fn session_changed(&mut self, id: &SessionId, at: Timestamp) {
        self.changed.insert(id.clone());
        self.changed_at = self.changed_at.max(at);
    }

    /// Notes that a session is gone.
    pub(super) fn session_gone(&mut self, id: &SessionId) {
        self.changed.remove(id);
    }

    /// Adds to the host log.
    pub(super) fn tell_host(&mut self, timestamp: Timestamp, body: HostEventBody) -> Result<(), Rejection> {
        self.totals.host_seq += 1;
        if self.totals.host_first == 0 {
            self.totals.host_first = 1;
        }
        let event = HostEvent { host_seq: self.totals.host_seq, timestamp, body };
        self.put(keys::number(event.host_seq), &event)?;
        self.outcome.host_events.push(Arc::new(event));
        Ok(())
    }

    /// Tells the host log of each changed session, with its counters as the batch leaves them.
    fn tell_changed(&mut self) -> Result<(), Rejection> {
        for id in std::mem::take(&mut self.changed) {
            let head = self.head(&id)?;
            let mut session = self.session(&id)?.summary;
            session.last_seq = head.last_seq;
            session.pending_approvals = head.pending_approvals;
            self.tell_host(self.changed_at, HostEventBody::SessionChanged(SessionChanged { session }))?;
        }
        Ok(())
    }
}

fn no_session(id: &SessionId) -> Rejection {
    refused(format!("session {id} does not exist"))
}
