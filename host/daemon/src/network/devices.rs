//! Which devices are paired, as everybody who asks sees it: an immutable table, replaced whole by the desk.
//!
//! Asked on every connection and every request, so a look costs a lock for reading and a search in a map. What the desk
//! takes out of the table is gone for the next request, whatever connection it comes on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use lanyard_pairing::{ChannelKey, PublicIdentity};
use lanyard_ports::authority::Principals;
use lanyard_ports::journal::DeviceRecord;
use lanyard_ports::source::Clock;
use lanyard_protocol::Timestamp;
use lanyard_protocol::device::{Device, PageReport};
use lanyard_protocol::id::{DeviceId, IdError, PrincipalId};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_transport::host::Admission;
use tokio::sync::watch;

use crate::principals::{owner, owner_in_a_tab};

/// One paired device and how many connections it has.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) record: DeviceRecord,
    pub(super) connections: u32,
    /// A tab of the owner on this machine: known here alone, never written down.
    pub(super) temporary: bool,
    /// What its page last said of itself.
    pub(super) page: Option<PageReport>,
}

impl Entry {
    /// A device that was approved and has not shown in time that it knows is none, unless it has been connected: then
    /// it was paired once more and is known to have its key.
    pub(super) fn is_valid(&self, now: Timestamp) -> bool {
        let held = &self.record;
        held.last_seen.is_some()
            || held.provisional.as_ref().is_none_or(|provisional| now < provisional.until)
    }

    /// A tab of the owner comes by the browser's channel, which proves this key.
    pub(super) fn may_come_by(&self, key: &ChannelKey) -> bool {
        !self.temporary || matches!(key, ChannelKey::Agreement(_))
    }

    /// As people see it.
    pub(super) fn shown(&self) -> Device {
        let DeviceRecord {
            device_id,
            name,
            platform,
            scopes,
            paired_at,
            last_seen,
            provisional,
            made_by,
            ..
        } = &self.record;
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
            page: self.page.clone(),
            temporary: self.temporary,
            made_by: made_by.clone(),
        }
    }
}

/// All of them. Cheap to clone: the entries are shared.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    devices: BTreeMap<DeviceId, Arc<Entry>>,
    /// By Ed25519 key, which QUIC proves.
    signing: HashMap<[u8; 32], DeviceId>,
    /// By X25519 key, which a browser's channel proves.
    agreement: HashMap<[u8; 32], DeviceId>,
}

impl Table {
    /// The table of a host that starts: nobody is connected.
    pub(super) fn new(records: Vec<DeviceRecord>) -> Self {
        let mut table = Self::default();
        for record in records {
            table.put(Entry { record, connections: 0, temporary: false, page: None });
        }
        table
    }

    /// Adds or replaces an entry.
    pub(super) fn put(&mut self, entry: Entry) {
        let id = entry.record.device_id.clone();
        self.remove(&id);
        self.signing.insert(entry.record.signing_key, id.clone());
        self.agreement.insert(entry.record.agreement_key, id.clone());
        self.devices.insert(id, Arc::new(entry));
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, id: &DeviceId) -> Option<Arc<Entry>> {
        let entry = self.devices.remove(id)?;
        self.signing.remove(&entry.record.signing_key);
        self.agreement.remove(&entry.record.agreement_key);
        Some(entry)
    }

    /// By id, valid or not.
    pub(super) fn get(&self, id: &DeviceId) -> Option<&Arc<Entry>> {
        self.devices.get(id)
    }

    /// By the key its connection has proven, if it may connect.
    pub(super) fn by_key(&self, key: &ChannelKey, now: Timestamp) -> Option<&Arc<Entry>> {
        let id = match key {
            ChannelKey::Signing(key) => self.signing.get(key),
            ChannelKey::Agreement(key) => self.agreement.get(key),
        };
        id.and_then(|id| self.valid(id, now))
    }

    /// By id, if it may connect.
    pub(super) fn valid(&self, id: &DeviceId, now: Timestamp) -> Option<&Arc<Entry>> {
        self.devices.get(id).filter(|entry| entry.is_valid(now))
    }

    /// The principal a paired device asks as, with the rights it holds now.
    pub(super) fn principal(&self, id: &PrincipalId, now: Timestamp) -> Option<Principal> {
        let entry = self.valid(&DeviceId::new(id.as_str()).ok()?, now)?;
        let mut scopes = entry.record.scopes.clone();
        scopes.sort_unstable();
        scopes.dedup();
        if entry.temporary {
            return owner_in_a_tab(scopes).ok();
        }
        Some(Principal { id: id.clone(), name: entry.record.name.clone(), scopes, local: false })
    }

    /// The devices that have either of two keys, valid or not: none, one, or one each.
    pub(super) fn holders(&self, keys: &PublicIdentity) -> BTreeSet<DeviceId> {
        let held = [self.signing.get(&keys.signing), self.agreement.get(&keys.agreement)];
        held.into_iter().flatten().cloned().collect()
    }

    /// How many, tabs of the owner aside: they are bounded by themselves.
    pub(super) fn len(&self) -> usize {
        self.devices.values().filter(|entry| !entry.temporary).count()
    }

    /// Everything that is here, valid or not.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.devices.values()
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

    /// How many are paired, tabs of the owner aside, and how many of them are connected.
    pub(crate) fn count(&self) -> (u64, u64) {
        let now = self.clock.now();
        let table = self.table();
        let valid = table.devices.values().filter(|entry| entry.is_valid(now) && !entry.temporary);
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
    fn admits(&self, key: &ChannelKey) -> bool {
        self.table().by_key(key, self.clock.now()).is_some_and(|entry| entry.may_come_by(key))
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

    use lanyard_pairing::{ChannelKey, PublicIdentity};
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
            agreement_key: [!key; 32],
            scopes: vec![Scope::Operate, Scope::Observe, Scope::Observe],
            paired_at: Timestamp::from_millis(1),
            last_seen: None,
            provisional: None,
            made_by: None,
        }
    }

    fn signing(key: u8) -> ChannelKey {
        ChannelKey::Signing([key; 32])
    }

    fn agreement(key: u8) -> ChannelKey {
        ChannelKey::Agreement([!key; 32])
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
        assert!(devices.admits(&signing(1)) && !devices.admits(&signing(3)));
        assert_eq!(devices.list().iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["Laptop", "phone"]);

        let mut next = table;
        next.remove(&DeviceId::new("id-phone").unwrap());
        publish.send_replace(Arc::new(next));
        assert_eq!(devices.standing(&phone), None);
        assert!(!devices.admits(&signing(1)));
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
        assert!(devices.standing(&phone).is_some() && devices.admits(&signing(1)));
        clock.0.store(100, Ordering::Relaxed);
        assert!(devices.standing(&phone).is_none() && !devices.admits(&signing(1)));
        assert!(devices.list().is_empty() && devices.count() == (0, 0));
    }

    #[test]
    fn each_way_in_has_its_own_key() {
        let mut table = Table::new(vec![record("phone", 1), record("laptop", 2)]);
        let now = Timestamp::default();
        let found = |table: &Table, key| table.by_key(&key, now).map(|entry| entry.record.name.clone());
        assert_eq!(found(&table, agreement(1)).as_deref(), Some("phone"));
        assert_eq!(found(&table, agreement(2)).as_deref(), Some("laptop"));
        // The bytes of one kind of key are none of the other kind.
        assert_eq!(found(&table, ChannelKey::Agreement([1; 32])), None);
        assert_eq!(found(&table, ChannelKey::Signing([!1; 32])), None);
        let mixed = PublicIdentity { signing: [1; 32], agreement: [!2; 32] };
        let holders: Vec<String> = table.holders(&mixed).into_iter().map(|id| id.to_string()).collect();
        assert_eq!(holders, ["id-laptop", "id-phone"]);
        table.remove(&DeviceId::new("id-phone").unwrap());
        assert_eq!((found(&table, agreement(1)), found(&table, signing(1))), (None, None));
    }

    #[test]
    fn an_entry_that_is_replaced_leaves_no_key_behind() {
        let mut table = Table::new(vec![record("phone", 1)]);
        table.put(Entry { record: record("phone", 2), connections: 0, temporary: false, page: None });
        assert!(table.by_key(&signing(1), Timestamp::default()).is_none());
        assert!(table.by_key(&agreement(1), Timestamp::default()).is_none());
        assert!(table.by_key(&signing(2), Timestamp::default()).is_some());
        assert_eq!(table.len(), 1);
    }
}
