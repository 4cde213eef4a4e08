//! Breaks prose between words, for a terminal that would break it inside them.

use super::paint::width_of;

/// Narrower terminals are left to break lines themselves.
const MIN_COLUMNS: usize = 24;

/// Spaces at the beginning of a line that make it a listing rather than prose.
const LISTING_INDENT: usize = 4;

fn columns_of(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

/// The text in lines of at most `width` columns, broken at spaces. A word that is longer stays whole.
pub(crate) fn wrapped(text: &str, width: Option<usize>) -> Vec<&str> {
    let Some(width) = width.filter(|width| *width >= MIN_COLUMNS) else { return vec![text] };
    let mut lines = Vec::new();
    let mut rest = text;
    while columns_of(rest) > width {
        let mut used = 0;
        let mut cut = None;
        for (at, c) in rest.char_indices() {
            if c == ' ' && !rest[..at].trim().is_empty() {
                if used <= width || cut.is_none() {
                    cut = Some(at);
                }
                if used > width {
                    break;
                }
            }
            used += width_of(c);
        }
        let Some(cut) = cut else { break };
        lines.push(rest[..cut].trim_end());
        rest = rest[cut..].trim_start();
        if rest.is_empty() {
            return lines;
        }
    }
    lines.push(rest);
    lines
}

/// The text, cut to a number of columns.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if columns_of(text) <= columns {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = text.chars().take_while(|c| {
        used += width_of(*c);
        used <= columns
    });
    fits.chain(['…']).collect()
}

/// Prose that arrives in pieces, each line of it indented. What is fenced, indented or a table stays as it is.
#[derive(Debug)]
pub(crate) struct Flow {
    indent: &'static str,
    /// Columns of the terminal; `None` breaks no line.
    width: Option<usize>,
    /// Columns written on this line; 0 before its first word.
    column: usize,
    /// Spaces not yet written.
    gap: usize,
    /// The word that has not ended.
    word: String,
    /// The word is longer than a line: it is written as it comes.
    long: bool,
    /// This line is not to be broken.
    whole: bool,
    fenced: bool,
}

impl Flow {
    pub(crate) fn new(indent: &'static str, width: Option<usize>) -> Self {
        let width = width.filter(|width| *width >= MIN_COLUMNS);
        Self {
            indent,
            width,
            column: 0,
            gap: 0,
            word: String::new(),
            long: false,
            whole: false,
            fenced: false,
        }
    }

    /// Takes a piece and writes what can be written of it.
    pub(crate) fn piece(&mut self, text: &str, out: &mut String) {
        for c in text.chars() {
            match c {
                '\n' => {
                    self.word_ends(out);
                    self.line_ends(out);
                }
                ' ' => {
                    self.word_ends(out);
                    self.gap += 1;
                }
                c if self.long => {
                    out.push(c);
                    self.column += width_of(c);
                }
                c => {
                    self.word.push(c);
                    if self.width.is_some_and(|width| self.word.len() >= width) {
                        self.word_ends(out);
                        self.long = true;
                    }
                }
            }
        }
        // Without a width nothing depends on where a word ends.
        if self.width.is_none() && !self.word.is_empty() {
            self.word_ends(out);
            self.long = true;
        }
    }

    /// Ends the line, if one is open, and whatever was fenced.
    pub(crate) fn close(&mut self, out: &mut String) {
        self.word_ends(out);
        if self.column > 0 {
            self.line_ends(out);
        }
        self.gap = 0;
        self.fenced = false;
    }

    fn word_ends(&mut self, out: &mut String) {
        self.long = false;
        if self.word.is_empty() {
            return;
        }
        let columns = columns_of(&self.word);
        if self.column == 0 {
            let fence = self.word.starts_with("```");
            self.whole = self.fenced || fence || self.gap >= LISTING_INDENT || self.word.starts_with('|');
            self.fenced ^= fence;
            self.begin_line(out, self.gap);
        } else if !self.whole && self.width.is_some_and(|width| self.column + self.gap + columns > width) {
            out.push('\n');
            self.begin_line(out, 0);
        } else {
            out.push_str(&" ".repeat(self.gap));
            self.column += self.gap;
        }
        self.gap = 0;
        out.push_str(&self.word);
        self.column += columns;
        self.word.clear();
    }

    fn begin_line(&mut self, out: &mut String, gap: usize) {
        out.push_str(self.indent);
        out.push_str(&" ".repeat(gap));
        self.column = self.indent.len() + gap;
    }

    fn line_ends(&mut self, out: &mut String) {
        out.push('\n');
        self.column = 0;
        self.gap = 0;
        self.whole = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Flow, columns_of, cut, wrapped};

    fn flow(pieces: &[&str], width: Option<usize>) -> String {
        let (mut flow, mut out) = (Flow::new("  ", width), String::new());
        pieces.iter().for_each(|piece| flow.piece(piece, &mut out));
        flow.close(&mut out);
        out
    }

    #[test]
    fn prose_breaks_between_words_and_listings_do_not_break() {
        let long = "x".repeat(40);
        let text =
            format!("one two three four five six seven\n\n```\n{}\n```\n{long} end", "a b ".repeat(20));
        let shown = flow(&[&text], Some(24));
        let expected = format!(
            "  one two three four\n  five six seven\n\n  ```\n  {}\n  ```\n  {long}\n  end\n",
            "a b ".repeat(20).trim_end()
        );
        assert_eq!(shown, expected);
    }

    #[test]
    fn lines_and_cuts() {
        assert_eq!(wrapped("one two three four five six", Some(24)), ["one two three four five", "six"]);
        assert_eq!(wrapped(&"y".repeat(30), Some(24)), ["y".repeat(30)]);
        assert_eq!(wrapped("one two", None), ["one two"]);
        assert_eq!((cut("世界世界", 5), cut("abc", 3)), ("世界…".to_owned(), "abc".to_owned()));
    }

    proptest! {
        /// However the text is cut into pieces, it is shown the same, and no word is lost.
        #[test]
        fn pieces_do_not_matter(text in "[a-z `|\n]{0,200}", size in 1_usize..9, wide in any::<bool>()) {
            let width = wide.then_some(30);
            let pieces: Vec<&str> = text.as_bytes().chunks(size).map(|p| std::str::from_utf8(p).unwrap()).collect();
            let shown = flow(&pieces, width);
            prop_assert_eq!(&shown, &flow(&[&text], width));
            prop_assert!(shown.split_whitespace().eq(text.split_whitespace()), "{}", shown);
        }

        #[test]
        fn wrapped_lines_fit(words in prop::collection::vec("[a-z世]{1,9}", 1..40)) {
            let text = words.join(" ");
            let lines = wrapped(&text, Some(30));
            prop_assert!(lines.iter().all(|line| columns_of(line) <= 30));
            prop_assert_eq!(lines.join(" "), text);
        }
    }
}
