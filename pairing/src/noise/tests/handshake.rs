//! Who gets a session, and who does not.

use proptest::prelude::*;
use snow::resolvers::{CryptoResolver, DefaultResolver, FallbackResolver};
use snow::types::{Cipher, Dh, Hash, Random};

use super::{DEVICE, HOST, SeededRng, cases, friends, public, strangers};
use crate::channel::ChannelKey;
use crate::noise::{HandshakeError, MAX_HANDSHAKE_BYTES, PROLOGUE, Session, paired, pairing};

/// The u-coordinates of small order (RFC 7748 §6.1 wants their results refused), and encodings that are not canonical.
fn small_order() -> Vec<[u8; 32]> {
    let small = |byte: u8| {
        let mut point = [0; 32];
        point[0] = byte;
        point
    };
    let near_p = |low: u8, high: u8| {
        let mut point = [0xff; 32];
        (point[0], point[31]) = (low, high);
        point
    };
    let order_8 = |hex: &str| {
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        bytes.try_into().unwrap()
    };
    vec![
        small(0),
        small(1),
        near_p(0xec, 0x7f),
        near_p(0xed, 0x7f),
        near_p(0xee, 0x7f),
        near_p(0xed, 0xff),
        order_8("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        order_8("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ]
}

/// The library with its own primitives, which its authors test against published vectors.
struct Seeded(u64);

impl CryptoResolver for Seeded {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        struct Fill(SeededRng);
        impl Random for Fill {
            fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
                rand_core::RngCore::fill_bytes(&mut self.0, dest);
                Ok(())
            }
        }
        Some(Box::new(Fill(SeededRng::new(self.0))))
    }
    fn resolve_dh(&self, _: &snow::params::DHChoice) -> Option<Box<dyn Dh>> {
        None
    }
    fn resolve_hash(&self, _: &snow::params::HashChoice) -> Option<Box<dyn Hash>> {
        None
    }
    fn resolve_cipher(&self, _: &snow::params::CipherChoice) -> Option<Box<dyn Cipher>> {
        None
    }
}

fn foreign<'a>(pattern: &str, prologue: &'a [u8]) -> snow::Builder<'a> {
    let resolver = FallbackResolver::new(Box::new(Seeded(9)), Box::new(DefaultResolver));
    let builder = snow::Builder::with_resolver(pattern.parse().unwrap(), Box::new(resolver));
    builder.local_private_key(&DEVICE).unwrap().prologue(prologue).unwrap()
}

const XX: &str = "Noise_XX_25519_ChaChaPoly_BLAKE2s";
const IK: &str = "Noise_IK_25519_ChaChaPoly_BLAKE2s";

fn says(state: &mut snow::HandshakeState, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 256];
    let length = state.write_message(payload, &mut message).unwrap();
    message.truncate(length);
    message
}

#[test]
fn both_ends_agree_on_the_channel_and_on_each_other() {
    for (device, host) in [strangers(1), friends(1)] {
        assert_eq!(device.channel().binding, host.channel().binding);
        assert_eq!(device.channel().peer, ChannelKey::Agreement(public(HOST)));
        assert_eq!(host.channel().peer, ChannelKey::Agreement(public(DEVICE)));
    }
    let bindings =
        [strangers(1), strangers(2), friends(1), friends(2)].map(|(device, _)| device.channel().binding);
    for (at, binding) in bindings.iter().enumerate() {
        assert!(!bindings[..at].contains(binding), "no two sessions have the same binding");
    }
}

#[test]
fn our_primitives_are_those_of_noise() {
    let host_key = public(HOST);
    let mut theirs = foreign(IK, PROLOGUE).remote_public_key(&host_key).unwrap().build_initiator().unwrap();
    let claim = paired::Claim::read(&HOST, &says(&mut theirs, &[]), &mut SeededRng::new(1)).unwrap();
    let (host, answer) = claim.answer().unwrap();
    theirs.read_message(&answer, &mut []).unwrap();
    let hash = theirs.get_handshake_hash().to_vec();
    let mut theirs = theirs.into_transport_mode().unwrap();
    let mut sealed = vec![0; 16];
    theirs.write_message(&[], &mut sealed).unwrap();
    let mut host = host.finish(&sealed).unwrap();
    assert_eq!(host.channel().binding.as_slice(), hash);
    host.rekey_after(1);
    for message in [b"hello", b"under", b"other", b"keys."] {
        let sealed = host.seal(message).unwrap();
        let mut opened = [0; 5];
        theirs.read_message(&sealed, &mut opened).unwrap();
        assert_eq!(&opened, message);
        theirs.rekey_incoming();
    }
}

/// Runs a handshake, letting `disturb` change each message by its number; the sessions that came of it.
fn disturbed(
    ik: bool,
    mut disturb: impl FnMut(usize, &mut Vec<u8>),
) -> (Result<Session, HandshakeError>, Result<Session, HandshakeError>) {
    let mut rng = SeededRng::new(3);
    let mut passed = |number, mut message: Vec<u8>| {
        disturb(number, &mut message);
        message
    };
    let lost = || Err(HandshakeError::Unverified);
    if ik {
        let (device, first) = paired::Initiator::start(&DEVICE, &public(HOST), &mut rng).unwrap();
        let claim = paired::Claim::read(&HOST, &passed(0, first), &mut rng);
        let (host, answer) = match claim.and_then(paired::Claim::answer) {
            Ok(answered) => answered,
            Err(error) => return (lost(), Err(error)),
        };
        match device.finish(&passed(1, answer)) {
            Ok((device, last)) => (Ok(device), host.finish(&passed(2, last))),
            Err(error) => (Err(error), lost()),
        }
    } else {
        let (device, first) = pairing::Initiator::start(&DEVICE, &mut rng).unwrap();
        let (host, answer) = match pairing::Responder::answer(&HOST, &passed(0, first), &mut rng) {
            Ok(answered) => answered,
            Err(error) => return (lost(), Err(error)),
        };
        match device.finish(&passed(1, answer)) {
            Ok((device, last)) => (Ok(device), host.finish(&passed(2, last))),
            Err(error) => (Err(error), lost()),
        }
    }
}

#[test]
fn a_handshake_with_any_byte_altered_gives_the_host_no_session() {
    for (ik, lengths) in [(false, [32, 96, 64]), (true, [96, 48, 16])] {
        for (number, length) in lengths.into_iter().enumerate() {
            for at in 0..length {
                let (device, host) = disturbed(ik, |message, bytes| {
                    assert_eq!(bytes.len(), lengths[message]);
                    assert!(bytes.len() <= MAX_HANDSHAKE_BYTES);
                    if message == number {
                        bytes[at] ^= 0x40;
                    }
                });
                assert!(host.is_err(), "message {number}, byte {at}");
                assert!(
                    device.is_err() || number == 2,
                    "the device sees it too, but for its own last message"
                );
            }
        }
    }
}

#[test]
fn a_message_of_any_other_length_is_refused_before_anything_is_computed() {
    for ik in [false, true] {
        for number in 0..3 {
            for change in [-1i64, 1, 16, 70_000] {
                let (device, host) = disturbed(ik, |message, bytes| {
                    if message == number {
                        let length = usize::try_from(bytes.len() as i64 + change).unwrap();
                        bytes.resize(length, 0);
                    }
                });
                let error = if number == 1 { device.unwrap_err() } else { host.unwrap_err() };
                assert!(matches!(error, HandshakeError::Length { .. }), "{error:?}");
            }
        }
    }
}

#[test]
fn a_payload_in_a_handshake_is_refused() {
    let host_key = public(HOST);
    let mut theirs = foreign(IK, PROLOGUE).remote_public_key(&host_key).unwrap().build_initiator().unwrap();
    let first = says(&mut theirs, b"start a task");
    let refused = paired::Claim::read(&HOST, &first, &mut SeededRng::new(1)).unwrap_err();
    assert_eq!(refused, HandshakeError::Length { expected: 96, got: 108 });
    let mut theirs = foreign(XX, PROLOGUE).build_initiator().unwrap();
    let first = says(&mut theirs, b"start a task");
    let refused = pairing::Responder::answer(&HOST, &first, &mut SeededRng::new(1)).unwrap_err();
    assert_eq!(refused, HandshakeError::Length { expected: 32, got: 44 });
}

#[test]
fn another_version_or_another_host_cannot_finish() {
    let host_key = public(HOST);
    let start = |prologue| {
        let builder = foreign(IK, prologue).remote_public_key(&host_key).unwrap();
        says(&mut builder.build_initiator().unwrap(), &[])
    };
    let read = |secret, message: &[u8]| paired::Claim::read(&secret, message, &mut SeededRng::new(1)).err();
    assert_eq!(read(HOST, &start(PROLOGUE)), None);
    assert_eq!(read(HOST, &start(b"lanyard-channel/2")), Some(HandshakeError::Unverified));
    assert_eq!(read([0x33; 32], &start(PROLOGUE)), Some(HandshakeError::Unverified));
}

#[test]
fn a_replayed_first_message_becomes_no_session() {
    let mut recorded = Vec::new();
    let (_, host) = disturbed(true, |_, bytes| recorded.push(bytes.clone()));
    assert!(host.is_ok());
    let claim = paired::Claim::read(&HOST, &recorded[0], &mut SeededRng::new(77)).unwrap();
    assert_eq!(claim.device(), &public(DEVICE), "the message alone looks genuine");
    let (host, _) = claim.answer().unwrap();
    assert_eq!(host.finish(&recorded[2]).unwrap_err(), HandshakeError::Unverified);
}

#[test]
fn keys_of_small_order_are_refused() {
    for point in small_order() {
        let as_host = paired::Initiator::start(&DEVICE, &point, &mut SeededRng::new(1)).err();
        assert_eq!(as_host, Some(HandshakeError::WeakKey), "{point:?}");
        let as_ephemeral = pairing::Responder::answer(&HOST, &point, &mut SeededRng::new(1)).err();
        assert_eq!(as_ephemeral, Some(HandshakeError::WeakKey), "{point:?}");
        let mut claim = [0; 96];
        claim[..32].copy_from_slice(&point);
        let in_claim = paired::Claim::read(&HOST, &claim, &mut SeededRng::new(1)).err();
        assert_eq!(in_claim, Some(HandshakeError::WeakKey), "{point:?}");
    }
}

#[test]
fn nobody_pairs_with_itself() {
    let (device, first) = pairing::Initiator::start(&DEVICE, &mut SeededRng::new(1)).unwrap();
    let (_, answer) = pairing::Responder::answer(&DEVICE, &first, &mut SeededRng::new(2)).unwrap();
    assert_eq!(device.finish(&answer).unwrap_err(), HandshakeError::OwnKey);
    let started = paired::Initiator::start(&DEVICE, &public(DEVICE), &mut SeededRng::new(1)).err();
    assert_eq!(started, Some(HandshakeError::OwnKey));
    // The host sees it as well, should the device not look.
    let host_key = public(DEVICE);
    let mut theirs = foreign(IK, PROLOGUE).remote_public_key(&host_key).unwrap().build_initiator().unwrap();
    let claim = paired::Claim::read(&DEVICE, &says(&mut theirs, &[]), &mut SeededRng::new(1)).err();
    assert_eq!(claim, Some(HandshakeError::OwnKey));
}

#[test]
fn somebody_between_strangers_has_two_different_bindings() {
    let mut rng = SeededRng::new(5);
    let between = [0x66; 32];
    let (device, first) = pairing::Initiator::start(&DEVICE, &mut rng).unwrap();
    let (false_host, answer) = pairing::Responder::answer(&between, &first, &mut rng).unwrap();
    let (device, last) = device.finish(&answer).unwrap();
    false_host.finish(&last).unwrap();
    let (false_device, first) = pairing::Initiator::start(&between, &mut rng).unwrap();
    let (host, answer) = pairing::Responder::answer(&HOST, &first, &mut rng).unwrap();
    let (_, last) = false_device.finish(&answer).unwrap();
    let host = host.finish(&last).unwrap();
    assert_ne!(device.channel().binding, host.channel().binding);
    assert_eq!(device.channel().peer, ChannelKey::Agreement(public(between)));
    assert_eq!(host.channel().peer, ChannelKey::Agreement(public(between)));
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn whatever_arrives_nothing_panics_and_nobody_is_believed(
        mut message in proptest::collection::vec(any::<u8>(), 0..160),
        exact in proptest::option::of(prop::sample::select(vec![32usize, 48, 64, 96])),
    ) {
        if let Some(length) = exact {
            message.resize(length, 7);
        }
        let mut rng = SeededRng::new(4);
        prop_assert!(paired::Claim::read(&HOST, &message, &mut rng).is_err());
        if let Ok((host, _)) = pairing::Responder::answer(&HOST, &message, &mut rng) {
            prop_assert!(host.finish(&message).is_err());
        }
        let (device, first) = pairing::Initiator::start(&DEVICE, &mut rng).unwrap();
        prop_assert!(device.finish(&message).is_err());
        let (host, _) = pairing::Responder::answer(&HOST, &first, &mut rng).unwrap();
        prop_assert!(host.finish(&message).is_err());
        let (device, first) = paired::Initiator::start(&DEVICE, &public(HOST), &mut rng).unwrap();
        prop_assert!(device.finish(&message).is_err());
        let (host, _) = paired::Claim::read(&HOST, &first, &mut rng).unwrap().answer().unwrap();
        prop_assert!(host.finish(&message).is_err());
    }
}
