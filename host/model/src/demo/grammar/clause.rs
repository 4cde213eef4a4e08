//! A part of a prompt that asks for one thing, and the ways to take names and texts out of it.

use super::super::lexer::{Kind, Token};

/// Words that say nothing at the beginning of a request.
const POLITE: &[&str] = &[
    "please", "now", "first", "finally", "also", "and", "next", "just", "kindly", "can", "could", "would",
    "will", "you", "let's", "lets", "i", "want", "to", "me", "hello", "hi", "hey", "ok", "okay", "then",
];

/// Words that may stand before a name and are no part of it.
const FILLER: &[&str] = &[
    "the",
    "a",
    "an",
    "my",
    "this",
    "me",
    "us",
    "new",
    "file",
    "files",
    "folder",
    "directory",
    "called",
    "named",
    "of",
    "content",
    "contents",
    "at",
    "from",
];

/// Words that are no name of their own unless quoted: something was left out.
const NAMELESS: &[&str] =
    &["the", "an", "my", "this", "me", "us", "file", "files", "folder", "directory", "it", "them"];

/// A part of the prompt that asks for one thing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clause<'a> {
    pub(super) source: &'a str,
    pub(super) tokens: &'a [Token],
}

impl<'a> Clause<'a> {
    pub(super) fn from(self, at: usize) -> Self {
        Self { tokens: self.tokens.get(at..).unwrap_or_default(), ..self }
    }

    pub(super) fn until(self, at: usize) -> Self {
        Self { tokens: &self.tokens[..at.min(self.tokens.len())], ..self }
    }

    /// The text as written.
    pub(super) fn raw(self) -> &'a str {
        match (self.tokens.first(), self.tokens.last()) {
            (Some(first), Some(last)) => &self.source[first.span.start..last.span.end],
            _ => "",
        }
    }

    /// The keywords, joined by single spaces.
    pub(super) fn phrase(self) -> String {
        self.tokens.iter().map(Token::keyword).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn keyword(self, at: usize) -> String {
        self.tokens.get(at).map(Token::keyword).unwrap_or_default()
    }

    /// Takes `N times` off the end. Zero counts as once: somebody asked for something.
    pub(super) fn times(self) -> (Self, usize) {
        let count = self.tokens.len();
        if count >= 3
            && self.keyword(count - 1) == "times"
            && let Ok(times) = self.keyword(count - 2).parse::<usize>()
        {
            return (self.until(count - 2), times.max(1));
        }
        (self, 1)
    }

    pub(super) fn without_courtesy(mut self) -> Self {
        while POLITE.contains(&self.keyword(0).as_str()) {
            self = self.from(1);
        }
        // "… and then …": the "and" belongs to "then".
        while self.tokens.len() > 1
            && matches!(self.keyword(self.tokens.len() - 1).as_str(), "and" | "please" | "thanks")
        {
            self = self.until(self.tokens.len() - 1);
        }
        self
    }

    /// Where the first of these words stands, unquoted.
    pub(super) fn position(self, words: &[&str]) -> Option<usize> {
        (0..self.tokens.len()).find(|at| words.contains(&self.keyword(*at).as_str()))
    }

    /// A text: what is quoted if only that is there, else everything as written.
    pub(super) fn text(self) -> Option<String> {
        match self.tokens {
            [] => None,
            [only] if only.kind == Kind::Quoted => Some(only.text.clone()),
            _ => Some(self.raw().to_owned()),
        }
    }

    /// One name, fillers before it aside.
    pub(super) fn name(self) -> Option<String> {
        let mut rest = self;
        while rest.tokens.len() > 1 && is_filler(&rest.tokens[0]) {
            rest = rest.from(1);
        }
        match rest.tokens {
            [only] if NAMELESS.contains(&only.keyword().as_str()) => None,
            [only] => Some(only.name().to_owned()).filter(|name| !name.is_empty()),
            // "the src directory"
            [only, after] if matches!(after.keyword().as_str(), "directory" | "folder" | "file") => {
                Some(only.name().to_owned())
            }
            _ => None,
        }
    }

    /// Names joined by commas and `and`.
    pub(super) fn names(self) -> Option<Vec<String>> {
        let mut names = Vec::new();
        let mut start = 0;
        for (at, token) in self.tokens.iter().enumerate() {
            if token.keyword() == "and" {
                if at > start {
                    names.push(self.from(start).until(at - start).name()?);
                }
                start = at + 1;
            } else if token.comma {
                names.push(self.from(start).until(at + 1 - start).name()?);
                start = at + 1;
            }
        }
        if start < self.tokens.len() {
            names.push(self.from(start).name()?);
        }
        (!names.is_empty()).then_some(names)
    }
}

pub(super) fn is_filler(token: &Token) -> bool {
    FILLER.contains(&token.keyword().as_str())
}
