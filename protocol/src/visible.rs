//! The one table of characters that a reader does not see, or takes for others (Unicode 16, DerivedCoreProperties and
//! PropList; UTS #39).
//!
//! Whoever shows foreign text, or compares names, asks here. Which of them are hidden depends on what is shown and is
//! theirs to decide; how a hidden one is written out is the same everywhere, see [`written_out`].

use std::borrow::Cow;

/// Opens the mark of a character that is written out. Who shows text that has no marks yet hides this one too, so that
/// no mark can be forged.
pub const OPENING: char = '\u{27e6}';

/// The text with every hidden character as its code point: `⟦U+202E⟧`.
pub fn written_out(raw: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !raw.contains(&hidden) {
        return Cow::Borrowed(raw);
    }
    let mut shown = String::with_capacity(raw.len() + 16);
    for c in raw.chars() {
        if hidden(c) {
            shown.push_str(&format!("{OPENING}U+{:04X}\u{27e7}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Whether a character shows nothing, or changes how its neighbours are shown: default-ignorable code points, direction
/// controls, line and paragraph separators, interlinear and tag characters. The two selectors that only choose between
/// text and emoji style are not counted, see [`is_style_selector`]; neither are control characters
/// ([`char::is_control`]).
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0d}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Variation selectors 15 and 16: harmless in prose ("⚠️"), still no part of an honest path.
pub fn is_style_selector(c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}')
}

/// Characters that look like a space and are not U+0020: the other space separators, and the empty braille pattern.
pub fn is_false_space(c: char) -> bool {
    matches!(
        c,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{2800}' | '\u{3000}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_listed_once() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let kinds = [is_invisible(c), is_style_selector(c), is_false_space(c)];
            assert!(kinds.iter().filter(|kind| **kind).count() <= 1, "{c:?} is of two kinds");
            let plain = c.is_alphanumeric() || c.is_ascii();
            // Fillers of Hangul count as letters and show nothing.
            let filler = matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}');
            assert!(!plain || filler || kinds == [false; 3], "{c:?} is an ordinary character");
            // Every white space is plain, a control, or named.
            let named = c == ' ' || c.is_control() || kinds.contains(&true);
            assert!(!c.is_whitespace() || named, "{c:?} passes for a space");
        }
    }

    #[test]
    fn the_characters_of_known_tricks_are_in_it() {
        for c in [
            '\u{202e}',
            '\u{2066}',
            '\u{200b}',
            '\u{200d}',
            '\u{feff}',
            '\u{ad}',
            '\u{2028}',
            '\u{e0041}',
            '\u{3164}',
        ] {
            assert!(is_invisible(c), "{c:?}");
        }
        assert!(is_false_space('\u{a0}') && is_false_space('\u{2800}') && is_style_selector('\u{fe0f}'));
    }
}
