//! Paired devices: changed, revoked, given a host with new keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lanyard_ports::journal::Journal;
use lanyard_protocol::error::ErrorCode;
use lanyard_protocol::principal::Scope;
use lanyard_transport::close::CloseCode;

use super::{Lab, Phone, Verdict, holds, nothing_to_clean, yes};
use crate::command::NewCommand;
use crate::network::desk::{Change, DeskError, Lease};
use crate::principals::owner;

fn code_of<T: std::fmt::Debug>(outcome: Result<T, DeskError>) -> ErrorCode {
    match outcome.unwrap_err() {
        DeskError::Refused(error) => error.code,
        DeskError::Store(error) => panic!("{error}"),
    }
}

/// What the acceptor does: ends the connection when it has to end.
fn leave_when_cut(lab: &Lab, lease: Lease) -> tokio::task::JoinHandle<CloseCode> {
    let desk = lab.desk.clone();
    tokio::spawn(async move {
        let code = lease.cut().await;
        desk.left(lease, code.word()).await;
        code
    })
}

#[tokio::test]
async fn what_a_revoked_device_had_on_the_way_brings_in_nobody_and_changes_nothing() {
    let lab = Lab::new();
    let (phone, guest) = (Phone::new("Pixel"), Phone::new("Guest"));
    lab.paired(&phone, &[Scope::Observe]).await;
    let tablet = Phone::new("Tablet");
    lab.paired(&tablet, &[Scope::Observe, Scope::Admin]).await;
    lab.ask(&guest).await;
    let question = lab.pending().await[0].pairing_id.clone();
    // Let in with the rights it held then.
    let by = lab.standing(&tablet).unwrap();
    lab.revoke(&tablet).await.unwrap();
    let answer =
        lanyard_protocol::method::DecidePairing { scopes: Some(vec![Scope::Observe]), ..yes(&question) };
    let decided = lab.desk.decide(by.clone(), answer, NewCommand::of(&by, None)).await;
    assert_eq!(code_of(decided), ErrorCode::Unauthorized);
    let changed = lab.desk.change(phone.id(), Change::Name("x".to_owned()), by.clone()).await;
    assert_eq!(code_of(changed), ErrorCode::Unauthorized);
    let command = NewCommand::of(&by, None);
    let revoked = lab.desk.revoke(phone.id(), by, command, nothing_to_clean()).await;
    assert_eq!(code_of(revoked), ErrorCode::Unauthorized);
    assert!(lab.standing(&guest).is_none() && lab.standing(&phone).is_some());
}

#[tokio::test]
async fn a_request_under_way_is_done_before_a_revocation_is_answered() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &[Scope::Observe]).await;
    let lease = lab.desk.arrived(phone.signing(), phone.from).await.unwrap();
    let under_way = Arc::new(AtomicBool::new(true));
    let serving = {
        let (desk, under_way, store) = (lab.desk.clone(), under_way.clone(), lab.store.clone());
        tokio::spawn(async move {
            lease.cut().await;
            // The request's last steps, when all else is done: the answer has every occasion to be faster.
            while !store.devices().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            under_way.store(false, Ordering::SeqCst);
            desk.left(lease, "revoked").await;
        })
    };
    lab.revoke(&phone).await.unwrap();
    assert!(!under_way.load(Ordering::SeqCst));
    serving.await.unwrap();
}

#[tokio::test]
async fn a_device_that_changed_one_of_its_keys_replaces_itself() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &[Scope::Observe]).await;
    let lease = lab.desk.arrived(phone.signing(), phone.from).await.unwrap();
    let mut bytes = *phone.keys.to_bytes();
    bytes[32..].copy_from_slice(&[9; 32]);
    let mut changed = Phone::new("Pixel");
    changed.keys = lanyard_pairing::IdentityKeys::from_bytes(&bytes);
    assert_ne!(phone.id(), changed.id());
    lab.ask(&changed).await;
    assert!(lab.pending().await[0].known);
    lab.decide(yes(&lab.pending().await[0].pairing_id)).await.unwrap();
    assert_eq!(lease.cut().await, CloseCode::Revoked);
    assert_eq!(lab.devices.list().len(), 1);
    assert!(lab.row(&phone).is_none() && lab.row(&changed).is_some());
    assert!(lab.standing(&changed).is_some());
}

#[tokio::test]
async fn a_revoked_device_is_out_before_anybody_is_told() {
    let lab = Lab::new();
    let (phone, other) = (Phone::new("Pixel"), Phone::new("Other"));
    lab.paired(&phone, &[Scope::Observe, Scope::Approve]).await;
    lab.paired(&other, &[Scope::Observe]).await;
    let lease = lab.desk.arrived(phone.signing(), phone.from).await.unwrap();
    let others = lab.desk.arrived(other.signing(), other.from).await.unwrap();

    let cleaned = Arc::new(AtomicBool::new(false));
    let clean = {
        let (cleaned, devices) = (cleaned.clone(), lab.devices.clone());
        let who = crate::network::devices::principal_id(&phone.id()).unwrap();
        let clean = async move {
            // No right is left by the time its tasks are looked for, so none is started behind our back.
            assert!(lanyard_ports::authority::Principals::standing(&devices, &who).is_none());
            cleaned.store(true, Ordering::Relaxed);
        };
        Box::new(move |_| Box::pin(clean) as _)
    };
    let owner = owner().unwrap();
    let command = NewCommand::of(&owner, Some("k1"));
    let gone = leave_when_cut(&lab, lease);
    lab.desk.revoke(phone.id(), owner.clone(), command, clean).await.unwrap();
    assert_eq!(gone.await.unwrap(), CloseCode::Revoked);
    assert!(cleaned.load(Ordering::Relaxed), "its tasks were ended before the answer");
    assert!(lab.standing(&phone).is_none() && lab.row(&phone).is_none());
    assert!(!others.cut.now.is_cancelled());
    assert_eq!(lab.events().await.last(), Some(&"device_removed"));
    let key = lanyard_protocol::id::CommandId::new("k1").unwrap();
    assert!(lab.store.command(&owner.id, &key).unwrap().is_some());

    let again = lab.revoke(&phone).await;
    assert_eq!(code_of(again), ErrorCode::DeviceNotFound);
    assert_eq!(lab.desk.arrived(phone.signing(), phone.from).await.unwrap_err(), CloseCode::NotPaired);
    // And it can be paired again.
    lab.paired(&phone, &[Scope::Observe]).await;
    assert!(lab.standing(&phone).is_some());
}

#[tokio::test]
async fn a_removal_that_cannot_be_written_down_takes_effect_all_the_same_and_says_so() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &[Scope::Observe]).await;
    let lease = lab.desk.arrived(phone.signing(), phone.from).await.unwrap();
    lab.store.close().unwrap();
    let gone = leave_when_cut(&lab, lease);
    assert!(matches!(lab.revoke(&phone).await, Err(DeskError::Store(_))));
    assert!(lab.standing(&phone).is_none());
    assert_eq!(gone.await.unwrap(), CloseCode::Revoked);
}

#[tokio::test]
async fn a_device_that_ends_its_own_pairing_has_no_rights_when_it_is_answered_and_is_cut_after() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &[Scope::Observe]).await;
    let lease = lab.desk.arrived(phone.signing(), phone.from).await.unwrap();
    let who = lab.standing(&phone).unwrap();
    lab.desk.unpair(phone.id(), who, nothing_to_clean()).await.unwrap();
    assert!(lab.standing(&phone).is_none() && lab.row(&phone).is_none());
    assert_eq!(lease.cut().await, CloseCode::Unpaired);
}

#[tokio::test]
async fn other_rights_cut_the_device_so_that_it_returns_with_them() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &[Scope::Observe, Scope::Operate]).await;
    let owner = owner().unwrap();
    let lease = lab.desk.arrived(phone.signing(), phone.from).await.unwrap();
    let change = |change| lab.desk.change(phone.id(), change, owner.clone());
    let device = change(Change::Name("  My phone ".to_owned())).await.unwrap();
    assert_eq!((device.name.as_str(), device.connections), ("My phone", 1));
    change(Change::Scopes(vec![Scope::Operate, Scope::Observe])).await.unwrap();
    assert!(!lease.cut.now.is_cancelled(), "the same rights in another order");
    change(Change::Scopes(vec![Scope::Observe])).await.unwrap();
    assert_eq!(lease.cut().await, CloseCode::ScopesChanged);
    let standing = lab.standing(&phone).unwrap();
    assert_eq!((standing.name.as_str(), standing.scopes.as_slice()), ("My phone", &[Scope::Observe][..]));
    assert_eq!(lab.row(&phone).unwrap().scopes, [Scope::Observe]);

    for bad in ["", "  ", "a\u{202e}b", "a\nb", &"x".repeat(65)] {
        assert_eq!(code_of(change(Change::Name(bad.to_owned())).await), ErrorCode::InvalidRequest, "{bad:?}");
    }
    assert_eq!(code_of(change(Change::Scopes(vec![Scope::Admin])).await), ErrorCode::InvalidRequest);
    let nobody = Phone::new("Nobody").id();
    let unknown = lab.desk.change(nobody, Change::Name("x".to_owned()), owner.clone()).await;
    assert_eq!(code_of(unknown), ErrorCode::DeviceNotFound);
}

#[tokio::test]
async fn a_device_gives_no_right_it_does_not_hold_and_may_leave_those_there_are() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &[Scope::Observe, Scope::Approve]).await;
    let tablet = lab.tablet(&[Scope::Observe, Scope::Admin, Scope::Operate]).await;
    let set = |scopes: &[Scope]| lab.desk.change(phone.id(), Change::Scopes(scopes.to_vec()), tablet.clone());
    set(&[Scope::Observe, Scope::Approve, Scope::Operate]).await.unwrap();
    set(&[Scope::Observe]).await.unwrap();
    let back = set(&[Scope::Observe, Scope::Approve]).await;
    assert_eq!(code_of(back), ErrorCode::Unauthorized, "what it took away it cannot give back");
}

#[tokio::test]
async fn approving_a_known_device_again_replaces_its_entry_and_cuts_it_when_its_rights_change() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &[Scope::Observe]).await;
    let lease = lab.desk.arrived(phone.signing(), phone.from).await.unwrap();
    let asked = lab.ask(&phone).await;
    assert!(lab.pending().await[0].known);
    lab.decide(yes(&lab.pending().await[0].pairing_id)).await.unwrap();
    assert!(matches!(asked.heard(), Verdict::Granted(..)));
    assert_eq!(lease.cut().await, CloseCode::ScopesChanged);
    assert_eq!(lab.devices.list().len(), 1);
    assert_eq!(lab.devices.list()[0].connections, 1, "until it is gone");
}

#[tokio::test]
async fn a_host_with_new_keys_closes_what_names_the_old_ones() {
    let lab = Lab::new();
    let (phone, waiting) = (Phone::new("Pixel"), Phone::new("Waiting"));
    lab.paired(&phone, &[Scope::Observe]).await;
    let lease = lab.desk.arrived(phone.signing(), phone.from).await.unwrap();
    let asked = lab.ask(&waiting).await;
    let before = lab.host();
    lab.open_link().await;
    lab.desk.rotate_keys(false).await.unwrap();
    let after = lab.host();
    assert_ne!(before, after);
    assert_eq!(lab.host_id.borrow().as_str(), after.fingerprint().to_string());
    assert_eq!(lease.cut().await, CloseCode::KeyChanged);
    assert!(matches!(asked.heard(), Verdict::Ended(_)));
    assert!(lab.desk.pairings(owner().unwrap()).await.unwrap().0.is_none() && lab.pending().await.is_empty());
    assert_eq!(lab.events().await.last(), Some(&"host_key_changed"));
    assert!(lab.standing(&phone).is_some(), "its own key is as good as before");
    let lineage = lab.desk.lineage().await.unwrap();
    assert_eq!(lineage.follow(&before, &after.signing), Ok(after));

    lab.desk.rotate_keys(true).await.unwrap();
    let lineage = lab.desk.lineage().await.unwrap();
    lineage.follow(&after, &lab.host().signing).unwrap_err();
    let old_secret = &after.signing;
    assert!(!holds(&lab.dir.path().join("host.key"), old_secret), "not even in the records");
}

#[tokio::test]
async fn without_a_network_devices_are_still_listed_and_removed() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &[Scope::Observe]).await;
    let lab = lab.restart_switched_off().await;
    assert_eq!(lab.devices.list().len(), 1);
    let opened = lab.desk.open_window().await;
    let Err(DeskError::Refused(error)) = opened else { panic!("{opened:?}") };
    assert_eq!(error.code, ErrorCode::InvalidRequest);
    assert!(error.message.contains("--listen"), "{error}");
    lab.revoke(&phone).await.unwrap();
    assert!(lab.devices.list().is_empty() && lab.row(&phone).is_none());
}
