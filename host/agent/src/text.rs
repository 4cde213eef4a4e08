//! Cutting text without breaking it.

/// Part of a cut text kept from its start; ends matter less, except for what a program said last.
const HEAD_PERCENT: usize = 80;

/// The largest index at or below `at` that lies between two characters.
pub(crate) fn floor_boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

fn ceil_boundary(text: &str, at: usize) -> usize {
    (at..=text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len())
}

/// At most about `max` bytes: head and tail in the proportion 80 to 20, with a mark that says how much is missing.
pub(crate) fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let head = floor_boundary(text, max / 100 * HEAD_PERCENT + max % 100 * HEAD_PERCENT / 100);
    let tail = ceil_boundary(text, text.len() - (max - head)).max(head);
    format!("{}\n[... {} bytes left out ...]\n{}", &text[..head], tail - head, &text[tail..])
}

/// The first line that is not blank, at most `max` characters, the rest shown as `…`.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    let clean = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = clean.clone().take(max).collect();
    if clean.count() > max {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_cut_and_cleaned() {
        assert_eq!(one_line("\n  mend\tthe \u{1b}[31mbug \nplease", 80), "mend the  [31mbug");
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(one_line("", 3), "");
    }

    proptest! {
        #[test]
        fn cut_text_is_bounded_and_keeps_both_ends(text in "\\PC{0,300}", max in 0usize..200) {
            let short = cut(&text, max);
            prop_assert!(short.len() <= max + 60);
            if text.len() > max {
                prop_assert!(short.contains("left out"));
                prop_assert!(text.starts_with(short.split("\n[...").next().unwrap()));
            } else {
                prop_assert_eq!(short, text);
            }
        }
    }
}
