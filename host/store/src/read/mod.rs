//! Reading: each call sees one committed state, is bounded in rows or bytes, and never waits for the writer.

mod approvals;
mod central;
mod devices;
mod events;
mod rows;
mod sessions;

use std::ops::RangeBounds;

use lanyard_ports::journal::JournalError;
use lanyard_protocol::id::{ArtifactId, SessionId};
use redb::{Database, Range, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTableMetadata};

use crate::condition::Condition;
use crate::damage::AtWork;
use crate::error::{Fault, corrupt};
use crate::keys;
use crate::record::{Head, Record};
use crate::table::TableId;

/// Stored bytes in one page; a page holds at least one row, whatever its size.
const PAGE_BYTES: usize = 1 << 20;

/// The store as one commit left it.
pub(crate) struct View<'a> {
    txn: ReadTransaction,
    /// Told of faults; absent where the caller is not a reader of the journal.
    condition: Option<&'a Condition>,
    /// Declared last: dropped after the transaction.
    _at_work: Option<AtWork>,
}

impl<'a> View<'a> {
    /// The last commit, for a reader of the journal.
    pub(crate) fn new(db: &Database, condition: &'a Condition) -> Result<Self, JournalError> {
        let at_work = condition.at_work();
        let txn = db.begin_read().map_err(|error| condition.read_failed(&error.into()))?;
        Ok(Self { txn, condition: Some(condition), _at_work: Some(at_work) })
    }

    /// The last commit, for the store's own threads, which are at work in it all the time.
    pub(crate) fn plain(db: &Database) -> Result<View<'static>, JournalError> {
        let txn = db.begin_read().map_err(|error| plain_failure(&error.into()))?;
        Ok(View { txn, condition: None, _at_work: None })
    }

    fn failed(&self, fault: impl Into<Fault>) -> JournalError {
        let fault = fault.into();
        match self.condition {
            Some(condition) => condition.read_failed(&fault),
            None => plain_failure(&fault),
        }
    }

    fn table(&self, id: TableId) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>, JournalError> {
        self.txn.open_table(id.definition()).map_err(|error| self.failed(error))
    }

    /// Rows of a table within bounds, from either end.
    fn range<'k>(
        &self,
        id: TableId,
        bounds: impl RangeBounds<&'k [u8]>,
    ) -> Result<Range<'static, &'static [u8], &'static [u8]>, JournalError> {
        self.table(id)?.range(bounds).map_err(|error| self.failed(error))
    }

    /// Rows whose key begins with a prefix that ends an id.
    fn under(
        &self,
        id: TableId,
        prefix: &[u8],
    ) -> Result<Range<'static, &'static [u8], &'static [u8]>, JournalError> {
        match keys::after(prefix) {
            Some(end) => self.range(id, prefix..end.as_slice()),
            None => self.range(id, prefix..),
        }
    }

    /// A row.
    fn get<R: Record>(&self, key: &[u8]) -> Result<Option<R>, JournalError> {
        let value = self.table(R::TABLE)?.get(key).map_err(|error| self.failed(error))?;
        value.map(|value| decode(key, value.value())).transpose()
    }

    /// Number of rows; kept by redb, not counted.
    pub(crate) fn len(&self, id: TableId) -> Result<u64, JournalError> {
        self.table(id)?.len().map_err(|error| self.failed(error))
    }

    /// The counters of a session that must be there.
    fn head(&self, session: &SessionId) -> Result<Head, JournalError> {
        self.get(session.as_str().as_bytes())?
            .ok_or_else(|| JournalError::NotFound(format!("session {session}")))
    }

    /// Fails unless the session is there.
    pub(crate) fn expect_session(&self, session: &SessionId) -> Result<(), JournalError> {
        self.head(session).map(|_| ())
    }

    /// Whether any session keeps an artifact.
    pub(crate) fn has_owner(&self, artifact: &ArtifactId) -> Result<bool, JournalError> {
        let mut owners = self.under(TableId::ArtifactOwners, &keys::prefix(artifact.as_str()))?;
        owners.next().transpose().map(|row| row.is_some()).map_err(|error| self.failed(error))
    }
}

/// Decodes a row or names it.
fn decode<R: Record>(key: &[u8], value: &[u8]) -> Result<R, JournalError> {
    R::decode(value).map_err(|why| corrupt(R::TABLE, key, &why))
}

/// A key of an index that leads nowhere.
fn bad_index(table: TableId, key: &[u8]) -> JournalError {
    corrupt(table, key, &"not an index key")
}

fn plain_failure(fault: &Fault) -> JournalError {
    JournalError::Poisoned(format!("reading failed: {fault}"))
}
