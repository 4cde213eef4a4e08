//! From text to rows.

use super::words::Budget;
use super::{Diff, End, Kind, Line, MAX_ROWS, ROW_CHARS, Row, Span};
use crate::visible::{self, Marks};

/// How the host writes a carriage return in text that it has marked.
const MARKED_CR: &str = "\u{27e6}U+000D\u{27e7}";

/// Reads a unified diff. Takes whatever comes: what is no diff is shown as notes.
pub fn parse(text: &str, marks: Marks) -> Diff {
    let mut reader = Reader { diff: Diff::default(), marks, hunk: Hunk::default(), budget: Budget::new() };
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() && lines.peek().is_none() {
            break;
        }
        if reader.diff.rows.len() >= MAX_ROWS {
            reader.diff.left_out = 1 + lines.count() - usize::from(text.ends_with('\n'));
            break;
        }
        reader.line(line);
    }
    reader.end_of_block();
    reader.diff
}

struct Reader {
    diff: Diff,
    marks: Marks,
    hunk: Hunk,
    budget: Budget,
}

/// What the hunk under way still owes, and where its current block of changes began.
#[derive(Debug, Default)]
struct Hunk {
    old_left: u64,
    new_left: u64,
    old_number: u32,
    new_number: u32,
    /// Index of the first row of the changes under way.
    block: Option<usize>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix('\\') {
            return self.remark(rest);
        }
        if self.hunk.old_left == 0 && self.hunk.new_left == 0 {
            return self.header(line);
        }
        let (kind, content) = match line.as_bytes().first() {
            Some(b'+') => (Kind::Added, &line[1..]),
            Some(b'-') => (Kind::Removed, &line[1..]),
            Some(b' ') => (Kind::Same, &line[1..]),
            // Some tools drop the blank of an empty line; anything else is shown as it is.
            _ => (Kind::Same, line),
        };
        self.content(kind, content);
    }

    /// `\ No newline at end of file`.
    fn remark(&mut self, rest: &str) {
        let last = self.diff.rows.last_mut();
        match last {
            Some(Row::Line(line)) if rest.starts_with(" No newline") => line.end = End::NoNewline,
            _ => self.diff.rows.push(Row::Note(self.cleaned(rest.trim()))),
        }
    }

    fn header(&mut self, line: &str) {
        self.end_of_block();
        if let Some(start) = Start::read(line) {
            self.hunk = Hunk {
                old_left: start.old_count,
                new_left: start.new_count,
                old_number: start.old,
                new_number: start.new,
                block: None,
            };
            let about = self.cleaned(start.about.trim());
            self.diff.rows.push(Row::Hunk { old: start.old, new: start.new, about });
        } else if let (Some(path), true) = (line.strip_prefix("--- "), self.diff.rows.is_empty()) {
            self.diff.old_path = self.path(path, "a/");
        } else if let (Some(path), true) = (line.strip_prefix("+++ "), self.diff.rows.is_empty()) {
            self.diff.new_path = self.path(path, "b/");
        } else {
            self.diff.rows.push(Row::Note(self.cleaned(line)));
        }
    }

    fn path(&self, text: &str, side: &str) -> Option<String> {
        (text != "/dev/null").then(|| self.cleaned(text.strip_prefix(side).unwrap_or(text)))
    }

    fn cleaned(&self, text: &str) -> String {
        let end = text.char_indices().nth(ROW_CHARS).map_or(text.len(), |(at, _)| at);
        visible::line(&text[..end], self.marks).into_owned()
    }

    fn content(&mut self, kind: Kind, content: &str) {
        let (old, new) = self.count(kind);
        let (content, end) = match content.strip_suffix('\r').or_else(|| self.without_marked_cr(content)) {
            Some(rest) => (rest, End::CrLf),
            None => (content, End::Plain),
        };
        if kind == Kind::Same {
            self.end_of_block();
        } else if self.hunk.block.is_none() {
            self.hunk.block = Some(self.diff.rows.len());
        }
        let shown = visible::line(content, self.marks);
        let mut pieces = pieces(&shown).peekable();
        let mut first = true;
        while let Some(piece) = pieces.next() {
            let numbers = if first { (old, new) } else { (None, None) };
            let spans = vec![Span { text: piece.to_owned(), changed: false }];
            let end = if pieces.peek().is_none() { end } else { End::Plain };
            let line = Line { kind, old: numbers.0, new: numbers.1, continued: !first, spans, end };
            self.diff.rows.push(Row::Line(line));
            first = false;
        }
    }

    fn without_marked_cr<'a>(&self, content: &'a str) -> Option<&'a str> {
        match self.marks {
            Marks::Written => content.strip_suffix(MARKED_CR),
            Marks::Missing => None,
        }
    }

    /// The line's numbers; takes it off what the hunk owes.
    fn count(&mut self, kind: Kind) -> (Option<u32>, Option<u32>) {
        let hunk = &mut self.hunk;
        let (old, new) = (kind != Kind::Added, kind != Kind::Removed);
        let numbers = (old.then_some(hunk.old_number), new.then_some(hunk.new_number));
        if old {
            hunk.old_left = hunk.old_left.saturating_sub(1);
            hunk.old_number = hunk.old_number.saturating_add(1);
        }
        if new {
            hunk.new_left = hunk.new_left.saturating_sub(1);
            hunk.new_number = hunk.new_number.saturating_add(1);
        }
        match kind {
            Kind::Same => {}
            Kind::Added => self.diff.added = self.diff.added.saturating_add(1),
            Kind::Removed => self.diff.removed = self.diff.removed.saturating_add(1),
        }
        numbers
    }

    /// A run of changed lines is over: what differs within its lines is marked.
    fn end_of_block(&mut self) {
        if let Some(start) = self.hunk.block.take()
            && let Some(block) = self.diff.rows.get_mut(start..)
        {
            self.budget.mark(block);
        }
    }
}

/// The text in pieces of at most [`ROW_CHARS`] characters; one empty piece for an empty text.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (piece, left) = match text.char_indices().nth(ROW_CHARS) {
            Some((at, _)) => (&text[..at], Some(&text[at..])),
            None => (text, None),
        };
        rest = left;
        Some(piece)
    })
}

/// The numbers of `@@ -1,3 +1,4 @@ fn x()`.
struct Start<'a> {
    old: u32,
    old_count: u64,
    new: u32,
    new_count: u64,
    about: &'a str,
}

impl<'a> Start<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (ranges, about) = line.strip_prefix("@@ -")?.split_once(" @@")?;
        let (old, new) = ranges.split_once(" +")?;
        let range = |text: &str| match text.split_once(',') {
            Some((start, count)) => Some((start.parse::<u32>().ok()?, count.parse::<u64>().ok()?)),
            None => Some((text.parse::<u32>().ok()?, 1)),
        };
        let ((old, old_count), (new, new_count)) = (range(old)?, range(new)?);
        Some(Self { old, old_count, new, new_count, about })
    }
}
