//! Unified diffs as rows: line numbers, what changed within a line, inline or side by side.
//!
//! Nothing of a diff is left out but what does not fit [`MAX_ROWS`], and then [`Diff::left_out`] says so: a person decides
//! by what they see here. A line longer than [`ROW_CHARS`] goes on in further rows. Lines of a hunk are told from headers
//! by the counts in its `@@` line, so that a removed line that reads `-- x` (written `--- x`) is not taken for a header.

mod parse;
mod sides;
mod words;

pub use parse::parse;
pub use sides::{Side, side_by_side};

/// Most rows of one diff. The host cuts diffs at 256 KiB; this many rows are some megabytes in a tab, and nobody reads
/// further.
pub const MAX_ROWS: usize = 20_000;

/// Most characters of a row; a longer line goes on in the next one, so that one line of a minified file does not make
/// the browser lay out hundreds of kilobytes at once.
pub const ROW_CHARS: usize = 1_000;

/// A diff, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// Name before, as the header says; absent for a created file.
    pub old_path: Option<String>,
    /// Name after; absent for a deleted file.
    pub new_path: Option<String>,
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
    /// Lines of the text that are not shown: more than [`MAX_ROWS`].
    pub left_out: usize,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// Where the following lines are: "line 18", with the function's name where the diff tells it.
    Hunk {
        /// First line before the change; 0 for none.
        old: u32,
        /// First line after it.
        new: u32,
        /// What stands behind the second `@@`.
        about: String,
    },
    /// A line of the file.
    Line(Line),
    /// Anything else that the diff says.
    Note(String),
}

/// What happens to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It stays.
    Same,
    /// It is new.
    Added,
    /// It goes.
    Removed,
}

impl Kind {
    /// The sign in front, so that colour is not the only mark.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Same => " ",
            Self::Added => "+",
            Self::Removed => "\u{2212}",
        }
    }

    /// For screen readers; empty for a line that stays.
    pub fn spoken(self) -> &'static str {
        match self {
            Self::Same => "",
            Self::Added => "added: ",
            Self::Removed => "removed: ",
        }
    }
}

/// A line, or the part of a long one that fits a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What happens to it.
    pub kind: Kind,
    /// Its number before; absent for added lines and continuations.
    pub old: Option<u32>,
    /// Its number after; absent for removed lines and continuations.
    pub new: Option<u32>,
    /// It goes on from the row before.
    pub continued: bool,
    /// The text, what hides in it written out.
    pub spans: Vec<Span>,
    /// How it ends, where that is worth a word.
    pub end: End,
}

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum End {
    /// As lines do, or in the next row.
    #[default]
    Plain,
    /// With carriage return and line feed.
    CrLf,
    /// Not at all: the file ends there.
    NoNewline,
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The text.
    pub text: String,
    /// It differs from the line it replaces.
    pub changed: bool,
}

impl Line {
    /// The text without marks.
    pub fn text(&self) -> String {
        self.spans.iter().map(|span| span.text.as_str()).collect()
    }
}

impl Diff {
    /// Nothing to show as text: the file is data, or was only moved.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// "+3 −1".
    pub fn counts(&self) -> String {
        format!("+{} \u{2212}{}", self.added, self.removed)
    }

    /// The digits that the largest line number takes, at least two: the width of the number columns.
    pub fn number_width(&self) -> usize {
        let largest = self.rows.iter().filter_map(|row| match row {
            Row::Line(line) => line.old.max(line.new),
            Row::Hunk { .. } | Row::Note(_) => None,
        });
        largest.max().unwrap_or(0).to_string().len().max(2)
    }
}

#[cfg(test)]
mod tests;
