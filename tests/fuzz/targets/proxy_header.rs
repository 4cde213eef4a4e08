//! The header with which a proxy begins a connection to central, from the first byte.
//!
//! What is understood asks for no more bytes than the bound, gives an address once they are there and none before, and
//! an address that is found stands in the header byte by byte.
#![no_main]

use libfuzzer_sys::fuzz_target;

// Central is a program, not a library; this file of it needs nothing but the standard library and an error's text.
#[path = "../../../governance/central/src/proxy/header.rs"]
mod header;

fuzz_target!(|data: &[u8]| {
    let Some((start, rest)) = data.split_first_chunk::<{ header::START_BYTES }>() else { return };
    let Ok(start) = header::Start::read(start) else { return };
    assert!(start.rest_bytes() <= header::MAX_REST_BYTES);
    let Some(whole) = rest.get(..start.rest_bytes()) else {
        // Cut off: whatever there is of it, nothing panics.
        let _ = start.source(rest);
        return;
    };
    let source = start.source(whole).expect("a header that is whole is understood");
    assert_eq!(start.source(rest), Ok(source), "what follows the header says nothing");
    if let Some(source) = source {
        let (octets, port) = match source.ip() {
            std::net::IpAddr::V4(ip) => (ip.octets().to_vec(), 8),
            std::net::IpAddr::V6(ip) => (ip.octets().to_vec(), 32),
        };
        assert!(whole.starts_with(&octets));
        assert_eq!(whole[port..port + 2], source.port().to_be_bytes());
    }
});
