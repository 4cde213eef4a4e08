//! A pairing link, as a person pastes it or a camera reads it.
//!
//! What is understood can be written, and means the same when it is read again.
#![no_main]

use lanyard_pairing::link::{MAX_LINK_ADDRESSES, PairingLink};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(link) = PairingLink::parse(text) else { return };
    assert!(link.addresses.len() <= MAX_LINK_ADDRESSES);
    let written = link.to_url("https://192.168.1.7:7717");
    assert_eq!(PairingLink::parse(&written).as_ref(), Ok(&link));
    // The content has one spelling; only the page it is served from differs.
    let content = |url: &str| url.trim().split_once('#').map(|(_, content)| content.to_owned());
    assert_eq!(content(text), content(&written));
});
