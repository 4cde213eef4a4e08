//! A prompt as words and quoted texts.

/// Quotation marks, each with what closes it. The fence comes first: it begins with a backtick too.
const QUOTES: &[(&str, &str)] = &[
    ("```", "```"),
    ("`", "`"),
    ("'", "'"),
    ("\"", "\""),
    ("\u{2018}", "\u{2019}"),
    ("\u{201c}", "\u{201d}"),
    ("«", "»"),
];

/// Characters that may follow a closing quotation mark or end a word without belonging to it.
const PUNCTUATION: &[char] = &['.', ',', ';', ':', '!', '?', ')'];

/// How a token was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Up to white space.
    Word,
    /// Between quotation marks.
    Quoted,
}

/// What lies before a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// Spaces, or the beginning.
    Space,
    /// The end of a line.
    Line,
    /// A blank line.
    Paragraph,
}

/// One word or quoted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Without quotation marks; words with the punctuation they were written with.
    pub(super) text: String,
    /// Where it stands in the prompt, marks included.
    pub(super) span: std::ops::Range<usize>,
    pub(super) gap: Gap,
    /// A comma follows it.
    pub(super) comma: bool,
}

impl Token {
    /// A word without the punctuation after it, in lower case; empty for quoted texts.
    pub(super) fn keyword(&self) -> String {
        match self.kind {
            Kind::Word => bare(&self.text).to_lowercase(),
            Kind::Quoted => String::new(),
        }
    }

    /// The token as a name: quoted texts as they are, words without the punctuation after them.
    pub(super) fn name(&self) -> &str {
        match self.kind {
            Kind::Word => bare(&self.text),
            Kind::Quoted => &self.text,
        }
    }
}

/// A word without the punctuation after it; dots that are all there is belong to it (`.`, `..`).
fn bare(word: &str) -> &str {
    let bare = word.trim_end_matches(PUNCTUATION);
    if bare.is_empty() || bare.chars().all(|c| matches!(c, '.' | '/')) {
        return word.trim_end_matches([',', ';', ':', '!', '?', ')']);
    }
    bare
}

/// Splits a prompt. An apostrophe inside a word and a mark that is never closed are ordinary characters.
pub(super) fn tokens(prompt: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        let rest = &prompt[at..];
        let start = at + rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        if start == prompt.len() {
            return tokens;
        }
        let gap = match prompt[at..start].matches('\n').count() {
            0 => Gap::Space,
            1 => Gap::Line,
            _ => Gap::Paragraph,
        };
        let rest = &prompt[start..];
        let (kind, text, end) = match quoted(rest) {
            Some((text, length)) => (Kind::Quoted, text, start + length),
            None => {
                let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (Kind::Word, rest[..length].to_owned(), start + length)
            }
        };
        // Punctuation after a closing mark is a word of its own in the source; only its comma matters.
        let after = &prompt[end..];
        let tail =
            if kind == Kind::Quoted { after.len() - after.trim_start_matches(PUNCTUATION).len() } else { 0 };
        let comma = match kind {
            Kind::Word => text.ends_with(','),
            Kind::Quoted => after[..tail].contains(','),
        };
        tokens.push(Token { kind, text, span: start..end, gap, comma });
        at = end + tail;
    }
}

/// The quoted text at the beginning of `rest` and its length with marks.
fn quoted(rest: &str) -> Option<(String, usize)> {
    let (open, close) = QUOTES.iter().find(|(open, _)| rest.starts_with(open))?;
    let inside = &rest[open.len()..];
    let ends = |at: &usize| {
        let next = inside[at + close.len()..].chars().next();
        next.is_none_or(|c| c.is_whitespace() || PUNCTUATION.contains(&c))
    };
    let end = inside.match_indices(close).map(|(at, _)| at).find(ends)?;
    let text = &inside[..end];
    let text = match *open {
        "```" => fenced(text),
        "`" => text.to_owned(),
        _ => unescaped(text),
    };
    Some((text, open.len() + end + close.len()))
}

/// What stands in a fence, without the line of its opening (which may name a language).
fn fenced(text: &str) -> String {
    match text.split_once('\n') {
        Some((first, rest)) if first.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ') => {
            rest.to_owned()
        }
        _ => text.to_owned(),
    }
}

/// `\n`, `\t` and `\\` as the characters they stand for; anything else stays.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let escaped = match (c, characters.peek()) {
            ('\\', Some('n')) => '\n',
            ('\\', Some('t')) => '\t',
            ('\\', Some('\\')) => '\\',
            _ => {
                plain.push(c);
                continue;
            }
        };
        characters.next();
        plain.push(escaped);
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Gap, Kind, tokens};

    fn texts(prompt: &str) -> Vec<(Kind, String)> {
        tokens(prompt).into_iter().map(|t| (t.kind, t.text)).collect()
    }

    #[test]
    fn words_and_every_kind_of_quote() {
        use Kind::{Quoted, Word};
        for (prompt, wanted) in [
            ("read a.txt", vec![(Word, "read"), (Word, "a.txt")]),
            ("'a b' \"c d\" `e f`", vec![(Quoted, "a b"), (Quoted, "c d"), (Quoted, "e f")]),
            ("‘a b’ “c d” «e f»", vec![(Quoted, "a b"), (Quoted, "c d"), (Quoted, "e f")]),
            ("what's here", vec![(Word, "what's"), (Word, "here")]),
            ("'it's fine' to x", vec![(Quoted, "it's fine"), (Word, "to"), (Word, "x")]),
            ("'never closed", vec![(Word, "'never"), (Word, "closed")]),
            ("\"a\", \"b\".", vec![(Quoted, "a"), (Quoted, "b")]),
            ("'one\\ntwo\\\\n'", vec![(Quoted, "one\ntwo\\n")]),
            ("`echo 'a\\nb'`", vec![(Quoted, "echo 'a\\nb'")]),
            ("```sh\nls -l\n```", vec![(Quoted, "ls -l\n")]),
            ("''", vec![(Quoted, "")]),
            ("'", vec![(Word, "'")]),
        ] {
            let wanted: Vec<_> = wanted.into_iter().map(|(kind, text)| (kind, text.to_owned())).collect();
            assert_eq!(texts(prompt), wanted, "{prompt}");
        }
    }

    #[test]
    fn names_lose_punctuation_but_dots_that_are_names_stay() {
        for (prompt, name) in [
            ("a.txt.", "a.txt"),
            ("a,", "a"),
            (".", "."),
            ("..", ".."),
            ("./", "./"),
            ("..?", ".."),
            ("x!?", "x"),
        ] {
            assert_eq!(tokens(prompt)[0].name(), name, "{prompt}");
        }
    }

    #[test]
    fn gaps_and_commas() {
        let found = tokens("a,\nb\n\n'c', d");
        let gaps: Vec<_> = found.iter().map(|t| (t.gap, t.comma)).collect();
        assert_eq!(
            gaps,
            [(Gap::Space, true), (Gap::Line, false), (Gap::Paragraph, true), (Gap::Space, false)]
        );
    }

    proptest! {
        #[test]
        fn any_prompt_is_split_into_what_it_holds(prompt in "\\PC{0,60}|[ \n'\"`a.,\\\\n‘’]{0,60}") {
            let found = tokens(&prompt);
            let mut end = 0;
            for token in &found {
                prop_assert!(token.span.start >= end && token.span.end > token.span.start);
                prop_assert!(prompt.is_char_boundary(token.span.start) && prompt.is_char_boundary(token.span.end));
                end = token.span.end;
            }
        }
    }
}
