//! Rows of paired devices, of who was connected when, and of what is counted by name.

use lanyard_ports::journal::DeviceRecord;
use lanyard_protocol::device::ConnectionRecord;
use lanyard_protocol::id::DeviceId;
use lanyard_protocol::limits::MAX_DEVICES;

use super::stage::Stage;
use crate::error::{Rejection, refused};
use crate::keys;
use crate::record::CounterRow;
use crate::table::TableId;

/// Names kept at most: a few dozen events with their reasons. They come from the host's own code; the bound keeps a
/// defect that counts by somebody else's words from filling the store.
pub(crate) const COUNTERS: usize = 256;

/// Bytes of a counter's name.
pub(crate) const COUNTER_NAME_BYTES: usize = 64;

impl Stage<'_, '_> {
    /// Adds or changes a device. Looks at the others only when it is new or its key is.
    pub(super) fn device(&mut self, record: &DeviceRecord) -> Result<(), Rejection> {
        let key = record.device_id.as_str().as_bytes().to_vec();
        let before = self.get::<DeviceRecord>(&key)?;
        if before.is_none_or(|before| before.signing_key != record.signing_key) {
            self.expect_place(&key, record)?;
        }
        self.put(key, record)
    }

    /// Fails when there are too many others, or one of them has the same key.
    fn expect_place(&mut self, own: &[u8], record: &DeviceRecord) -> Result<(), Rejection> {
        let others: Vec<_> =
            self.keys_under(TableId::Devices, &[])?.into_iter().filter(|key| key != own).collect();
        if others.len() >= MAX_DEVICES {
            return Err(refused(format!(
                "{MAX_DEVICES} devices are paired already, more are not kept: revoke one that is no longer used"
            )));
        }
        for key in others {
            let other = self.get::<DeviceRecord>(&key)?;
            if let Some(other) = other.filter(|other| other.signing_key == record.signing_key) {
                return Err(refused(format!(
                    "device {} has the key of device {}: revoke that one first, or pair with a new key",
                    record.device_id, other.device_id
                )));
            }
        }
        Ok(())
    }

    /// Forgets a device and what it answered for good. One that is not there is no fault: it is gone either way.
    pub(super) fn remove_device(&mut self, id: &DeviceId) -> Result<(), Rejection> {
        self.remove(TableId::Devices, id.as_str().as_bytes().to_vec());
        // A device's principal id is its device id.
        self.forget_rules(|rule| rule.created_by.as_str() == id.as_str())
    }

    /// Adds or changes a row of who was connected when.
    pub(super) fn connection(&mut self, record: &ConnectionRecord) -> Result<(), Rejection> {
        self.put(keys::number(record.connection), record)
    }

    /// Adds to counters; a full one stays full.
    pub(super) fn count(&mut self, counts: Vec<(String, u64)>) -> Result<(), Rejection> {
        for (name, add) in counts {
            check_name(&name)?;
            let key = name.into_bytes();
            let row = match self.get::<CounterRow>(&key)? {
                Some(row) => row,
                None if self.keys_under(TableId::Counters, &[])?.len() < COUNTERS => CounterRow::default(),
                None => {
                    return Err(refused(format!(
                        "{COUNTERS} counters are kept already, counter {} is one too many",
                        keys::shown(&key)
                    )));
                }
            };
            self.put(key, &CounterRow { count: row.count.saturating_add(add) })?;
        }
        Ok(())
    }
}

/// Fails unless a text may name a counter.
fn check_name(name: &str) -> Result<(), Rejection> {
    if (1..=COUNTER_NAME_BYTES).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let shown: String = name.chars().take(COUNTER_NAME_BYTES).flat_map(char::escape_default).collect();
    Err(refused(format!(
        "\"{shown}\" is no name of a counter: 1 to {COUNTER_NAME_BYTES} visible ASCII characters are"
    )))
}
