//! Handshakes and sessions between two honest ends, and what everybody else can do to them.

mod handshake;
mod session;

use proptest::test_runner::Config;
use x25519_dalek::{PublicKey, StaticSecret};

use super::{Session, paired, pairing};
pub(super) use crate::random::SeededRng;

pub(super) const DEVICE: [u8; 32] = [0x11; 32];
pub(super) const HOST: [u8; 32] = [0x22; 32];

/// A case costs several key agreements, without optimisation.
pub(super) fn cases() -> Config {
    Config::with_cases(if std::env::var_os("LANYARD_LONG").is_some() { 4_000 } else { 64 })
}

/// The public half of a secret.
pub(super) fn public(secret: [u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(secret)).to_bytes()
}

/// Device and host after `Noise_XX`.
pub(super) fn strangers(seed: u64) -> (Session, Session) {
    let mut rng = SeededRng::new(seed);
    let (device, first) = pairing::Initiator::start(&DEVICE, &mut rng).unwrap();
    let (host, answer) = pairing::Responder::answer(&HOST, &first, &mut rng).unwrap();
    let (device, last) = device.finish(&answer).unwrap();
    (device, host.finish(&last).unwrap())
}

/// Device and host after `Noise_IK`.
pub(super) fn friends(seed: u64) -> (Session, Session) {
    let mut rng = SeededRng::new(seed);
    let (device, first) = paired::Initiator::start(&DEVICE, &public(HOST), &mut rng).unwrap();
    let claim = paired::Claim::read(&HOST, &first, &mut rng).unwrap();
    assert_eq!(claim.device(), &public(DEVICE));
    let (host, answer) = claim.answer().unwrap();
    let (device, last) = device.finish(&answer).unwrap();
    (device, host.finish(&last).unwrap())
}
