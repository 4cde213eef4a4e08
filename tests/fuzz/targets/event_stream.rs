//! Server-sent events, as central sends commands to a host.
//!
//! However the stream is cut into pieces, the same events come out, and a stream that is refused is refused either way.
#![no_main]

use lanyard_governance_client::commands::SseParser;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((size, stream)) = data.split_first() else { return };
    let whole = SseParser::new().push(stream);
    let (mut parser, mut events, mut refused) = (SseParser::new(), Vec::new(), false);
    for piece in stream.chunks(usize::from(*size).max(1)) {
        match parser.push(piece) {
            Ok(more) => events.extend(more),
            Err(_) => {
                refused = true;
                break;
            }
        }
    }
    match whole {
        Ok(whole) => assert!(!refused && whole == events, "cut into pieces of {size}"),
        Err(_) => assert!(refused, "taken in pieces of {size}"),
    }
    for event in &events {
        // A byte that is no text becomes the three of U+FFFD.
        assert!(!event.name.is_empty() && event.data.len() <= 3 * stream.len() && !event.id.contains('\0'));
    }
});
