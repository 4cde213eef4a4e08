//! Somebody who guesses codes.

use lanyard_pairing::Abort;
use lanyard_pairing::device::Secret;
use lanyard_ports::journal::Journal;

use super::{Lab, MINUTE, Phone, wrong};
use crate::network::tally::Counted;
use crate::principals::owner;

#[tokio::test]
async fn a_burnt_code_is_replaced_a_few_times_and_the_owner_is_warned() {
    let lab = Lab::new();
    let attacker = Phone::new("Attacker");
    let first = lab.open_code().await;
    let mut code = first.clone();
    for round in 0..4 {
        for left in [2, 1, 0] {
            let Err(abort) = attacker.pair_by_code(&lab, &wrong(&code)).await else { panic!("let in") };
            assert_eq!(abort, Abort::WrongSecret);
            let window = lab.desk.pairings(owner().unwrap()).await.unwrap().0.unwrap();
            let expected = match (left, round) {
                (0, 3) => 0,
                (0, _) => 3,
                (left, _) => left,
            };
            assert_eq!(window.attempts_left, expected, "round {round}");
        }
        let window = lab.desk.pairings(owner().unwrap()).await.unwrap().0.unwrap();
        assert!(window.warning.unwrap().contains("guessing"));
        match window.code {
            Some(next) => {
                assert_ne!(next, code.reveal());
                code = lanyard_pairing::PairingCode::parse(&next).unwrap();
            }
            None => assert_eq!(round, 3, "four codes a window"),
        }
    }
    let Err(abort) = attacker.pair_by_code(&lab, &first).await else { panic!("let in") };
    assert_eq!(abort, Abort::Burnt);
    // The link is not touched by any of this.
    let window = lab.desk.pairings(owner().unwrap()).await.unwrap().0.unwrap();
    let link = lanyard_pairing::PairingLink::parse(&window.link).unwrap();
    Phone::new("Pixel").pair(&lab, Secret::Link(link.secret.clone(), link.host)).await.unwrap();
    let changes = lab.events().await.iter().filter(|name| **name == "pairing_window_changed").count();
    assert_eq!(changes, 1 + 4 + 1, "opened, four burnt, used");
}

/// Tries wrong codes until the host takes no more; gives how many it took.
async fn guess(lab: &Lab, attacker: &Phone) -> usize {
    let mut taken = 0;
    loop {
        let Some(code) = lab.desk.pairings(owner().unwrap()).await.unwrap().0.and_then(|window| window.code)
        else {
            return taken;
        };
        let code = lanyard_pairing::PairingCode::parse(&code).unwrap();
        match attacker.pair_by_code(lab, &wrong(&code)).await {
            Err(Abort::WrongSecret) => taken += 1,
            Err(Abort::TooMany) => return taken,
            other => panic!("{:?}", other.err()),
        }
    }
}

#[tokio::test]
async fn thirty_codes_an_hour_are_tried_on_a_host_whatever_the_windows_and_restarts() {
    let mut lab = Lab::new();
    let attacker = Phone::new("Attacker");
    let mut taken = 0;
    for _ in 0..5 {
        lab.desk.open_window().await.unwrap();
        taken += guess(&lab, &attacker).await;
        lab = lab.kill().await;
    }
    assert_eq!(taken, 30);
    let window = lab.desk.open_window().await.unwrap();
    assert_eq!(window.code, None);
    assert!(window.warning.unwrap().contains("QR"));
    // The owner's way out works.
    lab.ask(&Phone::new("Pixel")).await;
    lab.pass(61 * MINUTE).await;
    assert!(lab.desk.open_window().await.unwrap().code.is_some());
}

#[tokio::test]
async fn an_attempt_is_on_disk_before_the_hosts_share_leaves() {
    let lab = Lab::new();
    let phone = Phone::new("Pixel");
    let code = lab.open_code().await;
    let before = lab.store.counts("limit.").unwrap();
    assert!(before.is_empty());
    let (host_end, device_end) = phone.channel(&lab);
    let about = lanyard_pairing::device::About {
        name: "Pixel".to_owned(),
        platform: "test".to_owned(),
        scopes: vec![lanyard_protocol::principal::Scope::Observe],
    };
    let rng = &mut rand_core::OsRng;
    let secret = Secret::Code(code);
    let (state, hello) =
        lanyard_pairing::device::start(&phone.keys, &about, secret, device_end, rng).unwrap();
    let (host, offer) = lab.desk.greet(host_end, hello).await.unwrap();
    let (_state, share) = state.handle(offer, rng).unwrap();
    let _host = lab.desk.share(host, share).await.unwrap();
    assert_eq!(lab.store.counts("limit.").unwrap().len(), 1);
}

#[tokio::test]
async fn a_store_that_cannot_write_lets_no_share_leave() {
    let lab = Lab::new();
    let code = lab.open_code().await;
    lab.store.close().unwrap();
    let Err(abort) = Phone::new("Pixel").pair_by_code(&lab, &code).await else { panic!("let in") };
    assert_eq!(abort, Abort::Internal);
}

#[tokio::test]
async fn a_hundred_at_once_get_no_more_than_there_is() {
    let lab = std::sync::Arc::new(Lab::new());
    let code = lab.open_code().await;
    let attackers: Vec<_> = (0..100)
        .map(|number| {
            let (lab, guess) = (lab.clone(), wrong(&code));
            tokio::spawn(async move {
                let phone = Phone::new(&format!("Attacker {number}"));
                phone.pair_by_code(&lab, &guess).await.err().unwrap()
            })
        })
        .collect();
    let mut wrong_secret = 0;
    for attacker in attackers {
        match attacker.await.unwrap() {
            Abort::WrongSecret => wrong_secret += 1,
            Abort::Busy | Abort::Burnt => {}
            other => panic!("{other}"),
        }
    }
    let attempts = lab.tally.counters().pairing_attempts;
    assert_eq!(attempts, wrong_secret, "each that was taken was told so");
    assert!((1..=12).contains(&attempts), "{attempts}");
    assert_eq!(lab.store.counts("limit.").unwrap().len() as u64, attempts, "and is on disk");
    assert!(lab.pending().await.is_empty());
}

#[tokio::test]
async fn an_attempt_that_is_given_up_frees_the_slot_and_stays_consumed() {
    let lab = Lab::new();
    let code = lab.open_code().await;
    let phone = Phone::new("Pixel");
    let (host_end, device_end) = phone.channel(&lab);
    let about = lanyard_pairing::device::About {
        name: "Pixel".to_owned(),
        platform: "test".to_owned(),
        scopes: vec![lanyard_protocol::principal::Scope::Observe],
    };
    let rng = &mut rand_core::OsRng;
    let secret = Secret::Code(code.clone());
    let (state, hello) =
        lanyard_pairing::device::start(&phone.keys, &about, secret, device_end, rng).unwrap();
    let (host, offer) = lab.desk.greet(host_end, hello).await.unwrap();
    let (_state, share) = state.handle(offer, rng).unwrap();
    let (state, _share) = lab.desk.share(host, share).await.unwrap();
    let Err(abort) = Phone::new("Next").pair_by_code(&lab, &code).await else { panic!("let in") };
    assert_eq!(abort, Abort::Busy);
    lab.desk.abandon(state);
    assert_eq!(lab.desk.pairings(owner().unwrap()).await.unwrap().0.unwrap().attempts_left, 2);
    Phone::new("Next").pair_by_code(&lab, &code).await.unwrap();
}

#[tokio::test]
async fn a_window_that_runs_out_says_so() {
    let lab = Lab::new();
    let code = lab.open_code().await;
    lab.pass(2 * MINUTE).await;
    assert_eq!(lab.desk.pairings(owner().unwrap()).await.unwrap().0, None);
    assert_eq!(lab.events().await, ["pairing_window_changed", "pairing_window_changed"]);
    let Err(abort) = Phone::new("Late").pair_by_code(&lab, &code).await else { panic!("let in") };
    assert_eq!(abort, Abort::Expired);
}

#[tokio::test]
async fn counts_outlive_the_host() {
    let lab = Lab::new();
    lab.open_code().await;
    lab.tally.add(Counted::Refused("not_paired"));
    let lab = lab.restart().await;
    lab.open_code().await;
    let counters = lab.tally.counters();
    assert_eq!((counters.windows_opened, counters.refused[0].count), (2, 1));
    let lab = lab.restart().await;
    assert_eq!(lab.tally.counters().windows_opened, 2, "none is stored twice");
}
