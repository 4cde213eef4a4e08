//! Makes foreign text harmless in a terminal: what would move the cursor, change the window, write to the clipboard
//! or reverse the reading order is written out as `⟦U+001B⟧`.

use std::borrow::Cow;

use lanyard_protocol::visible::{is_false_space, is_invisible};

/// Opens the mark. In text that was not marked by the host it is itself written out, so that marks cannot be forged.
const OPENING: char = '\u{27e6}';

fn write_out<'a>(raw: &'a str, hidden: impl Fn(char) -> bool) -> Cow<'a, str> {
    if !raw.contains(&hidden) {
        return Cow::Borrowed(raw);
    }
    let mut shown = String::with_capacity(raw.len() + 16);
    for c in raw.chars() {
        match hidden(c) {
            true => shown.push_str(&format!("{OPENING}U+{:04X}\u{27e7}", u32::from(c))),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// One line of foreign text; line feeds are written out too, tabs stay.
pub(crate) fn line(raw: &str) -> Cow<'_, str> {
    write_out(raw, |c| (c.is_control() && c != '\t') || is_invisible(c) || c == OPENING)
}

/// Foreign text of several lines; line feeds and tabs stay.
pub(crate) fn block(raw: &str) -> Cow<'_, str> {
    write_out(raw, |c| (c.is_control() && c != '\t' && c != '\n') || is_invisible(c) || c == OPENING)
}

/// [`line`] for text whose marks the host has written already (approvals): its brackets are its own. What looks like a
/// space there is one; prose may hold others.
pub(crate) fn marked_line(raw: &str) -> Cow<'_, str> {
    write_out(raw, |c| (c.is_control() && c != '\t') || is_invisible(c) || is_false_space(c))
}

/// [`block`] for text whose marks the host has written already.
pub(crate) fn marked_block(raw: &str) -> Cow<'_, str> {
    write_out(raw, |c| (c.is_control() && c != '\t' && c != '\n') || is_invisible(c) || is_false_space(c))
}

/// [`line`], cut to a number of characters.
pub(crate) fn short_line(raw: &str, max_chars: usize) -> String {
    match raw.char_indices().nth(max_chars) {
        None => line(raw).into_owned(),
        Some((cut, _)) => format!("{}…", line(&raw[..cut])),
    }
}

#[cfg(test)]
mod tests {
    use super::{block, line, marked_line, short_line};
    use proptest::prelude::*;

    #[test]
    fn what_would_act_on_the_terminal_is_written_out() {
        for (raw, shown) in [
            ("\u{1b}[2J", "⟦U+001B⟧[2J"),
            ("\u{1b}]52;c;cm0=\u{7}", "⟦U+001B⟧]52;c;cm0=⟦U+0007⟧"),
            ("\u{9b}31m", "⟦U+009B⟧31m"),
            ("ok\rrm -rf", "ok⟦U+000D⟧rm -rf"),
            ("a\u{202e}txt.exe", "a⟦U+202E⟧txt.exe"),
            ("a\u{2066}b", "a⟦U+2066⟧b"),
            ("x\ny", "x⟦U+000A⟧y"),
            ("⟦U+001B⟧", "⟦U+27E6⟧U+001B⟧"),
        ] {
            assert_eq!(line(raw), shown);
        }
        assert_eq!(marked_line("⟦U+001B⟧\u{8}"), "⟦U+001B⟧⟦U+0008⟧");
        assert_eq!(marked_line("rm\u{a0}x"), "rm⟦U+00A0⟧x");
        assert_eq!(block("a\n\tb\u{8}"), "a\n\tb⟦U+0008⟧");
    }

    #[test]
    fn ordinary_text_is_untouched() {
        for plain in ["cargo test", "Grüße, 世界, עברית", "├── src\tüber\u{a0}alles"] {
            assert!(matches!(line(plain), std::borrow::Cow::Borrowed(_)), "{plain}");
        }
        assert_eq!(short_line("äöüß", 2), "äö…");
        assert_eq!(short_line("äö", 2), "äö");
    }

    proptest! {
        #[test]
        fn nothing_shown_acts_on_a_terminal(raw in any::<String>()) {
            let harmless = |text: &str| !text.chars().any(|c| c.is_control() && c != '\t' || super::is_invisible(c));
            prop_assert!(harmless(&line(&raw)));
            prop_assert!(harmless(&marked_line(&raw)));
            prop_assert!(block(&raw).split('\n').all(harmless));
        }
    }
}
