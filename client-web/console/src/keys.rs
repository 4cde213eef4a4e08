//! The letters of the console's keyboard.

use lanyard_web_ui::keys;
use leptos::prelude::*;

use crate::route::{Part, Route, Routes};

/// What can be done, for the overlay.
pub(crate) const KEYS: &[(&str, &str)] = &[
    ("j, k, ↓, ↑", "next, previous"),
    ("Enter", "open"),
    ("/", "search; elsewhere than on the audit page, in the audit records"),
    ("g o", "overview"),
    ("g a", "approvals"),
    ("g s", "sessions"),
    ("g h", "hosts"),
    ("g p", "pairings"),
    ("g l", "policy"),
    ("g j", "jobs"),
    ("g r", "audit records"),
    ("g t", "telemetry"),
    ("g u", "people"),
    ("Esc", "close, leave a field"),
    ("?", "this"),
];

/// Frames that a page may take to be there after it was gone to: a second.
const FRAMES: u32 = 60;

/// Goes to the field to search in as soon as the page that has it is there.
fn focus_search_within(frames: u32) {
    request_animation_frame(move || {
        if !keys::focus_search() && frames > 0 {
            focus_search_within(frames - 1);
        }
    });
}

/// The part behind a letter.
fn part(letter: &str) -> Option<Part> {
    Some(match letter {
        "o" => Part::Overview,
        "a" => Part::Approvals,
        "s" => Part::Sessions,
        "h" => Part::Hosts,
        "p" => Part::Pairings,
        "l" => Part::Policy,
        "j" => Part::Jobs,
        "r" => Part::Audit,
        "t" => Part::Telemetry,
        "u" => Part::People,
        _ => return None,
    })
}

/// Listens for as long as the current owner lives.
pub(crate) fn listen(routes: Routes, help: RwSignal<bool>) {
    let go = move |letter: &str| part(letter).map(|part| routes.go(&part.route())).is_some();
    let search = move || {
        routes.go(&Route::Audit(None));
        focus_search_within(FRAMES);
        true
    };
    keys::listen(go, search, help);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_one_letter_and_the_help_says_it() {
        let letters: Vec<&str> = KEYS.iter().filter_map(|(keys, _)| keys.strip_prefix("g ")).collect();
        let reached: Vec<Part> = letters.iter().filter_map(|letter| part(letter)).collect();
        assert_eq!(reached.len(), letters.len());
        for wanted in Part::ALL {
            assert_eq!(reached.iter().filter(|part| **part == wanted).count(), 1, "{wanted:?}");
        }
    }
}
