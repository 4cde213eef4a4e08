//! Messages in sequence, and what ends a session.

use proptest::prelude::*;

use super::{cases, friends, strangers};
use crate::noise::{MAX_PLAINTEXT_BYTES, MAX_SEALED_BYTES, REKEY_AFTER, Session, SessionError};

fn is_over(session: &mut Session) -> bool {
    session.is_over()
        && session.seal(b"x") == Err(SessionError::Ended)
        && session.open(&[0; 17]) == Err(SessionError::Ended)
}

#[test]
fn messages_pass_both_ways_up_to_the_longest() {
    for (mut device, mut host) in [strangers(1), friends(1)] {
        for length in [0, 1, 16_384, MAX_PLAINTEXT_BYTES] {
            let message: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let sealed = device.seal(&message).unwrap();
            assert_eq!(sealed.len(), length + 16);
            assert_eq!(host.open(&sealed).unwrap(), message);
            let sealed = host.seal(&message).unwrap();
            assert_eq!(device.open(&sealed).unwrap(), message);
        }
    }
    assert_eq!(MAX_PLAINTEXT_BYTES + 16, 65_535);
}

#[test]
fn a_message_that_is_too_long_ends_the_session() {
    let (mut device, mut host) = friends(1);
    assert_eq!(device.seal(&[0; MAX_PLAINTEXT_BYTES + 1]), Err(SessionError::TooLong(65_520)));
    assert!(is_over(&mut device));
    assert_eq!(host.open(&[0; MAX_SEALED_BYTES + 1]), Err(SessionError::TooLong(65_536)));
    assert!(is_over(&mut host));
}

#[test]
fn a_replayed_a_lost_or_a_reordered_message_ends_the_session() {
    let order = |order: &[usize], last_is_refused: bool| {
        let (mut device, mut host) = friends(1);
        let sealed = [0u8, 1, 2].map(|message| device.seal(&[message]).unwrap());
        let (last, before) = order.split_last().unwrap();
        for at in before {
            assert!(host.open(&sealed[*at]).is_ok());
        }
        let opened = host.open(&sealed[*last]);
        assert_eq!(opened == Err(SessionError::Forged), last_is_refused, "{order:?}: {opened:?}");
        assert_eq!(is_over(&mut host), last_is_refused);
    };
    order(&[0, 1, 2], false);
    order(&[0, 0], true);
    order(&[0, 1, 0], true);
    order(&[1], true);
    order(&[0, 2], true);
}

#[test]
fn a_message_reflected_or_of_another_session_ends_the_session() {
    let (mut device, _) = friends(1);
    let own = device.seal(b"x").unwrap();
    assert_eq!(device.open(&own), Err(SessionError::Forged));
    let (mut device, _) = friends(1);
    let (_, mut host) = friends(2);
    assert_eq!(host.open(&device.seal(b"x").unwrap()), Err(SessionError::Forged));
    assert!(is_over(&mut host));
}

#[test]
fn after_an_error_even_the_genuine_message_is_refused() {
    let (mut device, mut host) = friends(1);
    let sealed = device.seal(b"genuine").unwrap();
    assert_eq!(host.open(&sealed[..10]), Err(SessionError::Forged));
    assert_eq!(host.open(&sealed), Err(SessionError::Ended));
}

#[test]
fn keys_are_replaced_by_count_alone() {
    let pass = |device: &mut Session, host: &mut Session| {
        let sealed = device.seal(b"x").unwrap();
        host.open(&sealed).map(|_| ())
    };
    let (mut device, mut host) = friends(1);
    device.rekey_after(3);
    host.rekey_after(3);
    for _ in 0..20 {
        assert_eq!(pass(&mut device, &mut host), Ok(()));
    }
    // The other direction counts for itself.
    assert_eq!(pass(&mut host, &mut device), Ok(()));
    // And the key is another one: who did not count along is out.
    let (mut device, mut host) = friends(1);
    device.rekey_after(3);
    for _ in 0..3 {
        assert_eq!(pass(&mut device, &mut host), Ok(()));
    }
    assert_eq!(pass(&mut device, &mut host), Err(SessionError::Forged));
    // The same on the receiving side.
    let (mut device, mut host) = friends(1);
    host.rekey_after(3);
    for _ in 0..3 {
        assert_eq!(pass(&mut device, &mut host), Ok(()));
    }
    assert_eq!(pass(&mut device, &mut host), Err(SessionError::Forged));
}

#[test]
fn a_session_outlives_its_first_key() {
    let (mut device, mut host) = friends(1);
    for _ in 0..REKEY_AFTER + 2 {
        let sealed = device.seal(&[]).unwrap();
        host.open(&sealed).unwrap();
    }
}

#[test]
fn a_session_shows_no_secret() {
    let (device, _) = friends(1);
    let shown = format!("{device:?}");
    assert!(shown.starts_with("Session { peer: Agreement(") && shown.ends_with("over: false }"), "{shown}");
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_change_to_a_sealed_message_ends_the_session(
        message in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let (mut device, mut host) = strangers(1);
        let mut sealed = device.seal(&message).unwrap();
        match cut {
            Some(cut) => sealed.truncate(cut.index(sealed.len())),
            None => {
                let at = at.index(sealed.len());
                sealed[at] ^= flip;
            }
        }
        prop_assert_eq!(host.open(&sealed), Err(SessionError::Forged));
        prop_assert!(is_over(&mut host));
    }
}
