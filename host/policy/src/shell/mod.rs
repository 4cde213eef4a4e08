//! Reads a shell command string far enough to decide on it, and refuses to guess.
//!
//! The accepted language is tiny on purpose: plain words (quotes resolved) joined by `&&`, `||`, `;`, `|` and
//! newline, with simple redirects after the words. It is the common part of POSIX sh, dash and bash in which the
//! words a person reads are exactly the words the program receives. Everything else is [`Opaque`]: such a string is
//! asked about or denied, never allowed silently.
//!
//! Two readers must agree. `lexer` is a strict tokenizer that knows only the accepted forms; `witness` asks
//! tree-sitter's bash grammar for its own opinion of where commands, words and redirects lie. Any disagreement is
//! opaque, so a mistake in one reader alone cannot turn into permission.

mod grammar;
mod lexer;
mod opaque;
mod quote;
mod witness;

#[cfg(test)]
mod tests;

pub use opaque::{Opaque, Severity};
pub use quote::{join, quote};

/// Longest string that is looked at. A person cannot review more in an approval, and 10 kB is where permission
/// parsers of other hosts started to fall through (6-security.md, item 9).
pub const MAX_BYTES: usize = 10_000;

/// Most simple commands in one string; the same reasoning as [`MAX_BYTES`].
pub const MAX_COMMANDS: usize = 50;

/// A string understood completely: running it runs these commands and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellPlan {
    commands: Vec<SimpleCommand>,
}

impl ShellPlan {
    /// The commands in source order; never empty.
    pub fn commands(&self) -> &[SimpleCommand] {
        &self.commands
    }
}

/// One program start inside a [`ShellPlan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimpleCommand {
    /// The words as the program will receive them; never empty, and the first is never empty text.
    pub argv: Vec<String>,
    /// Redirects in source order.
    pub redirects: Vec<Redirect>,
    /// What stands between the command before and this one; `None` for the first.
    pub joined_by: Option<Joiner>,
}

/// How a command follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joiner {
    /// `&&`
    And,
    /// `||`
    Or,
    /// `|`
    Pipe,
    /// `;` or a newline
    Then,
}

/// One understood redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The descriptor that changes: 0, 1 or 2.
    pub fd: u8,
    /// Where it points afterwards.
    pub target: RedirectTarget,
}

/// The far end of a [`Redirect`]; paths are as written, relative ones still to be joined to the command's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectTarget {
    /// `< path`
    Read(String),
    /// `> path`
    Write(String),
    /// `>> path`
    Append(String),
    /// `>&n`
    Duplicate(u8),
}

/// Reads `text`, or says why it cannot be decided on from its text alone.
///
/// Never panics, whatever the input; time is linear in the input and the input is capped at [`MAX_BYTES`].
///
/// # Errors
/// [`Opaque`] names the first construct that is not understood.
pub fn parse(text: &str) -> Result<ShellPlan, Opaque> {
    let tokens = lexer::tokenize(text)?;
    let spanned = grammar::assemble(tokens)?;
    witness::confirm(text, &spanned)?;
    Ok(ShellPlan { commands: spanned.into_iter().map(|spanned| spanned.command).collect() })
}
