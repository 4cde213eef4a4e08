//! Makes foreign text harmless to read: what would hide, reorder or act is written out as `⟦U+202E⟧`.
//!
//! The page puts text into text nodes only, so nothing in it is ever markup; this is about what a *reader* sees.
//! Approvals come from the host with such marks already in them ([`Marks::Written`]); everything else has none, and its
//! own opening brackets are written out, so that a mark cannot be forged.

use std::borrow::Cow;

use lanyard_protocol::visible::{OPENING, is_false_space, is_invisible, written_out};

/// Whether the host has written the marks already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// It has (every text of an approval): the brackets in it are its own.
    Written,
    /// It has not: tool output, files, names.
    Missing,
}

/// One line: line feeds are written out too, tabs stay.
pub fn line(raw: &str, marks: Marks) -> Cow<'_, str> {
    written_out(raw, |c| hidden(c, marks) && c != '\t')
}

/// Text of several lines: line feeds and tabs stay.
pub fn block(raw: &str, marks: Marks) -> Cow<'_, str> {
    written_out(raw, |c| hidden(c, marks) && c != '\t' && c != '\n')
}

fn hidden(c: char, marks: Marks) -> bool {
    let by_marks = match marks {
        // What looks like a space in a marked text is one; prose may hold others.
        Marks::Written => is_false_space(c),
        Marks::Missing => c == OPENING,
    };
    c.is_control() || is_invisible(c) || by_marks
}

#[cfg(test)]
mod tests {
    use super::{Marks, block, line};
    use proptest::prelude::*;

    #[test]
    fn what_hides_or_acts_is_written_out() {
        for (raw, shown) in [
            ("a\u{202e}txt.exe", "a⟦U+202E⟧txt.exe"),
            ("\u{1b}]52;c;cm0=\u{7}", "⟦U+001B⟧]52;c;cm0=⟦U+0007⟧"),
            ("x\ny\tz", "x⟦U+000A⟧y\tz"),
            ("⟦U+001B⟧", "⟦U+27E6⟧U+001B⟧"),
            ("Grüße, עברית", "Grüße, עברית"),
        ] {
            assert_eq!(line(raw, Marks::Missing), shown);
        }
        assert_eq!(line("⟦U+001B⟧ rm\u{a0}x", Marks::Written), "⟦U+001B⟧ rm⟦U+00A0⟧x");
        assert_eq!(block("a\n\tb\r", Marks::Missing), "a\n\tb⟦U+000D⟧");
    }

    proptest! {
        #[test]
        fn nothing_that_hides_is_left(raw in any::<String>(), written in any::<bool>()) {
            let marks = if written { Marks::Written } else { Marks::Missing };
            let shown = block(&raw, marks);
            let hides = |c: char| (c.is_control() && c != '\n' && c != '\t') || super::is_invisible(c);
            prop_assert!(!shown.chars().any(hides));
        }
    }
}
