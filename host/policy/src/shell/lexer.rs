//! The strict tokenizer: knows only the accepted forms and names everything else.

use std::{iter::Peekable, ops::Range, str::CharIndices};

use super::{MAX_BYTES, Opaque};
use crate::visible::is_invisible;

/// A token and the bytes it came from.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word, quotes resolved.
    Word(String),
    /// `&&`
    And,
    /// `||`
    Or,
    /// `|`
    Pipe,
    /// `;`
    Semicolon,
    /// A line end outside quotes.
    Newline,
    /// `<`, `>` or `>>` with the descriptor it changes; its path is the next word.
    Redirect { fd: u8, op: RedirectOp },
    /// `>&n`
    Duplicate { fd: u8, to: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RedirectOp {
    Read,
    Write,
    Append,
}

pub(super) fn tokenize(text: &str) -> Result<Vec<Token>, Opaque> {
    if text.len() > MAX_BYTES {
        return Err(Opaque::TooLong { bytes: text.len() });
    }
    for c in text.chars() {
        // Tab and newline have one meaning everywhere; carriage return does not (a word separator for some
        // parsers, a letter for the shell), and the rest only serve to deceive a reader.
        if c.is_control() && c != '\t' && c != '\n' {
            return Err(Opaque::ControlCharacter(c.into()));
        }
        if is_invisible(c) {
            return Err(Opaque::Invisible(c.into()));
        }
    }
    Lexer { chars: text.char_indices().peekable(), end: text.len(), tokens: Vec::new() }.run()
}

struct Lexer<'t> {
    chars: Peekable<CharIndices<'t>>,
    end: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn run(mut self) -> Result<Vec<Token>, Opaque> {
        while let Some(&(start, c)) = self.chars.peek() {
            match c {
                ' ' | '\t' => {
                    self.chars.next();
                }
                '\n' => self.operator(start, Kind::Newline),
                ';' => self.operator(start, Kind::Semicolon),
                '&' => {
                    self.chars.next();
                    if !self.take('&') {
                        return Err(Opaque::Background);
                    }
                    self.push(start, Kind::And);
                }
                '|' => {
                    self.chars.next();
                    let kind = if self.take('|') { Kind::Or } else { Kind::Pipe };
                    if self.sees('&') {
                        return Err(Opaque::Redirect("|&"));
                    }
                    self.push(start, kind);
                }
                '<' => self.redirect_in(start, 0)?,
                '>' => self.redirect_out(start, 1)?,
                _ => self.word(start)?,
            }
        }
        Ok(self.tokens)
    }

    fn operator(&mut self, start: usize, kind: Kind) {
        self.chars.next();
        self.push(start, kind);
    }

    fn push(&mut self, start: usize, kind: Kind) {
        let end = self.position();
        self.tokens.push(Token { kind, span: start..end });
    }

    fn position(&mut self) -> usize {
        self.chars.peek().map_or(self.end, |&(at, _)| at)
    }

    fn sees(&mut self, wanted: char) -> bool {
        self.chars.peek().is_some_and(|&(_, c)| c == wanted)
    }

    fn take(&mut self, wanted: char) -> bool {
        self.chars.next_if(|&(_, c)| c == wanted).is_some()
    }

    fn redirect_in(&mut self, start: usize, fd: u8) -> Result<(), Opaque> {
        self.chars.next();
        match self.chars.peek() {
            Some((_, '<')) => Err(Opaque::HereDocument),
            Some((_, '(')) => Err(Opaque::ProcessSubstitution),
            Some((_, '>')) => Err(Opaque::Redirect("<>")),
            Some((_, '&')) => Err(Opaque::Redirect("<&")),
            _ => {
                self.push(start, Kind::Redirect { fd, op: RedirectOp::Read });
                Ok(())
            }
        }
    }

    fn redirect_out(&mut self, start: usize, fd: u8) -> Result<(), Opaque> {
        self.chars.next();
        if self.take('&') {
            return self.duplicate(start, fd);
        }
        if self.sees('(') {
            return Err(Opaque::ProcessSubstitution);
        }
        let op = if self.take('>') { RedirectOp::Append } else { RedirectOp::Write };
        match self.chars.peek() {
            Some((_, '|')) => Err(Opaque::Redirect(">|")),
            Some((_, '&')) => Err(Opaque::Redirect(">>&")),
            Some((_, '>')) => Err(Opaque::Redirect(">>>")),
            Some((_, '(')) => Err(Opaque::ProcessSubstitution),
            _ => {
                self.push(start, Kind::Redirect { fd, op });
                Ok(())
            }
        }
    }

    /// `>&` was read: only a single digit 0–2 right behind it, followed by a delimiter, means the same in every shell.
    fn duplicate(&mut self, start: usize, fd: u8) -> Result<(), Opaque> {
        let to = match self.chars.next() {
            Some((_, '0')) => 0,
            Some((_, '1')) => 1,
            Some((_, '2')) => 2,
            _ => return Err(Opaque::Redirect(">&")),
        };
        match self.chars.peek() {
            None | Some((_, ' ' | '\t' | '\n' | ';' | '|' | '&')) => {
                self.push(start, Kind::Duplicate { fd, to });
                Ok(())
            }
            Some(_) => Err(Opaque::Redirect(">&")),
        }
    }

    fn word(&mut self, start: usize) -> Result<(), Opaque> {
        let mut word = Word::default();
        while let Some(&(_, c)) = self.chars.peek() {
            match c {
                ' ' | '\t' | '\n' | ';' | '&' | '|' => break,
                '<' | '>' => match word.descriptor()? {
                    None => break,
                    Some(fd) if c == '<' => return self.redirect_in(start, fd),
                    Some(fd) => return self.redirect_out(start, fd),
                },
                '\'' => {
                    self.chars.next();
                    self.single_quoted(&mut word)?;
                }
                '"' => {
                    self.chars.next();
                    self.double_quoted(&mut word)?;
                }
                '\\' => {
                    self.chars.next();
                    match self.chars.next() {
                        Some((_, escaped)) if escaped == ' ' || escaped.is_ascii_graphic() => {
                            word.literal(escaped)
                        }
                        _ => return Err(Opaque::Backslash),
                    }
                }
                '{' => {
                    self.chars.next();
                    self.brace_pair(&mut word)?;
                }
                _ => {
                    self.chars.next();
                    word.bare(c)?;
                }
            }
        }
        if word.braces && word.text != "{}" && !word.text.ends_with("{}") {
            return Err(Opaque::Brace);
        }
        self.push(start, Kind::Word(word.text));
        Ok(())
    }

    fn single_quoted(&mut self, word: &mut Word) -> Result<(), Opaque> {
        word.quoted = true;
        loop {
            match self.chars.next() {
                Some((_, '\'')) => break,
                Some((_, c)) => word.text.push(c),
                None => return Err(Opaque::UnclosedQuote),
            }
        }
        word.plain_before = false;
        Ok(())
    }

    fn double_quoted(&mut self, word: &mut Word) -> Result<(), Opaque> {
        word.quoted = true;
        loop {
            match self.chars.next() {
                Some((_, '"')) => break,
                Some((_, '$')) => return Err(Opaque::Expansion),
                Some((_, '`')) => return Err(Opaque::Backquote),
                // POSIX 2.2.3: inside double quotes a backslash is special only before these.
                Some((_, '\\')) => match self.chars.next() {
                    Some((_, c @ ('"' | '\\' | '$' | '`'))) => word.text.push(c),
                    Some((_, '\n')) => return Err(Opaque::Backslash),
                    Some((_, c)) => word.text.extend(['\\', c]),
                    None => return Err(Opaque::UnclosedQuote),
                },
                Some((_, c)) => word.text.push(c),
                None => return Err(Opaque::UnclosedQuote),
            }
        }
        word.plain_before = false;
        Ok(())
    }

    /// `{}` (the place holder of find and xargs) is literal in every shell; any other brace may expand.
    fn brace_pair(&mut self, word: &mut Word) -> Result<(), Opaque> {
        if word.braces || word.quoted || !self.take('}') {
            return Err(Opaque::Brace);
        }
        word.text.push_str("{}");
        word.braces = true;
        Ok(())
    }
}

/// A word under construction.
#[derive(Default)]
struct Word {
    text: String,
    /// Some part came from quotes or a backslash.
    quoted: bool,
    /// It holds the place holder `{}`.
    braces: bool,
    /// The last character was bare and harmless before a `~`.
    plain_before: bool,
}

impl Word {
    /// Takes one character outside quotes.
    fn bare(&mut self, c: char) -> Result<(), Opaque> {
        match c {
            '$' => return Err(Opaque::Expansion),
            '`' => return Err(Opaque::Backquote),
            '*' | '?' | '[' | ']' => return Err(Opaque::Glob(c)),
            '{' | '}' => return Err(Opaque::Brace),
            '(' | ')' => return Err(Opaque::Parenthesis),
            '!' => return Err(Opaque::Bang),
            '#' if self.text.is_empty() && !self.quoted => return Err(Opaque::Comment),
            // `HEAD~1` is literal everywhere; at the start of a word or behind `=`, `:` or a quote it may not be.
            '~' if !self.plain_before => return Err(Opaque::Tilde),
            _ if !c.is_ascii() => return Err(Opaque::UnquotedNonAscii(c.into())),
            _ => {}
        }
        self.text.push(c);
        self.plain_before = c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '^' | '~');
        Ok(())
    }

    /// Takes one character behind a backslash.
    fn literal(&mut self, c: char) {
        self.text.push(c);
        self.quoted = true;
        self.plain_before = false;
    }

    /// The descriptor a redirect right behind this word changes, `None` if the word is an argument of its own.
    /// More digits, or a descriptor above 2, are read differently by different shells.
    fn descriptor(&self) -> Result<Option<u8>, Opaque> {
        if self.quoted || !self.text.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(None);
        }
        match self.text.as_str() {
            "0" => Ok(Some(0)),
            "1" => Ok(Some(1)),
            "2" => Ok(Some(2)),
            _ => Err(Opaque::Redirect("n>")),
        }
    }
}
