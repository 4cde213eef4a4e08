//! What a file is shown as, decided by its first bytes and never by what it claims to be.

use crate::diff::ROW_CHARS;
use crate::visible::{self, Marks};

/// Most bytes of a text that are fetched to be shown: some tens of thousands of lines. The whole can be downloaded.
pub const MAX_VIEW_BYTES: u64 = 2 << 20;

/// What a file is shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Lines with numbers.
    Text,
    /// A picture, of this type.
    Image(&'static str),
    /// Its size, and a way to download it.
    Data,
}

/// Decides by the first bytes. Pictures that are text (SVG) are shown as text: they can hold more than a picture.
pub fn shown_as(first: &[u8], text: bool) -> Shown {
    let riff = |kind: &[u8]| first.starts_with(b"RIFF") && first.get(8..12) == Some(kind);
    match first {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Shown::Image("image/png"),
        [0xff, 0xd8, 0xff, ..] => Shown::Image("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Shown::Image("image/gif"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f', ..] => Shown::Image("image/avif"),
        _ if riff(b"WEBP") => Shown::Image("image/webp"),
        _ if text => Shown::Text,
        _ => Shown::Data,
    }
}

/// A text as rows of bounded length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines {
    /// Number of the line, absent where it goes on from the row before; and the row.
    pub rows: Vec<(Option<u32>, String)>,
    /// Lines of it.
    pub count: u32,
    /// Every line ends with carriage return and line feed.
    pub crlf: bool,
}

impl Lines {
    /// Bytes that are not UTF-8 are replaced, what hides is written out, long lines go on in further rows.
    pub fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = Self { crlf: text.contains("\r\n") && !lone_feed(&text), ..Self::default() };
        for line in text.split_terminator('\n') {
            lines.count = lines.count.saturating_add(1);
            let line = if lines.crlf { line.strip_suffix('\r').unwrap_or(line) } else { line };
            let shown = visible::line(line, Marks::Missing);
            let mut rest = shown.as_ref();
            let mut number = Some(lines.count);
            while let Some((at, _)) = rest.char_indices().nth(ROW_CHARS) {
                lines.rows.push((number.take(), rest[..at].to_owned()));
                rest = &rest[at..];
            }
            lines.rows.push((number, rest.to_owned()));
        }
        lines
    }
}

/// Whether a line feed stands without a carriage return before it.
fn lone_feed(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().any(|(at, byte)| *byte == b'\n' && (at == 0 || bytes[at - 1] != b'\r'))
}

#[cfg(test)]
mod tests {
    use super::{Lines, ROW_CHARS, Shown, shown_as};
    use proptest::prelude::*;

    #[test]
    fn pictures_are_known_by_their_first_bytes() {
        for (first, shown) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], Shown::Image("image/png")),
            (b"\xff\xd8\xff\xe0", Shown::Image("image/jpeg")),
            (b"GIF89a", Shown::Image("image/gif")),
            (b"RIFF\0\0\0\0WEBPVP8 ", Shown::Image("image/webp")),
            (b"\0\0\0\x1cftypavif", Shown::Image("image/avif")),
            (b"RIFF\0\0\0\0WAVE", Shown::Data),
            (b"\x7fELF", Shown::Data),
            (b"", Shown::Data),
        ] {
            assert_eq!(shown_as(first, false), shown, "{first:?}");
        }
        assert_eq!(shown_as(b"<svg onload=\"x()\">", true), Shown::Text);
        assert_eq!(shown_as(b"", true), Shown::Text);
    }

    #[test]
    fn lines_have_numbers_and_show_what_hides() {
        let lines = Lines::read("one\r\ntwo\u{202e}\r\n".as_bytes());
        assert_eq!(lines.rows, [(Some(1), "one".to_owned()), (Some(2), "two⟦U+202E⟧".to_owned())]);
        assert!(lines.crlf);
        let mixed = Lines::read(b"one\r\ntwo\n\nfour");
        assert_eq!((mixed.count, mixed.crlf, mixed.rows[0].1.as_str()), (4, false, "one⟦U+000D⟧"));
        let long = Lines::read("x".repeat(ROW_CHARS + 1).as_bytes());
        assert_eq!(long.rows.iter().map(|row| row.0).collect::<Vec<_>>(), [Some(1), None]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_shown_whole(bytes in proptest::collection::vec(any::<u8>(), 0..4_000)) {
            let lines = Lines::read(&bytes);
            let text = String::from_utf8_lossy(&bytes);
            prop_assert_eq!(lines.count as usize, text.split_terminator('\n').count());
            prop_assert!(lines.rows.iter().all(|(_, row)| row.chars().count() <= ROW_CHARS));
        }
    }
}
