//! The tables within one write transaction, opened as they are needed, with the bytes of their rows counted.

use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use crate::error::Fault;
use crate::keys;
use crate::table::TableId;

/// See the module. Must be dropped before the transaction is committed.
pub(super) struct Tables<'t> {
    txn: &'t WriteTransaction,
    open: Vec<Option<Table<'t, &'static [u8], &'static [u8]>>>,
    /// Bytes of keys and values; `meta` is left out, its only row would count itself.
    row_bytes: u64,
    changed: bool,
}

impl<'t> Tables<'t> {
    pub(super) fn new(txn: &'t WriteTransaction, row_bytes: u64) -> Self {
        Self { txn, open: TableId::ALL.iter().map(|_| None).collect(), row_bytes, changed: false }
    }

    /// Bytes of all rows.
    pub(super) fn row_bytes(&self) -> u64 {
        self.row_bytes
    }

    /// Whether anything was written.
    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    fn table(&mut self, id: TableId) -> Result<&mut Table<'t, &'static [u8], &'static [u8]>, Fault> {
        let slot = &mut self.open[id.index()];
        Ok(match slot {
            Some(table) => table,
            None => slot.insert(self.txn.open_table(id.definition())?),
        })
    }

    pub(super) fn get(&mut self, id: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.table(id)?.get(key)?.map(|value| value.value().to_vec()))
    }

    pub(super) fn insert(&mut self, id: TableId, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let old = self.table(id)?.insert(key, value)?.map(|old| old.value().len());
        self.changed = true;
        if id != TableId::Meta {
            let removed = old.map_or(0, |old| key.len() + old);
            self.count(key.len() + value.len(), removed);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, id: TableId, key: &[u8]) -> Result<(), Fault> {
        let old = self.table(id)?.remove(key)?.map(|old| old.value().len());
        if let Some(old) = old {
            self.changed = true;
            self.count(0, key.len() + old);
        }
        Ok(())
    }

    /// Removes every row from `start` on, up to and without `end`.
    pub(super) fn remove_range(&mut self, id: TableId, start: &[u8], end: &[u8]) -> Result<(), Fault> {
        let mut removed = 0;
        self.table(id)?.retain_in::<&[u8], _>(start..end, |key, value| {
            removed += key.len() + value.len();
            false
        })?;
        self.changed |= removed > 0;
        self.count(0, removed);
        Ok(())
    }

    /// Removes every row whose key begins with `prefix`, which is not empty.
    pub(super) fn remove_prefix(&mut self, id: TableId, prefix: &[u8]) -> Result<(), Fault> {
        match keys::after(prefix) {
            Some(end) => self.remove_range(id, prefix, &end),
            None => Ok(()),
        }
    }

    /// Every key that begins with `prefix`; an empty one stands for all.
    pub(super) fn keys_under(&mut self, id: TableId, prefix: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
        let mut found = Vec::new();
        for row in self.table(id)?.range::<&[u8]>(prefix..)? {
            let (key, _) = row?;
            if !key.value().starts_with(prefix) {
                break;
            }
            found.push(key.value().to_vec());
        }
        Ok(found)
    }

    /// The first row.
    pub(super) fn first(&mut self, id: TableId) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.table(id)?.first()?.map(|(key, _)| key.value().to_vec()))
    }

    /// The last row.
    pub(super) fn last(&mut self, id: TableId) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.table(id)?.last()?.map(|(key, _)| key.value().to_vec()))
    }

    /// Number of rows; kept by redb, not counted.
    pub(super) fn len(&mut self, id: TableId) -> Result<u64, Fault> {
        Ok(self.table(id)?.len()?)
    }

    fn count(&mut self, added: usize, removed: usize) {
        let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        self.row_bytes = self.row_bytes.saturating_add(wide(added)).saturating_sub(wide(removed));
    }
}
