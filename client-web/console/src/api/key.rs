//! The console's key: what goes with the cookie on every request, so that a cookie alone is worth nothing. Cookies are sent
//! to every port of a machine; this storage belongs to this origin alone.

use leptos::prelude::window;

/// Its name in the browser's storage.
const NAME: &str = "lanyard-console-key";

/// The query's member for streams and downloads, which take no header.
const IN_QUERY: &str = "console";

/// Keeps the key of a sign-in.
pub(crate) fn keep(key: &str) {
    if let Ok(Some(storage)) = window().local_storage() {
        // Without storage the sign-in ends with the next request, which says so.
        let _ = storage.set_item(NAME, key);
    }
}

/// Forgets it: signed out.
pub(crate) fn forget() {
    if let Ok(Some(storage)) = window().local_storage() {
        let _ = storage.remove_item(NAME);
    }
}

/// What is sent along; "1" where nobody is signed in, so that central knows who asks.
pub(crate) fn header() -> String {
    let kept =
        window().local_storage().ok().flatten().and_then(|storage| storage.get_item(NAME).ok().flatten());
    kept.filter(|key| !key.is_empty()).unwrap_or_else(|| "1".to_owned())
}

/// An address of a stream or a download, with the key.
pub(crate) fn in_address(address: &str) -> String {
    let joint = if address.contains('?') { '&' } else { '?' };
    format!("{address}{joint}{IN_QUERY}={}", header())
}
