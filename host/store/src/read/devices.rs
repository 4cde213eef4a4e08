//! Paired devices, who was connected when, and counters by name.

use lanyard_ports::journal::{DeviceRecord, JournalError, MAX_CONNECTIONS_KEPT};
use lanyard_protocol::device::ConnectionRecord;

use super::{View, decode};
use crate::error::corrupt;
use crate::record::CounterRow;
use crate::table::TableId;

impl View<'_> {
    /// Every paired device, by id; the writer keeps their number bounded.
    pub(crate) fn devices(&self) -> Result<Vec<DeviceRecord>, JournalError> {
        self.range(TableId::Devices, ..)?
            .map(|row| {
                let (key, value) = row.map_err(|error| self.failed(error))?;
                decode(key.value(), value.value())
            })
            .collect()
    }

    /// Who was connected when, newest first. Rows beyond the ring that are not yet dropped are not shown.
    pub(crate) fn connections(&self, limit: usize) -> Result<Vec<ConnectionRecord>, JournalError> {
        self.range(TableId::Connections, ..)?
            .rev()
            .take(limit.min(MAX_CONNECTIONS_KEPT))
            .map(|row| {
                let (key, value) = row.map_err(|error| self.failed(error))?;
                decode(key.value(), value.value())
            })
            .collect()
    }

    /// Counters whose names begin with a text, by name.
    pub(crate) fn counts(&self, prefix: &str) -> Result<Vec<(String, u64)>, JournalError> {
        self.under(TableId::Counters, prefix.as_bytes())?
            .map(|row| {
                let (key, value) = row.map_err(|error| self.failed(error))?;
                let name = std::str::from_utf8(key.value())
                    .map_err(|why| corrupt(TableId::Counters, key.value(), &why))?;
                let row: CounterRow = decode(key.value(), value.value())?;
                Ok((name.to_owned(), row.count))
            })
            .collect()
    }
}
