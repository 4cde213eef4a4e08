//! Links without the window: a tab of the owner, a device's own page at another address.

use std::net::SocketAddr;

use lanyard_pairing::device::Secret;
use lanyard_pairing::{Abort, PairingLink};
use lanyard_ports::authority::Principals;
use lanyard_ports::journal::Journal;
use lanyard_protocol::error::ErrorCode;
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_transport::close::CloseCode;
use lanyard_transport::host::Admission;

use super::{Asked, Lab, Phone, Verdict, granted, nothing_to_clean, yes};
use crate::command::NewCommand;
use crate::network::desk::{Change, DeskError};
use crate::network::devices::principal_id;
use crate::principals::{is_in_a_tab, owner};

pub(super) const EVERY: [Scope; 4] = [Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin];

impl Lab {
    async fn own_link(&self) -> Secret {
        let made = self.desk.create_link(owner().unwrap(), None).await.unwrap();
        let (page, fragment) = made.link.split_once('#').unwrap();
        assert!(page.starts_with("http://127.0.0.1:"), "{page}");
        let link = PairingLink::from_fragment(fragment).unwrap();
        Secret::Link(link.secret.clone(), link.host)
    }

    /// Where the lab's page is.
    async fn origin(&self) -> String {
        let link = self.desk.open_window().await.unwrap().link;
        self.desk.close(owner().unwrap()).await.unwrap();
        link.split_once("/#").unwrap().0.to_owned()
    }

    pub(super) async fn transfer(&self, by: Principal) -> Result<Secret, DeskError> {
        let origin = self.origin().await;
        let made = self.desk.create_link(by, Some(format!("{origin}/"))).await?;
        let link = PairingLink::parse(&made.link).unwrap();
        assert!(made.link.starts_with(&origin));
        assert!(!link.addresses.is_empty(), "`lanyard join` takes it too");
        Ok(Secret::Link(link.secret.clone(), link.host))
    }

    /// A tab of the owner, connected.
    async fn tab(&self) -> Phone {
        let tab = Phone::tab();
        let asked = tab.pair(self, self.own_link().await).await.unwrap();
        assert_eq!(scopes(&asked), EVERY);
        tab
    }

    fn principal(&self, phone: &Phone) -> Option<Principal> {
        self.devices.standing(&principal_id(&phone.id()).unwrap())
    }
}

/// What the device is told as soon as it has proven itself.
pub(super) fn scopes(asked: &Asked) -> Vec<Scope> {
    match asked.heard() {
        Verdict::Granted(_, grant) => granted(&asked.pending, &grant),
        other => panic!("{other:?}"),
    }
}

pub(super) fn code_of<T: std::fmt::Debug>(outcome: Result<T, DeskError>) -> ErrorCode {
    match outcome.unwrap_err() {
        DeskError::Refused(error) => error.code,
        DeskError::Store(error) => panic!("{error}"),
    }
}

pub(super) fn abort_of(outcome: Result<Asked, Abort>) -> Abort {
    outcome.err().expect("it was let in")
}

#[tokio::test]
async fn a_tab_is_the_owner_and_is_gone_a_minute_after_it_was_closed() {
    let lab = Lab::new();
    let tab = lab.tab().await;
    let standing = lab.principal(&tab).unwrap();
    assert!(standing.local && is_in_a_tab(&standing));
    assert_eq!((standing.id.clone(), standing.scopes.as_slice()), (owner().unwrap().id, &EVERY[..]));
    let shown = &lab.devices.list()[0];
    assert!(shown.temporary && shown.device_id == tab.id());
    assert_eq!(lab.devices.count(), (0, 0), "it is no paired device");

    let first = lab.desk.arrived(tab.key(), tab.from).await.unwrap();
    let second = lab.desk.arrived(tab.key(), tab.from).await.unwrap();
    lab.desk.left(first, "closed").await;
    lab.pass(600_000).await;
    assert!(lab.principal(&tab).is_some(), "as long as one connection is there");
    lab.desk.left(second, "closed").await;
    lab.pass(0).await;
    lab.pass(59_999).await;
    assert!(lab.principal(&tab).is_some());
    let back = lab.desk.arrived(tab.key(), tab.from).await.unwrap();
    lab.pass(600_000).await;
    lab.desk.left(back, "closed").await;
    lab.pass(0).await;
    lab.pass(60_000).await;
    assert!(lab.principal(&tab).is_none() && lab.devices.list().is_empty());
    assert_eq!(lab.desk.arrived(tab.key(), tab.from).await.unwrap_err(), CloseCode::NotPaired);
}

#[tokio::test]
async fn a_tab_that_never_comes_is_forgotten_too_and_none_outlives_the_host() {
    let lab = Lab::new();
    let tab = lab.tab().await;
    lab.pass(60_000).await;
    assert!(lab.principal(&tab).is_none());
    let tab = lab.tab().await;
    lab.desk.arrived(tab.key(), tab.from).await.unwrap();
    let lab = lab.kill().await;
    assert!(lab.principal(&tab).is_none() && lab.devices.list().is_empty());
}

#[tokio::test]
async fn nothing_of_a_tab_is_written_down_but_that_somebody_was_let_in() {
    let lab = Lab::new();
    let tab = lab.tab().await;
    let lease = lab.desk.arrived(tab.key(), tab.from).await.unwrap();
    let change = |change| lab.desk.change(tab.id(), change, owner().unwrap());
    change(Change::Name("My tab".to_owned())).await.unwrap();
    change(Change::Scopes(vec![Scope::Observe])).await.unwrap();
    assert_eq!(lab.principal(&tab).unwrap().scopes, [Scope::Observe]);
    let gone = tokio::spawn({
        let desk = lab.desk.clone();
        async move {
            lease.cut().await;
            desk.left(lease, "revoked").await;
        }
    });
    lab.revoke(&tab).await.unwrap();
    gone.await.unwrap();
    let again = lab.tab().await;
    let lease = lab.desk.arrived(again.key(), again.from).await.unwrap();
    lab.desk.left(lease, "closed").await;
    lab.pass(0).await;
    assert!(lab.principal(&tab).is_none());
    assert_eq!(lab.events().await, ["pairing_requested", "pairing_settled"].repeat(2));
    assert!(lab.store.connections(10).unwrap().is_empty() && lab.store.devices().unwrap().is_empty());
    let keys = tab.keys.public();
    let (dir, _) = lab.stop().await;
    let mut files = 0;
    for entry in std::fs::read_dir(dir.path().join("store")).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_file() {
            continue;
        }
        files += 1;
        for needle in
            [&keys.signing[..], &keys.agreement, tab.id().as_str().as_bytes(), b"My tab", b"Firefox"]
        {
            assert!(!super::holds(&path, needle), "{}", path.display());
        }
    }
    assert!(files > 0);
}

#[tokio::test]
async fn the_link_works_once_for_a_while_and_only_on_this_machine_in_a_browser() {
    let lab = Lab::new();
    let secret = lab.own_link().await;
    Phone::tab().pair(&lab, secret.clone()).await.unwrap();
    assert_eq!(abort_of(Phone::tab().pair(&lab, secret).await), Abort::NotOpen);

    let late = lab.own_link().await;
    lab.pass(120_000).await;
    assert_eq!(abort_of(Phone::tab().pair(&lab, late).await), Abort::NotOpen);

    let elsewhere = Phone { from: SocketAddr::from(([192, 0, 2, 7], 4711)), ..Phone::tab() };
    let program = Phone { in_browser: false, ..Phone::tab() };
    for thief in [elsewhere, program] {
        let secret = lab.own_link().await;
        assert_eq!(abort_of(thief.pair(&lab, secret.clone()).await), Abort::Elsewhere);
        assert_eq!(abort_of(Phone::tab().pair(&lab, secret).await), Abort::NotOpen, "it is withdrawn");
    }
    let counters = lab.tally.counters();
    assert_eq!((counters.pairings, counters.windows_opened), (1, 0));
}

#[tokio::test]
async fn a_tab_that_connects_from_elsewhere_or_by_quic_is_not_known() {
    let lab = Lab::new();
    let tab = lab.tab().await;
    let elsewhere = SocketAddr::from(([192, 0, 2, 7], 4711));
    assert_eq!(lab.desk.arrived(tab.key(), elsewhere).await.unwrap_err(), CloseCode::NotPaired);
    assert!(!lab.devices.admits(&tab.signing()) && lab.devices.admits(&tab.key()));
    assert_eq!(lab.desk.arrived(tab.signing(), tab.from).await.unwrap_err(), CloseCode::NotPaired);
    lab.desk.arrived(tab.key(), tab.from).await.unwrap();
}

#[tokio::test]
async fn tabs_and_their_links_are_few() {
    let lab = Lab::new();
    let oldest = lab.own_link().await;
    for _ in 0..4 {
        lab.own_link().await;
    }
    assert_eq!(abort_of(Phone::tab().pair(&lab, oldest).await), Abort::NotOpen, "the fifth took its place");
    for _ in 0..8 {
        lab.tab().await;
    }
    let secret = lab.own_link().await;
    assert_eq!(abort_of(Phone::tab().pair(&lab, secret).await), Abort::Full);
    lab.pass(60_000).await;
    lab.tab().await;
}

#[tokio::test]
async fn nobody_but_the_owner_at_the_machine_makes_a_tab() {
    let lab = Lab::new();
    let tablet = lab.tablet(&EVERY).await;
    assert_eq!(code_of(lab.desk.create_link(tablet, None).await), ErrorCode::Unauthorized);
    let tab = lab.tab().await;
    let standing = lab.principal(&tab).unwrap();
    assert_eq!(code_of(lab.desk.create_link(standing.clone(), None).await), ErrorCode::Unauthorized);
    for local in [owner().unwrap(), standing] {
        let refused = lab.transfer(local).await;
        assert!(matches!(refused, Err(DeskError::Refused(ref e)) if e.message.contains("lanyard pair")));
    }
    let lab = lab.restart_switched_off().await;
    let refused = lab.desk.create_link(owner().unwrap(), None).await;
    assert!(matches!(refused, Err(DeskError::Refused(ref e)) if e.message.contains("--listen")));
}

#[tokio::test]
async fn a_paired_device_does_not_become_a_tab() {
    let lab = Lab::new();
    let phone = Phone { keys: lanyard_pairing::IdentityKeys::from_bytes(&[7; 64]), ..Phone::tab() };
    lab.paired(&phone, &[Scope::Observe]).await;
    let secret = lab.own_link().await;
    assert_eq!(abort_of(phone.pair(&lab, secret).await), Abort::Elsewhere);
    assert_eq!(lab.row(&phone).unwrap().scopes, [Scope::Observe]);
    assert!(!lab.devices.list()[0].temporary);
}

#[tokio::test]
async fn a_link_dies_with_its_makers_pairing_and_with_the_hosts_keys() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &[Scope::Observe]).await;
    let by = lab.standing(&phone).unwrap();
    let secret = lab.transfer(by.clone()).await.unwrap();
    lab.revoke(&phone).await.unwrap();
    assert_eq!(abort_of(Phone::new("x").pair(&lab, secret).await), Abort::NotOpen);
    assert_eq!(code_of(lab.transfer(by).await), ErrorCode::Unauthorized, "what it still had on the way");

    let phone = Phone::new("Other");
    lab.paired(&phone, &[Scope::Observe]).await;
    let who = lab.standing(&phone).unwrap();
    let secret = lab.transfer(who.clone()).await.unwrap();
    lab.desk.unpair(phone.id(), who, nothing_to_clean()).await.unwrap();
    assert_eq!(abort_of(Phone::new("x").pair(&lab, secret).await), Abort::NotOpen);

    let secret = lab.own_link().await;
    lab.desk.rotate_keys(false).await.unwrap();
    let refused = abort_of(Phone::tab().pair(&lab, secret).await);
    assert!(matches!(refused, Abort::NotOpen), "{refused:?}");
}

/// The maker goes while the device is between its share and its proof.
#[tokio::test]
async fn a_maker_that_is_removed_in_the_middle_lets_nobody_in() {
    use lanyard_pairing::device;
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &[Scope::Observe]).await;
    let secret = lab.transfer(lab.standing(&phone).unwrap()).await.unwrap();
    let guest = Phone::new("Guest");
    let (host_end, device_end) = guest.channel(&lab);
    let about = device::About { name: "x".into(), platform: "x".into(), scopes: vec![Scope::Observe] };
    let (state, hello) =
        device::start(&guest.keys, &about, secret, device_end, &mut rand_core::OsRng).unwrap();
    let (host, offer) = lab.desk.greet(host_end, hello).await.unwrap();
    let (state, share) = state.handle(offer, &mut rand_core::OsRng).unwrap();
    let (host, share) = lab.desk.share(host, share).await.unwrap();
    let (_, proof) = state.handle(share).unwrap();
    lab.revoke(&phone).await.unwrap();
    assert_eq!(lab.desk.confirm(host, proof, guest.from).await.unwrap_err(), Abort::Used);
    assert!(lab.standing(&guest).is_none());
}

#[tokio::test]
async fn devices_hold_one_link_each_and_leave_the_owner_room() {
    let lab = Lab::new();
    let mut first = None;
    for number in 0..5 {
        let phone = Phone::new(&format!("Phone {number}"));
        lab.paired(&phone, &[Scope::Observe]).await;
        let by = lab.standing(&phone).unwrap();
        let made = lab.transfer(by.clone()).await;
        if number == 4 {
            assert_eq!(code_of(made), ErrorCode::RateLimited);
            break;
        }
        if number == 0 {
            lab.transfer(by).await.unwrap();
            first = made.ok();
        }
    }
    assert_eq!(abort_of(Phone::new("x").pair(&lab, first.unwrap()).await), Abort::NotOpen, "a newer one");
    for _ in 0..4 {
        lab.tab().await;
    }
    let stranger = lab.tablet(&[Scope::Observe]).await;
    let refused = lab.desk.create_link(stranger, Some("https://evil.example".to_owned())).await;
    assert_eq!(code_of(refused), ErrorCode::InvalidRequest);
}

#[tokio::test]
async fn a_pass_that_cannot_be_written_down_lets_nobody_in() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &[Scope::Observe]).await;
    let transfer = lab.transfer(lab.standing(&phone).unwrap()).await.unwrap();
    let own = lab.own_link().await;
    lab.store.close().unwrap();
    let (guest, tab) = (Phone::new("Guest"), Phone::tab());
    assert_eq!(abort_of(guest.pair(&lab, transfer).await), Abort::Internal);
    assert_eq!(abort_of(tab.pair(&lab, own).await), Abort::Internal);
    assert!(lab.principal(&guest).is_none() && lab.principal(&tab).is_none());
}

#[tokio::test]
async fn the_owner_answers_devices_in_a_tab() {
    let lab = Lab::new();
    let tab = lab.tab().await;
    let by = lab.principal(&tab).unwrap();
    let guest = Phone::new("Guest");
    lab.ask(&guest).await;
    let answer = yes(&lab.pending().await[0].pairing_id);
    lab.desk.decide(by.clone(), answer, NewCommand::of(&by, None)).await.unwrap();
    assert!(lab.standing(&guest).is_some());
}
