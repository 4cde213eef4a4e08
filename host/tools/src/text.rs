//! Bytes of files as text, and the conventions of a file that an edit must keep.

use std::borrow::Cow;

/// The mark some editors put before UTF-8.
pub(crate) const BOM: &str = "\u{feff}";

/// Bytes looked at to tell text from data, as git does.
const SNIFFED: usize = 8000;

/// Whether the bytes are no text: a NUL near the beginning.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(SNIFFED)].contains(&0)
}

/// Text of any bytes; `true` when some were not UTF-8 and are shown as U+FFFD.
pub(crate) fn lossy(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    let text = String::from_utf8_lossy(bytes);
    let replaced = matches!(text, Cow::Owned(_));
    (text, replaced)
}

/// Whether every line feed follows a carriage return, and there is one.
pub(crate) fn is_crlf(text: &str) -> bool {
    let feeds = text.matches('\n').count();
    feeds > 0 && text.matches("\r\n").count() == feeds
}

/// The largest position not above `at` that lies between two characters.
pub(crate) fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// "1 line", "2 lines".
pub(crate) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_data() {
        assert!(!is_binary(b""));
        assert!(!is_binary("Grüße\n".as_bytes()));
        assert!(is_binary(b"\x7fELF\0\0"));
    }

    #[test]
    fn line_ends_count_only_when_all_agree() {
        assert!(is_crlf("a\r\nb\r\n"));
        assert!(!is_crlf("a\r\nb\n"));
        assert!(!is_crlf("a"));
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(floor_char("aä", 2), 1);
        assert_eq!(floor_char("aä", 9), 3);
    }
}
