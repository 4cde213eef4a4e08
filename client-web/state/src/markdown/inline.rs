//! Running text: emphasis, code, links.
//!
//! Time is linear in the text for each level of nesting: a mark that was once sought in vain is not sought again.

use lanyard_protocol::visible::is_invisible;

use super::link::Target;
use super::{Inline, work};

/// Emphasis within emphasis, links within it; deeper marks are text.
const MAX_NESTING: usize = 4;

/// Bytes of the text of a link; what is longer was no link.
pub(super) const MAX_LABEL_BYTES: usize = 1_000;

/// Bytes in which the end of an address is sought: more than any that is linked.
pub(super) const MAX_ADDRESS_BYTES: usize = 2_200;

/// The pieces of a paragraph.
pub(super) fn inlines(text: &str) -> Vec<Inline> {
    parse(text, MAX_NESTING)
}

/// Marks that open and close alike, longest first.
const PAIRS: [&str; 6] = ["**", "__", "~~", "*", "_", "`"];

struct Parser<'a> {
    text: &'a str,
    at: usize,
    nesting: usize,
    out: Vec<Inline>,
    plain: String,
    /// Which of [`PAIRS`] do not close any more.
    exhausted: [bool; PAIRS.len()],
}

fn parse(text: &str, nesting: usize) -> Vec<Inline> {
    let exhausted = [false; PAIRS.len()];
    let mut parser = Parser { text, at: 0, nesting, out: Vec::new(), plain: String::new(), exhausted };
    while let Some(c) = parser.rest().chars().next() {
        work::done(1);
        if !parser.special(c) {
            parser.plain.push(c);
            parser.at += c.len_utf8();
        }
    }
    parser.flush();
    parser.out
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn before(&self) -> Option<char> {
        self.text[..self.at].chars().next_back()
    }

    fn flush(&mut self) {
        if !self.plain.is_empty() {
            self.out.push(Inline::Text(prose(&std::mem::take(&mut self.plain))));
        }
    }

    fn put(&mut self, piece: Inline, length: usize) -> bool {
        self.flush();
        self.out.push(piece);
        self.at += length;
        true
    }

    /// Takes what begins here, if it is more than a character.
    fn special(&mut self, c: char) -> bool {
        match c {
            '\n' => self.line_end(),
            '\\' => self.escape(),
            '`' => self.code(),
            '*' | '_' | '~' => self.emphasis(),
            '[' => self.link(0),
            '!' if self.rest().starts_with("![") => self.link(1),
            '<' => self.angle(),
            'h' | 'H' => self.bare_address(),
            _ => false,
        }
    }

    fn line_end(&mut self) -> bool {
        let hard = self.plain.ends_with("  ");
        self.plain.truncate(self.plain.trim_end_matches(' ').len());
        if hard {
            return self.put(Inline::Break, 1);
        }
        self.plain.push(' ');
        self.at += 1;
        true
    }

    fn escape(&mut self) -> bool {
        match self.rest().chars().nth(1) {
            Some('\n') => self.put(Inline::Break, 2),
            Some(c) if c.is_ascii_punctuation() => {
                self.plain.push(c);
                self.at += 2;
                true
            }
            _ => false,
        }
    }

    fn code(&mut self) -> bool {
        let ticks = self.rest().bytes().take_while(|b| *b == b'`').count();
        work::done(ticks);
        let body = &self.rest()[ticks..];
        let end = if ticks == 1 && self.exhausted[5] { None } else { closing_ticks(body, ticks) };
        let Some(end) = end else {
            // Runs of other lengths are few; a single tick may come a thousand times.
            self.exhausted[5] |= ticks == 1;
            self.plain.push_str(&self.rest()[..ticks]);
            self.at += ticks;
            return true;
        };
        let code = body[..end].replace('\n', " ");
        let padded = code.starts_with(' ') && code.ends_with(' ') && !code.trim().is_empty();
        let code = if padded { &code[1..code.len() - 1] } else { &code };
        let shown = crate::visible::line(code, crate::visible::Marks::Missing).into_owned();
        self.put(Inline::Code(shown), ticks + end + ticks)
    }

    fn emphasis(&mut self) -> bool {
        let Some(kind) = PAIRS[..5].iter().position(|mark| self.rest().starts_with(mark)) else {
            return false;
        };
        let mark = PAIRS[kind];
        let word_before = self.before().is_some_and(char::is_alphanumeric);
        let body = &self.rest()[mark.len()..];
        let opens = body.starts_with(|c: char| !c.is_whitespace()) && !(mark.starts_with('_') && word_before);
        let end = match opens && self.nesting > 0 && !self.exhausted[kind] {
            true => closing(body, mark),
            false => None,
        };
        let Some(end) = end.filter(|end| *end > 0) else {
            self.exhausted[kind] |= opens && end.is_none();
            // The whole mark, so that half of it is not taken for a shorter one.
            self.plain.push_str(mark);
            self.at += mark.len();
            return true;
        };
        let inner = parse(&body[..end], self.nesting - 1);
        let piece = match kind {
            0 | 1 => Inline::Strong(inner),
            2 => Inline::Struck(inner),
            _ => Inline::Emphasis(inner),
        };
        self.put(piece, 2 * mark.len() + end)
    }

    /// `[text](address)`, after `skip` bytes of an exclamation mark: a picture is a link to it, never fetched.
    fn link(&mut self, skip: usize) -> bool {
        if self.nesting == 0 {
            return false;
        }
        let body = &self.rest()[skip + 1..];
        let Some(close) = first(body, MAX_LABEL_BYTES, |b| b == b']') else { return false };
        let Some(address) = body[close + 1..].strip_prefix('(') else { return false };
        // An address holds no space and no line end; a title after it is dropped.
        let end = first(address, MAX_ADDRESS_BYTES, |b| matches!(b, b')' | b'\n'));
        let Some(end) = end.filter(|end| address[*end..].starts_with(')')) else { return false };
        let href = address[..end].split_whitespace().next().unwrap_or_default();
        let Some(target) = Target::parse(href.trim_start_matches('<').trim_end_matches('>')) else {
            return false;
        };
        let label = &body[..close];
        let text = match label.trim().is_empty() {
            true => vec![Inline::Text(target.host.clone())],
            false => parse(label, 1).into_iter().map(without_link).collect(),
        };
        self.put(Inline::Link { target, text }, skip + 1 + close + 2 + end + 1)
    }

    /// `<https://…>`; every other angle bracket is text.
    fn angle(&mut self) -> bool {
        let body = &self.rest()[1..];
        let end = first(body, MAX_ADDRESS_BYTES, |b| matches!(b, b'>' | b' ' | b'\n' | b'<'));
        let Some(end) = end.filter(|end| body[*end..].starts_with('>')) else { return false };
        let Some(target) = Target::parse(&body[..end]) else { return false };
        let text = vec![Inline::Text(target.href.clone())];
        self.put(Inline::Link { target, text }, end + 2)
    }

    fn bare_address(&mut self) -> bool {
        let rest = self.rest();
        let scheme = rest.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("http://"))
            || rest.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
        if !scheme || self.nesting == 0 || self.before().is_some_and(char::is_alphanumeric) {
            return false;
        }
        let stop =
            |b: u8| !b.is_ascii_graphic() || matches!(b, b'<' | b'>' | b'"' | b'`' | b'*' | b'|' | b']');
        let Some(end) =
            first(rest, MAX_ADDRESS_BYTES, stop).or((rest.len() < MAX_ADDRESS_BYTES).then_some(rest.len()))
        else {
            return false;
        };
        let mut address = rest[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', '\'']);
        // A bracket around the address is not part of it.
        while address.ends_with(')') && address.matches(')').count() > address.matches('(').count() {
            address = address[..address.len() - 1].trim_end_matches(['.', ',', ';', ':', '!', '?']);
        }
        let Some(target) = Target::parse(address) else { return false };
        let length = address.len();
        let text = vec![Inline::Text(target.href.clone())];
        self.put(Inline::Link { target, text }, length)
    }
}

/// Where the first such byte is, sought within a bounded stretch. The bytes sought are ASCII, or begin a character.
fn first(text: &str, within: usize, found: impl Fn(u8) -> bool) -> Option<usize> {
    let at = text.bytes().take(within).position(found);
    work::done(at.unwrap_or(within.min(text.len())));
    at
}

/// A link within a link is its text.
fn without_link(piece: Inline) -> Inline {
    match piece {
        Inline::Link { target, .. } => Inline::Text(target.href),
        other => other,
    }
}

fn closing_ticks(body: &str, ticks: usize) -> Option<usize> {
    let bytes = body.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes[at..].iter().take_while(|b| **b == b'`').count();
        work::done(run.max(1));
        if run == ticks {
            return Some(at);
        }
        at += run.max(1);
    }
    None
}

/// Where the mark closes what it opened: after something visible, outside of code, not as part of a longer run.
fn closing(body: &str, mark: &str) -> Option<usize> {
    let own = mark.chars().next()?;
    let bytes = body.as_bytes();
    let (mut at, mut before, mut no_more_code) = (0, None, false);
    while let Some(c) = body[at..].chars().next() {
        work::done(1);
        if c == '\\' {
            let next = body[at + 1..].chars().next().map_or(0, char::len_utf8);
            before = Some('\\');
            at += 1 + next;
            continue;
        }
        if c == '`' && !no_more_code {
            let ticks = bytes[at..].iter().take_while(|b| **b == b'`').count();
            work::done(ticks);
            before = Some('`');
            match closing_ticks(&body[at + ticks..], ticks) {
                Some(end) => at += ticks + end + ticks,
                None => {
                    no_more_code = true;
                    at += ticks;
                }
            }
            continue;
        }
        if c == own {
            let run = body[at..].chars().take_while(|next| *next == own).count();
            work::done(run);
            let after = body[at + run..].chars().next();
            let visible_before = before.is_some_and(|c: char| !c.is_whitespace());
            let in_word = own == '_' && after.is_some_and(char::is_alphanumeric);
            let fits = run == mark.len() || (run == 3 && mark.len() <= 2);
            if visible_before && !in_word && fits {
                // Of three, the inner emphasis takes its own first.
                return Some(at + if run == 3 && mark.len() == 2 { 1 } else { 0 });
            }
            before = Some(own);
            at += run;
            continue;
        }
        before = Some(c);
        at += c.len_utf8();
    }
    None
}

/// Prose with what hides or reorders written out. Joiners stay between letters of scripts that need them (and within
/// emoji), where they cannot disguise a name or a path.
fn prose(text: &str) -> String {
    if !text.chars().any(|c| c.is_control() || is_invisible(c)) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    let mut chars = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        let joiner = matches!(c, '\u{200c}' | '\u{200d}');
        let joins = joiner && !before.is_ascii() && chars.peek().is_some_and(|next| !next.is_ascii());
        if c == '\t' || joins || !(c.is_control() || is_invisible(c)) {
            shown.push(c);
        } else {
            shown.push_str(&format!("\u{27e6}U+{:04X}\u{27e7}", u32::from(c)));
        }
        before = c;
    }
    shown
}
