//! Attempts are counted exactly, whoever interleaves them how.

use super::*;
use crate::message::{ToDevice, ToHost};
use crate::window::{ATTEMPTS, CODES, WindowChange};
use proptest::prelude::*;

fn shares_sent(lab: &Lab) -> usize {
    lab.in_flight().filter(|message| matches!(message.to_device(), Some(ToDevice::ShareB(_)))).count()
}

/// Attackers who come back until the code is gone, their messages in any order. At every moment the attempts written
/// down are the shares that left.
fn siege(seed: u64, attackers: u64, may_reissue: bool) -> Lab {
    let mut lab = Lab::new(31);
    lab.hosts[0].may_reissue = may_reissue;
    let besieged = lab.hosts[0].entrance.window.code(lab.now).cloned();
    let mut order = SeededRng::new(seed);
    let mut shares = 0;
    while lab.hosts[0].entrance.window.code(lab.now) == besieged.as_ref() {
        for number in 0..attackers {
            let device = lab.add_device();
            let line = lab.connect(device, 0);
            let secret = wrong_code(&lab, number);
            lab.join(line, secret);
        }
        loop {
            let before = shares_sent(&lab);
            let pick = rand_core::RngCore::next_u32(&mut order);
            if !lab.step_any(usize::try_from(pick).unwrap()) {
                break;
            }
            shares += u32::try_from(shares_sent(&lab).saturating_sub(before)).unwrap();
            assert_eq!(
                lab.hosts[0].attempts, shares,
                "an attempt is written down for every share that leaves"
            );
            assert!(lab.hosts[0].entrance.window.attempts_left() <= ATTEMPTS);
        }
    }
    assert_nobody_asks(&lab);
    lab
}

#[test]
fn a_hundred_interleaved_attackers_get_exactly_the_attempts_there_are() {
    for seed in 0..if is_long() { 50 } else { 1 } {
        let lab = siege(seed, 100, false);
        assert_eq!(lab.hosts[0].attempts, ATTEMPTS);
        assert_eq!(lab.hosts[0].changes, [WindowChange::Burnt]);
        assert_eq!(lab.hosts[0].entrance.window.refusal(lab.now), Abort::Burnt);
        let wrong = lab.hosts[0].failures.iter().filter(|why| **why == Abort::WrongSecret).count();
        assert_eq!(wrong, usize::try_from(ATTEMPTS).unwrap());
        let others = [Abort::WrongSecret, Abort::Busy, Abort::Burnt];
        assert!(lab.hosts[0].failures.iter().all(|why| others.contains(why)), "{:?}", lab.hosts[0].failures);
    }
}

#[test]
fn reissued_codes_have_their_own_attempts_up_to_the_windows_end() {
    // Those who began under a burnt code do not get at the next one, so each code needs new attackers.
    let mut lab = siege(3, 20, true);
    while lab.hosts[0].entrance.window.code(lab.now).is_some() {
        let device = lab.add_device();
        let line = lab.connect(device, 0);
        let secret = wrong_code(&lab, 1);
        lab.join(line, secret);
        lab.run();
    }
    assert_eq!(lab.hosts[0].attempts, ATTEMPTS * CODES);
    let reissued = lab.hosts[0].changes.iter().filter(|it| **it == WindowChange::Reissued).count();
    assert_eq!(u32::try_from(reissued).unwrap(), CODES - 1);
    assert_eq!(lab.hosts[0].changes.last(), Some(&WindowChange::Burnt));
    assert!(lab.hosts[0].entrance.window.was_guessed_at());
    // The link is not a matter of guesses.
    let line = lab.connect(0, 0);
    lab.join_by_link(line);
    lab.run();
    assert!(lab.approve(0, 0));
    lab.run();
    assert!(lab.agree(0, 0) && lab.devices[0].is_paired());
}

#[test]
fn attackers_who_hang_up_after_the_share_lose_their_attempt() {
    let mut lab = Lab::new(32);
    for number in 0..ATTEMPTS {
        let device = lab.add_device();
        let line = lab.connect(device, 0);
        let secret = wrong_code(&lab, u64::from(number));
        lab.join(line, secret);
        while shares_sent(&lab) == 0 {
            assert!(lab.step());
        }
        assert_eq!(lab.hosts[0].entrance.window.attempts_left(), ATTEMPTS - 1 - number);
        lab.hang_up(line);
    }
    assert_eq!(lab.hosts[0].attempts, ATTEMPTS);
    assert_eq!(lab.hosts[0].changes, [WindowChange::Burnt]);
}

#[test]
fn shares_that_no_honest_device_sends_and_frames_that_are_none_cost_nothing() {
    let mut lab = Lab::new(33).with_adversary(|mut message| {
        if let Some(ToHost::ShareA(mut share)) = message.to_host() {
            share.share.truncate(32);
            message.frame = ToHost::ShareA(share).encode();
        }
        vec![message]
    });
    for _ in 0..10 {
        let line = lab.connect(0, 0);
        lab.join_by_code(line);
        lab.run();
        assert_eq!(lab.devices[0].ended, Some(Abort::BadShare));
    }
    assert_eq!((lab.hosts[0].attempts, lab.hosts[0].entrance.window.attempts_left()), (0, ATTEMPTS));
}

#[test]
fn a_device_that_gives_up_frees_the_slot_and_not_the_attempt() {
    let mut lab = Lab::new(34);
    let line = lab.connect(0, 0);
    lab.join_by_code(line);
    while shares_sent(&lab) == 0 {
        assert!(lab.step());
    }
    lab.intercept();
    lab.post(line, Side::Host, vec![ToHost::Abort(Abort::Timeout).encode()]);
    lab.run();
    assert_eq!(lab.hosts[0].entrance.window.attempts_left(), ATTEMPTS - 1);
    // Free at once, not after three seconds.
    let line = lab.connect(0, 0);
    lab.join_by_code(line);
    lab.run();
    assert!(lab.approve(0, 0));
}

#[test]
fn a_link_is_good_for_one_device() {
    // Two conversations, both past the link's check, and one that comes later.
    let mut lab = Lab::new(35);
    let second = lab.add_device();
    let third = lab.add_device();
    let link = lab.hosts[0].entrance.window.link(lab.now).cloned().unwrap();
    let host = lab.hosts[0].keys().public().fingerprint();
    let lines = [lab.connect(0, 0), lab.connect(second, 0)];
    for line in lines {
        lab.join(line, Secret::Link(link.clone(), host));
    }
    lab.run();
    assert!(lab.devices[0].pending.is_some());
    assert_eq!(lab.devices[second].ended, Some(Abort::Used));
    let line = lab.connect(third, 0);
    lab.join(line, Secret::Link(link, host));
    lab.run();
    assert_eq!(lab.devices[third].ended, Some(Abort::Used));
    assert_eq!(lab.hosts[0].waiting().count(), 1);
    assert_eq!(lab.hosts[0].attempts, 0);
}

#[test]
fn a_success_by_link_ends_a_conversation_by_code() {
    let mut lab = Lab::new(36);
    let second = lab.add_device();
    let by_code = lab.connect(0, 0);
    lab.join_by_code(by_code);
    while !lab.in_flight().any(|message| matches!(message.to_host(), Some(ToHost::ConfirmA(_)))) {
        assert!(lab.step());
    }
    let proofs = lab.intercept();
    let by_link = lab.connect(second, 0);
    lab.join_by_link(by_link);
    lab.run();
    lab.post(by_code, Side::Host, vec![proofs[0].frame.clone()]);
    lab.run();
    assert_eq!(lab.devices[0].ended, Some(Abort::Used));
    assert!(lab.devices[second].pending.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if is_long() { 200 } else { 3 }))]

    #[test]
    fn no_order_of_messages_gives_another_attempt(seed: u64, attackers in 3_u64..12) {
        let lab = siege(seed, attackers, false);
        prop_assert_eq!(lab.hosts[0].attempts, ATTEMPTS);
    }
}
