//! Joins tokens into simple commands.

use std::ops::Range;

use super::{
    Joiner, MAX_COMMANDS, Opaque, Redirect, RedirectTarget, SimpleCommand,
    lexer::{Kind, RedirectOp, Token},
};

/// A command with the places of its words and redirect paths, for the second reader.
pub(super) struct Spanned {
    pub(super) command: SimpleCommand,
    pub(super) words: Vec<Range<usize>>,
    pub(super) redirects: Vec<Range<usize>>,
}

/// Words that start or continue compound commands in POSIX sh, dash or bash. Refused even when quoted, where they
/// would be ordinary words: nobody names a program like this.
const RESERVED: &[&str] = &[
    "!", "[[", "]]", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if",
    "in", "select", "then", "until", "while", "{", "}",
];

pub(super) fn assemble(tokens: Vec<Token>) -> Result<Vec<Spanned>, Opaque> {
    let mut commands = Vec::new();
    let mut current = Draft::default();
    let mut joiner = None;
    let mut tokens = tokens.into_iter();
    while let Some(Token { kind, span }) = tokens.next() {
        match kind {
            Kind::Word(text) => current.word(text, span)?,
            Kind::Duplicate { fd, to } => current.redirect(fd, RedirectTarget::Duplicate(to), span),
            Kind::Redirect { fd, op } => match tokens.next() {
                Some(Token { kind: Kind::Word(path), span: path_span }) => {
                    current.redirect(fd, target(op, path)?, span.start..path_span.end);
                }
                _ => return Err(Opaque::Redirect("without a path")),
            },
            // A line end after an operator, or an empty line, continues; after a command it ends it.
            Kind::Newline if current.is_empty() => {}
            Kind::Newline => finish(&mut commands, &mut current, &mut joiner, Joiner::Then, "a line end")?,
            Kind::Semicolon => finish(&mut commands, &mut current, &mut joiner, Joiner::Then, ";")?,
            Kind::And => finish(&mut commands, &mut current, &mut joiner, Joiner::And, "&&")?,
            Kind::Or => finish(&mut commands, &mut current, &mut joiner, Joiner::Or, "||")?,
            Kind::Pipe => finish(&mut commands, &mut current, &mut joiner, Joiner::Pipe, "|")?,
        }
    }
    if current.is_empty() {
        return match joiner {
            None => Err(Opaque::Empty),
            Some(Joiner::Then) => Ok(commands),
            Some(_) => Err(Opaque::MissingCommand("the end")),
        };
    }
    finish(&mut commands, &mut current, &mut joiner, Joiner::Then, "the end")?;
    Ok(commands)
}

fn finish(
    commands: &mut Vec<Spanned>,
    current: &mut Draft,
    joiner: &mut Option<Joiner>,
    next: Joiner,
    before: &'static str,
) -> Result<(), Opaque> {
    let mut spanned = std::mem::take(current).complete(before)?;
    spanned.command.joined_by = joiner.replace(next);
    commands.push(spanned);
    if commands.len() > MAX_COMMANDS { Err(Opaque::TooManyCommands) } else { Ok(()) }
}

fn target(op: RedirectOp, path: String) -> Result<RedirectTarget, Opaque> {
    if path.is_empty() {
        return Err(Opaque::Redirect("with an empty path"));
    }
    // bash opens a socket for these names; compared after folding the forms a path can take.
    let plain: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if path.starts_with('/') && matches!(plain.as_slice(), ["dev", "tcp" | "udp", ..]) {
        return Err(Opaque::NetworkDevice(path));
    }
    Ok(match op {
        RedirectOp::Read => RedirectTarget::Read(path),
        RedirectOp::Write => RedirectTarget::Write(path),
        RedirectOp::Append => RedirectTarget::Append(path),
    })
}

/// A command under construction.
#[derive(Default)]
struct Draft {
    argv: Vec<String>,
    words: Vec<Range<usize>>,
    redirects: Vec<Redirect>,
    redirect_spans: Vec<Range<usize>>,
}

impl Draft {
    fn is_empty(&self) -> bool {
        self.argv.is_empty() && self.redirects.is_empty()
    }

    fn word(&mut self, text: String, span: Range<usize>) -> Result<(), Opaque> {
        if !self.redirects.is_empty() {
            return Err(Opaque::RedirectBeforeWord);
        }
        if self.argv.is_empty() {
            if text.contains('=') {
                return Err(Opaque::Assignment(text));
            }
            if text.is_empty() || RESERVED.contains(&text.as_str()) {
                return Err(Opaque::ReservedWord(text));
            }
        }
        self.argv.push(text);
        self.words.push(span);
        Ok(())
    }

    fn redirect(&mut self, fd: u8, target: RedirectTarget, span: Range<usize>) {
        self.redirects.push(Redirect { fd, target });
        self.redirect_spans.push(span);
    }

    fn complete(self, before: &'static str) -> Result<Spanned, Opaque> {
        if self.argv.is_empty() {
            return Err(Opaque::MissingCommand(before));
        }
        let command = SimpleCommand { argv: self.argv, redirects: self.redirects, joined_by: None };
        Ok(Spanned { command, words: self.words, redirects: self.redirect_spans })
    }
}
