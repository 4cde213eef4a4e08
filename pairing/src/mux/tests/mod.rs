//! Two ends in memory: what is written is what is read, whatever happens between; and every rule for itself.

mod lab;
mod order;
mod rules;

use super::frame::Frame;
use super::{Class, Limits, Mux, MuxEvent, Read, Role, StreamId};

/// Device and host.
pub(super) fn pair() -> (Mux, Mux) {
    (Mux::new(Role::Initiator, Limits::PAIRED), Mux::new(Role::Responder, Limits::PAIRED))
}

/// A device that has opened a stream its host knows.
pub(super) fn opened(class: Class) -> (Mux, Mux, StreamId) {
    let (mut device, mut host) = pair();
    let stream = device.open(class).unwrap();
    pass(&mut device, &mut host);
    assert_eq!(host.poll_event(), Some(MuxEvent::Opened { stream, class }));
    (device, host, stream)
}

/// Everything `from` has to say.
pub(super) fn pass(from: &mut Mux, to: &mut Mux) {
    while let Some(message) = from.poll_transmit() {
        to.feed(&message).unwrap();
    }
}

/// Everything both have to say.
pub(super) fn settle(one: &mut Mux, other: &mut Mux) {
    loop {
        let messages = [one.poll_transmit(), other.poll_transmit()];
        if messages == [None, None] {
            break;
        }
        let [ours, theirs] = messages;
        ours.iter().for_each(|message| other.feed(message).unwrap());
        theirs.iter().for_each(|message| one.feed(message).unwrap());
    }
}

/// What can be read now, and whether that was all there will be.
pub(super) fn read_all(mux: &mut Mux, stream: StreamId) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match mux.read(stream).unwrap() {
            Read::Chunk(chunk) => bytes.extend(chunk),
            Read::Blocked => return (bytes, false),
            Read::Finished => return (bytes, true),
        }
    }
}

pub(super) fn frames(message: &[u8]) -> Vec<Frame<'_>> {
    let mut rest = message;
    std::iter::from_fn(|| (!rest.is_empty()).then(|| Frame::take(&mut rest).unwrap())).collect()
}

pub(super) fn message(frames: &[Frame<'_>]) -> Vec<u8> {
    let mut message = Vec::new();
    frames.iter().for_each(|frame| frame.put(&mut message));
    message
}
