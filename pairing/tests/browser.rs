//! What a page does from its first connection to its last byte. Runs on this machine with the other tests, and once
//! more compiled for a browser (`cargo xtask test --only wasm`).
#![allow(clippy::unwrap_used, reason = "a test program: whatever is not as expected fails it")]

use lanyard_pairing::ChannelKey;
use lanyard_pairing::lab::{Carrier, Lab, SeededRng};
use lanyard_pairing::mux::{Class, Limits, Mux, MuxEvent, Read, Role, StreamId};
use lanyard_pairing::noise::{Session, paired, pairing};

const MEBIBYTE: usize = 1024 * 1024;

/// One side: streams in a session.
struct End {
    session: Session,
    mux: Mux,
}

/// Carries one message, if there is one.
fn pass(from: &mut End, to: &mut End) -> bool {
    let Some(message) = from.mux.poll_transmit() else { return false };
    let sealed = from.session.seal(&message).unwrap();
    to.mux.feed(&to.session.open(&sealed).unwrap()).unwrap();
    true
}

/// Carries everything that waits, both ways, through the sessions.
fn exchange(one: &mut End, other: &mut End) {
    while pass(one, other) | pass(other, one) {}
}

fn byte(at: usize) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16)) as u8
}

/// Sends a mebibyte on a stream, and reads it at the other end.
fn carry(from: &mut End, to: &mut End, stream: StreamId) {
    let bytes: Vec<u8> = (0..MEBIBYTE).map(byte).collect();
    let (mut sent, mut received) = (0, 0);
    while received < MEBIBYTE {
        sent += from.mux.write(stream, &bytes[sent..]).unwrap();
        exchange(from, to);
        while let Read::Chunk(chunk) = to.mux.read(stream).unwrap() {
            for got in chunk {
                assert_eq!(got, byte(received));
                received += 1;
            }
        }
    }
}

#[test]
fn strangers_pair_with_the_code_and_with_the_link() {
    for by_link in [false, true] {
        let mut lab = Lab::new(5).over(Carrier::Noise);
        let line = lab.connect(0, 0);
        if by_link {
            lab.join_by_link(line)
        } else {
            lab.join_by_code(line)
        }
        lab.run();
        assert!(lab.approve(0, 0));
        lab.run();
        assert!(lab.agree(0, 0) && lab.devices[0].is_paired());
    }
}

#[test]
fn a_session_of_strangers_binds_what_is_paired_inside() {
    let lab = Lab::new(6);
    let (device, host) = (lab.devices[0].keys(), lab.hosts[0].keys());
    let mut rng = SeededRng::new(7);
    let (initiator, first) = pairing::Initiator::start(&device.agreement_secret(), &mut rng).unwrap();
    let (responder, answer) = pairing::Responder::answer(&host.agreement_secret(), &first, &mut rng).unwrap();
    let (device_end, last) = initiator.finish(&answer).unwrap();
    let host_end = responder.finish(&last).unwrap();
    assert_eq!(device_end.channel().binding, host_end.channel().binding);
    assert!(device_end.channel().peer.belongs_to(&host.public()));
    assert!(host_end.channel().peer.belongs_to(&device.public()));
}

#[test]
fn paired_sides_exchange_files_and_approvals() {
    let lab = Lab::new(8);
    let (device, host) = (lab.devices[0].keys(), lab.hosts[0].keys());
    let mut rng = SeededRng::new(9);
    let (initiator, first) =
        paired::Initiator::start(&device.agreement_secret(), &host.public().agreement, &mut rng).unwrap();
    let claim = paired::Claim::read(&host.agreement_secret(), &first, &mut rng).unwrap();
    assert!(ChannelKey::Agreement(*claim.device()).belongs_to(&device.public()));
    let (responder, answer) = claim.answer().unwrap();
    let (session, last) = initiator.finish(&answer).unwrap();
    let mut page = End { session, mux: Mux::new(Role::Initiator, Limits::PAIRED) };
    let session = responder.finish(&last).unwrap();
    let mut host = End { session, mux: Mux::new(Role::Responder, Limits::PAIRED) };

    let file = page.mux.open(Class::Bulk).unwrap();
    exchange(&mut page, &mut host);
    assert_eq!(host.mux.poll_event(), Some(MuxEvent::Opened { stream: file, class: Class::Bulk }));
    carry(&mut page, &mut host, file);
    carry(&mut host, &mut page, file);

    // A download that nobody reads, and an approval beside it.
    while host.mux.write(file, &[0; 4096]).unwrap() > 0 {
        exchange(&mut host, &mut page);
    }
    let approval = host.mux.open(Class::Interactive).unwrap();
    host.mux.write(approval, b"may it run?").unwrap();
    exchange(&mut host, &mut page);
    assert_eq!(page.mux.read(approval), Ok(Read::Chunk(b"may it run?".to_vec())));

    // Whoever repeats a message ends the session.
    let sealed = page.session.seal(b"x").unwrap();
    host.session.open(&sealed).unwrap();
    assert!(host.session.open(&sealed).is_err());
}
