//! Central's API, typed by the one table of endpoints: paths and queries ([`address`]), requests ([`fetch`]), and what is
//! said when something does not work ([`failed`]).

pub(crate) mod address;
mod failed;
mod fetch;
pub(crate) mod key;

pub(crate) use failed::Failed;
pub(crate) use fetch::{call, content, get};

/// A key that was never used before, for what must not be done twice.
pub(crate) fn fresh_key() -> String {
    let mut bytes = [0_u8; 16];
    let filled = leptos::prelude::window()
        .crypto()
        .and_then(|crypto| crypto.get_random_values_with_u8_array(&mut bytes));
    if filled.is_err() {
        // No browser that runs this page is without it; what is asked of the key is only that it is new.
        for byte in &mut bytes {
            *byte = (js_sys::Math::random() * 256.0) as u8;
        }
    }
    bytes.iter().fold("console-".to_owned(), |key, byte| format!("{key}{byte:02x}"))
}
