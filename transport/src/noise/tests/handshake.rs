//! Who gets in and how far.

use std::time::Duration;

use lanyard_pairing::noise::{HandshakeError, MAX_HANDSHAKE_BYTES, pairing};
use tokio::time::Instant;

use super::*;
use crate::close::{CloseCode, Ended};
use crate::lab::{LabHost, device as quic_device, given};
use crate::limits::{HANDSHAKE, HANDSHAKE_GRACE, MAX_HANDSHAKES, MAX_PAIRING};
use crate::noise::device::ConnectError;

async fn refused(arriving: Arriving) -> Refused {
    arriving.await.unwrap().unwrap_err()
}

/// A first message of a device that is paired.
fn first_of(device: u8, host: u8) -> (paired::Initiator, Vec<u8>) {
    let secret = keys(device).agreement_secret();
    let (initiator, first) = paired::Initiator::start(&secret, &agreement(host), &mut OsRng).unwrap();
    (initiator, [&[PAIRED], &first[..]].concat())
}

#[tokio::test]
async fn both_ends_prove_their_keys_and_share_a_binding() {
    let host = Host::new(1, &[2]);
    let (here, there) = host.session(2).await;
    assert_eq!((here.key(), there.key()), (&agreement(1), &agreement(2)));
    assert_eq!(here.channel().binding, there.channel().binding);
    assert_eq!(there.address(), somewhere());
    let (again, _there) = host.session(2).await;
    assert_ne!(again.channel().binding, here.channel().binding);
}

#[tokio::test]
async fn anybody_reaches_the_pairing_protocol_with_the_limits_of_strangers() {
    let host = Host::new(1, &[]);
    let (carrier, arriving) = host.carrier();
    let here = device::pair(carrier, &keys(9)).await.unwrap();
    let Ok(Arrival::Pairing(there)) = arriving.await.unwrap() else { panic!("it is let in") };
    assert_eq!((here.key(), there.key()), (&agreement(1), &agreement(9)));
    assert_eq!(here.channel().binding, there.channel().binding);
    let held = [here.open(Class::Interactive).await.unwrap(), here.open(Class::Interactive).await.unwrap()];
    assert!(crate::lab::at_once(here.open(Class::Interactive)).is_none(), "a third stream is granted");
    let (mut send, _recv) = held.into_iter().next().unwrap();
    // Nobody reads: what is taken is what the host lets a stranger send, and what waits at this end.
    let written = tokio::time::timeout(Duration::from_millis(200), send.write_all(&[0; 1 << 20])).await;
    written.unwrap_err();
}

#[tokio::test]
async fn a_device_the_host_does_not_know_learns_it_from_the_host_itself() {
    let host = Host::new(1, &[2]);
    let (carrier, arriving) = host.carrier();
    let here = device::connect(carrier, &keys(3), &agreement(1)).await.unwrap();
    assert_eq!(refused(arriving).await, Refused::NotPaired);
    assert_eq!(here.ended().await, Ended::ByPeer(CloseCode::NotPaired));
}

#[tokio::test]
async fn a_host_with_other_keys_answers_nobody_who_means_another() {
    let host = Host::new(1, &[2]);
    let (carrier, arriving) = host.carrier();
    let error = device::connect(carrier, &keys(2), &agreement(4)).await.unwrap_err();
    assert_eq!(error, ConnectError::Lost);
    assert!(matches!(refused(arriving).await, Refused::Failed(_)));
    // Nor does somebody between pass for the host.
    let (carrier, mut between) = Carrier::pair(somewhere());
    let answering = tokio::spawn(async move {
        between.incoming.recv().await.unwrap();
        between.outgoing.send(vec![7; 48]).await.unwrap();
        between.incoming.recv().await
    });
    let error = device::connect(carrier, &keys(2), &agreement(1)).await.unwrap_err();
    assert_eq!(error, ConnectError::Handshake(HandshakeError::Unverified));
    assert_eq!(answering.await.unwrap(), None, "a device says nothing more to it");
}

#[tokio::test]
async fn what_is_no_handshake_gets_no_answer() {
    let host = Host::new(1, &[2]);
    let paired = first_of(2, 1).1;
    let (_, pairing) = pairing::Initiator::start(&keys(2).agreement_secret(), &mut OsRng).unwrap();
    let with = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    let mut altered = paired.clone();
    altered[40] ^= 1;
    for first in [
        vec![],
        vec![PAIRING],
        vec![PAIRED],
        with(0, &paired[1..]),
        with(3, &paired[1..]),
        // Each with the other's kind.
        with(PAIRING, &paired[1..]),
        with(PAIRED, &pairing),
        // A payload, a byte less, a byte changed, much too long.
        with(PAIRED, &[&paired[1..], b"x"].concat()),
        with(PAIRING, &pairing[..31]),
        altered,
        vec![PAIRED; 2 + MAX_HANDSHAKE_BYTES],
        vec![PAIRED; MAX_CARRIED_BYTES],
        b"GET / HTTP/1.1".to_vec(),
    ] {
        let (mut carrier, arriving) = host.carrier();
        carrier.outgoing.send(first.clone()).await.unwrap();
        assert!(matches!(refused(arriving).await, Refused::Failed(_)), "{first:?}");
        assert_eq!(carrier.incoming.recv().await, None, "{first:?} was answered");
    }
}

#[tokio::test]
async fn a_handshake_that_is_repeated_gets_nobody_in() {
    let host = Host::new(1, &[2]);
    let (mut carrier, arriving) = host.carrier();
    let (initiator, first) = first_of(2, 1);
    carrier.outgoing.send(first.clone()).await.unwrap();
    let (_, last) = initiator.finish(&carrier.incoming.recv().await.unwrap()).unwrap();
    carrier.outgoing.send(last.clone()).await.unwrap();
    assert!(matches!(arriving.await.unwrap(), Ok(Arrival::Session(_))));
    // Whoever has recorded all of it, and sends it once more.
    let (mut carrier, arriving) = host.carrier();
    carrier.outgoing.send(first).await.unwrap();
    carrier.incoming.recv().await.unwrap();
    carrier.outgoing.send(last).await.unwrap();
    assert!(matches!(refused(arriving).await, Refused::Failed(_)));
    assert_eq!(carrier.incoming.recv().await, None);
}

#[tokio::test]
async fn a_carrier_that_breaks_off_ends_the_handshake() {
    let host = Host::new(1, &[2]);
    for messages in 0..2 {
        let (mut carrier, arriving) = host.carrier();
        if messages > 0 {
            carrier.outgoing.send(first_of(2, 1).1).await.unwrap();
            carrier.incoming.recv().await.unwrap();
        }
        drop(carrier);
        assert_eq!(refused(arriving).await, Refused::Failed(Ended::Lost));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stalls_is_given_up() {
    let host = Host::new(1, &[2]);
    for messages in 0..2 {
        let begun = Instant::now();
        let (mut carrier, arriving) = host.carrier();
        if messages > 0 {
            carrier.outgoing.send(first_of(2, 1).1).await.unwrap();
            carrier.incoming.recv().await.unwrap();
        }
        assert_eq!(refused(arriving).await, Refused::TimedOut);
        assert_eq!(begun.elapsed(), HANDSHAKE);
        assert_eq!(carrier.incoming.recv().await, None);
    }
    // A host that stalls is given up too.
    let (carrier, _silent) = Carrier::pair(somewhere());
    let error = device::connect(carrier, &keys(2), &agreement(1)).await.unwrap_err();
    assert_eq!(error, ConnectError::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn strangers_who_stall_keep_no_device_out() {
    let host = Host::new(1, &[2]);
    let mut stalled = Vec::new();
    for _ in 0..MAX_HANDSHAKES {
        stalled.push(host.carrier());
    }
    while host.noise.handshakes.taken() < MAX_HANDSHAKES {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    let (here, _there) = host.session(2).await;
    assert!(begun.elapsed() <= 2 * HANDSHAKE_GRACE, "{:?}", begun.elapsed());
    assert_eq!(host.noise.handshakes.taken(), MAX_HANDSHAKES - 1, "one stranger made room");
    drop(here);
    let (_carrier, arriving) = stalled.remove(0);
    assert_eq!(refused(arriving).await, Refused::TimedOut, "the oldest");
    assert!(begun.elapsed() < HANDSHAKE, "it made room at once");
}

#[tokio::test]
async fn those_who_pair_are_bounded_together_whichever_way_they_come() {
    let mut quic = LabHost::start(1, &[2]);
    let noise = NoiseHost::new(&keys(1), quic.endpoint.strangers(), TaskTracker::new());
    let host = Host { noise, ..Host::new(1, &[2]) };
    let mut inside = Vec::new();
    for _ in 0..MAX_PAIRING {
        let (carrier, arriving) = host.carrier();
        let here = device::pair(carrier, &keys(9)).await.unwrap();
        let Ok(Arrival::Pairing(there)) = arriving.await.unwrap() else { panic!("there is room") };
        inside.push((here, there));
    }
    let (carrier, arriving) = host.carrier();
    let here = device::pair(carrier, &keys(9)).await.unwrap();
    assert_eq!(refused(arriving).await, Refused::TooMany);
    assert_eq!(here.ended().await, Ended::ByPeer(CloseCode::TooMany));
    let expect = crate::dial::Expect::Anybody;
    let stranger = quic_device(9).pairing(&[given(quic.address())], expect).await;
    assert_eq!(quic.arrival().await.unwrap_err(), Refused::TooMany);
    drop(stranger);
    // Paired devices are not concerned, and a place that is left is another's.
    host.session(2).await;
    inside.pop();
    let (carrier, arriving) = host.carrier();
    let _here = device::pair(carrier, &keys(9)).await.unwrap();
    assert!(matches!(arriving.await.unwrap(), Ok(Arrival::Pairing(_))));
}

#[tokio::test]
async fn new_keys_are_for_new_connections() {
    let mut host = Host::new(1, &[2]);
    let (here, there) = host.session(2).await;
    host.noise.use_keys(&keys(4));
    let (carrier, arriving) = host.carrier();
    device::connect(carrier, &keys(2), &agreement(1)).await.unwrap_err();
    assert!(matches!(refused(arriving).await, Refused::Failed(_)));
    host.number = 4;
    assert_eq!(host.session(2).await.0.key(), &agreement(4));
    // The old connection lives.
    let (mut send, _recv) = here.open(Class::Interactive).await.unwrap();
    send.write_all(b"!").await.unwrap();
    assert!(there.accept().await.is_ok());
}
