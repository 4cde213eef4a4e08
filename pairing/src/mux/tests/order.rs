//! Who goes first, and who never has to wait for whom.

use super::super::frame::Frame;
use super::{frames, opened, pair, pass, read_all, settle};
use crate::mux::{Class, Limits, MAX_DATA_BYTES, Mux, MuxEvent, ResetCode, Role, StreamId};

fn fill(mux: &mut Mux, stream: StreamId) {
    while mux.write(stream, &[5; 4096]).unwrap() > 0 {}
}

/// The streams of the data frames, in order.
fn data(message: &[u8]) -> Vec<StreamId> {
    let streams = frames(message).into_iter();
    streams
        .filter_map(|frame| match frame {
            Frame::Data { stream, .. } => Some(stream),
            _ => None,
        })
        .collect()
}

#[test]
fn an_approval_is_never_behind_a_download() {
    let (mut host, mut device) = (pair().1, pair().0);
    let [download, another] = [Class::Bulk, Class::Bulk].map(|class| host.open(class).unwrap());
    fill(&mut host, download);
    fill(&mut host, another);
    let under_way = host.poll_transmit().unwrap();
    assert_eq!(data(&under_way), [download], "what is under way is one frame of one download");
    let approvals = host.open(Class::Interactive).unwrap();
    host.write(approvals, b"may it run?").unwrap();
    let next = host.poll_transmit().unwrap();
    assert_eq!(data(&next), [approvals, another]);
    device.feed(&under_way).unwrap();
    device.feed(&next).unwrap();
    assert_eq!(read_all(&mut device, approvals).0, b"may it run?");
}

#[test]
fn a_download_moves_however_much_there_is_to_say() {
    let (_, mut host) = pair();
    let download = host.open(Class::Bulk).unwrap();
    fill(&mut host, download);
    let talk: Vec<_> = (0..6).map(|_| host.open(Class::Interactive).unwrap()).collect();
    talk.iter().for_each(|stream| fill(&mut host, *stream));
    for _ in 0..2 {
        let message = host.poll_transmit().unwrap();
        let order = data(&message);
        assert_eq!(order.iter().filter(|stream| **stream == download).count(), 1, "{order:?}");
        assert_eq!(order.last(), Some(&download));
        assert!(order.len() > 2, "the rest of the message is for the others");
    }
}

#[test]
fn streams_take_turns() {
    let (_, mut host) = pair();
    let streams: Vec<_> = (0..4).map(|_| host.open(Class::Interactive).unwrap()).collect();
    streams.iter().for_each(|stream| fill(&mut host, *stream));
    let mut turns = Vec::new();
    while let Some(message) = host.poll_transmit() {
        turns.extend(data(&message));
    }
    assert_eq!(turns, [streams.clone(), streams].concat(), "two frames each were taken from the writer");
}

#[test]
fn control_goes_first() {
    let (mut device, mut host, stream) = opened(Class::Interactive);
    fill(&mut device, stream);
    pass(&mut device, &mut host);
    fill(&mut device, stream);
    pass(&mut device, &mut host);
    // The host has data to send; then it grants, opens and resets.
    host.write(stream, b"data").unwrap();
    let doomed = host.open(Class::Bulk).unwrap();
    host.reset(doomed, ResetCode(3)).unwrap();
    read_all(&mut host, stream);
    let said = host.poll_transmit().unwrap();
    let said = frames(&said);
    assert!(matches!(said[0], Frame::Credit { bytes: 65_536, .. }), "{said:?}");
    assert!(matches!(said[1], Frame::Open { .. }));
    assert!(matches!(said[2], Frame::Reset { code: ResetCode(3), .. }));
    assert!(matches!(said[3], Frame::Data { bytes: b"data", .. }));
}

#[test]
fn a_reader_that_stalls_stalls_nobody_else() {
    let (mut device, mut host, stalled) = opened(Class::Interactive);
    let flowing = device.open(Class::Interactive).unwrap();
    let window = Limits::PAIRED.window() as usize;
    let mut sent_stalled = 0;
    let mut received = 0;
    for _ in 0..400 {
        sent_stalled += device.write(stalled, &[1; MAX_DATA_BYTES]).unwrap();
        device.write(flowing, &[2; MAX_DATA_BYTES]).unwrap();
        settle(&mut device, &mut host);
        received += read_all(&mut host, flowing).0.len();
    }
    assert_eq!(sent_stalled, window, "the writer is stopped at the credit");
    assert_eq!(received, 400 * MAX_DATA_BYTES, "the other stream never waits");
    assert_eq!(host.buffered(), window, "and nothing more is held");
    // Reading sets it free.
    while device.poll_event().is_some() {}
    assert_eq!(read_all(&mut host, stalled).0.len(), window);
    settle(&mut device, &mut host);
    assert_eq!(device.poll_event(), Some(MuxEvent::Writable(stalled)));
    assert_eq!(device.write(stalled, &[1; 10]), Ok(10));
}

#[test]
fn the_bound_on_memory_is_what_the_documentation_says() {
    assert_eq!(Limits::PAIRED.max_buffered(), 18 * 1024 * 1024);
    assert_eq!(Limits::PAIRING.max_buffered(), 128 * 1024);
    // Everybody writes all that is taken, nobody reads.
    let limits = Limits::PAIRING;
    let (mut device, mut host) = (Mux::new(Role::Initiator, limits), Mux::new(Role::Responder, limits));
    for _ in 0..2 {
        let asked = device.open(Class::Bulk).unwrap();
        let told = host.open(Class::Interactive).unwrap();
        settle(&mut device, &mut host);
        for mux in [&mut device, &mut host] {
            for stream in [asked, told] {
                fill(mux, stream);
            }
        }
        settle(&mut device, &mut host);
        for mux in [&mut device, &mut host] {
            for stream in [asked, told] {
                fill(mux, stream);
            }
        }
    }
    settle(&mut device, &mut host);
    assert_eq!(host.buffered(), 4 * limits.window() as usize);
}
