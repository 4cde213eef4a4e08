//! Who is connected, and the record of who was.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use lanyard_pairing::ChannelKey;
use lanyard_ports::journal::{Journal, JournalError, Write};
use lanyard_protocol::device::ConnectionRecord;
use lanyard_protocol::id::DeviceId;
use lanyard_transport::close::CloseCode;

use super::actor::Actor;
use super::paired::changed;
use super::{Cut, Lease};
use crate::network::devices::Entry;
use crate::network::tally::Counted;

/// Connections of one device: its programs and pages. For a newer one the oldest goes: programs that were killed leave
/// connections that are dead and last half a minute, and they must not keep their owner out.
const MAX_OF_DEVICE: u32 = 16;

/// Connections of all devices: each may cost some tens of kilobytes, and requests on top.
const MAX_OF_ALL: usize = 2_048;

struct Open {
    record: ConnectionRecord,
    cut: Arc<Cut>,
    /// Of a tab of the owner: nothing of it is written down.
    temporary: bool,
}

/// See the module.
pub(super) struct Connections {
    open: BTreeMap<u64, Open>,
    /// Number of the newest.
    last: u64,
}

impl Connections {
    /// Numbers go on from what is recorded.
    pub(super) fn load(journal: &dyn Journal) -> Result<Self, JournalError> {
        let newest = journal.connections(1)?;
        Ok(Self { open: BTreeMap::new(), last: newest.first().map_or(0, |row| row.connection) })
    }

    /// How many a device has.
    pub(super) fn count_of(&self, device: &DeviceId) -> u32 {
        let of_device = self.open.values().filter(|open| open.record.device_id == *device);
        u32::try_from(of_device.count()).unwrap_or(u32::MAX)
    }

    /// What ends the connections of a device.
    pub(super) fn cuts_of(&self, device: &DeviceId) -> Vec<Arc<Cut>> {
        let of_device = self.open.values().filter(|open| open.record.device_id == *device);
        of_device.map(|open| open.cut.clone()).collect()
    }

    /// Ends the connections of a device.
    pub(super) fn cut(&self, device: &DeviceId, code: CloseCode) {
        self.cuts_of(device).iter().for_each(|cut| cut.cut(code));
    }

    /// Ends the oldest connection of a device.
    fn cut_oldest(&self, device: &DeviceId, code: CloseCode) {
        let mut of_device = self.open.values().filter(|open| open.record.device_id == *device);
        if let Some(oldest) = of_device.find(|open| !open.cut.is_cut()) {
            oldest.cut.cut(code);
        }
    }

    /// Ends every connection.
    pub(super) fn cut_all(&self, code: CloseCode) {
        self.open.values().for_each(|open| open.cut.cut(code));
    }
}

impl Actor {
    /// Enters a connection. A device that was approved has shown with it that it knows.
    pub(super) async fn arrived(&mut self, key: &ChannelKey, from: SocketAddr) -> Result<Lease, CloseCode> {
        let at = self.parts.clock.now();
        // Asked again here: between the handshake and now the device may have been revoked.
        let entry = self.table.by_key(key, at).ok_or(CloseCode::NotPaired)?;
        let mut entry = Entry::clone(entry);
        // A tab of the owner is on this machine.
        if !entry.may_come_by(key) || entry.temporary && !from.ip().is_loopback() {
            return Err(CloseCode::NotPaired);
        }
        let device = entry.record.device_id.clone();
        let connections = self.connections.count_of(&device);
        if self.connections.open.len() >= MAX_OF_ALL {
            return Err(CloseCode::TooMany);
        }
        if connections >= MAX_OF_DEVICE {
            self.connections.cut_oldest(&device, CloseCode::TooMany);
        }
        self.connections.last += 1;
        let number = self.connections.last;
        let record = ConnectionRecord {
            connection: number,
            device_id: device.clone(),
            name: entry.record.name.clone(),
            address: from.to_string(),
            connected_at: at,
            ended_at: None,
            end_reason: None,
        };
        let cut = Arc::new(Cut::default());
        let open = Open { record: record.clone(), cut: cut.clone(), temporary: entry.temporary };
        self.connections.open.insert(number, open);
        self.parts.tally.add(Counted::Accepted);
        entry.connections = connections + 1;
        entry.record.last_seen = Some((at, from.to_string()));
        let row = Write::Connection(Box::new(record));
        if entry.temporary {
            entry.record.provisional = None;
            self.tabs.arrived(&device);
            self.publish_entry(entry);
        } else if entry.record.provisional.is_some() {
            self.publish_entry(entry.clone());
            self.promote(entry, vec![row]).await;
        } else {
            self.note(vec![row, Write::Device(Box::new(entry.record.clone())), changed(&device)]).await;
            self.publish_entry(entry);
        }
        Ok(Lease { number, device, cut })
    }

    /// Closes a connection's record.
    pub(super) async fn left(&mut self, number: u64, how: &'static str) {
        let Some(Open { mut record, cut, temporary }) = self.connections.open.remove(&number) else { return };
        cut.gone.cancel();
        let at = self.parts.clock.now();
        self.parts.tally.add(Counted::Ended(how));
        record.ended_at = Some(at);
        record.end_reason = Some(how.to_owned());
        let mut batch = vec![Write::Connection(Box::new(record.clone()))];
        if let Some(entry) = self.table.get(&record.device_id) {
            let mut entry = Entry::clone(entry);
            entry.connections = self.connections.count_of(&record.device_id);
            entry.record.last_seen = Some((at, record.address));
            if temporary {
                return self.tab_left(entry);
            }
            batch.extend([Write::Device(Box::new(entry.record.clone())), changed(&record.device_id)]);
            self.publish_entry(entry);
        }
        if !temporary {
            self.note(batch).await;
        }
    }

    /// The host stops: records that nobody closed are closed.
    pub(super) async fn end_connections(&mut self) {
        let open: Vec<u64> = self.connections.open.keys().copied().collect();
        for number in open {
            self.left(number, CloseCode::Stopping.word()).await;
        }
    }
}
