//! Messages of a peer, as the multiplexer reads them, with a host that reads and writes between.
//!
//! Each message begins with its length (two bytes). Whatever comes, no more is held than the limits say, what is sent
//! fits a message and is understood by an honest peer's decoder, and after a breach there is nothing but the error.
#![no_main]

use lanyard_pairing::mux::frame::Frame;
use lanyard_pairing::mux::{Class, Limits, MAX_MESSAGE_BYTES, Mux, MuxEvent, Read, Role};
use libfuzzer_sys::fuzz_target;

fn respond(host: &mut Mux) {
    while let Some(event) = host.poll_event() {
        match event {
            MuxEvent::Readable(stream) => {
                let mut found = host.read(stream);
                while let Ok(Read::Chunk(chunk)) = found {
                    assert!(!chunk.is_empty());
                    // An echo: whatever does not fit is dropped. A stream that was finished takes nothing.
                    let _ = host.write(stream, &chunk);
                    found = host.read(stream);
                }
                if found == Ok(Read::Finished) {
                    // Fails when the end was told before.
                    let _ = host.finish(stream);
                }
            }
            MuxEvent::Opened { .. } | MuxEvent::Reset { .. } | MuxEvent::Writable(_) | MuxEvent::CanOpen => {}
            MuxEvent::Closed(_) => assert!(host.is_over()),
        }
    }
}

fn transmit(host: &mut Mux) {
    while let Some(message) = host.poll_transmit() {
        assert!(!message.is_empty() && message.len() <= MAX_MESSAGE_BYTES);
        let mut rest = message.as_slice();
        while !rest.is_empty() {
            Frame::take(&mut rest).expect("what is sent is understood");
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let limits = Limits::PAIRING;
    let mut host = Mux::new(Role::Responder, limits);
    let own = host.open(Class::Bulk).expect("the first stream");
    host.write(own, &[7; 3000]).expect("an open stream");
    let mut rest = input;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        let (message, after) = after.split_at(length);
        rest = after;
        let fed = host.feed(message);
        assert!(host.buffered() <= limits.max_buffered());
        if let Err(error) = fed {
            assert_eq!(host.feed(message), Err(error));
            assert_eq!((host.poll_transmit(), host.poll_event(), host.buffered()), (None, None, 0));
            return;
        }
        if host.is_over() {
            respond(&mut host);
            assert_eq!((host.poll_transmit(), host.poll_event(), host.buffered()), (None, None, 0));
            continue;
        }
        // Every other message is answered late.
        if length.is_multiple_of(2) {
            respond(&mut host);
            transmit(&mut host);
        }
        assert!(host.buffered() <= limits.max_buffered());
    }
});
