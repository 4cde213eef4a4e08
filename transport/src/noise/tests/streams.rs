//! What is written is what is read; who does not read holds up nobody else; what is given up is given up.

use std::io::ErrorKind;

use lanyard_pairing::mux::{MAX_DATA_BYTES, ResetCode};

use super::*;
use crate::close::CloseCode;
use crate::framing::{read_frame, write_frame};
use crate::lab::at_once;

/// What a stream takes from its writer while nobody reads it: one piece in each of its two queues.
const ON_THE_WAY: usize = 2 * MAX_DATA_BYTES;

fn why(error: &std::io::Error) -> StreamBroken {
    *error.get_ref().unwrap().downcast_ref::<StreamBroken>().unwrap()
}

#[tokio::test]
async fn requests_are_answered_each_on_its_stream() {
    let host = Host::new(1, &[2]);
    let (here, there) = host.session(2).await;
    tokio::spawn(echo(there));
    let mut answers = Vec::new();
    for length in [0, 1, 20_000, 700_000] {
        let (mut send, mut recv) = here.open(Class::Bulk).await.unwrap();
        answers.push(tokio::spawn(async move {
            let bytes: Vec<u8> = (0..length).map(|at| (at ^ (at >> 8)) as u8).collect();
            let writing = async {
                send.write_all(&bytes).await.unwrap();
                send.finish().await.unwrap();
            };
            let ((), answer) = tokio::join!(writing, all(&mut recv));
            assert_eq!(answer, [&bytes[..], &bytes].concat());
            send.stopped().await;
            assert!(send.write_all(b"more").await.is_err() && send.finish().await.is_err());
        }));
    }
    for answer in answers {
        answer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_at_once_than_there_are_streams_for_are_all_answered() {
    let host = Host::new(1, &[2]);
    let (here, there) = host.session(2).await;
    tokio::spawn(echo(there));
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..400u32 {
        let here = here.clone();
        asked.spawn(async move {
            let class = if number % 3 == 0 { Class::Bulk } else { Class::Interactive };
            let (mut send, mut recv) = here.open(class).await.unwrap();
            let bytes = number.to_be_bytes().repeat(number as usize * 7);
            if number % 10 == 9 {
                // Given up in the middle.
                send.write_all(&bytes).await.unwrap();
                return drop(send);
            }
            let writing = async {
                send.write_all(&bytes).await.unwrap();
                send.finish().await.unwrap();
            };
            let ((), answer) = tokio::join!(writing, all(&mut recv));
            assert!(answer == [&bytes[..], &bytes].concat());
        });
    }
    while let Some(done) = asked.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn streams_are_accepted_in_the_order_in_which_they_were_opened() {
    let host = Host::new(1, &[2]);
    let (mut device, there) = host.by_hand(2).await;
    for number in 0..32 {
        device.ask(Class::Interactive, &[number]).await;
    }
    for number in 0..32 {
        let (_send, mut recv) = there.accept().await.unwrap();
        assert_eq!(all(&mut recv).await, [number]);
    }
}

#[tokio::test]
async fn as_many_streams_as_were_granted_and_the_next_when_one_is_done() {
    let host = Host::new(1, &[2]);
    let (here, there) = host.session(2).await;
    let mut held = Vec::new();
    for _ in 0..<NoisePeer as crate::peer::Connection>::STREAMS {
        held.push(here.open(Class::Interactive).await.unwrap());
    }
    let opening = here.open(Class::Interactive);
    tokio::pin!(opening);
    assert!(at_once(opening.as_mut()).is_none());
    // One is answered to its end.
    let (mut send, mut recv) = held.remove(0);
    send.finish().await.unwrap();
    let (mut answer, mut request) = there.accept().await.unwrap();
    all(&mut request).await;
    answer.finish().await.unwrap();
    all(&mut recv).await;
    opening.await.unwrap();
}

#[tokio::test]
async fn a_megabytes_long_answer_is_overtaken_and_never_piles_up() {
    const LENGTH: usize = 5 << 20;
    let host = Host::new(1, &[2]);
    let (mut device, there) = host.by_hand(2).await;
    let download = device.ask(Class::Bulk, b"the file").await;
    let (mut file, _request) = there.accept().await.unwrap();
    let sending = tokio::spawn(async move {
        write_frame(&mut file, &vec![5; LENGTH]).await.unwrap();
        file.finish().await.unwrap();
        file
    });
    // The device takes messages and reads nothing: the host stops at the credit.
    let window = Limits::PAIRED.window() as usize;
    while device.mux.buffered() < window {
        assert!(device.hear().await);
    }
    assert!(at_once(device.carrier.incoming.recv()).is_none(), "more than was granted");
    assert!(!sending.is_finished());
    let mut read = device.read(download).0.len();
    device.say().await;
    // The carrier is full of the download once more when somebody asks for something short.
    while device.carrier.incoming.len() < CARRIER_QUEUE {
        tokio::task::yield_now().await;
    }
    let approval = device.ask(Class::Interactive, b"what waits?").await;
    let (mut answer, mut request) = there.accept().await.unwrap();
    assert_eq!(all(&mut request).await, b"what waits?");
    answer.write_all(b"this").await.unwrap();
    answer.finish().await.unwrap();
    let mut before = 0;
    while !device.mux.has_unread(approval) {
        assert!(device.hear().await);
        before += 1;
    }
    assert_eq!(device.answer(approval).await, b"this");
    // What was in the carrier, one that waited for its room, and its own.
    assert!(before <= CARRIER_QUEUE + 2, "{before} messages came first");
    let mut ended = false;
    while !ended {
        let (bytes, end) = device.read(download);
        assert!(bytes.iter().skip(4).all(|byte| *byte == 5));
        (read, ended) = (read + bytes.len(), end);
        device.say().await;
        assert!(ended || device.hear().await);
        assert!(device.mux.buffered() <= window + ON_THE_WAY);
    }
    assert_eq!(read, 4 + LENGTH);
    sending.await.unwrap().stopped().await;
}

#[tokio::test]
async fn who_does_not_read_stops_its_own_stream_and_no_other() {
    let host = Host::new(1, &[2]);
    let (mut device, there) = host.by_hand(2).await;
    let stuck = device.ask(Class::Interactive, b"events").await;
    let (mut events, _request) = there.accept().await.unwrap();
    let mut taken = 0;
    let full = loop {
        tokio::select! {
            biased;
            written = events.write(&[1; 4096]) => taken += written.unwrap(),
            // The device hears everything and reads nothing.
            true = device.hear() => {}
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => break taken,
        }
    };
    let window = Limits::PAIRED.window() as usize;
    assert!((window..=window + 2 * MAX_DATA_BYTES + 2 * 4096).contains(&full), "{full} bytes");
    let other = device.ask(Class::Interactive, b"ping").await;
    let (mut pong, _request) = there.accept().await.unwrap();
    pong.write_all(b"pong").await.unwrap();
    pong.finish().await.unwrap();
    assert_eq!(device.answer(other).await, b"pong");
    assert_eq!(device.read(stuck).0.len(), window);
    device.say().await;
    events.write_all(&[1; 4096]).await.unwrap();
}

#[tokio::test]
async fn a_stream_is_done_when_its_end_is_with_the_carrier() {
    let host = Host::new(1, &[2]);
    let (mut device, there) = host.by_hand(2).await;
    let stream = device.ask(Class::Bulk, b"everything").await;
    let (mut send, _request) = there.accept().await.unwrap();
    // As much as the stream takes: one piece for each message.
    let pieces = CARRIER_QUEUE + 3;
    send.write_all(&vec![1; pieces * MAX_DATA_BYTES]).await.unwrap();
    send.finish().await.unwrap();
    let stopped = send.stopped();
    tokio::pin!(stopped);
    for heard in 0..3 {
        for _ in 0..50 {
            tokio::task::yield_now().await;
            assert!(at_once(stopped.as_mut()).is_none(), "{heard} of {pieces} pieces are taken");
        }
        if heard < 2 {
            assert!(device.hear().await);
        }
    }
    assert_eq!(device.answer(stream).await.len(), pieces * MAX_DATA_BYTES);
    soon(stopped).await;
}

#[tokio::test]
async fn a_stream_the_peer_gives_up_is_over_at_this_end() {
    let host = Host::new(1, &[2]);
    let (mut device, there) = host.by_hand(2).await;
    let stream = device.mux.open(Class::Interactive).unwrap();
    device.mux.write(stream, b"begun").unwrap();
    device.say().await;
    let (mut send, mut recv) = there.accept().await.unwrap();
    let stopped = send.stopped();
    tokio::pin!(stopped);
    assert!(at_once(stopped.as_mut()).is_none());
    recv.read_exact(&mut [0; 5]).await.unwrap();
    device.mux.reset(stream, ResetCode(7)).unwrap();
    device.say().await;
    stopped.await;
    let error = send.write_all(b"answer").await.unwrap_err();
    assert_eq!((error.kind(), why(&error)), (ErrorKind::ConnectionReset, StreamBroken::Reset(7)));
    assert_eq!(why(&recv.read_u8().await.unwrap_err()), StreamBroken::Reset(7));
    // One that was given up before anybody took it is nobody's.
    let early = device.mux.open(Class::Interactive).unwrap();
    let next = device.mux.open(Class::Interactive).unwrap();
    device.mux.write(next, b"next").unwrap();
    device.mux.reset(early, ResetCode(7)).unwrap();
    device.say().await;
    device.mux.finish(next).unwrap();
    device.say().await;
    let (_send, mut recv) = loop {
        let (send, mut recv) = there.accept().await.unwrap();
        if recv.read_u8().await.is_ok_and(|byte| byte == b'n') {
            break (send, recv);
        }
    };
    assert_eq!(all(&mut recv).await, b"ext");
}

#[tokio::test]
async fn a_half_that_is_dropped_is_told_to_the_peer() {
    let host = Host::new(1, &[2]);
    let (mut device, there) = host.by_hand(2).await;
    // An answer that was begun and not finished, though nothing can be sent any more on it.
    let stream = device.ask(Class::Interactive, b"request").await;
    let (mut send, recv) = there.accept().await.unwrap();
    while at_once(send.write_all(&[1; 4096])).is_some() {
        tokio::task::yield_now().await;
    }
    drop(send);
    let told = loop {
        assert!(device.hear().await);
        while let Some(event) = device.mux.poll_event() {
            assert!(!matches!(event, MuxEvent::Closed(_)));
            if let MuxEvent::Reset { stream: reset, .. } = event {
                assert_eq!(reset, stream);
                device.say().await;
                break;
            }
        }
        if let Err(error) = device.mux.read(stream) {
            break error;
        }
    };
    assert!(matches!(
        told,
        lanyard_pairing::mux::StreamError::Reset { .. } | lanyard_pairing::mux::StreamError::Gone(_)
    ));
    drop(recv);
    // With a reason.
    let stream = device.ask(Class::Interactive, b"request").await;
    let (send, mut recv) = there.accept().await.unwrap();
    assert_eq!(all(&mut recv).await, b"request");
    send.reset(CloseCode::Slow);
    let code = loop {
        assert!(device.hear().await);
        if let Some(MuxEvent::Reset { stream: reset, code }) = device.mux.poll_event() {
            assert_eq!(reset, stream);
            break code;
        }
    };
    assert_eq!(code, ResetCode(CloseCode::Slow.number()));
}

#[tokio::test]
async fn an_answer_goes_on_when_the_rest_of_its_request_is_not_wanted() {
    let host = Host::new(1, &[2]);
    let (mut device, there) = host.by_hand(2).await;
    let stream = device.mux.open(Class::Interactive).unwrap();
    let mut request = Vec::new();
    write_frame(&mut request, b"request").await.unwrap();
    device.mux.write(stream, &request).unwrap();
    device.say().await;
    let (mut send, mut recv) = there.accept().await.unwrap();
    assert_eq!(read_frame(&mut recv, 100).await.unwrap().unwrap(), b"request");
    drop(recv);
    // More than the window: it is thrown away, and granted anew.
    soon(async {
        let mut more = 2 * Limits::PAIRED.window() as usize;
        while more > 0 {
            more -= device.mux.write(stream, &vec![9; more]).unwrap();
            device.say().await;
            while let Some(true) = at_once(device.hear()) {}
            tokio::task::yield_now().await;
        }
    })
    .await;
    device.mux.finish(stream).unwrap();
    device.say().await;
    send.write_all(b"answer").await.unwrap();
    send.finish().await.unwrap();
    assert_eq!(device.answer(stream).await, b"answer");
}

#[tokio::test]
async fn an_answer_nobody_reads_any_more_is_given_up() {
    let host = Host::new(1, &[2]);
    let (here, there) = host.session(2).await;
    let (mut send, recv) = here.open(Class::Interactive).await.unwrap();
    send.finish().await.unwrap();
    let (mut events, _request) = there.accept().await.unwrap();
    events.write_all(b"event").await.unwrap();
    drop(recv);
    soon(events.stopped()).await;
    assert!(events.write_all(b"event").await.is_err());
}

#[tokio::test]
async fn what_is_cancelled_loses_nothing() {
    let host = Host::new(1, &[2]);
    let (here, there) = host.session(2).await;
    let bytes: Vec<u8> = (0..600_000u32).map(|at| (at ^ (at >> 7)) as u8).collect();
    let (mut send, _recv) = here.open(Class::Bulk).await.unwrap();
    let whole = bytes.clone();
    let writing = tokio::spawn(async move {
        let mut written = 0;
        while written < whole.len() {
            // Each write is dropped at once when it has to wait; what it took is known.
            match at_once(send.write(&whole[written..])) {
                Some(taken) => written += taken.unwrap(),
                None => tokio::task::yield_now().await,
            }
        }
        while at_once(send.finish()).is_none() {
            tokio::task::yield_now().await;
        }
        send.stopped().await;
    });
    let (_send, mut recv) = loop {
        match at_once(there.accept()) {
            Some(stream) => break stream.unwrap(),
            None => tokio::task::yield_now().await,
        }
    };
    let mut read = Vec::new();
    let mut buffer = [0; 5_000];
    loop {
        match at_once(recv.read(&mut buffer)) {
            Some(Ok(0)) => break,
            Some(got) => read.extend_from_slice(&buffer[..got.unwrap()]),
            None => tokio::task::yield_now().await,
        }
    }
    writing.await.unwrap();
    assert!(read == bytes);
}
