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

/// How large text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum TextSize {
    Small,
    /// As the browser is set.
    #[default]
    Normal,
    Large,
    Largest,
}

/// See the module. `Copy`: handles to signals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prefs {
    pub(crate) theme: RwSignal<Theme>,
    pub(crate) size: RwSignal<TextSize>,
    /// The device shakes shortly when something waits.
    pub(crate) vibrate: RwSignal<bool>,
    /// The system shows when something waits; asked of the browser when it is switched on.
    pub(crate) notify: RwSignal<bool>,
    /// What is asked may stand on a locked screen.
    pub(crate) show_content: RwSignal<bool>,
}

impl Prefs {
    /// Reads what was kept and keeps what changes. What the browser does not keep is as it was shipped.
    pub(crate) fn load() -> Self {
        let prefs = Self {
            theme: RwSignal::new(match read("theme").as_deref() {
                Some("light") => Theme::Light,
                Some("dark") => Theme::Dark,
                _ => Theme::Auto,
            }),
            size: RwSignal::new(match read("size").as_deref() {
                Some("small") => TextSize::Small,
                Some("large") => TextSize::Large,
                Some("largest") => TextSize::Largest,
                _ => TextSize::Normal,
            }),
            vibrate: RwSignal::new(read("vibrate").as_deref() != Some("off")),
            notify: RwSignal::new(read("notify").as_deref() == Some("on")),
            show_content: RwSignal::new(read("show").as_deref() == Some("on")),
        };
        Effect::new(move |_| {
            let word = match prefs.theme.get() {
                Theme::Auto => None,
                Theme::Light => Some("light"),
                Theme::Dark => Some("dark"),
            };
            mark("data-theme", word);
            keep("theme", word);
        });
        Effect::new(move |_| {
            let word = match prefs.size.get() {
                TextSize::Small => Some("small"),
                TextSize::Normal => None,
                TextSize::Large => Some("large"),
                TextSize::Largest => Some("largest"),
            };
            mark("data-size", word);
            keep("size", word);
        });
        Effect::new(move |_| keep("vibrate", (!prefs.vibrate.get()).then_some("off")));
        Effect::new(move |_| keep("notify", prefs.notify.get().then_some("on")));
        Effect::new(move |_| keep("show", prefs.show_content.get().then_some("on")));
        prefs
    }
}

/// On the root element, where the style sheets look.
fn mark(attribute: &str, word: Option<&str>) {
    let Some(root) = document().document_element() else { return };
    // Both fail only for names that are no names.
    let _ = match word {
        Some(word) => root.set_attribute(attribute, word),
        None => root.remove_attribute(attribute),
    };
}

/// Absent in private windows of some browsers.
fn storage() -> Option<web_sys::Storage> {
    window().local_storage().ok().flatten()
}

fn read(name: &str) -> Option<String> {
    storage()?.get_item(&format!("lanyard.{name}")).ok().flatten()
}

/// A browser that keeps nothing has the page as it was shipped each time; there is nobody to be told.
fn keep(name: &str, word: Option<&str>) {
    let Some(storage) = storage() else { return };
    let name = format!("lanyard.{name}");
    let _ = match word {
        Some(word) => storage.set_item(&name, word),
        None => storage.remove_item(&name),
    };
}
