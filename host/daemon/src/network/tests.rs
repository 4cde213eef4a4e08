//! The network side over QUIC on the loopback address, with real devices.

mod browser;
mod page;
mod tab;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use lanyard_pairing::device::{About, Secret};
use lanyard_pairing::{Abort, IdentityKeys, PairingCode, PairingLink};
use lanyard_ports::authority::Principals;
use lanyard_ports::journal::Journal;
use lanyard_ports::sink::CommitObserver;
use lanyard_protocol::approval::Decision;
use lanyard_protocol::event::{HostEvent, SessionEvent};
use lanyard_protocol::id::{DeviceId, PairingId, PrincipalId};
use lanyard_protocol::method::DecidePairing;
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_store::{Store, StoreOptions};
use lanyard_transport::close::{CloseCode, Ended};
use lanyard_transport::dial::{Candidate, DialError, Dialer, Expect, Source};
use lanyard_transport::join::{self, JoinError};
use lanyard_transport::peer::{Connection, Peer};
use rand_core::OsRng;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::accept::Serve;
use super::desk::Change;
use super::{Network, NetworkParts, NetworkSettings};
use crate::command::NewCommand;
use crate::principals::owner;
use crate::sources::{RandomIds, SystemClock};

/// Nobody looks.
struct Unheard;

impl CommitObserver for Unheard {
    fn committed(&self, _events: &[Arc<SessionEvent>], _host_events: &[Arc<HostEvent>]) {}
}

/// The host belongs to no centre.
struct Nobody;

impl Principals for Nobody {
    fn standing(&self, _: &PrincipalId) -> Option<Principal> {
        None
    }
}

/// Stands in for the agent API: holds each connection until it is told to stop.
#[derive(Clone, Default)]
struct Held(Arc<AtomicUsize>);

impl Serve for Held {
    fn serve<C: Connection>(
        &self,
        _device: PrincipalId,
        _peer: C,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        self.0.fetch_add(1, Ordering::SeqCst);
        let held = self.0.clone();
        async move {
            stop.cancelled().await;
            held.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

struct Lan {
    dir: tempfile::TempDir,
    store: Arc<Store>,
    network: Network,
    stop: CancellationToken,
}

impl Lan {
    fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap(), SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    fn open(dir: tempfile::TempDir, listen: SocketAddr) -> Self {
        let (store, _) = Store::open(StoreOptions::new(dir.path().join("store")), Arc::new(Unheard)).unwrap();
        let settings = NetworkSettings {
            listen: Some(listen),
            may_go_without: false,
            discovery: false,
            host_name: "host".to_owned(),
        };
        let network = Network::start(NetworkParts {
            settings,
            state_dir: dir.path(),
            journal: store.clone(),
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            others: Arc::new(Nobody),
        })
        .unwrap();
        let stop = CancellationToken::new();
        let door = network.door(stop.clone());
        network.tasks.spawn(door.run(network.endpoint.clone().unwrap(), Held::default()));
        Self { dir, store, network, stop }
    }

    async fn stop(self) -> tempfile::TempDir {
        self.stop.cancel();
        self.network.stop().await;
        self.store.close().unwrap();
        self.dir
    }

    fn candidates(&self) -> [Candidate; 1] {
        [Candidate { address: self.network.listening().unwrap(), source: Source::Given }]
    }

    fn signing(&self) -> [u8; 32] {
        super::HostIdentity::open(&self.dir.path().join(super::KEY_FILE)).unwrap().public().signing
    }

    async fn code(&self) -> Secret {
        let window = self.network.desk().open_window().await.unwrap();
        Secret::Code(PairingCode::parse(&window.code.unwrap()).unwrap())
    }

    async fn link(&self) -> Secret {
        let window = self.network.desk().open_window().await.unwrap();
        let link = PairingLink::parse(&window.link).unwrap();
        assert_eq!(link.addresses, [self.network.listening().unwrap()]);
        Secret::Link(link.secret.clone(), link.host)
    }

    /// The one question there is.
    async fn question(&self) -> PairingId {
        let (_, pending) = self.network.desk().pairings(owner().unwrap()).await.unwrap();
        let [question] = pending.as_slice() else { panic!("{pending:?}") };
        question.pairing_id.clone()
    }

    async fn answer(&self, decision: Decision, digits: Option<String>) {
        let pairing_id = self.question().await;
        let answer =
            DecidePairing { pairing_id, decision, digits, scopes: None, name: None, command_id: None };
        let owner = owner().unwrap();
        let command = NewCommand::of(&owner, None);
        self.network.desk().decide(owner, answer, command).await.unwrap();
    }

    fn aborts(&self) -> HashMap<String, u64> {
        let rows = self.network.tally.counters().pairing_aborts;
        rows.into_iter().map(|row| (row.reason, row.count)).collect()
    }

    async fn revoke(&self, device: &Device) {
        let nothing = Box::new(|_| Box::pin(std::future::ready(())) as _);
        let owner = owner().unwrap();
        let command = NewCommand::of(&owner, None);
        self.network.desk().revoke(device.id(), owner, command, nothing).await.unwrap();
    }
}

struct Device {
    keys: IdentityKeys,
    dialer: Dialer,
}

impl Device {
    fn new() -> Self {
        let keys = IdentityKeys::generate(&mut OsRng);
        let dialer = Dialer::new(&keys).unwrap();
        Self { keys, dialer }
    }

    fn id(&self) -> DeviceId {
        super::devices::device_id(&self.keys.public()).unwrap()
    }

    async fn join(&self, lan: &Lan, secret: Secret) -> Result<join::Waiting, JoinError> {
        let about = About {
            name: "Laptop".to_owned(),
            platform: "test".to_owned(),
            scopes: vec![Scope::Observe, Scope::Operate],
        };
        join::join(&self.dialer, &self.keys, &lan.candidates(), &about, secret).await
    }

    async fn session(&self, lan: &Lan) -> Result<Peer, DialError> {
        self.dialer.session(&lan.candidates(), lan.signing()).await
    }

    /// Pairs to the end.
    async fn paired(&self, lan: &Lan) {
        let mut waiting = self.join(lan, lan.link().await).await.unwrap();
        lan.answer(Decision::Approved, None).await;
        waiting.answer().await.unwrap();
        waiting.acknowledge().await.unwrap();
    }
}

fn abort_of<T>(outcome: Result<T, JoinError>) -> Abort {
    match outcome {
        Err(JoinError::Abort(abort)) => abort,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was let in"),
    }
}

/// Waits until something that is under way has happened.
async fn until(mut what: impl FnMut() -> bool) {
    while !what() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_device_pairs_by_code_connects_and_is_revoked() {
    let lan = Lan::new();
    let device = Device::new();
    let refused = device.session(&lan).await.unwrap_err();
    assert!(matches!(refused, DialError::Refused { reason: Ended::ByPeer(CloseCode::NotPaired), .. }));

    let mut waiting = device.join(&lan, lan.code().await).await.unwrap();
    let digits = waiting.pending().digits().to_string();
    lan.answer(Decision::Approved, Some(digits)).await;
    let grant = waiting.answer().await.unwrap();
    assert_eq!(grant.scopes, [Scope::Observe, Scope::Operate]);
    assert_eq!(grant.device_name, "Laptop");
    waiting.acknowledge().await.unwrap();
    let first = device.session(&lan).await.unwrap();
    let second = device.session(&lan).await.unwrap();
    until(|| lan.network.devices().list()[0].connections == 2).await;
    let listed = &lan.network.devices().list()[0];
    assert_eq!((listed.device_id.clone(), listed.provisional_until), (device.id(), None));

    lan.revoke(&device).await;
    let who = super::principal_id(&device.id()).unwrap();
    assert!(lan.network.devices().standing(&who).is_none());
    for peer in [first, second] {
        assert_eq!(peer.ended().await, Ended::ByPeer(CloseCode::Revoked));
    }
    let again = device.session(&lan).await.unwrap_err();
    assert!(matches!(again, DialError::Refused { reason: Ended::ByPeer(CloseCode::NotPaired), .. }));
    let health = lan.network.health().await;
    assert_eq!(health.counters.refused[0].reason, "not_paired");
    assert_eq!((health.counters.refused[0].count, health.counters.connections), (2, 2));
    assert_eq!(health.listening, Some(lan.network.listening().unwrap().to_string()));
    let store = lan.store.clone();
    lan.stop().await;
    let rows = store.connections(10).unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.end_reason.as_deref() == Some("revoked")), "{rows:?}");
}

#[tokio::test]
async fn a_device_that_loses_its_connection_while_it_waits_comes_back_to_its_answer() {
    let lan = Lan::new();
    let device = Device::new();
    let waiting = device.join(&lan, lan.link().await).await.unwrap();
    let pending = waiting.pending().clone();
    drop(waiting);
    let mut waiting = join::resume(&device.dialer, &lan.candidates(), pending.clone()).await.unwrap();
    lan.answer(Decision::Approved, None).await;
    waiting.answer().await.unwrap();
    // It was killed before it had written the grant down; and the host as well.
    drop(waiting);
    let dir = lan.stop().await;
    let lan = Lan::open(dir, SocketAddr::from(([127, 0, 0, 1], 0)));
    let mut waiting = join::resume(&device.dialer, &lan.candidates(), pending).await.unwrap();
    waiting.answer().await.unwrap();
    waiting.acknowledge().await.unwrap();
    until(|| lan.network.devices().list()[0].provisional_until.is_none()).await;
    device.session(&lan).await.unwrap();
}

#[tokio::test]
async fn a_denied_device_hears_it_and_one_that_is_away_is_not_given_up() {
    let lan = Lan::new();
    let device = Device::new();
    let mut waiting = device.join(&lan, lan.link().await).await.unwrap();
    lan.answer(Decision::Denied, None).await;
    assert_eq!(abort_of(waiting.answer().await), Abort::Denied);
    // Told once more, and counted once.
    let pending = waiting.pending().clone();
    let mut again = join::resume(&device.dialer, &lan.candidates(), pending).await.unwrap();
    assert_eq!(abort_of(again.answer().await), Abort::Denied);

    let mut first = device.join(&lan, lan.code().await).await.unwrap();
    let second = join::resume(&device.dialer, &lan.candidates(), first.pending().clone()).await.unwrap();
    assert!(matches!(first.answer().await, Err(JoinError::Ended(_))), "the newer connection counts");
    drop(second);
    lan.question().await;
    assert_eq!(lan.aborts(), HashMap::from([("denied".to_owned(), 1)]));
}

#[tokio::test]
async fn wrong_codes_and_closed_windows_are_told_and_counted() {
    let lan = Lan::new();
    let device = Device::new();
    let code = Secret::Code(PairingCode::parse("K7QX-92MD").unwrap());
    assert_eq!(abort_of(device.join(&lan, code.clone()).await), Abort::NotOpen);
    lan.code().await;
    assert_eq!(abort_of(device.join(&lan, code).await), Abort::WrongSecret);
    until(|| lan.aborts().get("wrong_secret") == Some(&1) && lan.aborts().get("not_open") == Some(&1)).await;
    assert_eq!(lan.network.tally.counters().pairing_attempts, 1);
}

#[tokio::test]
async fn peers_that_only_sit_there_keep_nobody_out() {
    let lan = Lan::new();
    let idle: Vec<Device> = (0..20).map(|_| Device::new()).collect();
    let mut peers = Vec::new();
    for device in &idle {
        // A stranger that says nothing on the stream it never opens.
        peers.push(device.dialer.pairing(&lan.candidates(), Expect::Anybody).await.unwrap());
    }
    Device::new().join(&lan, lan.link().await).await.unwrap();
    lan.question().await;
    let given_up = peers.first().unwrap().ended().await;
    assert_eq!(given_up, Ended::ByPeer(CloseCode::TooMany));
}

#[tokio::test]
async fn new_keys_are_followed_by_whoever_asks() {
    let lan = Lan::new();
    let device = Device::new();
    device.paired(&lan).await;
    let peer = device.session(&lan).await.unwrap();
    let before = super::HostIdentity::open(&lan.dir.path().join(super::KEY_FILE)).unwrap().public();
    lan.network.desk().rotate_keys(false).await.unwrap();
    assert_eq!(peer.ended().await, Ended::ByPeer(CloseCode::KeyChanged));
    let other = device.dialer.session(&lan.candidates(), before.signing).await.unwrap_err();
    assert!(matches!(other, DialError::OtherKey { .. }), "{other}");
    let (lineage, key) =
        join::lineage(&device.dialer, &lan.candidates(), before.fingerprint()).await.unwrap();
    assert_eq!(lineage.follow(&before, &key).unwrap().signing, lan.signing());
    device.session(&lan).await.unwrap();
    assert_eq!(
        lan.network.host_id().as_str(),
        lineage.follow(&before, &key).unwrap().fingerprint().to_string()
    );
}

#[tokio::test]
async fn other_rights_and_the_hosts_end_are_told_by_the_way_a_connection_ends() {
    let lan = Lan::new();
    let device = Device::new();
    device.paired(&lan).await;
    let peer = device.session(&lan).await.unwrap();
    until(|| lan.network.devices().count() == (1, 1)).await;
    let change = Change::Scopes(vec![Scope::Observe]);
    lan.network.desk().change(device.id(), change, owner().unwrap()).await.unwrap();
    assert_eq!(peer.ended().await, Ended::ByPeer(CloseCode::ScopesChanged));
    let peer = device.session(&lan).await.unwrap();
    let own = device.session(&lan).await.unwrap();
    own.close(CloseCode::Done);
    until(|| lan.network.devices().list()[0].connections == 1).await;
    let store = lan.store.clone();
    lan.stop().await;
    assert_eq!(peer.ended().await, Ended::ByPeer(CloseCode::Stopping));
    let mut ends: Vec<String> =
        store.connections(10).unwrap().into_iter().map(|row| row.end_reason.unwrap()).collect();
    ends.sort();
    assert_eq!(ends, ["closed", "host_stopping", "scopes_changed"]);
    let counted: HashMap<String, u64> = store.counts("connection.ended.").unwrap().into_iter().collect();
    assert_eq!(counted.get("connection.ended.scopes_changed"), Some(&1));
}

#[tokio::test]
async fn a_revocation_on_a_live_connection_beats_every_later_arrival() {
    let lan = Arc::new(Lan::new());
    let device = Arc::new(Device::new());
    device.paired(&lan).await;
    let (told, mut revoked) = watch::channel(false);
    let peers = Arc::new(Mutex::new(Vec::new()));
    // Connects for as long as it is let in, while it is being revoked.
    let connecting = {
        let (lan, device, peers) = (lan.clone(), device.clone(), peers.clone());
        tokio::spawn(async move {
            loop {
                match device.session(&lan).await {
                    Ok(peer) => peers.lock().unwrap().push(peer),
                    Err(DialError::Refused { reason: Ended::ByPeer(CloseCode::TooMany), .. }) => {}
                    Err(_) if *revoked.borrow() => return,
                    Err(_) => drop(revoked.changed().await),
                }
            }
        })
    };
    until(|| lan.network.devices().list()[0].connections > 2).await;
    lan.revoke(&device).await;
    told.send_replace(true);
    connecting.await.unwrap();
    let peers = std::mem::take(&mut *peers.lock().unwrap());
    for peer in peers {
        let ended = peer.ended().await;
        assert!(
            matches!(ended, Ended::ByPeer(CloseCode::Revoked | CloseCode::NotPaired | CloseCode::TooMany)),
            "{ended}"
        );
    }
}
