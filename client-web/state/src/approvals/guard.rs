//! Keeps an answer from being given by accident: by a finger that was already on its way, or by a stray key.
//!
//! Buttons that have just appeared, or just moved, do nothing for [`INERT_MS`]. Keys count only while the card has the
//! focus, and take two strokes: the first chooses (and moves the focus to the button, so that it is seen and heard), the
//! second, of the same key within [`KEY_AGAIN_MS`], answers. One key anywhere on the page would approve a command when
//! somebody types a word while a question comes up.

use lanyard_protocol::approval::Decision;

/// Milliseconds for which buttons are inert after they appeared or moved: longer than a tap already begun takes to land.
pub const INERT_MS: f64 = 400.0;

/// Milliseconds within which the second stroke must follow.
pub const KEY_AGAIN_MS: f64 = 4_000.0;

/// Milliseconds in which a letter after `g` leads to another page and is no answer.
const AFTER_G_MS: f64 = 1_500.0;

/// What a key did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Press {
    /// Nothing.
    Nothing,
    /// It chose: the button takes the focus, and the same key answers.
    Chosen(Decision),
    /// It answers.
    Answer(Decision),
}

/// One card's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guard {
    moved_ms: f64,
    chosen: Option<(Decision, f64)>,
    /// When `g` was pressed last.
    g_ms: Option<f64>,
}

impl Guard {
    /// For a card that appears now (milliseconds of any steady clock).
    pub fn new(now_ms: f64) -> Self {
        Self { moved_ms: now_ms, chosen: None, g_ms: None }
    }

    /// The card was moved, or other cards around it were, or somebody came back to the page.
    pub fn moved(&mut self, now_ms: f64) {
        *self = Self::new(now_ms);
    }

    /// Whether a button may be pressed.
    pub fn is_live(&self, now_ms: f64) -> bool {
        now_ms - self.moved_ms >= INERT_MS
    }

    /// A key without modifiers, not held down, while the card has the focus and no text is being written.
    pub fn key(&mut self, key: &str, now_ms: f64) -> Press {
        let after_g = self.g_ms.take().is_some_and(|at| now_ms - at <= AFTER_G_MS);
        if key == "g" && !after_g {
            self.g_ms = Some(now_ms);
        }
        let decision = match key {
            _ if after_g => {
                self.chosen = None;
                return Press::Nothing;
            }
            "a" | "A" => Decision::Approved,
            "d" | "D" => Decision::Denied,
            _ => {
                self.chosen = None;
                return Press::Nothing;
            }
        };
        if !self.is_live(now_ms) {
            return Press::Nothing;
        }
        match self.chosen.take() {
            Some((before, at)) if before == decision && now_ms - at <= KEY_AGAIN_MS => {
                Press::Answer(decision)
            }
            _ => {
                self.chosen = Some((decision, now_ms));
                Press::Chosen(decision)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Guard, INERT_MS, KEY_AGAIN_MS, Press};
    use lanyard_protocol::approval::Decision::{Approved, Denied};

    #[test]
    fn what_has_just_appeared_or_moved_is_inert() {
        let mut guard = Guard::new(1_000.0);
        assert!(!guard.is_live(1_000.0 + INERT_MS - 1.0));
        assert!(guard.is_live(1_000.0 + INERT_MS));
        guard.moved(5_000.0);
        assert!(!guard.is_live(5_100.0));
        assert_eq!(guard.key("a", 5_100.0), Press::Nothing);
        assert_eq!(
            guard.key("a", 5_000.0 + INERT_MS),
            Press::Chosen(Approved),
            "the early stroke did not count"
        );
    }

    #[test]
    fn one_stroke_never_answers() {
        let mut guard = Guard::new(0.0);
        assert_eq!(guard.key("a", 1_000.0), Press::Chosen(Approved));
        assert_eq!(guard.key("d", 1_100.0), Press::Chosen(Denied), "another key chooses anew");
        assert_eq!(guard.key("x", 1_200.0), Press::Nothing);
        assert_eq!(guard.key("d", 1_300.0), Press::Chosen(Denied), "a key between takes the choice back");
        assert_eq!(guard.key("d", 1_400.0), Press::Answer(Denied));
        assert_eq!(guard.key("d", 1_500.0), Press::Chosen(Denied), "answered once");
    }

    #[test]
    fn a_letter_after_g_is_no_answer() {
        let mut guard = Guard::new(0.0);
        for (key, at, did) in [
            ("g", 1_000.0, Press::Nothing),
            ("a", 1_100.0, Press::Nothing),
            ("a", 1_200.0, Press::Chosen(Approved)),
            ("g", 1_300.0, Press::Nothing),
            ("a", 3_000.0, Press::Chosen(Approved)),
        ] {
            assert_eq!(guard.key(key, at), did, "{key} at {at}");
        }
    }

    #[test]
    fn a_late_second_stroke_is_a_first_one() {
        let mut guard = Guard::new(0.0);
        assert_eq!(guard.key("A", 1_000.0), Press::Chosen(Approved));
        assert_eq!(guard.key("a", 1_001.0 + KEY_AGAIN_MS), Press::Chosen(Approved));
    }

    #[test]
    fn a_choice_does_not_survive_a_move() {
        let mut guard = Guard::new(0.0);
        assert_eq!(guard.key("a", 1_000.0), Press::Chosen(Approved));
        guard.moved(1_100.0);
        assert_eq!(guard.key("a", 1_600.0), Press::Chosen(Approved));
    }
}
