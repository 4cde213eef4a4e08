//! Makes text safe to show in an approval: what cannot be seen is written out (6-security.md, item 22).
//!
//! Terminal escapes, direction overrides and zero-width characters can make a reader approve something else than
//! what runs. They are replaced by their code point in `⟦U+001B⟧` form; the opening bracket is itself written that
//! way, so that the marks cannot be forged.

use std::borrow::Cow;

use lanyard_protocol::visible::{OPENING, is_false_space, written_out};
pub use lanyard_protocol::visible::{is_invisible, is_style_selector};

/// Text of several lines; line feeds and tabs stay.
pub fn text(raw: &str) -> Cow<'_, str> {
    written_out(raw, |c| hidden(c) && c != '\n' && c != '\t')
}

/// Text of one line; line feeds and tabs are written out too.
pub fn line(raw: &str) -> Cow<'_, str> {
    written_out(raw, hidden)
}

/// [`line()`], cut to at most `max_chars` characters of the original with the number left out named.
pub fn clipped_line(raw: &str, max_chars: usize) -> String {
    match raw.char_indices().nth(max_chars) {
        None => line(raw).into_owned(),
        Some((cut, _)) => {
            let rest = raw[cut..].chars().count();
            format!("{} … ({rest} more characters)", line(&raw[..cut]))
        }
    }
}

fn hidden(c: char) -> bool {
    c.is_control() || is_invisible(c) || is_false_space(c) || c == OPENING
}

#[cfg(test)]
mod tests {
    use super::{clipped_line, line, text};
    use proptest::prelude::*;

    #[test]
    fn item_22_what_cannot_be_seen_is_written_out() {
        assert_eq!(line("\u{1b}[31mrm\u{1b}[0m"), "⟦U+001B⟧[31mrm⟦U+001B⟧[0m");
        assert_eq!(line("\u{1b}]52;c;cm0=\u{7}"), "⟦U+001B⟧]52;c;cm0=⟦U+0007⟧");
        assert_eq!(line("safe\u{202e}gnp.exe"), "safe⟦U+202E⟧gnp.exe");
        assert_eq!(line("a\u{200b}b\u{feff}"), "a⟦U+200B⟧b⟦U+FEFF⟧");
        assert_eq!(line("ls # harmless\nrm -rf x"), "ls # harmless⟦U+000A⟧rm -rf x");
        assert_eq!(line("rm\u{a0}x"), "rm⟦U+00A0⟧x");
        assert_eq!(text("a\r\nb\tc"), "a⟦U+000D⟧\nb\tc");
    }

    #[test]
    fn item_22_the_marks_cannot_be_forged() {
        assert_eq!(line("⟦U+001B⟧"), "⟦U+27E6⟧U+001B⟧");
    }

    #[test]
    fn ordinary_text_of_any_script_is_untouched() {
        for plain in ["cargo test", "Grüße, 世界, עברית, ⚠\u{fe0f} done"] {
            assert!(matches!(line(plain), std::borrow::Cow::Borrowed(_)), "{plain}");
        }
    }

    #[test]
    fn clipping_says_how_much_is_missing() {
        assert_eq!(clipped_line("abcdef", 4), "abcd … (2 more characters)");
        assert_eq!(clipped_line("äöü", 3), "äöü");
    }

    proptest! {
        #[test]
        fn a_line_never_holds_a_control_or_invisible_character(raw in any::<String>()) {
            prop_assert!(!line(&raw).chars().any(|c| c.is_control() || super::is_invisible(c)));
        }
    }
}
