//! When a host takes devices, and what it says when it does not.

use std::time::Duration;

use lanyard_protocol::Tick;

use super::*;
use crate::message::{Sid, ToHost};
use crate::window::{ATTEMPTS, SLOT, WINDOW, Window, WindowChange};

const START: Tick = Tick::from_millis(5_000);
const MILLI: Duration = Duration::from_millis(1);

fn open() -> Window {
    Window::open(START, true, &mut SeededRng::new(81))
}

/// Uses an attempt up.
fn fail(window: &mut Window, number: u8, now: Tick) {
    let shared = window.shared(false, now).unwrap();
    let sid = Sid([number; 16]);
    window.begin(&sid, &shared, now).unwrap();
    window.release(&sid);
}

#[test]
fn a_window_is_open_for_its_time_and_says_afterwards_why_not() {
    let window = open();
    let end = START.plus(WINDOW);
    assert!(window.is_open(START) && window.code(START).is_some() && window.link(START).is_some());
    assert_eq!(window.remaining(START), WINDOW);
    let last = Tick::from_millis(end.as_millis() - 1);
    assert_eq!(window.remaining(last), MILLI);
    assert!(window.code(last).is_some());
    assert!(!window.is_open(end) && window.code(end).is_none() && window.link(end).is_none());
    assert_eq!((window.remaining(end), window.refusal(end)), (Duration::ZERO, Abort::Expired));
    for by_link in [false, true] {
        assert_eq!(window.shared(by_link, end).unwrap_err(), Abort::Expired);
    }
}

#[test]
fn each_closed_window_has_its_own_reason() {
    let mut window = Window::closed();
    assert_eq!(window.refusal(START), Abort::NotOpen);
    assert_eq!((window.attempts_left(), window.remaining(START)), (0, Duration::ZERO));
    window = open();
    window.close();
    assert_eq!(window.shared(true, START).unwrap_err(), Abort::NotOpen);
    window = open();
    window.succeed();
    assert_eq!(window.shared(false, START).unwrap_err(), Abort::Used);
    assert_eq!(window.shared(true, START).unwrap_err(), Abort::Used);
    window = Window::open(START, false, &mut SeededRng::new(81));
    assert!(window.code(START).is_none() && window.link(START).is_some());
    assert_eq!(window.shared(false, START).unwrap_err(), Abort::TooMany);
    assert!(window.shared(true, START).is_ok());
    assert!(!window.was_guessed_at());
}

#[test]
fn a_window_that_is_long_over_is_none() {
    let long_after = START.plus(WINDOW + Duration::from_secs(600));
    let just_before = Tick::from_millis(long_after.as_millis() - 1);
    let mut window = open();
    assert_eq!(window.refusal(just_before), Abort::Expired);
    assert_eq!(window.refusal(long_after), Abort::NotOpen);
    window.succeed();
    assert_eq!(window.refusal(just_before), Abort::Used);
    assert_eq!(window.refusal(long_after), Abort::NotOpen);
}

#[test]
fn a_code_is_burnt_by_its_last_attempt_and_the_link_is_not() {
    for may_reissue in [false, true] {
        let mut window = open();
        let mut rng = SeededRng::new(82);
        let code = window.code(START).cloned().unwrap();
        let early = window.shared(false, START).unwrap();
        for number in 1..=3 {
            assert_eq!(window.settle(START, may_reissue, &mut rng), WindowChange::None);
            fail(&mut window, number, START);
        }
        assert_eq!(window.refusal(START), Abort::Burnt, "also before it is settled");
        assert_eq!(window.begin(&Sid([9; 16]), &early, START), Err(Abort::Burnt), "begun in time");
        assert_eq!(window.shared(false, START).unwrap_err(), Abort::Burnt);
        let change = window.settle(START, may_reissue, &mut rng);
        assert!(window.was_guessed_at() && window.link(START).is_some());
        assert_ne!(window.code(START), Some(&code));
        if may_reissue {
            assert_eq!((change, window.attempts_left()), (WindowChange::Reissued, ATTEMPTS));
            assert!(window.shared(false, START).is_ok());
        } else {
            assert_eq!((change, window.attempts_left()), (WindowChange::Burnt, 0));
            assert_eq!(window.shared(false, START).unwrap_err(), Abort::Burnt);
        }
        assert_eq!(window.settle(START, may_reissue, &mut rng), WindowChange::None, "once");
    }
}

#[test]
fn the_last_attempt_is_waited_for_while_it_has_the_slot() {
    let mut window = open();
    let mut rng = SeededRng::new(82);
    fail(&mut window, 1, START);
    fail(&mut window, 2, START);
    let shared = window.shared(false, START).unwrap();
    let last = Sid([3; 16]);
    window.begin(&last, &shared, START).unwrap();
    assert_eq!(window.refusal(START), Abort::Busy);
    assert_eq!(window.settle(START, false, &mut rng), WindowChange::None);
    assert_eq!(window.may_succeed(&last, &shared, START), Ok(()));
    // It lets its time pass.
    let later = START.plus(SLOT);
    assert_eq!(window.settle(later, true, &mut rng), WindowChange::Reissued);
    assert_eq!(window.may_succeed(&last, &shared, later), Err(Abort::Timeout));
    // Whoever began under the old code does not get at the new one.
    assert_eq!(window.begin(&Sid([4; 16]), &shared, later), Err(Abort::Burnt));
    assert_eq!(window.attempts_left(), ATTEMPTS);
}

#[test]
fn a_slot_can_be_released_by_its_holder_alone() {
    let mut window = open();
    let shared = window.shared(false, START).unwrap();
    window.begin(&Sid([1; 16]), &shared, START).unwrap();
    window.release(&Sid([2; 16]));
    assert_eq!(window.begin(&Sid([2; 16]), &shared, START), Err(Abort::Busy));
    window.release(&Sid([1; 16]));
    assert_eq!(window.begin(&Sid([2; 16]), &shared, START), Ok(()));
    assert_eq!(window.may_succeed(&Sid([1; 16]), &shared, START), Err(Abort::Timeout));
}

/// Begun in the last moment: its three seconds run beyond the end, and not a moment longer.
#[test]
fn nothing_succeeds_later_than_a_slot_after_the_end() {
    for method in [Way::Code, Way::Link] {
        for (late, expected) in [(SLOT - MILLI - MILLI, None), (SLOT - MILLI, Some(Abort::Expired))] {
            let mut lab = Lab::new(83);
            lab.advance(WINDOW - MILLI);
            let line = lab.connect(0, 0);
            join(&mut lab, line, method);
            while !lab.in_flight().any(|it| matches!(it.to_host(), Some(ToHost::ConfirmA(_)))) {
                assert!(lab.step());
            }
            lab.advance(MILLI + late);
            lab.advance(if expected.is_some() { MILLI } else { Duration::ZERO });
            lab.run();
            assert_eq!(lab.devices[0].ended, expected, "{method:?}");
            assert_eq!(lab.devices[0].pending.is_some(), expected.is_none());
        }
    }
}

#[test]
fn a_window_that_is_closed_or_opened_anew_ends_what_is_under_way() {
    for method in [Way::Code, Way::Link] {
        for reopened in [false, true] {
            let mut lab = Lab::new(84);
            let line = lab.connect(0, 0);
            join(&mut lab, line, method);
            while !lab.in_flight().any(|it| matches!(it.to_host(), Some(ToHost::ConfirmA(_)))) {
                assert!(lab.step());
            }
            if reopened {
                lab.hosts[0].open(lab.now);
            } else {
                lab.hosts[0].entrance.window.close();
            }
            lab.run();
            let expected = match (reopened, method) {
                (false, _) => Abort::NotOpen,
                (true, Way::Code) => Abort::Timeout,
                (true, Way::Link | Way::Pass) => Abort::Expired,
            };
            assert_eq!(lab.devices[0].ended, Some(expected));
            assert_nobody_asks(&lab);
        }
    }
}

#[test]
fn a_window_that_ends_before_the_share_gives_no_attempt() {
    let mut lab = Lab::new(85);
    let line = lab.connect(0, 0);
    lab.join_by_code(line);
    while !lab.in_flight().any(|it| matches!(it.to_host(), Some(ToHost::ShareA(_)))) {
        assert!(lab.step());
    }
    lab.advance(WINDOW);
    lab.run();
    assert_eq!(lab.devices[0].ended, Some(Abort::Expired));
    assert_eq!(lab.hosts[0].attempts, 0);
}
