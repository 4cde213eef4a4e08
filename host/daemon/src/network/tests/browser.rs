//! The same as over QUIC, for devices that come through a carrier as a page does.

use std::time::Duration;

use lanyard_pairing::ChannelKey;
use lanyard_transport::host::Admission;
use lanyard_transport::noise::device::{ConnectError, connect, pair};
use lanyard_transport::noise::{Carrier, NoisePeer};

use super::*;

impl Lan {
    /// The far end of a carrier that somebody opened.
    fn carrier(&self) -> Carrier {
        let (far, near) = Carrier::pair(SocketAddr::from(([192, 0, 2, 7], 40_000)));
        let door = self.network.door(self.stop.clone());
        let browsers = self.network.browsers.clone();
        self.network.tasks.spawn(door.browser(browsers, near, Held::default()));
        far
    }

    fn agreement(&self) -> [u8; 32] {
        super::super::HostIdentity::open(&self.dir.path().join(super::super::KEY_FILE))
            .unwrap()
            .public()
            .agreement
    }
}

/// A page: a device that knows no QUIC.
struct Page {
    keys: IdentityKeys,
}

impl Page {
    fn new() -> Self {
        Self { keys: IdentityKeys::generate(&mut OsRng) }
    }

    fn id(&self) -> DeviceId {
        super::super::devices::device_id(&self.keys.public()).unwrap()
    }

    async fn join(&self, lan: &Lan, secret: Secret) -> Result<join::Waiting<NoisePeer>, JoinError> {
        let about = About {
            name: "Phone".to_owned(),
            platform: "a browser".to_owned(),
            scopes: vec![Scope::Observe, Scope::Operate],
        };
        let peer = pair(lan.carrier(), &self.keys).await.unwrap();
        join::join_over(peer, &self.keys, &about, secret).await
    }

    async fn resume(
        &self,
        lan: &Lan,
        waiting: join::Waiting<NoisePeer>,
    ) -> Result<join::Waiting<NoisePeer>, JoinError> {
        let pending = waiting.pending().clone();
        drop(waiting);
        let peer = pair(lan.carrier(), &self.keys).await.unwrap();
        join::resume_over(peer, pending).await
    }

    async fn session(&self, lan: &Lan) -> Result<NoisePeer, ConnectError> {
        connect(lan.carrier(), &self.keys, &lan.agreement()).await
    }

    /// Pairs to the end.
    async fn paired(&self, lan: &Lan) {
        let mut waiting = self.join(lan, lan.link().await).await.unwrap();
        lan.answer(Decision::Approved, None).await;
        waiting.answer().await.unwrap();
        waiting.acknowledge().await.unwrap();
        until(|| lan.network.devices().list().iter().any(|device| device.provisional_until.is_none())).await;
    }
}

async fn revoke(lan: &Lan, device: DeviceId) {
    let nothing = Box::new(|_| Box::pin(std::future::ready(())) as _);
    let owner = owner().unwrap();
    let command = NewCommand::of(&owner, None);
    lan.network.desk().revoke(device, owner, command, nothing).await.unwrap();
}

#[tokio::test]
async fn a_page_pairs_by_code_connects_and_is_revoked() {
    let lan = Lan::new();
    let page = Page::new();
    let unknown = page.session(&lan).await.unwrap();
    assert_eq!(unknown.ended().await, Ended::ByPeer(CloseCode::NotPaired));

    let mut waiting = page.join(&lan, lan.code().await).await.unwrap();
    let digits = waiting.pending().digits().to_string();
    lan.answer(Decision::Approved, Some(digits)).await;
    let grant = waiting.answer().await.unwrap();
    assert_eq!((grant.scopes, grant.device_name.as_str()), (vec![Scope::Observe, Scope::Operate], "Phone"));
    waiting.acknowledge().await.unwrap();
    let first = page.session(&lan).await.unwrap();
    let second = page.session(&lan).await.unwrap();
    until(|| lan.network.devices().list()[0].connections == 2).await;
    let listed = &lan.network.devices().list()[0];
    assert_eq!((listed.device_id.clone(), listed.provisional_until), (page.id(), None));
    assert_eq!(listed.last_address.as_deref(), Some("192.0.2.7:40000"));

    revoke(&lan, page.id()).await;
    for peer in [first, second] {
        assert_eq!(peer.ended().await, Ended::ByPeer(CloseCode::Revoked));
    }
    let again = page.session(&lan).await.unwrap();
    assert_eq!(again.ended().await, Ended::ByPeer(CloseCode::NotPaired));
    let counters = lan.network.health().await.counters;
    assert_eq!((counters.refused[0].reason.as_str(), counters.refused[0].count), ("not_paired", 2));
    assert_eq!(counters.connections, 2);
    let store = lan.store.clone();
    lan.stop().await;
    let rows = store.connections(10).unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.end_reason.as_deref() == Some("revoked")), "{rows:?}");
}

#[tokio::test]
async fn wrong_codes_are_told_and_a_page_that_slept_comes_back_to_its_answer() {
    let lan = Lan::new();
    let page = Page::new();
    let code = Secret::Code(PairingCode::parse("K7QX-92MD").unwrap());
    assert_eq!(abort_of(page.join(&lan, code.clone()).await), Abort::NotOpen);
    lan.code().await;
    assert_eq!(abort_of(page.join(&lan, code).await), Abort::WrongSecret);

    let waiting = page.join(&lan, lan.link().await).await.unwrap();
    let mut waiting = page.resume(&lan, waiting).await.unwrap();
    lan.answer(Decision::Approved, None).await;
    waiting.answer().await.unwrap();
    // Before it had written the grant down.
    let mut waiting = page.resume(&lan, waiting).await.unwrap();
    waiting.answer().await.unwrap();
    waiting.acknowledge().await.unwrap();
    until(|| lan.network.devices().list()[0].provisional_until.is_none()).await;

    let other = Page::new();
    let mut denied = other.join(&lan, lan.link().await).await.unwrap();
    lan.answer(Decision::Denied, None).await;
    assert_eq!(abort_of(denied.answer().await), Abort::Denied);
}

#[tokio::test]
async fn one_device_is_one_device_whichever_way_it_comes() {
    let lan = Lan::new();
    let page = Page::new();
    page.paired(&lan).await;
    let here = page.session(&lan).await.unwrap();
    let dialer = Dialer::new(&page.keys).unwrap();
    let quic = dialer.session(&lan.candidates(), lan.signing()).await.unwrap();
    until(|| lan.network.devices().list()[0].connections == 2).await;
    revoke(&lan, page.id()).await;
    assert_eq!(here.ended().await, Ended::ByPeer(CloseCode::Revoked));
    assert_eq!(quic.ended().await, Ended::ByPeer(CloseCode::Revoked));
    // And the key of one kind opens no door of the other kind.
    let devices = lan.network.devices();
    let public = page.keys.public();
    page.paired(&lan).await;
    assert!(devices.admits(&ChannelKey::Agreement(public.agreement)));
    assert!(!devices.admits(&ChannelKey::Agreement(public.signing)));
    assert!(!devices.admits(&ChannelKey::Signing(public.agreement)));
}

#[tokio::test]
async fn a_page_with_the_key_of_another_device_takes_its_place() {
    let lan = Lan::new();
    let page = Page::new();
    page.paired(&lan).await;
    let before = page.session(&lan).await.unwrap();
    // It kept its X25519 key and lost the other one.
    let mut bytes = page.keys.to_bytes();
    bytes[..32].fill(7);
    let again = Page { keys: IdentityKeys::from_bytes(&bytes) };
    assert_eq!(again.keys.public().agreement, page.keys.public().agreement);
    again.paired(&lan).await;
    assert_eq!(before.ended().await, Ended::ByPeer(CloseCode::Revoked));
    let listed = lan.network.devices().list();
    assert_eq!(listed.iter().map(|device| device.device_id.clone()).collect::<Vec<_>>(), [again.id()]);
    let here = again.session(&lan).await.unwrap();
    until(|| lan.network.devices().list()[0].connections == 1).await;
    drop(here);
}

#[tokio::test]
async fn strangers_that_only_sit_there_are_bounded_together_and_keep_nobody_out() {
    let lan = Lan::new();
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(pair(lan.carrier(), &Page::new().keys).await.unwrap());
    }
    // Over either way in.
    Device::new().join(&lan, lan.link().await).await.unwrap();
    lan.question().await;
    assert_eq!(idle.remove(0).ended().await, Ended::ByPeer(CloseCode::TooMany));
    Page::new().join(&lan, lan.link().await).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_says_nothing_is_sent_away() {
    let lan = Lan::new();
    let silent = pair(lan.carrier(), &Page::new().keys).await.unwrap();
    assert_eq!(silent.ended().await, Ended::ByPeer(CloseCode::Timeout));
}

#[tokio::test]
async fn new_keys_reach_pages_that_are_connected_and_those_that_come_back() {
    let lan = Lan::new();
    let page = Page::new();
    page.paired(&lan).await;
    let peer = page.session(&lan).await.unwrap();
    until(|| lan.network.devices().count() == (1, 1)).await;
    let before =
        super::super::HostIdentity::open(&lan.dir.path().join(super::super::KEY_FILE)).unwrap().public();
    lan.network.desk().rotate_keys(false).await.unwrap();
    assert_eq!(peer.ended().await, Ended::ByPeer(CloseCode::KeyChanged));
    // The host it knew does not answer any more; who does says how it follows from it.
    let other = connect(lan.carrier(), &page.keys, &before.agreement).await.unwrap_err();
    assert_eq!(other, ConnectError::Lost);
    let asking = pair(lan.carrier(), &page.keys).await.unwrap();
    let answers = *asking.key();
    let lineage = join::lineage_over(asking, before.fingerprint()).await.unwrap();
    let now = lineage.follow(&before, &lan.signing()).unwrap();
    assert_eq!(now.agreement, answers);
    page.session(&lan).await.unwrap();
}

#[tokio::test]
async fn every_end_is_told_and_recorded() {
    let lan = Lan::new();
    let page = Page::new();
    page.paired(&lan).await;
    let peer = page.session(&lan).await.unwrap();
    until(|| lan.network.devices().count() == (1, 1)).await;
    let change = Change::Scopes(vec![Scope::Observe]);
    lan.network.desk().change(page.id(), change, owner().unwrap()).await.unwrap();
    assert_eq!(peer.ended().await, Ended::ByPeer(CloseCode::ScopesChanged));
    let gone = |lan: &Lan| lan.network.devices().count() == (1, 0);
    until(|| gone(&lan)).await;
    // A tab that is closed, and one that is killed.
    for killed in [false, true] {
        let (mut far, near) = Carrier::pair(SocketAddr::from(([192, 0, 2, 7], 40_000)));
        let mut inner = lan.carrier();
        let relay = tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(message) = far.incoming.recv() => inner.outgoing.send(message).await.unwrap(),
                    Some(message) = inner.incoming.recv() => far.outgoing.send(message).await.unwrap(),
                    else => return,
                }
            }
        });
        let peer = connect(near, &page.keys, &lan.agreement()).await.unwrap();
        until(|| lan.network.devices().count() == (1, 1)).await;
        if killed {
            relay.abort()
        } else {
            peer.close(CloseCode::Done)
        }
        until(|| gone(&lan)).await;
    }
    let peer = page.session(&lan).await.unwrap();
    until(|| lan.network.devices().count() == (1, 1)).await;
    let waits = Page::new().join(&lan, lan.link().await).await.unwrap();
    let store = lan.store.clone();
    tokio::time::timeout(Duration::from_secs(60), lan.stop()).await.unwrap();
    assert_eq!(peer.ended().await, Ended::ByPeer(CloseCode::Stopping));
    drop(waits);
    let mut ends: Vec<String> =
        store.connections(10).unwrap().into_iter().map(|row| row.end_reason.unwrap()).collect();
    ends.sort();
    assert_eq!(ends, ["closed", "host_stopping", "lost", "scopes_changed"]);
}
