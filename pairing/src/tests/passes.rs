//! Links whose question is answered: once, for a while, apart from the window, and no more of them than there may be.

use std::time::Duration;

use super::*;
use crate::entrance::{PASS, PASSES};
use crate::link::LinkSecret;
use crate::message::ToHost;
use crate::window::{ATTEMPTS, SLOT, WindowChange};

const MILLI: Duration = Duration::from_millis(1);

fn secret(lab: &mut Lab) -> LinkSecret {
    let now = lab.now;
    lab.hosts[0].issue(now).unwrap().1
}

/// A new device comes with a link's secret; gives its number.
fn come(lab: &mut Lab, secret: &LinkSecret) -> usize {
    let device = lab.add_device();
    let line = lab.connect(device, 0);
    let host = lab.hosts[0].keys().public().fingerprint();
    lab.join(line, Secret::Link(secret.clone(), host));
    lab.run();
    device
}

#[test]
fn a_pass_lets_one_device_in_whether_a_window_is_open_or_not() {
    for open in [false, true] {
        let mut lab = Lab::new(41);
        if !open {
            lab.hosts[0].entrance.window.close();
        }
        let pass = secret(&mut lab);
        let first = come(&mut lab, &pass);
        assert!(lab.let_pass(0) && !lab.let_pass(0));
        lab.run();
        assert!(lab.agree(first, 0) && lab.devices[first].is_paired());
        let second = come(&mut lab, &pass);
        let expected = if open { Abort::WrongSecret } else { Abort::NotOpen };
        assert_eq!(lab.devices[second].ended, Some(expected));
        assert_eq!(lab.hosts[0].entrance.window.is_open(lab.now), open);
    }
}

#[test]
fn of_two_that_come_with_one_pass_the_first_to_prove_it_is_let_in() {
    let mut lab = Lab::new(42);
    let pass = secret(&mut lab);
    let host = lab.hosts[0].keys().public().fingerprint();
    let second = lab.add_device();
    for device in [0, second] {
        let line = lab.connect(device, 0);
        lab.join(line, Secret::Link(pass.clone(), host));
    }
    lab.run();
    assert!(lab.devices[0].pending.is_some());
    assert_eq!(lab.devices[second].ended, Some(Abort::Used));
    assert_eq!(lab.hosts[0].waiting().count(), 1);
}

#[test]
fn a_pass_runs_out() {
    let mut lab = Lab::new(43);
    lab.hosts[0].entrance.window.close();
    let pass = secret(&mut lab);
    lab.advance(PASS - MILLI);
    let in_time = come(&mut lab, &pass);
    assert!(lab.devices[in_time].pending.is_some());
    let mut lab = Lab::new(43);
    lab.hosts[0].entrance.window.close();
    let pass = secret(&mut lab);
    lab.advance(PASS);
    let late = come(&mut lab, &pass);
    assert_eq!(lab.devices[late].ended, Some(Abort::NotOpen));
}

#[test]
fn begun_in_time_and_proven_too_late() {
    let mut lab = Lab::new(44);
    let line = lab.connect(0, 0);
    lab.join_by_pass(line);
    while !lab.in_flight().any(|it| matches!(it.to_host(), Some(ToHost::ShareA(_)))) {
        assert!(lab.step());
    }
    lab.advance(PASS);
    lab.run();
    assert_eq!(lab.devices[0].ended, Some(Abort::Expired));
}

#[test]
fn proven_no_later_than_a_slot_after_the_end() {
    for (late, expected) in [(SLOT - MILLI, None), (SLOT, Some(Abort::Expired))] {
        let mut lab = Lab::new(49);
        let pass = secret(&mut lab);
        lab.advance(PASS - MILLI);
        let host = lab.hosts[0].keys().public().fingerprint();
        let line = lab.connect(0, 0);
        lab.join(line, Secret::Link(pass, host));
        while !lab.in_flight().any(|it| matches!(it.to_host(), Some(ToHost::ConfirmA(_)))) {
            assert!(lab.step());
        }
        lab.advance(MILLI + late);
        lab.run();
        assert_eq!(lab.devices[0].ended, expected);
    }
}

#[test]
fn nothing_is_kept_of_a_pass_that_has_run_out() {
    let mut lab = Lab::new(45);
    let now = lab.now;
    let (id, _) = lab.hosts[0].issue(now).unwrap();
    let passes = &mut lab.hosts[0].entrance.passes;
    assert_eq!(passes.next_due(), Some(now.plus(PASS + SLOT)));
    passes.forget(now.plus(PASS + SLOT - MILLI));
    assert!(passes.holds(id));
    passes.forget(now.plus(PASS + SLOT));
    assert!(!passes.holds(id) && passes.next_due().is_none());
}

#[test]
fn a_pass_that_is_withdrawn_lets_nobody_in_and_ends_what_is_under_way() {
    let mut lab = Lab::new(46);
    let now = lab.now;
    let (id, secret) = lab.hosts[0].issue(now).unwrap();
    let host = lab.hosts[0].keys().public().fingerprint();
    let line = lab.connect(0, 0);
    lab.join(line, Secret::Link(secret, host));
    while !lab.in_flight().any(|it| matches!(it.to_host(), Some(ToHost::ConfirmA(_)))) {
        assert!(lab.step());
    }
    lab.hosts[0].entrance.passes.withdraw(id);
    lab.run();
    assert_eq!(lab.devices[0].ended, Some(Abort::Used));
    assert_nobody_asks(&lab);
}

#[test]
fn there_are_only_so_many_and_each_is_its_own() {
    let mut lab = Lab::new(47);
    let now = lab.now;
    let secrets: Vec<LinkSecret> = (0..PASSES).map(|_| lab.hosts[0].issue(now).unwrap().1).collect();
    assert!(lab.hosts[0].issue(now).is_none());
    // The last first: each is found among the others, and the window's own link beside them.
    for secret in secrets.iter().rev() {
        let device = come(&mut lab, secret);
        assert!(lab.let_pass(0));
        lab.run();
        assert!(lab.devices[device].is_paired());
    }
    let line = lab.connect(0, 0);
    lab.join_by_link(line);
    lab.run();
    assert!(!lab.let_pass(0), "the window's link still asks");
    assert!(lab.approve(0, 0));
    let later = now.plus(PASS + SLOT);
    for _ in 0..PASSES {
        assert!(lab.hosts[0].issue(later).is_some());
    }
}

#[test]
fn neither_the_code_nor_its_attempts_are_touched() {
    let mut lab = Lab::new(48);
    let pass = secret(&mut lab);
    let code = lab.hosts[0].entrance.window.code(lab.now).cloned();
    // Somebody holds the slot meanwhile.
    let hog = lab.add_device();
    let line = lab.connect(hog, 0);
    lab.join_by_code(line);
    while !lab.in_flight().any(|it| matches!(it.to_host(), Some(ToHost::ConfirmA(_)))) {
        assert!(lab.step());
    }
    let proofs = lab.intercept();
    come(&mut lab, &pass);
    assert!(lab.let_pass(0));
    lab.run();
    assert_eq!((lab.hosts[0].attempts, lab.hosts[0].entrance.window.attempts_left()), (1, ATTEMPTS - 1));
    assert_eq!(lab.hosts[0].entrance.window.code(lab.now).cloned(), code);
    assert!(!lab.hosts[0].changes.contains(&WindowChange::Burnt));
    // A failure with a pass does not free the slot of another either.
    let other = secret(&mut lab);
    let second = lab.add_device();
    let by_pass = lab.connect(second, 0);
    let host = lab.hosts[0].keys().public().fingerprint();
    lab.join(by_pass, Secret::Link(other, host));
    while !lab.in_flight().any(|it| matches!(it.to_host(), Some(ToHost::ConfirmA(_)))) {
        assert!(lab.step());
    }
    lab.hang_up(by_pass);
    lab.post(line, Side::Host, vec![proofs[0].frame.clone()]);
    lab.run();
    assert!(lab.devices[hog].pending.is_some(), "{:?}", lab.devices[hog].ended);
}
