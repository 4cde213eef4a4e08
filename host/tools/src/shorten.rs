//! Cuts a long output down to what the model gets: its beginning and its end, and how much is missing in between.

use crate::text::floor_char;

/// An output of at most the asked size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortened {
    /// The text.
    pub text: String,
    /// Something was left out.
    pub truncated: bool,
}

/// Room for the line that says what is missing.
const NOTE_BYTES: usize = 96;

/// At most `cap_bytes` of `output`: 80 % from its beginning, 20 % from its end (errors stand there), cut between
/// lines where a line end is near and always between characters.
pub fn shorten(output: &str, cap_bytes: usize) -> Shortened {
    if output.len() <= cap_bytes {
        return Shortened { text: output.to_owned(), truncated: false };
    }
    let Some(room) = cap_bytes.checked_sub(NOTE_BYTES) else {
        let text = output[..floor_char(output, cap_bytes)].to_owned();
        return Shortened { text, truncated: true };
    };
    let tail_room = room / 5;
    let head = head_end(output, room - tail_room);
    let tail = tail_start(output, output.len() - tail_room).max(head);
    let missing = &output[head..tail];
    let lines = missing.bytes().filter(|byte| *byte == b'\n').count();
    let start = if output[..head].ends_with('\n') { "" } else { "\n" };
    let note = format!("{start}[… {} bytes, {lines} line ends, left out here …]\n", missing.len());
    Shortened { text: format!("{}{note}{}", &output[..head], &output[tail..]), truncated: true }
}

/// Just behind the last line end in the second half of the room, else at its end.
fn head_end(text: &str, room: usize) -> usize {
    let end = floor_char(text, room);
    match text[..end].rfind('\n') {
        Some(feed) if feed >= end / 2 => feed + 1,
        _ => end,
    }
}

/// Just behind the first line end in the first half of what is left, else where it starts.
fn tail_start(text: &str, at: usize) -> usize {
    let start = ceil_char(text, at);
    let left = text.len() - start;
    match text[start..].find('\n') {
        Some(feed) if feed < left / 2 => start + feed + 1,
        _ => start,
    }
}

fn ceil_char(text: &str, at: usize) -> usize {
    let mut at = at;
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_output_is_untouched() {
        assert_eq!(shorten("abc", 3), Shortened { text: "abc".to_owned(), truncated: false });
    }

    #[test]
    fn beginning_and_end_stay_and_the_rest_is_counted() {
        let lines: Vec<String> = (0..1000).map(|n| format!("line {n}\n")).collect();
        let output = lines.concat();
        let short = shorten(&output, 1000);
        assert!(short.truncated && short.text.len() <= 1000);
        assert!(short.text.starts_with("line 0\n"));
        assert!(short.text.ends_with("\nline 999\n"));
        let (head, rest) = short.text.split_once("[… ").unwrap();
        let tail = rest.split_once("]\n").unwrap().1;
        assert!(head.len() > 3 * tail.len(), "80 to 20: {} to {}", head.len(), tail.len());
        let missing: usize = rest.split_once(' ').unwrap().0.parse().unwrap();
        assert_eq!(head.len() + missing + tail.len(), output.len());
        assert!(head.ends_with('\n') && tail.starts_with("line "), "cut between lines");
    }

    proptest! {
        #[test]
        fn never_longer_than_asked_and_never_torn(text in ".{0,400}", cap in 0..400_usize) {
            let short = shorten(&text, cap);
            prop_assert!(short.text.len() <= cap);
            prop_assert_eq!(short.truncated, text.len() > cap);
        }
    }
}
