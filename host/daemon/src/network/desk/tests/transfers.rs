//! A device's own page at another address: it comes by a link of the device, waits for its answer, and goes with it.

use lanyard_pairing::Abort;
use lanyard_ports::journal::{Journal, Write};
use lanyard_protocol::device::PendingPairing;
use lanyard_protocol::error::ErrorCode;
use lanyard_protocol::method::{DecidePairing, PairingDecided};
use lanyard_protocol::principal::Scope;
use lanyard_transport::close::CloseCode;

use super::passes::{EVERY, abort_of, code_of, scopes};
use super::{Lab, Phone, Verdict, granted, no, yes};
use crate::command::NewCommand;
use crate::network::desk::{Change, DeskError};
use crate::principals::owner;

impl Lab {
    /// The questions that a device sees.
    async fn seen_by(&self, phone: &Phone) -> Vec<PendingPairing> {
        self.desk.pairings(self.standing(phone).unwrap()).await.unwrap().1
    }

    async fn answer(&self, phone: &Phone, answer: DecidePairing) -> Result<PairingDecided, DeskError> {
        let by = self.standing(phone).unwrap();
        let command = NewCommand::of(&by, None);
        self.desk.decide(by, answer, command).await
    }

    /// A device lets in another one by a link, to the very end.
    async fn let_in(&self, maker: &Phone, page: &Phone) {
        let secret = self.transfer(self.standing(maker).unwrap()).await.unwrap();
        let asked = page.pair(self, secret).await.unwrap();
        let question = self.seen_by(maker).await.remove(0).pairing_id;
        self.answer(maker, yes(&question)).await.unwrap();
        self.desk.acknowledge(page.id(), asked.pending.acknowledge()).await.unwrap();
    }
}

#[tokio::test]
async fn a_transferred_page_gets_the_rights_of_its_maker_at_that_moment_when_the_maker_says_so() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &[Scope::Observe, Scope::Operate, Scope::Approve]).await;
    let secret = lab.transfer(lab.standing(&phone).unwrap()).await.unwrap();
    // From anywhere and in any channel: it is a link like that of the QR code.
    let second = Phone::new("whatever it says");
    let asked = second.pair(&lab, secret.clone()).await.unwrap();
    assert!(matches!(asked.heard(), Verdict::Waiting) && lab.standing(&second).is_none());
    assert_eq!(abort_of(Phone::new("x").pair(&lab, secret).await), Abort::NotOpen, "it works once");
    let fewer = Change::Scopes(vec![Scope::Observe, Scope::Operate]);
    lab.desk.change(phone.id(), fewer, owner().unwrap()).await.unwrap();
    let [question] = lab.seen_by(&phone).await.try_into().unwrap();
    assert_eq!(question.made_by, Some(phone.id()));
    assert_eq!(question.digits, Some(asked.pending.digits().to_string()), "on both screens");
    assert_eq!(question.requested_scopes, [Scope::Observe, Scope::Operate]);
    let more = DecidePairing { scopes: Some(EVERY[..3].to_vec()), ..yes(&question.pairing_id) };
    assert_eq!(code_of(lab.answer(&phone, more).await), ErrorCode::Unauthorized);
    let decided = lab.answer(&phone, yes(&question.pairing_id)).await.unwrap();
    assert_eq!(decided.device.unwrap().made_by, Some(phone.id()));
    assert_eq!(scopes(&asked), [Scope::Observe, Scope::Operate]);
    let row = lab.row(&second).unwrap();
    assert_eq!((row.name.as_str(), row.provisional.is_some()), ("Pixel (2)", true));
    assert_eq!(row.made_by, Some(phone.id()));
    assert!(!lab.standing(&second).unwrap().local && lab.pending().await.is_empty());
    // Killed before the device has acknowledged: it comes back for its grant.
    let lab = lab.kill().await;
    let (_, grant) = second.resume(&lab, &asked.pending).await.unwrap();
    assert_eq!(granted(&asked.pending, &grant), [Scope::Observe, Scope::Operate]);
    lab.desk.acknowledge(second.id(), asked.pending.acknowledge()).await.unwrap();
    let row = lab.row(&second).unwrap();
    assert_eq!((row.provisional, row.made_by), (None, Some(phone.id())));
    // Whoever is paired already keeps its name.
    lab.let_in(&phone, &second).await;
    assert_eq!(lab.row(&second).unwrap().name, "Pixel (2)");
}

#[tokio::test]
async fn a_transferred_page_that_its_maker_turns_away_or_nobody_answers_is_none() {
    let lab = Lab::new();
    let (phone, thief) = (Phone::new("Pixel"), Phone::new("Thief"));
    lab.paired(&phone, &[Scope::Observe]).await;
    let secret = lab.transfer(lab.standing(&phone).unwrap()).await.unwrap();
    let asked = thief.pair(&lab, secret).await.unwrap();
    let question = lab.seen_by(&phone).await.remove(0).pairing_id;
    lab.answer(&phone, no(&question)).await.unwrap();
    assert!(matches!(asked.heard(), Verdict::Ended(Abort::Denied)));
    let secret = lab.transfer(lab.standing(&phone).unwrap()).await.unwrap();
    let asked = thief.pair(&lab, secret).await.unwrap();
    lab.pass(600_000).await;
    assert!(matches!(asked.heard(), Verdict::Ended(Abort::Unanswered)));
    assert!(lab.standing(&thief).is_none() && lab.row(&thief).is_none());
}

#[tokio::test]
async fn a_device_without_admin_sees_and_answers_only_who_came_by_its_own_link() {
    let lab = Lab::new();
    let (phone, other) = (Phone::new("Pixel"), Phone::new("Other"));
    lab.paired(&phone, &[Scope::Observe, Scope::Approve]).await;
    lab.paired(&other, &EVERY[..3]).await;
    let admin = lab.tablet(&EVERY).await;
    let (guest, page) = (Phone::new("Guest"), Phone::new("Page"));
    lab.ask(&guest).await;
    let secret = lab.transfer(lab.standing(&other).unwrap()).await.unwrap();
    page.pair(&lab, secret).await.unwrap();
    lab.desk.open_window().await.unwrap();
    let (window, seen) = lab.desk.pairings(lab.standing(&phone).unwrap()).await.unwrap();
    assert!(window.is_none() && seen.is_empty(), "{seen:?}");
    let all = lab.pending().await;
    assert_eq!(all.iter().map(|one| one.made_by.clone()).collect::<Vec<_>>(), [None, Some(other.id())]);
    for question in &all {
        for answer in [yes(&question.pairing_id), no(&question.pairing_id)] {
            assert_eq!(code_of(lab.answer(&phone, answer).await), ErrorCode::Unauthorized);
        }
    }
    // What it may take back is nothing of theirs, and not the window.
    lab.desk.close(lab.standing(&phone).unwrap()).await.unwrap();
    let (window, still) = lab.desk.pairings(owner().unwrap()).await.unwrap();
    assert!(window.is_some() && still == all);
    // One that holds `admin` sees both, as the owner does, and the window no more than before.
    let (window, seen) = lab.desk.pairings(admin).await.unwrap();
    assert!(window.is_none() && seen == all);
    assert_eq!(lab.seen_by(&other).await, all[1..]);
    lab.answer(&other, yes(&all[1].pairing_id)).await.unwrap();
    assert!(lab.standing(&page).is_some() && lab.standing(&guest).is_none());
}

#[tokio::test]
async fn an_admin_that_answers_for_the_maker_gives_no_more_than_the_maker_holds() {
    let lab = Lab::new();
    let (phone, page) = (Phone::new("Pixel"), Phone::new("Page"));
    lab.paired(&phone, &[Scope::Observe]).await;
    let secret = lab.transfer(lab.standing(&phone).unwrap()).await.unwrap();
    let asked = page.pair(&lab, secret).await.unwrap();
    let question = lab.pending().await.remove(0).pairing_id;
    let more = DecidePairing { scopes: Some(vec![Scope::Observe, Scope::Approve]), ..yes(&question) };
    assert_eq!(code_of(lab.decide(more).await), ErrorCode::Unauthorized);
    lab.decide(yes(&question)).await.unwrap();
    assert_eq!(scopes(&asked), [Scope::Observe]);
}

#[tokio::test]
async fn a_maker_that_was_removed_answers_nothing_and_its_question_ends() {
    let lab = Lab::new();
    let (phone, page) = (Phone::new("Pixel"), Phone::new("Page"));
    lab.paired(&phone, &[Scope::Observe]).await;
    let by = lab.standing(&phone).unwrap();
    let secret = lab.transfer(by.clone()).await.unwrap();
    let asked = page.pair(&lab, secret).await.unwrap();
    let question = lab.pending().await.remove(0).pairing_id;
    lab.revoke(&phone).await.unwrap();
    assert!(matches!(asked.heard(), Verdict::Ended(_)) && lab.pending().await.is_empty());
    let command = NewCommand::of(&by, None);
    let late = lab.desk.decide(by.clone(), yes(&question), command).await;
    assert_eq!(code_of(late), ErrorCode::Unauthorized, "what it still had on the way");
    assert_eq!(code_of(lab.desk.pairings(by.clone()).await), ErrorCode::Unauthorized);
    assert_eq!(code_of(lab.desk.close(by).await), ErrorCode::Unauthorized);
    assert!(lab.standing(&page).is_none());
}

#[tokio::test]
async fn a_link_and_its_question_are_taken_back_by_their_maker_alone() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &EVERY).await;
    let by = lab.standing(&phone).unwrap();
    let secret = lab.transfer(by.clone()).await.unwrap();
    lab.desk.open_window().await.unwrap();
    lab.desk.close(by.clone()).await.unwrap();
    assert_eq!(abort_of(Phone::new("x").pair(&lab, secret).await), Abort::WrongSecret);
    let window = async || lab.desk.pairings(owner().unwrap()).await.unwrap().0;
    assert!(window().await.is_some(), "its own link was meant");
    lab.desk.close(by.clone()).await.unwrap();
    assert!(window().await.is_none(), "now there is nothing else to close");
    for again in [false, true] {
        let secret = lab.transfer(by.clone()).await.unwrap();
        let asked = Phone::new("x").pair(&lab, secret).await.unwrap();
        match again {
            true => drop(lab.transfer(by.clone()).await.unwrap()),
            false => lab.desk.close(by.clone()).await.unwrap(),
        }
        assert!(matches!(asked.heard(), Verdict::Ended(Abort::Unknown)) && lab.pending().await.is_empty());
    }
}

#[tokio::test]
async fn what_a_device_has_let_in_goes_with_it() {
    for by_itself in [false, true] {
        let lab = Lab::new();
        let (phone, page, bystander) = (Phone::new("Pixel"), Phone::new("Page"), Phone::new("Bystander"));
        lab.paired(&phone, &[Scope::Observe]).await;
        lab.paired(&bystander, &[Scope::Observe]).await;
        lab.let_in(&phone, &page).await;
        // Known after a restart too.
        let lab = lab.restart().await;
        let shown = |name: &str| lab.devices.list().into_iter().find(|one| one.name == name).unwrap();
        assert_eq!((shown("Pixel (2)").made_by, shown("Bystander").made_by), (Some(phone.id()), None));
        let lease = lab.desk.arrived(page.key(), page.from).await.unwrap();
        let (cleaned, after) = tokio::sync::oneshot::channel();
        let clean: crate::network::Aftermath = Box::new(move |gone| {
            Box::pin(async move {
                cleaned.send(gone).unwrap();
            })
        });
        let by = if by_itself { lab.standing(&phone).unwrap() } else { owner().unwrap() };
        let (desk, id) = (lab.desk.clone(), phone.id());
        let ended = tokio::spawn(async move {
            match by_itself {
                true => desk.unpair(id, by, clean).await,
                false => desk.revoke(id, by.clone(), NewCommand::of(&by, None), clean).await,
            }
        });
        assert_eq!(lease.cut().await, CloseCode::Revoked);
        lab.desk.left(lease, "revoked").await;
        ended.await.unwrap().unwrap();
        assert_eq!(after.await.unwrap(), [phone.id(), page.id()]);
        assert!(lab.standing(&page).is_none() && lab.row(&page).is_none() && lab.row(&phone).is_none());
        assert!(lab.standing(&bystander).is_some());
        let events = lab.events().await;
        assert_eq!(events.iter().filter(|name| **name == "device_removed").count(), 2);
    }
}

/// A removal that could not be written down leaves rows that the table does not have any more.
#[tokio::test]
async fn a_removal_that_is_repeated_takes_everybody_along_too() {
    let lab = Lab::new();
    let (phone, page) = (Phone::new("Pixel"), Phone::new("Page"));
    lab.paired(&phone, &[Scope::Observe]).await;
    lab.let_in(&phone, &page).await;
    let left = [&phone, &page].map(|device| Write::Device(Box::new(lab.row(device).unwrap())));
    lab.revoke(&phone).await.unwrap();
    lab.store.commit(left.into()).await.unwrap();
    lab.revoke(&phone).await.unwrap();
    assert!(lab.store.devices().unwrap().is_empty());
}

#[tokio::test]
async fn a_device_has_let_in_four_at_most_and_those_let_in_nobody() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    lab.paired(&phone, &[Scope::Observe]).await;
    let pages: Vec<Phone> = (0..4).map(|_| Phone::new("Page")).collect();
    for page in &pages {
        lab.let_in(&phone, page).await;
    }
    assert_eq!(code_of(lab.transfer(lab.standing(&phone).unwrap()).await), ErrorCode::InvalidRequest);
    let refused = lab.transfer(lab.standing(&pages[0]).unwrap()).await;
    assert_eq!(code_of(refused), ErrorCode::Unauthorized);
    lab.revoke(&pages[3]).await.unwrap();
    lab.let_in(&phone, &Phone::new("Page")).await;
    // Paired by a person, it is a device of its own.
    lab.paired(&pages[0], &[Scope::Observe]).await;
    assert_eq!(lab.row(&pages[0]).unwrap().made_by, None);
    lab.transfer(lab.standing(&pages[0]).unwrap()).await.unwrap();
    lab.revoke(&phone).await.unwrap();
    assert_eq!(lab.devices.list().len(), 1);
}

#[tokio::test]
async fn a_device_without_admin_replaces_nobody_whom_a_person_let_in() {
    let lab = Lab::new();
    let (phone, laptop) = (Phone::new("Pixel"), Phone::new("Laptop"));
    lab.paired(&phone, &[Scope::Observe]).await;
    lab.paired(&laptop, &EVERY).await;
    let secret = lab.transfer(lab.standing(&phone).unwrap()).await.unwrap();
    laptop.pair(&lab, secret).await.unwrap();
    let question = lab.seen_by(&phone).await.remove(0);
    assert!(question.known);
    let refused = lab.answer(&phone, yes(&question.pairing_id)).await;
    assert_eq!(code_of(refused), ErrorCode::Unauthorized);
    assert_eq!(lab.row(&laptop).unwrap().scopes, EVERY);
    lab.decide(yes(&question.pairing_id)).await.unwrap();
    let row = lab.row(&laptop).unwrap();
    assert_eq!((row.scopes, row.made_by), (vec![Scope::Observe], Some(phone.id())));
}

#[tokio::test]
async fn the_limit_holds_for_a_link_made_before_and_nobody_lets_itself_in() {
    let lab = Lab::new();
    let (phone, other) = (Phone::new("Pixel"), Phone::new("Other"));
    lab.paired(&phone, &[Scope::Observe]).await;
    lab.paired(&other, &[Scope::Observe]).await;
    let secret = lab.transfer(lab.standing(&phone).unwrap()).await.unwrap();
    assert_eq!(abort_of(phone.pair(&lab, secret).await), Abort::Denied);
    // `phone` becomes one that `other` has let in, while somebody waits for its answer.
    let secret = lab.transfer(lab.standing(&phone).unwrap()).await.unwrap();
    let guest = Phone::new("Guest");
    guest.pair(&lab, secret).await.unwrap();
    let question = lab.seen_by(&phone).await.remove(0).pairing_id;
    let secret = lab.transfer(lab.standing(&other).unwrap()).await.unwrap();
    phone.pair(&lab, secret).await.unwrap();
    lab.decide(yes(&lab.seen_by(&other).await.remove(0).pairing_id)).await.unwrap();
    assert_eq!(code_of(lab.answer(&phone, yes(&question)).await), ErrorCode::Unauthorized);
    assert_eq!(code_of(lab.decide(yes(&question)).await), ErrorCode::Unauthorized);
    assert!(lab.standing(&guest).is_none());
}
