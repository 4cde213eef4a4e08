//! The letters of this page's keyboard. Approvals listen for `a` and `d` themselves.

use leptos::prelude::*;

use crate::route::{Route, Routes};

/// What can be done, for the overlay.
pub(super) const KEYS: &[(&str, &str)] = &[
    ("j, k, ↓, ↑", "next, previous"),
    ("Enter", "open"),
    ("a", "approve: once chooses, again answers"),
    ("d", "deny: once chooses, again answers"),
    ("/", "search"),
    ("g s", "sessions"),
    ("g a", "approvals"),
    ("g f", "files"),
    ("g h", "host"),
    ("g o", "addresses and other hosts"),
    ("g ,", "settings"),
    ("Esc", "close, leave a field"),
    ("?", "this"),
];

/// Listens for as long as the current owner lives.
pub(super) fn listen(routes: Routes, help: RwSignal<bool>) {
    let go = move |letter: &str| {
        let route = match letter {
            "s" => Route::Sessions,
            "a" => Route::Approvals,
            "f" => Route::Files(None),
            "h" => Route::Host,
            "o" => Route::Hosts,
            "," => Route::Settings,
            _ => return false,
        };
        routes.go(&route);
        true
    };
    lanyard_web_ui::keys::listen(go, || false, help);
}
