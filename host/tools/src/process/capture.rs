//! Keeps the beginning and the end of an output of unknown length in bounded memory.

use std::collections::VecDeque;

/// What is kept of the end once the beginning is full: errors stand there.
const TAIL: usize = 64 << 10;

/// One stream of a finished program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// The beginning; everything when [`Captured::omitted`] is 0.
    pub head: Vec<u8>,
    /// The end, when something is omitted.
    pub tail: Vec<u8>,
    /// Bytes between the two that were not kept.
    pub omitted: u64,
}

impl Captured {
    /// Bytes the program wrote.
    #[must_use]
    pub fn total(&self) -> u64 {
        (self.head.len() + self.tail.len()) as u64 + self.omitted
    }

    /// Whether nothing was left out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.omitted == 0
    }

    /// The kept bytes as one text, with a line that says what is missing; invalid UTF-8 is replaced.
    #[must_use]
    pub fn to_text(&self) -> String {
        let head = String::from_utf8_lossy(&self.head);
        if self.is_whole() {
            return head.into_owned();
        }
        let tail = String::from_utf8_lossy(&self.tail);
        format!("{head}\n[{} bytes of output not kept]\n{tail}", self.omitted)
    }
}

/// A stream being read.
#[derive(Debug)]
pub(super) struct Capture {
    keep: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

impl Capture {
    pub(super) fn new(keep: usize) -> Self {
        Self { keep, head: Vec::new(), tail: VecDeque::new(), total: 0 }
    }

    /// Bytes seen.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let space = self.keep.saturating_sub(self.head.len()).min(bytes.len());
        let (fits, rest) = bytes.split_at(space);
        self.head.extend_from_slice(fits);
        // Of a piece longer than the tail only its end can stay.
        self.tail.extend(&rest[rest.len().saturating_sub(TAIL)..]);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
    }

    pub(super) fn finish(self) -> Captured {
        let (mut head, mut tail) = (self.head, Vec::from(self.tail));
        let omitted = self.total - (head.len() + tail.len()) as u64;
        if omitted == 0 {
            head.append(&mut tail);
        }
        Captured { head, tail, omitted }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_ends_are_kept_and_the_rest_is_counted(
            keep in 0..3000_usize,
            lengths in prop::collection::vec(0..40_000_usize, 0..8),
        ) {
            // A different byte at every place, as far as bytes go.
            let pieces: Vec<Vec<u8>> =
                lengths.iter().map(|length| (0..*length).map(|at| (at % 251) as u8).collect()).collect();
            let mut capture = Capture::new(keep);
            pieces.iter().for_each(|piece| capture.push(piece));
            let all = pieces.concat();
            let captured = capture.finish();
            prop_assert_eq!(captured.total(), all.len() as u64);
            prop_assert!(all.starts_with(&captured.head));
            prop_assert!(all.ends_with(&captured.tail));
            prop_assert!(captured.head.len() <= keep + TAIL && captured.tail.len() <= TAIL);
            prop_assert_eq!(captured.is_whole(), all.len() <= keep + TAIL);
            if captured.is_whole() {
                prop_assert_eq!(captured.head, all);
            }
        }
    }

    #[test]
    fn the_text_says_what_is_missing() {
        let captured = Captured { head: b"a".to_vec(), tail: b"z".to_vec(), omitted: 7 };
        assert_eq!(captured.to_text(), "a\n[7 bytes of output not kept]\nz");
        // A character that lies across the limit is not torn when nothing is missing.
        let mut capture = Capture::new(1);
        capture.push("ä".as_bytes());
        assert_eq!(capture.finish().to_text(), "ä");
    }
}
