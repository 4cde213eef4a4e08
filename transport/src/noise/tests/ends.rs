//! How a connection ends: in order, by interference, or without a word.

use std::time::Duration;

use lanyard_pairing::mux::frame::Frame;
use tokio::time::{Instant, timeout};

use super::*;
use crate::close::{CloseCode, Ended};
use crate::framing::{read_frame, write_frame};
use crate::lab::at_once;

#[tokio::test]
async fn either_side_hears_why_the_other_has_ended_it() {
    let host = Host::new(1, &[2]);
    for code in CloseCode::ALL {
        let (here, there) = host.session(2).await;
        let (mut send, mut recv) = here.open(Class::Interactive).await.unwrap();
        there.close(*code);
        there.close(CloseCode::Done);
        assert_eq!((here.ended().await, there.ended().await), (Ended::ByPeer(*code), Ended::Here));
        assert!(send.write_all(b"x").await.is_err() && recv.read_u8().await.is_err());
        assert_eq!(here.open(Class::Interactive).await.unwrap_err(), Ended::ByPeer(*code));
        assert_eq!(there.accept().await.unwrap_err(), Ended::Here);
        let (here, there) = host.session(2).await;
        here.close(*code);
        assert_eq!((there.ended().await, here.ended().await), (Ended::ByPeer(*code), Ended::Here));
    }
    // Nobody holds it any more.
    let (here, there) = host.session(2).await;
    drop(here);
    assert_eq!(there.ended().await, Ended::ByPeer(CloseCode::Done));
}

#[tokio::test]
async fn what_was_sent_before_the_end_is_read() {
    let host = Host::new(1, &[2]);
    let (here, there) = host.session(2).await;
    let (mut send, mut recv) = here.open(Class::Interactive).await.unwrap();
    send.finish().await.unwrap();
    let (mut answer, _request) = there.accept().await.unwrap();
    let last = vec![3; 100_000];
    write_frame(&mut answer, b"first").await.unwrap();
    write_frame(&mut answer, &last).await.unwrap();
    answer.finish().await.unwrap();
    answer.stopped().await;
    there.close(CloseCode::Unpaired);
    // The end is there before anybody reads.
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(read_frame(&mut recv, 1 << 20).await.unwrap().unwrap(), b"first");
    assert_eq!(read_frame(&mut recv, 1 << 20).await.unwrap().unwrap(), last);
    assert!(read_frame(&mut recv, 1 << 20).await.unwrap().is_none());
    assert_eq!(here.ended().await, Ended::ByPeer(CloseCode::Unpaired));
}

#[tokio::test]
async fn nothing_follows_the_end_that_was_not_on_its_way() {
    let host = Host::new(1, &[2]);
    let (mut device, there) = host.by_hand(2).await;
    let stream = device.ask(Class::Bulk, b"everything").await;
    let (mut send, _request) = there.accept().await.unwrap();
    while at_once(send.write_all(&[1; 16_384])).is_some() {
        tokio::task::yield_now().await;
    }
    there.close(CloseCode::Revoked);
    let before = device.carrier.incoming.len();
    let mut messages = 0;
    let told = loop {
        assert!(device.hear().await);
        messages += 1;
        if let Some(MuxEvent::Closed(code)) = std::iter::from_fn(|| device.mux.poll_event()).last() {
            break code;
        }
        device.read(stream);
    };
    assert_eq!(told, CloseCode::Revoked.number());
    // What was in the carrier, and the word itself.
    assert!(messages <= before.max(CARRIER_QUEUE) + 1, "{messages} messages came first");
    assert!(!device.hear().await);
}

/// What somebody on the way may do to the messages of a device.
#[derive(Debug, Clone, Copy)]
enum Interference {
    Repeated,
    RepeatedLater,
    LeftOut,
    Swapped,
    Altered,
    Cut,
    Lengthened,
    Oversized,
    Empty,
    OfAnother,
    Reflected,
}

impl Interference {
    const ALL: [Self; 11] = [
        Self::Repeated,
        Self::RepeatedLater,
        Self::LeftOut,
        Self::Swapped,
        Self::Altered,
        Self::Cut,
        Self::Lengthened,
        Self::Oversized,
        Self::Empty,
        Self::OfAnother,
        Self::Reflected,
    ];

    /// What arrives of two messages, when `theirs` is one of the host's own and `other` one of another connection.
    fn on(self, first: Vec<u8>, second: Vec<u8>, theirs: Vec<u8>, other: Vec<u8>) -> Vec<Vec<u8>> {
        let changed = |change: fn(&mut Vec<u8>)| {
            let mut changed = second.clone();
            change(&mut changed);
            changed
        };
        match self {
            Self::Repeated => vec![first.clone(), first],
            Self::RepeatedLater => vec![first.clone(), second, first],
            Self::LeftOut => vec![second],
            Self::Swapped => vec![second, first],
            Self::Altered => vec![first, changed(|bytes| bytes[9] ^= 0x40)],
            Self::Cut => vec![first, changed(|bytes| bytes.truncate(bytes.len() - 1))],
            Self::Lengthened => vec![first, changed(|bytes| bytes.push(0))],
            Self::Oversized => vec![first, changed(|bytes| bytes.resize(MAX_CARRIED_BYTES + 1, 0))],
            Self::Empty => vec![first, Vec::new()],
            Self::OfAnother => vec![first, other],
            Self::Reflected => vec![first, theirs],
        }
    }
}

#[tokio::test]
async fn whoever_tampers_with_a_message_ends_the_connection_and_achieves_nothing() {
    let host = Host::new(1, &[2]);
    for what in Interference::ALL {
        let (mut other, _) = host.by_hand(2).await;
        let (mut device, there) = host.by_hand(2).await;
        // Something of the host's own.
        let hello = device.ask(Class::Interactive, b"hello").await;
        let (mut send, _request) = there.accept().await.unwrap();
        send.write_all(b"hello").await.unwrap();
        let theirs = device.carrier.incoming.recv().await.unwrap();
        let mut next = |request: &[u8]| {
            let stream = device.mux.open(Class::Interactive).unwrap();
            device.mux.write(stream, request).unwrap();
            device.mux.finish(stream).unwrap();
            device.session.seal(&device.mux.poll_transmit().unwrap()).unwrap()
        };
        let (first, second) = (next(b"first"), next(b"second"));
        let foreign = other.session.seal(b"anything").unwrap();
        let arriving = what.on(first, second, theirs, foreign);
        let genuine = match what {
            Interference::LeftOut | Interference::Swapped => 0,
            Interference::RepeatedLater => 2,
            _ => 1,
        };
        let moved = tokio::spawn(async move {
            for message in arriving {
                // The host may have let go before the last.
                let _ = device.carrier.outgoing.send(message).await;
            }
            device
        });
        let mut asked = Vec::new();
        while let Ok((_, mut recv)) = there.accept().await {
            let mut request = Vec::new();
            // A request whose connection ends under it is none.
            if recv.read_to_end(&mut request).await.is_ok() {
                asked.push(request);
            }
        }
        let expected = [&b"first"[..], b"second"];
        assert!(
            asked.len() <= genuine && asked.iter().zip(expected).all(|(got, sent)| got == sent),
            "{what:?}"
        );
        assert!(matches!(there.ended().await, Ended::Failed(_)), "{what:?}");
        // Nothing authentic can be said any more, so nothing is.
        let mut device = moved.await.unwrap();
        assert_eq!(device.carrier.incoming.recv().await, None, "{what:?}");
        assert!(device.mux.has_unread(hello) || device.read(hello).0.is_empty());
        assert!(send.write_all(b"x").await.is_err());
    }
}

#[tokio::test]
async fn a_device_that_breaks_the_protocol_of_streams_is_told_so() {
    let host = Host::new(1, &[2]);
    let mut never_opened = Vec::new();
    Frame::Slots { streams: 9 }.put(&mut never_opened);
    for breach in [vec![], vec![9], vec![3, 0, 0, 0, 7], never_opened] {
        let (mut device, there) = host.by_hand(2).await;
        let sealed = device.session.seal(&breach).unwrap();
        device.carrier.outgoing.send(sealed).await.unwrap();
        assert!(matches!(there.ended().await, Ended::Failed(_)), "{breach:?}");
        assert_eq!(device.told().await, Some(CloseCode::Protocol.number()), "{breach:?}");
        assert!(!device.hear().await);
    }
}

#[tokio::test]
async fn a_carrier_that_is_killed_in_the_middle_ends_everything() {
    let host = Host::new(1, &[2]);
    let (mut device, there) = host.by_hand(2).await;
    let stream = device.mux.open(Class::Interactive).unwrap();
    // A frame of which half has come.
    device.mux.write(stream, &[0, 0, 0, 9, 1, 2, 3]).unwrap();
    device.say().await;
    let (mut send, mut recv) = there.accept().await.unwrap();
    let reading = tokio::spawn(async move { read_frame(&mut recv, 100).await });
    tokio::task::yield_now().await;
    drop(device);
    assert!(reading.await.unwrap().is_err(), "half a frame is none");
    assert_eq!(there.ended().await, Ended::Lost);
    send.stopped().await;
    assert!(send.write_all(b"x").await.is_err());
    // One direction is enough.
    for side in 0..2 {
        let (device, there) = host.by_hand(2).await;
        let Carrier { incoming, outgoing, .. } = device.carrier;
        match side {
            0 => drop(incoming),
            _ => drop(outgoing),
        }
        assert_eq!(there.ended().await, Ended::Lost);
    }
}

#[tokio::test]
async fn the_last_word_of_a_carrier_that_is_gone_is_heard() {
    let host = Host::new(1, &[2]);
    let (mut device, there) = host.by_hand(2).await;
    device.mux.close(CloseCode::Unpaired.number());
    device.say().await;
    drop(device);
    assert_eq!(there.ended().await, Ended::ByPeer(CloseCode::Unpaired));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_takes_nothing_does_not_hold_up_the_end() {
    let host = Host::new(1, &[2]);
    let (mut device, there) = host.by_hand(2).await;
    device.ask(Class::Bulk, b"everything").await;
    let (mut send, _request) = there.accept().await.unwrap();
    let writing = timeout(Duration::from_secs(60), send.write_all(&vec![1; 1 << 20])).await;
    writing.unwrap_err();
    assert_eq!(device.carrier.incoming.len(), CARRIER_QUEUE, "no more is made than there is room for");
    let begun = Instant::now();
    there.close(CloseCode::Slow);
    assert_eq!(there.ended().await, Ended::Here);
    assert_eq!(begun.elapsed(), Duration::ZERO, "the host knows at once");
    // The queue is all the device ever gets: the word that would follow waits two seconds for room.
    device.carrier.outgoing.closed().await;
    assert!(begun.elapsed() <= Duration::from_secs(2));
    let mut left = 0;
    while device.carrier.incoming.recv().await.is_some() {
        left += 1;
    }
    assert_eq!(left, CARRIER_QUEUE);
}
