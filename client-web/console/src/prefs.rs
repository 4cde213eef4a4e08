//! What this page looks like here: kept by this browser, known to nobody else.

use lanyard_web_view::Effect;
use leptos::prelude::*;

/// Light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Theme {
    /// As the device is.
    #[default]
    Auto,
    Light,
    Dark,
}

/// Under which the choice is kept; `boot.js` reads it before anything is drawn.
const KEY: &str = "lanyard.theme";

/// Reads what was chosen, and keeps what is chosen from now on.
pub(crate) fn theme() -> RwSignal<Theme> {
    let kept = storage().and_then(|storage| storage.get_item(KEY).ok().flatten());
    let theme = RwSignal::new(match kept.as_deref() {
        Some("light") => Theme::Light,
        Some("dark") => Theme::Dark,
        _ => Theme::Auto,
    });
    Effect::new(move |_| {
        let word = match theme.get() {
            Theme::Auto => None,
            Theme::Light => Some("light"),
            Theme::Dark => Some("dark"),
        };
        let Some(root) = document().document_element() else { return };
        // These fail only for names that are no names, and in browsers that keep nothing.
        let _ = match word {
            Some(word) => root.set_attribute("data-theme", word),
            None => root.remove_attribute("data-theme"),
        };
        let Some(storage) = storage() else { return };
        let _ = match word {
            Some(word) => storage.set_item(KEY, word),
            None => storage.remove_item(KEY),
        };
    });
    theme
}

/// Absent in private windows of some browsers.
fn storage() -> Option<web_sys::Storage> {
    window().local_storage().ok().flatten()
}
