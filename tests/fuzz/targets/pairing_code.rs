//! What a person types: a pairing code or a fingerprint.
//!
//! What is understood can be shown, and means the same when it is typed as it is shown.
#![no_main]

use lanyard_pairing::{Fingerprint, PairingCode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|typed: &str| {
    if let Ok(code) = PairingCode::parse(typed) {
        let shown = code.reveal();
        assert_eq!(PairingCode::parse(&shown).as_ref(), Ok(&code));
        assert_eq!(PairingCode::parse(&shown.to_lowercase()).as_ref(), Ok(&code));
        assert_eq!((shown.len(), shown.as_bytes()[4]), (9, b'-'));
    }
    if let Ok(print) = typed.parse::<Fingerprint>() {
        assert_eq!(print.to_string().parse(), Ok(print));
        assert!(print.to_string().starts_with(&print.short()));
    }
});
