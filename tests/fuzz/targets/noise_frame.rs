//! What reaches a Noise session: handshake messages from anybody, then sealed messages.
//!
//! The first byte picks the step. Nobody but the peer can make a message that is accepted, whatever it is; and after the
//! first that is not, nothing is accepted any more, the genuine one included.
#![no_main]

use lanyard_pairing::ChannelKey;
use lanyard_pairing::lab::SeededRng;
use lanyard_pairing::noise::{Session, SessionError, paired, pairing};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const DEVICE: [u8; 32] = [0x11; 32];
const HOST: [u8; 32] = [0x22; 32];

/// The host's public key, learnt as a peer would.
static HOST_KEY: LazyLock<[u8; 32]> = LazyLock::new(|| match strangers(1).0.channel().peer {
    ChannelKey::Agreement(key) => key,
    ChannelKey::Signing(_) => unreachable!("Noise proves agreement keys"),
});

/// A session with ephemeral keys of its own for each seed.
fn strangers(seed: u64) -> (Session, Session) {
    let mut rng = SeededRng::new(seed);
    let (device, first) = pairing::Initiator::start(&DEVICE, &mut rng).expect("honest");
    let (host, answer) = pairing::Responder::answer(&HOST, &first, &mut rng).expect("honest");
    let (device, last) = device.finish(&answer).expect("honest");
    (device, host.finish(&last).expect("honest"))
}

fn handshake(step: u8, message: &[u8]) {
    let mut rng = SeededRng::new(2);
    match step {
        0 => assert!(paired::Claim::read(&HOST, message, &mut rng).is_err()),
        1 => {
            if let Ok((host, answer)) = pairing::Responder::answer(&HOST, message, &mut rng) {
                assert_eq!(answer.len(), 96);
                assert!(host.finish(message).is_err());
            }
        }
        2 => {
            let (device, _) = pairing::Initiator::start(&DEVICE, &mut rng).expect("honest");
            assert!(device.finish(message).is_err());
        }
        3 => {
            let (device, _) = paired::Initiator::start(&DEVICE, &HOST_KEY, &mut rng).expect("honest");
            assert!(device.finish(message).is_err());
        }
        _ => {
            let (_, first) = paired::Initiator::start(&DEVICE, &HOST_KEY, &mut rng).expect("honest");
            let claim = paired::Claim::read(&HOST, &first, &mut rng).expect("honest");
            let (host, _) = claim.answer().expect("honest");
            assert!(host.finish(message).is_err());
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((step, message)) = input.split_first() else { return };
    if step % 8 < 5 {
        return handshake(step % 8, message);
    }
    // The keys depend on the input: a message that was sealed in another run, which the fuzzer can see in comparisons, is
    // genuine in sessions with the same keys.
    let (mut device, mut host) = strangers(fnv(input));
    let genuine = device.seal(message.get(..1000).unwrap_or(message)).expect("short enough");
    // The genuine message, with the input laid over it.
    let mut altered = genuine.clone();
    for (at, byte) in message.iter().enumerate().take(altered.len()) {
        altered[at] ^= byte;
    }
    if step % 8 == 7 {
        altered = message.to_vec();
    }
    let opened = host.open(&altered);
    if altered == genuine {
        assert_eq!(opened.as_deref(), Ok(message.get(..1000).unwrap_or(message)));
    } else {
        assert!(opened.is_err());
        assert_eq!(host.open(&genuine), Err(SessionError::Ended));
    }
});

/// FNV-1a, 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
