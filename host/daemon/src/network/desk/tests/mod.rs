//! The desk against a real store, with phones that pair in memory. What they share is here: a desk with a clock that
//! tests set, and a phone.

mod connections;
mod devices;
mod guessing;
mod pairing;
mod passes;
mod transfers;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use lanyard_pairing::device::{self, About, Answer, PendingJoin, Secret};
use lanyard_pairing::message::{ToDevice, ToHost};
use lanyard_pairing::{Abort, Channel, ChannelKey, IdentityKeys, PairingCode, PairingLink, PublicIdentity};
use lanyard_ports::authority::Principals;
use lanyard_ports::journal::{DeviceRecord, Journal};
use lanyard_ports::sink::CommitObserver;
use lanyard_ports::source::Clock;
use lanyard_protocol::approval::Decision;
use lanyard_protocol::device::PendingPairing;
use lanyard_protocol::event::{HostEvent, SessionEvent};
use lanyard_protocol::id::{DeviceId, HostId, PairingId, PrincipalId};
use lanyard_protocol::method::{DecidePairing, PairingDecided};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::{Tick, Timestamp};
use lanyard_store::{Store, StoreOptions};
use lanyard_transport::host::{Admission, HostEndpoint};
use lanyard_transport::noise::NoiseHost;
use rand_core::OsRng;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::actor::{DeskParts, Surface, start};
use super::{Desk, DeskError, Place, Verdict};
use crate::command::NewCommand;
use crate::network::devices::{Devices, device_id, principal_id};
use crate::network::identity::HostIdentity;
use crate::network::tally::Tally;
use crate::principals::owner;
use crate::sources::RandomIds;

const MINUTE: i64 = 60_000;

/// A clock that moves when a test says so.
struct Wall(AtomicI64);

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Somebody who may answer without being paired; a person of the host's centre, say.
const OUTSIDER: &str = "central:ann";

/// Knows the outsider.
struct Others;

impl Principals for Others {
    fn standing(&self, id: &PrincipalId) -> Option<Principal> {
        let scopes = vec![Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin];
        let ann = || Principal { id: id.clone(), name: "Ann".to_owned(), scopes, local: false };
        (id.as_str() == OUTSIDER).then(ann)
    }
}

/// Remembers the host log.
#[derive(Default)]
struct Heard(Mutex<Vec<Arc<HostEvent>>>);

impl CommitObserver for Heard {
    fn committed(&self, _events: &[Arc<SessionEvent>], host_events: &[Arc<HostEvent>]) {
        self.0.lock().unwrap().extend(host_events.iter().cloned());
    }
}

/// A desk that runs.
struct Lab {
    dir: Arc<tempfile::TempDir>,
    clock: Arc<Wall>,
    store: Arc<Store>,
    heard: Arc<Heard>,
    desk: Desk,
    devices: Devices,
    tally: Arc<Tally>,
    host_id: watch::Receiver<HostId>,
    task: JoinHandle<()>,
    /// The host's keys as it started.
    public: PublicIdentity,
}

impl Lab {
    fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let clock = Arc::new(Wall(AtomicI64::new(1_800_000_000_000)));
        Self::open(dir, clock)
    }

    fn open(dir: Arc<tempfile::TempDir>, clock: Arc<Wall>) -> Self {
        Self::open_with(dir, clock, true)
    }

    fn open_with(dir: Arc<tempfile::TempDir>, clock: Arc<Wall>, network: bool) -> Self {
        let heard = Arc::new(Heard::default());
        let (store, _) = Store::open(StoreOptions::new(dir.path().join("store")), heard.clone()).unwrap();
        let identity = HostIdentity::open(&dir.path().join("host.key")).unwrap();
        let public = identity.public();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let endpoint = Arc::new(HostEndpoint::bind(loopback, identity.keys()).unwrap());
        let tally = Arc::new(Tally::load(&*store).unwrap());
        let browsers = NoiseHost::new(identity.keys(), endpoint.strangers(), TaskTracker::new());
        let (publish_id, host_id) = watch::channel(identity.host_id().unwrap());
        let bound = endpoint.local_address();
        let surface = Surface { endpoint, advertiser: None, reachable: |bound| vec![bound] };
        let ticks = clock.clone();
        let (desk, devices, task) = start(DeskParts {
            journal: store.clone(),
            clock: clock.clone(),
            ids: Arc::new(RandomIds),
            others: Arc::new(Others),
            tally: tally.clone(),
            identity,
            host_id: publish_id,
            host_name: "host".to_owned(),
            browsers,
            surface: network.then_some(surface),
            origins: Box::new(move |_| vec![format!("https://{bound}")]),
            ticks: Box::new(move || Tick::from_millis(u64::try_from(ticks.now().as_millis()).unwrap())),
            tasks: TaskTracker::new(),
        })
        .unwrap();
        Self { dir, clock, store, heard, desk, devices, tally, host_id, task, public }
    }

    /// Stops in order and starts again.
    async fn restart(self) -> Self {
        let (dir, clock) = self.stop().await;
        Self::open(dir, clock)
    }

    /// The same with `host.listen = "off"`.
    async fn restart_switched_off(self) -> Self {
        let (dir, clock) = self.stop().await;
        Self::open_with(dir, clock, false)
    }

    async fn stop(self) -> (Arc<tempfile::TempDir>, Arc<Wall>) {
        let Self { dir, clock, store, desk, task, .. } = self;
        desk.stop();
        task.await.unwrap();
        store.close().unwrap();
        (dir, clock)
    }

    /// As after `kill -9`: nothing that the desk does at its end is done.
    async fn kill(self) -> Self {
        let Self { dir, clock, store, desk, task, .. } = self;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        // What is on disk is what was committed.
        store.close().unwrap();
        drop((desk, store));
        Self::open(dir, clock)
    }

    /// Lets time pass, and the desk notice.
    async fn pass(&self, millis: i64) {
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
        // The first question makes it look at the clock after it has answered; the second is answered after that.
        self.desk.pairings(owner().unwrap()).await.unwrap();
        self.desk.pairings(owner().unwrap()).await.unwrap();
    }

    /// Names of the host log's rows, what was only appended included.
    async fn events(&self) -> Vec<&'static str> {
        self.store.commit(Vec::new()).await.unwrap();
        self.heard.0.lock().unwrap().iter().map(|event| event.body.name()).collect()
    }

    /// The host's keys as they are on disk now.
    fn host(&self) -> PublicIdentity {
        HostIdentity::open(&self.dir.path().join("host.key")).unwrap().public()
    }

    async fn open_code(&self) -> PairingCode {
        let window = self.desk.open_window().await.unwrap();
        PairingCode::parse(&window.code.unwrap()).unwrap()
    }

    async fn open_link(&self) -> PairingLink {
        PairingLink::parse(&self.desk.open_window().await.unwrap().link).unwrap()
    }

    async fn pending(&self) -> Vec<PendingPairing> {
        self.desk.pairings(owner().unwrap()).await.unwrap().1
    }

    /// Pairs a phone by link as far as the question.
    async fn ask(&self, phone: &Phone) -> Asked {
        let link = self.open_link().await;
        phone.pair(self, Secret::Link(link.secret.clone(), link.host)).await.unwrap()
    }

    /// Pairs a phone by link to the end, its acknowledgement aside.
    async fn approve(&self, phone: &Phone, scopes: &[Scope]) -> Asked {
        let asked = self.ask(phone).await;
        let answer =
            DecidePairing { scopes: Some(scopes.to_vec()), ..yes(&self.pending().await[0].pairing_id) };
        self.decide(answer).await.unwrap();
        asked
    }

    /// Pairs a phone by link to the very end.
    async fn paired(&self, phone: &Phone, scopes: &[Scope]) {
        let asked = self.approve(phone, scopes).await;
        self.desk.acknowledge(phone.id(), asked.pending.acknowledge()).await.unwrap();
    }

    async fn decide(&self, answer: DecidePairing) -> Result<PairingDecided, DeskError> {
        let owner = owner().unwrap();
        let command = NewCommand::of(&owner, None);
        self.desk.decide(owner, answer, command).await
    }

    /// A paired device with these rights, as it asks.
    async fn tablet(&self, scopes: &[Scope]) -> Principal {
        let tablet = Phone::new("Tablet");
        self.paired(&tablet, scopes).await;
        self.standing(&tablet).unwrap()
    }

    async fn revoke(&self, phone: &Phone) -> Result<(), DeskError> {
        let owner = owner().unwrap();
        let command = NewCommand::of(&owner, None);
        self.desk.revoke(phone.id(), owner, command, nothing_to_clean()).await
    }

    fn row(&self, phone: &Phone) -> Option<DeviceRecord> {
        self.store.devices().unwrap().into_iter().find(|row| row.device_id == phone.id())
    }

    fn standing(&self, phone: &Phone) -> Option<Principal> {
        let standing = self.devices.standing(&principal_id(&phone.id()).unwrap());
        assert_eq!(standing.is_some(), self.devices.admits(&phone.signing()));
        standing
    }
}

fn yes(id: &PairingId) -> DecidePairing {
    DecidePairing {
        pairing_id: id.clone(),
        decision: Decision::Approved,
        digits: None,
        scopes: None,
        name: None,
        command_id: None,
    }
}

fn no(id: &PairingId) -> DecidePairing {
    DecidePairing { decision: Decision::Denied, ..yes(id) }
}

/// A device with keys of its own.
struct Phone {
    keys: IdentityKeys,
    name: String,
    from: SocketAddr,
    /// It comes by the browser's channel, which proves its other key.
    in_browser: bool,
}

/// A phone that has asked: what it keeps, and its place at the desk.
struct Asked {
    pending: PendingJoin,
    place: Place,
}

impl Asked {
    /// What the desk would have the device told now.
    fn heard(&self) -> Verdict {
        self.place.verdict.borrow().clone()
    }
}

impl Phone {
    fn new(name: &str) -> Self {
        Self {
            keys: IdentityKeys::generate(&mut OsRng),
            name: name.to_owned(),
            from: SocketAddr::from(([192, 0, 2, 7], 4711)),
            in_browser: false,
        }
    }

    /// A tab in a browser on the host's own machine.
    fn tab() -> Self {
        let from = SocketAddr::from(([127, 0, 0, 1], 4711));
        Self { from, in_browser: true, ..Self::new("Firefox") }
    }

    fn id(&self) -> DeviceId {
        device_id(&self.keys.public()).unwrap()
    }

    /// The key its channel proves.
    fn key(&self) -> ChannelKey {
        if self.in_browser { ChannelKey::Agreement(self.keys.public().agreement) } else { self.signing() }
    }

    fn signing(&self) -> ChannelKey {
        ChannelKey::Signing(self.keys.public().signing)
    }

    /// The two ends of a channel between this phone and the host: the host's, the phone's.
    fn channel(&self, lab: &Lab) -> (Channel, Channel) {
        let mut binding = [0; 32];
        rand_core::RngCore::fill_bytes(&mut OsRng, &mut binding);
        let to = |keys: PublicIdentity| match self.in_browser {
            true => Channel { binding, peer: ChannelKey::Agreement(keys.agreement) },
            false => Channel { binding, peer: ChannelKey::Signing(keys.signing) },
        };
        (to(self.keys.public()), to(lab.public))
    }

    /// The whole exchange up to the question.
    async fn pair(&self, lab: &Lab, secret: Secret) -> Result<Asked, Abort> {
        let (host_end, device_end) = self.channel(lab);
        let about = About {
            name: self.name.clone(),
            platform: "test".to_owned(),
            scopes: vec![Scope::Observe, Scope::Operate, Scope::Approve],
        };
        let (state, hello) = device::start(&self.keys, &about, secret, device_end, &mut OsRng)?;
        let (host, offer) = lab.desk.greet(host_end, hello).await?;
        let (state, share) = state.handle(offer, &mut OsRng)?;
        let (host, share) = lab.desk.share(host, share).await?;
        let proof = match state.handle(share) {
            Ok((state, proof)) => (state, proof),
            Err(abort) => {
                lab.desk.abandon(host);
                return Err(abort);
            }
        };
        let (state, proof) = proof;
        let (place, confirm) = lab.desk.confirm(host, proof, self.from).await?;
        Ok(Asked { pending: state.handle(confirm)?, place })
    }

    async fn pair_by_code(&self, lab: &Lab, code: &PairingCode) -> Result<Asked, Abort> {
        self.pair(lab, Secret::Code(code.clone())).await
    }

    /// Comes back on a new channel.
    async fn resume(&self, lab: &Lab, pending: &PendingJoin) -> Result<(Place, ToDevice), Abort> {
        let (host_end, device_end) = self.channel(lab);
        let hello: ToHost = pending.resume(&device_end).unwrap();
        lab.desk.resume(hello, host_end, self.from).await
    }
}

/// The rights that a message grants to a device.
fn granted(pending: &PendingJoin, message: &ToDevice) -> Vec<Scope> {
    match pending.answer(message.clone()).unwrap() {
        Answer::Granted(grant) => grant.scopes,
        Answer::Waiting => panic!("nothing was granted"),
    }
}

/// A code that is not the one shown.
fn wrong(code: &PairingCode) -> PairingCode {
    let shown = code.reveal();
    let other = if shown.starts_with('0') { '1' } else { '0' };
    PairingCode::parse(&shown.replacen(|_: char| true, &other.to_string(), 1)).unwrap()
}

fn nothing_to_clean() -> super::Aftermath {
    Box::new(|_| Box::pin(std::future::ready(())))
}

/// Reads a file of the lab, to be sure of what is in it.
fn holds(path: &Path, needle: &[u8]) -> bool {
    std::fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle)
}
