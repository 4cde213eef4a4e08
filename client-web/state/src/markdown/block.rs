//! Blocks, line by line.
//!
//! Every block can be told by its own lines: nothing after a block changes it, and what follows can be parsed from its
//! own beginning. Streaming rests on that. So there are no link references, no underlined headings and no lazy quotes.

use super::inline::inlines;
use super::{Block, Inline, Item, work};
use crate::visible::{Marks, block as shown_block, line as shown_line};

/// Columns of a table; more are left as text. Phones show four.
const MAX_COLUMNS: usize = 16;

/// The blocks of a text and where each begins. The last block of an unfinished text may still become another; the one
/// before it is told apart only where the last one's first line is complete.
pub(super) fn blocks(source: &str, depth: usize) -> Vec<(Block, usize)> {
    let mut lines = Lines { source, at: 0 };
    let mut blocks: Vec<(Block, usize)> = Vec::new();
    while let Some(line) = lines.peek() {
        if line.trim().is_empty() {
            lines.advance();
            continue;
        }
        let start = lines.at;
        blocks.push((next_block(&mut lines, depth), start));
    }
    blocks
}

/// Where the last line of a text begins that may still grow; its length when it ends with a line feed.
pub(super) fn unfinished_line(source: &str) -> usize {
    source.rfind('\n').map_or(0, |at| at + 1)
}

struct Lines<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Lines<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<&'a str> {
        let rest = self.rest();
        let line = rest.split('\n').next()?;
        work::done(line.len());
        (!rest.is_empty()).then(|| line.trim_end_matches('\r'))
    }

    /// The line after the next one.
    fn peek_second(&self) -> Option<&'a str> {
        self.rest().split('\n').nth(1).map(|line| line.trim_end_matches('\r'))
    }

    fn advance(&mut self) {
        let before = self.at;
        self.at += self.rest().find('\n').map_or(self.rest().len(), |at| at + 1);
        work::done(self.at - before);
    }
}

fn next_block(lines: &mut Lines<'_>, depth: usize) -> Block {
    let line = lines.peek().unwrap_or_default();
    if let Some(fence) = Fence::opening(line) {
        return code(lines, &fence);
    }
    if let Some((level, text)) = heading(line) {
        lines.advance();
        return Block::Heading { level, text: inlines(text) };
    }
    if is_rule(line) {
        lines.advance();
        return Block::Rule;
    }
    if depth > 0 {
        if line.trim_start().starts_with('>') {
            return quote(lines, depth);
        }
        if let Some(marker) = Marker::of(line) {
            return list(lines, &marker, depth);
        }
    }
    table(lines).unwrap_or_else(|| paragraph(lines, depth))
}

fn indent(line: &str) -> usize {
    line.chars().take_while(|c| matches!(c, ' ' | '\t')).map(|c| if c == '\t' { 4 } else { 1 }).sum()
}

/// The line without at most that much indentation.
fn dedent(line: &str, columns: usize) -> &str {
    let mut left = columns;
    let mut rest = line;
    while left > 0 {
        rest = match rest.strip_prefix(' ') {
            Some(shorter) => {
                left -= 1;
                shorter
            }
            None => match rest.strip_prefix('\t') {
                Some(shorter) => {
                    left = left.saturating_sub(4);
                    shorter
                }
                None => break,
            },
        };
    }
    rest
}

struct Fence<'a> {
    mark: char,
    length: usize,
    indent: usize,
    language: &'a str,
}

impl<'a> Fence<'a> {
    fn opening(line: &'a str) -> Option<Self> {
        let rest = line.trim_start();
        let mark = rest.chars().next().filter(|c| matches!(c, '`' | '~'))?;
        let length = rest.chars().take_while(|c| *c == mark).count();
        let info = &rest[length..];
        let closes_itself = mark == '`' && info.contains('`');
        (length >= 3 && !closes_itself).then(|| Self {
            mark,
            length,
            indent: indent(line),
            language: info.split_whitespace().next().unwrap_or_default(),
        })
    }

    fn is_closed_by(&self, line: &str) -> bool {
        let rest = line.trim();
        rest.chars().count() >= self.length && rest.chars().all(|c| c == self.mark)
    }
}

fn code(lines: &mut Lines<'_>, fence: &Fence<'_>) -> Block {
    lines.advance();
    let mut body: Vec<&str> = Vec::new();
    let mut closed = false;
    while let Some(line) = lines.peek() {
        let unfinished = !lines.rest().contains('\n');
        lines.advance();
        if fence.is_closed_by(line) {
            closed = true;
            break;
        }
        // The closing fence, half written.
        let closing = !line.trim().is_empty() && line.trim().chars().all(|c| c == fence.mark);
        if !(unfinished && closing) {
            body.push(dedent(line, fence.indent));
        }
    }
    let text = body.join("\n");
    let language: String = shown_line(fence.language, Marks::Missing).chars().take(24).collect();
    Block::Code { language, text: shown_block(&text, Marks::Missing).into_owned(), closed }
}

fn heading(line: &str) -> Option<(u8, &str)> {
    let rest = line.trim_start();
    let level = rest.bytes().take_while(|b| *b == b'#').count();
    let text = rest.get(level..)?;
    let apart = text.is_empty() || text.starts_with([' ', '\t']);
    let level = u8::try_from(level).ok().filter(|level| (1..=6).contains(level) && apart)?;
    Some((level, text.trim().trim_end_matches('#').trim_end()))
}

fn is_rule(line: &str) -> bool {
    let mut marks = line.chars().filter(|c| !c.is_whitespace());
    let Some(mark) = marks.next().filter(|c| matches!(c, '-' | '*' | '_')) else { return false };
    let mut count = 1;
    marks.all(|c| {
        count += 1;
        c == mark
    }) && count >= 3
}

struct Marker {
    indent: usize,
    /// Columns up to the item's text.
    offset: usize,
    /// Bytes of the line up to there.
    bytes: usize,
    number: Option<u32>,
}

impl Marker {
    fn of(line: &str) -> Option<Self> {
        let rest = line.trim_start_matches([' ', '\t']);
        let lead = line.len() - rest.len();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (mark, number) = match digits {
            0 => (usize::from(rest.starts_with(['-', '*', '+'])), None),
            1..=9 if rest[digits..].starts_with(['.', ')']) => (digits + 1, rest[..digits].parse().ok()),
            _ => (0, None),
        };
        let after = rest.get(mark..)?;
        if mark == 0 || !(after.is_empty() || after.starts_with([' ', '\t'])) {
            return None;
        }
        let space = usize::from(!after.is_empty());
        let indent = indent(line);
        Some(Self { indent, offset: indent + mark + 1, bytes: lead + mark + space, number })
    }

    /// Whether another marker begins the next item of the same list.
    fn goes_on_with(&self, other: &Self) -> bool {
        other.indent < self.indent + 2 && self.number.is_some() == other.number.is_some()
    }
}

fn list(lines: &mut Lines<'_>, first: &Marker, depth: usize) -> Block {
    let mut items = Vec::new();
    let mut content = String::new();
    let mut offset = first.offset;
    let mut blank = false;
    let mut begun = false;
    while let Some(line) = lines.peek() {
        if line.trim().is_empty() {
            blank = true;
            content.push('\n');
            lines.advance();
            continue;
        }
        let marker = Marker::of(line).filter(|_| !is_rule(line));
        let within = indent(line) >= first.indent + 2;
        match marker {
            Some(marker) if !within && (!begun || first.goes_on_with(&marker)) => {
                if begun {
                    items.push(item(&content, depth));
                }
                content.clear();
                content.push_str(&line[marker.bytes..]);
                offset = marker.offset;
                begun = true;
            }
            Some(_) if !within => break,
            _ if within => content.push_str(dedent(line, offset)),
            // A line that was broken in the middle of a paragraph.
            _ if !blank && begins_no_block(line) => content.push_str(line.trim_start()),
            _ => break,
        }
        content.push('\n');
        blank = false;
        lines.advance();
    }
    items.push(item(&content, depth));
    Block::List { start: first.number, items }
}

fn item(content: &str, depth: usize) -> Item {
    let (done, rest) = match content.get(..4) {
        Some("[ ] ") => (Some(false), &content[4..]),
        Some("[x] " | "[X] ") => (Some(true), &content[4..]),
        _ => (None, content),
    };
    Item { done, blocks: inner(rest, depth) }
}

fn inner(content: &str, depth: usize) -> Vec<Block> {
    blocks(content, depth.saturating_sub(1)).into_iter().map(|(block, _)| block).collect()
}

fn quote(lines: &mut Lines<'_>, depth: usize) -> Block {
    let mut content = String::new();
    while let Some(rest) = lines.peek().and_then(|line| line.trim_start().strip_prefix('>')) {
        content.push_str(rest.strip_prefix(' ').unwrap_or(rest));
        content.push('\n');
        lines.advance();
    }
    Block::Quote(inner(&content, depth))
}

/// Whether a line only goes on with the paragraph before it.
fn begins_no_block(line: &str) -> bool {
    Fence::opening(line).is_none()
        && heading(line).is_none()
        && !is_rule(line)
        && !line.trim_start().starts_with('>')
        && Marker::of(line).is_none()
}

fn paragraph(lines: &mut Lines<'_>, depth: usize) -> Block {
    let mut text = String::new();
    while let Some(line) = lines.peek() {
        let ends =
            line.trim().is_empty() || (!begins_no_block(line) && (depth > 0 || !is_text_when_deep(line)));
        if !text.is_empty() {
            if ends {
                break;
            }
            text.push('\n');
        }
        text.push_str(line.trim_start());
        lines.advance();
    }
    Block::Paragraph(inlines(text.trim_end()))
}

/// Whether a line is text where lists and quotes are too deep to be some.
fn is_text_when_deep(line: &str) -> bool {
    Fence::opening(line).is_none() && heading(line).is_none() && !is_rule(line)
}

fn table(lines: &mut Lines<'_>) -> Option<Block> {
    let head = cells(lines.peek()?)?;
    if !is_delimiter(lines.peek_second()?, head.len()) {
        return None;
    }
    lines.advance();
    lines.advance();
    let mut rows = Vec::new();
    while let Some(row) = lines.peek().and_then(cells) {
        let mut row: Vec<Vec<Inline>> = row.into_iter().map(inlines).collect();
        row.resize(head.len(), Vec::new());
        rows.push(row);
        lines.advance();
    }
    Some(Block::Table { head: head.into_iter().map(inlines).collect(), rows })
}

/// The cells of a row; none when it is no row.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.trim();
    if !row.contains('|') {
        return None;
    }
    let row = row.strip_prefix('|').unwrap_or(row);
    let mut cells = Vec::new();
    let (mut start, mut code, mut escaped) = (0, false, false);
    for (at, c) in row.char_indices() {
        match c {
            '|' if !code && !escaped => {
                cells.push(row[start..at].trim());
                start = at + 1;
            }
            '`' => code = !code,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    if start < row.len() {
        cells.push(row[start..].trim());
    }
    (!cells.is_empty() && cells.len() <= MAX_COLUMNS).then_some(cells)
}

fn is_delimiter(line: &str, columns: usize) -> bool {
    let is_mark = |cell: &&str| {
        let dashes = cell.trim_start_matches(':').trim_end_matches(':');
        !dashes.is_empty() && dashes.bytes().all(|b| b == b'-')
    };
    cells(line).is_some_and(|cells| cells.len() == columns && cells.iter().all(is_mark))
}
