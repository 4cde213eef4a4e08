//! Every rule of the protocol, and what breaking it costs.

use proptest::prelude::*;

use super::super::frame::Frame;
use super::{message, opened, pair, pass, read_all, settle};
use crate::mux::{
    Class, Limits, MAX_DATA_BYTES, MAX_MESSAGE_BYTES, Mux, MuxError, MuxEvent, OpenError, Read, ResetCode,
    Role, StreamError, StreamId,
};

const ONE: StreamId = StreamId(1);
const TWO: StreamId = StreamId(2);
const OPEN: Frame<'static> = Frame::Open { stream: ONE, class: Class::Interactive };

fn data(bytes: &[u8]) -> Frame<'_> {
    Frame::Data { stream: ONE, bytes }
}

/// What a host makes of frames.
fn fed(frames: &[Frame<'_>]) -> Result<(), MuxError> {
    pair().1.feed(&message(frames))
}

#[test]
fn a_stream_carries_both_ways_and_is_gone_when_both_have_finished() {
    let (mut device, mut host, stream) = opened(Class::Interactive);
    assert_eq!(device.write(stream, b"question"), Ok(8));
    device.finish(stream).unwrap();
    assert_eq!(device.write(stream, b"more"), Err(StreamError::Finished(stream)));
    assert_eq!(device.finish(stream), Err(StreamError::Finished(stream)));
    pass(&mut device, &mut host);
    assert_eq!(host.poll_event(), Some(MuxEvent::Readable(stream)));
    assert_eq!(host.poll_event(), None);
    assert_eq!(read_all(&mut host, stream), (b"question".to_vec(), true));
    host.write(stream, b"answer").unwrap();
    host.finish(stream).unwrap();
    pass(&mut host, &mut device);
    assert_eq!(device.poll_event(), Some(MuxEvent::Readable(stream)));
    assert_eq!(read_all(&mut device, stream), (b"answer".to_vec(), true));
    for mux in [&mut device, &mut host] {
        assert_eq!(mux.read(stream), Err(StreamError::Gone(stream)));
        assert_eq!(mux.write(stream, b"x"), Err(StreamError::Gone(stream)));
        assert_eq!(mux.reset(stream, ResetCode(0)), Err(StreamError::Gone(stream)));
    }
}

#[test]
fn a_stream_is_sent_when_its_end_is_in_a_message() {
    let (mut device, _, stream) = opened(Class::Bulk);
    device.write(stream, &[1; 20_000]).unwrap();
    assert!(!device.is_sent(stream), "not finished");
    device.finish(stream).unwrap();
    let sent = [(); 2].map(|()| (device.poll_transmit().is_some(), device.is_sent(stream)));
    assert_eq!(sent, [(true, false), (true, true)]);
    let (mut device, _, stream) = opened(Class::Bulk);
    device.write(stream, b"x").unwrap();
    device.close(0);
    assert!(device.is_sent(stream), "gone");
}

#[test]
fn sides_number_their_own_streams() {
    let (mut device, mut host) = pair();
    let ours = [0, 1].map(|_| device.open(Class::Bulk).unwrap());
    let theirs = [0, 1].map(|_| host.open(Class::Bulk).unwrap());
    assert_eq!((ours, theirs), ([ONE, StreamId(3)], [TWO, StreamId(4)]));
    settle(&mut device, &mut host);
}

#[test]
fn every_breach_has_its_error() {
    let three = StreamId(3);
    let open_three = Frame::Open { stream: three, class: Class::Bulk };
    let finish = Frame::Finish { stream: ONE };
    let reset = |stream| Frame::Reset { stream, code: ResetCode(1) };
    let credit = |stream, bytes| Frame::Credit { stream, bytes };
    let window = Limits::PAIRED.window();
    let never = |stream| Err(MuxError::NeverOpened(stream));
    for (frames, outcome) in [
        (vec![OPEN, data(b"x"), finish], Ok(())),
        (vec![data(b"x")], never(ONE)),
        (vec![finish], never(ONE)),
        (vec![reset(ONE)], never(ONE)),
        (vec![credit(ONE, 1)], never(ONE)),
        // The host's own: it has opened none. Nought is nobody's.
        (vec![credit(TWO, 1)], never(TWO)),
        (vec![reset(StreamId(0))], never(StreamId(0))),
        (vec![OPEN, OPEN], Err(MuxError::OpenedOutOfTurn(ONE))),
        (vec![open_three], Err(MuxError::OpenedOutOfTurn(three))),
        (vec![Frame::Open { stream: TWO, class: Class::Bulk }], Err(MuxError::OpenedOutOfTurn(TWO))),
        (vec![OPEN, finish, data(b"x")], Err(MuxError::AfterEnd(ONE))),
        (vec![OPEN, finish, finish], Err(MuxError::AfterEnd(ONE))),
        (vec![OPEN, reset(ONE), data(b"x")], Err(MuxError::AfterEnd(ONE))),
        (vec![OPEN, reset(ONE), finish], Err(MuxError::AfterEnd(ONE))),
        (vec![OPEN, finish, reset(ONE)], Ok(())),
        (vec![OPEN, reset(ONE), reset(ONE)], Ok(())),
        // Nothing was sent, so there is nothing to be granted.
        (vec![OPEN, credit(ONE, 1)], Err(MuxError::GrantOverflow)),
        (vec![OPEN, credit(ONE, u32::MAX)], Err(MuxError::GrantOverflow)),
        (vec![OPEN, credit(ONE, window)], Err(MuxError::GrantOverflow)),
        (vec![Frame::Slots { streams: 1 }], Err(MuxError::GrantOverflow)),
        (vec![Frame::Slots { streams: u32::MAX }], Err(MuxError::GrantOverflow)),
    ] {
        assert_eq!(fed(&frames), outcome, "{frames:?}");
    }
}

#[test]
fn bytes_that_are_no_frames_have_their_errors() {
    for (bytes, error) in [
        (vec![], MuxError::Empty),
        (vec![0], MuxError::Kind(0)),
        (vec![8], MuxError::Kind(8)),
        (vec![7, 0, 0, 1], MuxError::Truncated),
        (vec![1, 0, 0, 0], MuxError::Truncated),
        (vec![1, 0, 0, 0, 1, 2], MuxError::Value),
        (vec![2, 0, 0, 0, 1, 0, 0], MuxError::DataLength(0)),
        (vec![2, 0, 0, 0, 1, 0x40, 1], MuxError::DataLength(MAX_DATA_BYTES + 1)),
        (vec![2, 0, 0, 0, 1, 0, 2, 9], MuxError::Truncated),
        (vec![5, 0, 0, 0, 1, 0, 0, 0, 0], MuxError::Value),
        (vec![6, 0, 0, 0, 0], MuxError::Value),
        (vec![3; MAX_MESSAGE_BYTES + 1], MuxError::TooLong(MAX_MESSAGE_BYTES + 1)),
    ] {
        assert_eq!(pair().1.feed(&bytes), Err(error));
    }
}

#[test]
fn a_breach_ends_the_connection() {
    let (_, mut host, stream) = opened(Class::Interactive);
    host.feed(&message(&[data(b"held")])).unwrap();
    host.write(stream, b"unsent").unwrap();
    assert_eq!(host.feed(&[9]), Err(MuxError::Kind(9)));
    assert_eq!(host.error(), Some(MuxError::Kind(9)));
    assert_eq!(host.feed(&message(&[data(b"x")])), Err(MuxError::Kind(9)));
    assert_eq!(host.read(stream), Err(StreamError::Gone(stream)));
    assert_eq!(host.write(stream, b"x"), Err(StreamError::Gone(stream)));
    assert_eq!(host.open(Class::Bulk), Err(OpenError::Ended));
    assert_eq!((host.poll_transmit(), host.poll_event(), host.buffered()), (None, None, 0));
}

#[test]
fn a_close_is_the_last_that_is_said_and_says_why() {
    let (mut device, mut host, stream) = opened(Class::Interactive);
    device.write(stream, b"question").unwrap();
    host.write(stream, b"unsent").unwrap();
    host.close(2);
    host.close(4);
    assert_eq!((host.buffered(), host.poll_event(), host.error()), (0, None, None));
    let last = host.poll_transmit().unwrap();
    assert_eq!(last, [7, 0, 0, 0, 2], "nothing but the first reason");
    assert_eq!(Frame::only_close(&last), Some(2));
    assert_eq!(Frame::only_close(&[&last[..], &[6]].concat()), None);
    assert_eq!(host.poll_transmit(), None);
    // What the device had under way, and what it says that it should not.
    host.feed(&device.poll_transmit().unwrap()).unwrap();
    host.feed(&[9]).unwrap();
    assert_eq!((host.buffered(), host.poll_event(), host.poll_transmit()), (0, None, None));
    assert_eq!(host.open(Class::Bulk), Err(OpenError::Ended));

    device.write(stream, b"more").unwrap();
    device.feed(&message(&[data(b"read before")])).unwrap();
    assert!(device.has_unread(stream));
    device.feed(&last).unwrap();
    assert!(!device.has_unread(stream));
    assert!(device.is_over() && device.error().is_none());
    assert_eq!((device.poll_event(), device.poll_event()), (Some(MuxEvent::Closed(2)), None));
    assert_eq!((device.buffered(), device.poll_transmit()), (0, None));
    assert_eq!(device.write(stream, b"x"), Err(StreamError::Gone(stream)));
    assert_eq!(device.open(Class::Bulk), Err(OpenError::Ended));
    device.close(1);
    assert_eq!(device.poll_transmit(), None, "the peer has gone");
}

#[test]
fn nothing_after_a_close_is_looked_at() {
    let (mut device, _, stream) = opened(Class::Interactive);
    let close = Frame::Close { code: 10 };
    device.feed(&message(&[data(b"answer"), close, data(b"more"), Frame::Close { code: 1 }])).unwrap();
    assert_eq!((device.poll_event(), device.poll_event()), (Some(MuxEvent::Closed(10)), None));
    device.feed(&message(&[data(b"x")])).unwrap();
    device.feed(&[]).unwrap();
    assert_eq!((device.buffered(), device.read(stream)), (0, Err(StreamError::Gone(stream))));
}

#[test]
fn a_peer_that_broke_the_protocol_can_be_told_so() {
    let (_, mut host, _) = opened(Class::Interactive);
    assert_eq!(host.feed(&[9]), Err(MuxError::Kind(9)));
    host.close(6);
    assert_eq!(host.error(), Some(MuxError::Kind(9)));
    assert_eq!(host.feed(&message(&[data(b"x")])), Err(MuxError::Kind(9)));
    assert_eq!((host.poll_transmit(), host.poll_transmit()), (Some(vec![7, 0, 0, 0, 6]), None));
}

#[test]
fn a_byte_beyond_the_credit_ends_the_connection() {
    let (_, mut host, stream) = opened(Class::Bulk);
    let frame = [7; MAX_DATA_BYTES];
    for _ in 0..Limits::PAIRED.window() as usize / MAX_DATA_BYTES {
        host.feed(&message(&[data(&frame)])).unwrap();
    }
    assert_eq!(host.feed(&message(&[data(&[7])])), Err(MuxError::CreditOverrun(stream)));
    // Reading alone grants nothing: the grant has to be on its way.
    let (_, mut host, stream) = opened(Class::Bulk);
    for _ in 0..Limits::PAIRED.window() as usize / MAX_DATA_BYTES {
        host.feed(&message(&[data(&frame)])).unwrap();
    }
    read_all(&mut host, stream);
    host.poll_transmit().unwrap();
    host.feed(&message(&[data(&frame)])).unwrap();
}

#[test]
fn a_byte_beyond_the_credit_is_seen_on_a_stream_that_was_given_up() {
    let (_, mut host, stream) = opened(Class::Bulk);
    host.reset(stream, ResetCode(1)).unwrap();
    let frame = [7; MAX_DATA_BYTES];
    for _ in 0..Limits::PAIRED.window() as usize / MAX_DATA_BYTES {
        host.feed(&message(&[data(&frame)])).unwrap();
        assert_eq!(host.buffered(), 0, "nobody will read it");
    }
    assert_eq!(host.feed(&message(&[data(&[7])])), Err(MuxError::CreditOverrun(stream)));
}

#[test]
fn a_slot_comes_back_when_the_reader_is_done() {
    let (mut device, mut host) = pair();
    let streams: Vec<_> = (0..32).map(|_| device.open(Class::Bulk).unwrap()).collect();
    assert_eq!(device.open(Class::Bulk), Err(OpenError::TooMany));
    for stream in &streams {
        device.write(*stream, b"unread").unwrap();
        device.finish(*stream).unwrap();
    }
    settle(&mut device, &mut host);
    for stream in &streams {
        host.finish(*stream).unwrap();
    }
    settle(&mut device, &mut host);
    for stream in &streams {
        assert_eq!(read_all(&mut device, *stream), (Vec::new(), true));
    }
    // For the device all are over; the host still holds what nobody has read.
    while device.poll_event().is_some() {}
    assert_eq!(device.open(Class::Bulk), Err(OpenError::TooMany));
    assert_eq!(read_all(&mut host, streams[5]), (b"unread".to_vec(), true));
    settle(&mut device, &mut host);
    assert_eq!(device.poll_event(), Some(MuxEvent::CanOpen));
    assert!(device.open(Class::Bulk).is_ok());
    assert_eq!(device.open(Class::Bulk), Err(OpenError::TooMany));
}

#[test]
fn a_stream_more_than_granted_ends_the_connection() {
    let limits = Limits::PAIRING;
    let open = |number| message(&[Frame::Open { stream: StreamId(2 * number + 1), class: Class::Bulk }]);
    let mut host = Mux::new(Role::Responder, limits);
    for number in 0..limits.streams() {
        host.feed(&open(number)).unwrap();
    }
    assert_eq!(host.feed(&open(limits.streams())), Err(MuxError::TooManyStreams));
}

#[test]
fn a_request_is_cancelled_while_its_answer_is_under_way() {
    let (mut device, mut host, stream) = opened(Class::Interactive);
    device.write(stream, b"everything, please").unwrap();
    device.finish(stream).unwrap();
    pass(&mut device, &mut host);
    host.write(stream, &[1; 30_000]).unwrap();
    let under_way = host.poll_transmit().unwrap();
    device.reset(stream, ResetCode(4)).unwrap();
    assert_eq!(device.read(stream), Err(StreamError::Gone(stream)));
    device.feed(&under_way).unwrap();
    assert_eq!((device.poll_event(), device.buffered()), (None, 0));
    pass(&mut device, &mut host);
    assert_eq!(host.write(stream, b"x"), Err(StreamError::Reset { stream, code: ResetCode(4) }));
    assert_eq!(host.buffered(), 0);
    let told: Vec<_> = std::iter::from_fn(|| host.poll_event()).collect();
    assert_eq!(told, [MuxEvent::Reset { stream, code: ResetCode(4) }]);
    settle(&mut device, &mut host);
    assert!(device.streams.is_empty() && host.streams.is_empty());
}

#[test]
fn after_the_end_only_what_may_be_late_is_passed_over() {
    let late = [Frame::Credit { stream: ONE, bytes: 5 }, Frame::Reset { stream: ONE, code: ResetCode(1) }];
    for (frame, outcome) in [
        (late[0], Ok(())),
        (late[1], Ok(())),
        (data(b"x"), Err(MuxError::AfterEnd(ONE))),
        (Frame::Finish { stream: ONE }, Err(MuxError::AfterEnd(ONE))),
    ] {
        let (mut device, mut host, stream) = opened(Class::Interactive);
        device.finish(stream).unwrap();
        host.finish(stream).unwrap();
        settle(&mut device, &mut host);
        assert_eq!(host.read(stream), Ok(Read::Finished));
        assert!(host.streams.is_empty());
        assert_eq!(host.feed(&message(&[frame])), outcome, "{frame:?}");
    }
}

#[test]
fn resets_that_cross_end_the_stream_once() {
    let (mut device, mut host, stream) = opened(Class::Interactive);
    device.reset(stream, ResetCode(1)).unwrap();
    host.reset(stream, ResetCode(2)).unwrap();
    let crossing = (device.poll_transmit().unwrap(), host.poll_transmit().unwrap());
    device.feed(&crossing.1).unwrap();
    host.feed(&crossing.0).unwrap();
    settle(&mut device, &mut host);
    assert!(device.streams.is_empty() && host.streams.is_empty());
    assert_eq!((device.poll_event(), host.poll_event()), (None, None));
}

#[test]
fn a_reset_that_crosses_the_end_comes_too_late() {
    let (mut device, mut host, stream) = opened(Class::Interactive);
    device.finish(stream).unwrap();
    pass(&mut device, &mut host);
    host.write(stream, b"the answer").unwrap();
    host.finish(stream).unwrap();
    let end = host.poll_transmit().unwrap();
    device.reset(stream, ResetCode(1)).unwrap();
    let reset = device.poll_transmit().unwrap();
    device.feed(&end).unwrap();
    host.feed(&reset).unwrap();
    assert_eq!(read_all(&mut host, stream), (Vec::new(), true), "the host had all it was sent");
    settle(&mut device, &mut host);
    assert!(device.streams.is_empty() && host.streams.is_empty());
}

/// Frames that often mean something, besides bytes that mostly do not.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let id = 0u32..9;
    let frame = prop_oneof![
        (id.clone(), any::<bool>()).prop_map(|(id, bulk)| {
            let class = if bulk { Class::Bulk } else { Class::Interactive };
            message(&[Frame::Open { stream: StreamId(id), class }])
        }),
        (id.clone(), 1usize..20_000)
            .prop_map(|(id, size)| message(&[Frame::Data { stream: StreamId(id), bytes: &vec![1; size] }])),
        id.clone().prop_map(|id| message(&[Frame::Finish { stream: StreamId(id) }])),
        id.clone().prop_map(|id| message(&[Frame::Reset { stream: StreamId(id), code: ResetCode(1) }])),
        (id, any::<u32>())
            .prop_map(|(id, bytes)| message(&[Frame::Credit { stream: StreamId(id), bytes: bytes % 9000 }])),
        (0u32..3).prop_map(|streams| message(&[Frame::Slots { streams }])),
        (0u32..12).prop_map(|code| message(&[Frame::Close { code }])),
        proptest::collection::vec(any::<u8>(), 0..12),
    ];
    proptest::collection::vec(frame, 1..5).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn whatever_a_peer_sends_nothing_panics_and_nothing_grows(
        messages in proptest::collection::vec(hostile(), 0..40),
        used in any::<bool>(),
    ) {
        let limits = Limits { streams: 4, window: 40_000 };
        let mut host = Mux::new(Role::Responder, limits);
        if used {
            for _ in 0..2 {
                let stream = host.open(Class::Bulk).unwrap();
                host.write(stream, &[1; 9000]).unwrap();
            }
            host.poll_transmit();
        }
        for message in messages {
            let outcome = host.feed(&message);
            prop_assert_eq!(outcome.err(), host.error());
            if host.is_over() {
                prop_assert_eq!((host.buffered(), host.streams.len()), (0, 0));
                prop_assert_eq!(host.poll_transmit(), None);
            }
            prop_assert!(host.buffered() <= limits.max_buffered());
            prop_assert!(host.streams.len() <= 8);
            if let Some(MuxEvent::Readable(stream)) = host.poll_event() {
                let found = host.read(stream);
                prop_assert!(found != Ok(Read::Blocked), "told of nothing");
            }
            if let Some(message) = host.poll_transmit() {
                prop_assert!(!message.is_empty() && message.len() <= MAX_MESSAGE_BYTES);
            }
        }
    }

    #[test]
    fn a_frame_written_is_the_frame_read(bytes in hostile()) {
        let mut rest = bytes.as_slice();
        while let Ok(frame) = Frame::take(&mut rest) {
            let written = message(&[frame]);
            prop_assert_eq!(Frame::take(&mut written.as_slice()), Ok(frame));
        }
    }
}
