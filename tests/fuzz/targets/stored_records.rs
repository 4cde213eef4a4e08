//! Values of the store's tables. The first byte of the input names the table, the rest is the value.
//!
//! Whatever a damaged file holds, reading it returns. An event that can be read can also be told: it can be written
//! in both codecs, and read again from each.
#![no_main]

use lanyard_protocol::codec::{from_json, from_postcard, to_json, to_postcard};
use lanyard_protocol::event::SessionEvent;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((table, value)) = input.split_first() else { return };
    lanyard_store::fuzz_decode(*table, value);
    // The byte before the value is the record's version.
    let Some(Ok(event)) = value.get(1..).map(from_postcard::<SessionEvent>) else { return };
    let stored = to_postcard(&event).expect("an event that was read can be stored");
    assert!(from_postcard::<SessionEvent>(&stored).is_ok(), "a stored event can be read");
    let told = to_json(&event).expect("an event that was read can be told");
    assert!(!told.contains('\n'), "an event is one line");
    let heard: SessionEvent = from_json(&told).expect("an event that was told is understood");
    assert_eq!((heard.seq, heard.body.name()), (event.seq, event.body.name()));
});
