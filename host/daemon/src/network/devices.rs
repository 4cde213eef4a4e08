//! Which devices are paired, as everybody who asks sees it: an immutable table, replaced whole by the desk.
//!
//! Asked on every connection and every request, so a look costs a lock for reading and a search in a map. What the desk
//! takes out of the table is gone for the next request, whatever connection it comes on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lanyard_pairing::PublicIdentity;
use lanyard_ports::authority::Principals;
use lanyard_ports::journal::DeviceRecord;
use lanyard_ports::source::Clock;
use lanyard_protocol::Timestamp;
use lanyard_protocol::device::Device;
use lanyard_protocol::id::{DeviceId, IdError, PrincipalId};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_transport::host::Admission;
use tokio::sync::watch;

use crate::principals::owner;

/// One paired device and how many connections it has.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) record: DeviceRecord,
    pub(super) connections: u32,
}

impl Entry {
    /// A device that was approved and has not shown in time that it knows is none, unless it has been connected: then
    /// it was paired once more and is known to have its key.
    fn is_valid(&self, now: Timestamp) -> bool {
        let held = &self.record;
        held.last_seen.is_some()
            || held.provisional.as_ref().is_none_or(|provisional| now < provisional.until)
    }

    /// As people see it.
    pub(super) fn shown(&self) -> Device {
        let DeviceRecord { device_id, name, platform, scopes, paired_at, last_seen, provisional, .. } =
            &self.record;
        Device {
            device_id: device_id.clone(),
            name: name.clone(),
            platform: platform.clone(),
            scopes: scopes.clone(),
            paired_at: *paired_at,
            provisional_until: provisional.as_ref().map(|provisional| provisional.until),
            last_seen: last_seen.as_ref().map(|(at, _)| *at),
            last_address: last_seen.as_ref().map(|(_, address)| address.clone()),
            connections: self.connections,
        }
    }
}

/// All of them. Cheap to clone: the entries are shared.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    devices: BTreeMap<DeviceId, Arc<Entry>>,
    keys: HashMap<[u8; 32], DeviceId>,
}

impl Table {
    /// The table of a host that starts: nobody is connected.
    pub(super) fn new(records: Vec<DeviceRecord>) -> Self {
        let mut table = Self::default();
        for record in records {
            table.put(Entry { record, connections: 0 });
        }
        table
    }

    /// Adds or replaces an entry.
    pub(super) fn put(&mut self, entry: Entry) {
        let id = entry.record.device_id.clone();
        self.remove(&id);
        self.keys.insert(entry.record.signing_key, id.clone());
        self.devices.insert(id, Arc::new(entry));
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, id: &DeviceId) -> Option<Arc<Entry>> {
        let entry = self.devices.remove(id)?;
        self.keys.remove(&entry.record.signing_key);
        Some(entry)
    }

    /// By id, valid or not.
    pub(super) fn get(&self, id: &DeviceId) -> Option<&Arc<Entry>> {
        self.devices.get(id)
    }

    /// By signing key, if it may connect.
    pub(super) fn by_key(&self, key: &[u8; 32], now: Timestamp) -> Option<&Arc<Entry>> {
        self.keys.get(key).and_then(|id| self.valid(id, now))
    }

    fn valid(&self, id: &DeviceId, now: Timestamp) -> Option<&Arc<Entry>> {
        self.devices.get(id).filter(|entry| entry.is_valid(now))
    }

    /// The principal a paired device asks as, with the rights it holds now.
    pub(super) fn principal(&self, id: &PrincipalId, now: Timestamp) -> Option<Principal> {
        let entry = self.valid(&DeviceId::new(id.as_str()).ok()?, now)?;
        let mut scopes = entry.record.scopes.clone();
        scopes.sort_unstable();
        scopes.dedup();
        Some(Principal { id: id.clone(), name: entry.record.name.clone(), scopes, local: false })
    }

    /// The device that has a signing key, valid or not.
    pub(super) fn holder(&self, key: &[u8; 32]) -> Option<&DeviceId> {
        self.keys.get(key)
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.devices.len()
    }

    /// Those that have not shown yet that they know.
    pub(super) fn provisional(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.devices.values().filter(|entry| entry.record.provisional.is_some())
    }
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Devices {
    table: watch::Receiver<Arc<Table>>,
    clock: Arc<dyn Clock>,
}

impl Devices {
    /// A view of what the desk publishes.
    pub(super) fn new(table: watch::Receiver<Arc<Table>>, clock: Arc<dyn Clock>) -> Self {
        Self { table, clock }
    }

    fn table(&self) -> Arc<Table> {
        self.table.borrow().clone()
    }

    /// By name, then by id.
    pub(crate) fn list(&self) -> Vec<Device> {
        let now = self.clock.now();
        let table = self.table();
        let valid = table.devices.values().filter(|entry| entry.is_valid(now));
        let mut devices: Vec<Device> = valid.map(|entry| entry.shown()).collect();
        devices.sort_by_cached_key(|device| (device.name.to_lowercase(), device.device_id.clone()));
        devices
    }

    /// How many are paired, and how many of them are connected.
    pub(crate) fn count(&self) -> (u64, u64) {
        let now = self.clock.now();
        let table = self.table();
        let valid = table.devices.values().filter(|entry| entry.is_valid(now));
        valid.fold((0, 0), |(paired, here), entry| (paired + 1, here + u64::from(entry.connections > 0)))
    }
}

impl Principals for Devices {
    fn standing(&self, id: &PrincipalId) -> Option<Principal> {
        if let Some(owner) = owner().ok().filter(|owner| owner.id == *id) {
            return Some(owner);
        }
        self.table().principal(id, self.clock.now())
    }
}

impl Admission for Devices {
    fn admits(&self, key: &[u8; 32]) -> bool {
        self.table().by_key(key, self.clock.now()).is_some()
    }
}

impl std::fmt::Debug for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Devices").field("paired", &self.table.borrow().len()).finish_non_exhaustive()
    }
}

/// The id of the device that has these keys.
pub(super) fn device_id(identity: &PublicIdentity) -> Result<DeviceId, IdError> {
    DeviceId::new(identity.fingerprint().to_string())
}

/// The principal a device asks as.
pub(crate) fn principal_id(device: &DeviceId) -> Result<PrincipalId, IdError> {
    PrincipalId::new(device.as_str())
}

/// Rights in order, each once; `None` without `observe`, without which nothing can be used.
pub(super) fn normal(mut scopes: Vec<Scope>) -> Option<Vec<Scope>> {
    scopes.sort_unstable();
    scopes.dedup();
    scopes.contains(&Scope::Observe).then_some(scopes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use lanyard_ports::authority::Principals;
    use lanyard_ports::journal::{DeviceRecord, ProvisionalDevice};
    use lanyard_ports::source::Clock;
    use lanyard_protocol::Timestamp;
    use lanyard_protocol::id::{DeviceId, PrincipalId};
    use lanyard_protocol::principal::Scope;
    use lanyard_transport::host::Admission;
    use tokio::sync::watch;

    use super::{Devices, Entry, Table};

    #[derive(Default)]
    struct Wall(AtomicI64);

    impl Clock for Wall {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    fn record(name: &str, key: u8) -> DeviceRecord {
        DeviceRecord {
            device_id: DeviceId::new(format!("id-{name}")).unwrap(),
            name: name.to_owned(),
            platform: "linux".to_owned(),
            signing_key: [key; 32],
            agreement_key: [key; 32],
            scopes: vec![Scope::Operate, Scope::Observe, Scope::Observe],
            paired_at: Timestamp::from_millis(1),
            last_seen: None,
            provisional: None,
        }
    }

    #[test]
    fn a_device_counts_from_one_table_to_the_next_and_no_longer() {
        let clock = Arc::new(Wall::default());
        let table = Table::new(vec![record("phone", 1), record("Laptop", 2)]);
        let (publish, receiver) = watch::channel(Arc::new(table.clone()));
        let devices = Devices::new(receiver, clock);
        let phone = PrincipalId::new("id-phone").unwrap();
        let standing = devices.standing(&phone).unwrap();
        assert_eq!(standing.scopes, [Scope::Observe, Scope::Operate], "sorted, each once");
        assert!(!standing.local);
        assert!(devices.admits(&[1; 32]) && !devices.admits(&[3; 32]));
        assert_eq!(devices.list().iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["Laptop", "phone"]);

        let mut next = table;
        next.remove(&DeviceId::new("id-phone").unwrap());
        publish.send_replace(Arc::new(next));
        assert_eq!(devices.standing(&phone), None);
        assert!(!devices.admits(&[1; 32]));
        assert!(devices.standing(&PrincipalId::new("owner").unwrap()).unwrap().local);
    }

    #[test]
    fn an_approved_device_counts_at_once_and_not_a_moment_longer_than_its_time() {
        let clock = Arc::new(Wall::default());
        let mut provisional = record("phone", 1);
        provisional.provisional =
            Some(ProvisionalDevice { until: Timestamp::from_millis(100), state: Vec::new() });
        let (_publish, receiver) = watch::channel(Arc::new(Table::new(vec![provisional])));
        let devices = Devices::new(receiver, clock.clone());
        let phone = PrincipalId::new("id-phone").unwrap();
        clock.0.store(99, Ordering::Relaxed);
        assert!(devices.standing(&phone).is_some() && devices.admits(&[1; 32]));
        clock.0.store(100, Ordering::Relaxed);
        assert!(devices.standing(&phone).is_none() && !devices.admits(&[1; 32]));
        assert!(devices.list().is_empty() && devices.count() == (0, 0));
    }

    #[test]
    fn an_entry_that_is_replaced_leaves_no_key_behind() {
        let mut table = Table::new(vec![record("phone", 1)]);
        table.put(Entry { record: record("phone", 2), connections: 0 });
        assert!(table.by_key(&[1; 32], Timestamp::default()).is_none());
        assert!(table.by_key(&[2; 32], Timestamp::default()).is_some());
        assert_eq!(table.len(), 1);
    }
}
