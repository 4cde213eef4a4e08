//! Foreign text inside our own sentences: one line, no control characters, cut.

/// Makes text from a gateway fit to be quoted in an error: control characters and runs of white space become one
/// space, and at most `max` characters stay.
pub(crate) fn quoted(raw: &str, max: usize) -> String {
    let mut shown = String::new();
    let mut count = 0;
    let words = raw.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    for word in words {
        let gap = usize::from(!shown.is_empty());
        for c in " ".chars().filter(|_| gap == 1).chain(word.chars()) {
            if count == max {
                shown.push('…');
                return shown;
            }
            shown.push(c);
            count += 1;
        }
    }
    shown
}

/// The longest prefix of at most `max` bytes that ends between characters.
pub(crate) fn prefix(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::{prefix, quoted};

    #[test]
    fn foreign_text_stays_on_one_line_and_ends() {
        assert_eq!(quoted("  a\r\n\u{1b}[31mb\t c ", 99), "a [31mb c");
        assert_eq!(quoted("ä".repeat(500).as_str(), 3), "äää…");
        assert_eq!(quoted("abc def", 4), "abc …");
        assert_eq!(quoted("", 4), "");
    }

    #[test]
    fn a_prefix_never_cuts_a_character() {
        assert_eq!(prefix("aä", 2), "a");
        assert_eq!(prefix("aä", 3), "aä");
        assert_eq!(prefix("aä", 99), "aä");
    }
}
