//! A million wrong codes, and no grant.
//!
//! A code matters in one place: as the scalar that SPAKE2 blinds both shares with. Two sides whose scalars differ have
//! different keys, for the blinding point has prime order and the rest of the exchange is the same; confirmations under
//! different keys differ. So beyond some hundred whole pairings it is enough to show that no wrong code gives the right
//! code's scalar, which costs microseconds.

use std::collections::HashSet;

use spake2::{Ed25519Group, Group};

use super::*;
use crate::message::Sid;
use crate::spake::Shared;
use crate::window::{ATTEMPTS, CODES};

fn scalar(shared: &Shared) -> [u8; 32] {
    Ed25519Group::hash_to_scalar(&shared.password(1, &[1; 32], &Sid([2; 16]))).to_bytes()
}

#[test]
fn a_million_wrong_codes_have_other_scalars_than_the_right_one() {
    let guesses = if is_long() { 1_000_000 } else { 20_000 };
    let mut rng = SeededRng::new(71);
    let right = PairingCode::generate(&mut rng);
    let wanted = scalar(&Shared::Code(right.clone()));
    let mut seen = HashSet::new();
    for _ in 0..guesses {
        let guess = PairingCode::generate(&mut rng);
        if guess != right && seen.insert(guess.reveal()) {
            assert_ne!(scalar(&Shared::Code(guess)), wanted);
        }
    }
    assert!(seen.len() > guesses * 99 / 100);
    assert_eq!(scalar(&Shared::Code(right)), wanted);
}

#[test]
fn a_million_attempts_at_one_window_are_a_dozen() {
    // No SPAKE2 here: whether an attempt may be made is decided before.
    let mut lab = Lab::new(72);
    let now = lab.now;
    let mut rng = SeededRng::new(73);
    let window = &mut lab.hosts[0].entrance.window;
    let mut made = 0;
    for number in 0..1_000_000_u128 {
        let sid = Sid(number.to_be_bytes());
        let Ok(shared) = window.shared(false, now) else { continue };
        if window.begin(&sid, &shared, now).is_ok() {
            made += 1;
            window.release(&sid);
        }
        window.settle(now, true, &mut rng);
    }
    assert_eq!(made, ATTEMPTS * CODES);
}

#[test]
fn some_hundred_wrong_codes_played_to_the_end_pair_nobody() {
    let guesses = if is_long() { 3_000 } else { 200 };
    for carrier in CARRIERS {
        let mut lab = Lab::new(74).over(carrier);
        for guess in 0..guesses / 2 {
            // A window for every three: this is not about the limits.
            if lab.hosts[0].entrance.window.code(lab.now).is_none() {
                lab.hosts[0].open(lab.now);
            }
            let line = lab.connect(0, 0);
            let secret = wrong_code(&lab, guess);
            lab.join(line, secret);
            lab.run();
            assert_eq!(lab.devices[0].ended, Some(Abort::WrongSecret));
            assert_nobody_asks(&lab);
        }
        assert_eq!(u64::from(lab.hosts[0].attempts), guesses / 2);
    }
}

/// Codes one typing error away, which a sloppy comparison would let pass.
#[test]
fn a_code_that_is_nearly_right_is_wrong() {
    let lab = Lab::new(75);
    let right = lab.hosts[0].entrance.window.code(lab.now).unwrap().reveal().replace('-', "");
    for at in 0..right.len() {
        let mut near = right.clone().into_bytes();
        near[at] = if near[at] == b'0' { b'1' } else { b'0' };
        let near = PairingCode::parse(&String::from_utf8(near).unwrap()).unwrap();
        let mut lab = Lab::new(75);
        let line = lab.connect(0, 0);
        lab.join(line, Secret::Code(near));
        lab.run();
        assert_eq!(lab.devices[0].ended, Some(Abort::WrongSecret));
        assert_nobody_asks(&lab);
    }
}
