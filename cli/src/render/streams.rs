//! Text that arrives in pieces: a model's answer as it is written, a tool's output folded at ten lines.

use std::collections::VecDeque;

use lanyard_protocol::id::StreamId;

/// Lines of one call's output shown as they come; the rest is counted.
const FOLD: usize = 10;

/// Last lines kept of what was folded, to be shown when the call fails: errors come last.
const TAIL: usize = 5;

/// Longest line of output shown; longer ones are cut, the artifact has the whole.
const MAX_LINE_CHARS: usize = 400;

/// What of an answer was shown.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) stream: StreamId,
    /// Bytes shown without a hole.
    shown: usize,
    /// Something visible was among them.
    begun: bool,
    /// A piece was missed: the rest waits for the whole.
    broken: bool,
}

impl Answer {
    pub(crate) fn new(stream: StreamId) -> Self {
        Self { stream, shown: 0, begun: false, broken: false }
    }

    /// The part of a piece to show now.
    pub(crate) fn piece<'a>(&mut self, text: &'a str, missing: u64) -> &'a str {
        self.broken |= missing > 0;
        if self.broken {
            return "";
        }
        // Models like to begin with empty lines.
        let text_to_show = if self.begun { text } else { text.trim_start() };
        self.begun |= !text_to_show.is_empty();
        self.shown += text.len();
        text_to_show
    }

    /// What is still to be shown once the whole is known, and whether it begins anew.
    pub(crate) fn rest<'a>(&self, whole: &'a str) -> (&'a str, bool) {
        match whole.get(self.shown..) {
            Some(rest) if self.begun => (rest, false),
            _ => (whole.trim_start(), self.begun),
        }
    }
}

/// The output of one call.
#[derive(Debug, Default)]
pub(crate) struct Output {
    partial: String,
    shown: usize,
    hidden: u64,
    tail: VecDeque<String>,
}

impl Output {
    /// Takes a piece and returns the lines to show now.
    pub(crate) fn piece(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let mut pieces = text.split('\n');
        self.extend_partial(pieces.next().unwrap_or_default());
        for piece in pieces {
            lines.extend(self.complete_line());
            self.extend_partial(piece);
        }
        lines
    }

    /// The last line, when the output did not end with a line feed.
    pub(crate) fn finish(&mut self) -> Option<String> {
        if self.partial.is_empty() { None } else { self.complete_line() }
    }

    /// Lines that were not shown.
    pub(crate) fn hidden(&self) -> u64 {
        self.hidden
    }

    /// The last of them.
    pub(crate) fn tail(&self) -> impl Iterator<Item = &str> {
        self.tail.iter().map(String::as_str)
    }

    /// Whether anything came.
    pub(crate) fn is_empty(&self) -> bool {
        self.shown == 0 && self.partial.is_empty()
    }

    fn extend_partial(&mut self, text: &str) {
        let room = (MAX_LINE_CHARS + 1).saturating_sub(self.partial.chars().count());
        self.partial.extend(text.chars().take(room));
    }

    fn complete_line(&mut self) -> Option<String> {
        let mut line = std::mem::take(&mut self.partial);
        if line.ends_with('\r') {
            line.pop();
        }
        let line = super::visible::short_line(&line, MAX_LINE_CHARS);
        if self.shown < FOLD {
            self.shown += 1;
            return Some(line);
        }
        self.hidden += 1;
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, FOLD, MAX_LINE_CHARS, Output, TAIL};
    use lanyard_protocol::id::StreamId;

    #[test]
    fn output_is_folded_and_its_end_is_kept() {
        let mut output = Output::default();
        let text: String = (1..=30).map(|n| format!("line {n}\r\n")).collect();
        // Whatever the pieces, the lines are the same.
        let mut shown = Vec::new();
        for piece in text.as_bytes().chunks(7) {
            shown.extend(output.piece(std::str::from_utf8(piece).unwrap()));
        }
        shown.extend(output.piece("the end"));
        shown.extend(output.finish());
        assert_eq!(shown.len(), FOLD);
        assert_eq!(shown[9], "line 10");
        assert_eq!(output.hidden(), 21);
        assert_eq!(output.tail().count(), TAIL);
        assert_eq!(output.tail().last(), Some("the end"));
    }

    #[test]
    fn a_line_without_end_does_not_grow_without_end() {
        let mut output = Output::default();
        for _ in 0..1_000 {
            assert_eq!(output.piece(&"x".repeat(1_000)), Vec::<String>::new());
        }
        let line = output.finish().unwrap();
        assert_eq!(line.chars().count(), MAX_LINE_CHARS + 1);
        assert!(line.ends_with('…'));
    }

    #[test]
    fn a_hole_in_an_answer_is_not_papered_over() {
        let mut answer = Answer::new(StreamId::new("s").unwrap());
        assert_eq!(answer.piece("one ", 0), "one ");
        assert_eq!(answer.piece("three", 4), "");
        assert_eq!(answer.rest("one two three"), ("two three", false));
        let mut other = Answer::new(StreamId::new("s").unwrap());
        other.piece("long void text", 0);
        assert_eq!(other.rest("short"), ("short", true));
    }
}
