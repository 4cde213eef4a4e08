//! Why a shell string cannot be decided on.

use thiserror::Error;

/// The first construct of a string that the parser does not vouch for. The text is fit to be shown to the person
/// asked and to the model, which can then write the command more plainly.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Opaque {
    #[error("the command is empty")]
    Empty,
    #[error("the command is {bytes} bytes long, the limit is {limit}: put it into a script file", limit = super::MAX_BYTES)]
    TooLong { bytes: usize },
    #[error("more than {limit} commands in one string: split it", limit = super::MAX_COMMANDS)]
    TooManyCommands,
    #[error("it contains the control character U+{0:04X}")]
    ControlCharacter(u32),
    #[error("it contains the invisible or direction-changing character U+{0:04X}")]
    Invisible(u32),
    #[error("it contains the character U+{0:04X} outside quotes: quote it")]
    UnquotedNonAscii(u32),
    #[error("`$` expands to something unknown before the command runs")]
    Expansion,
    #[error("a backquote runs another command inside this one")]
    Backquote,
    #[error("`{0}` is a file name pattern: name the files or quote it")]
    Glob(char),
    #[error("braces expand differently in different shells: write the words out")]
    Brace,
    #[error("`~` expands to a home directory: write the path out")]
    Tilde,
    #[error("`#` starts a comment, which hides text from the shell but not from the reader")]
    Comment,
    #[error("`!` is not understood: leave it out or quote it")]
    Bang,
    #[error("`&` starts a background process")]
    Background,
    #[error("parentheses start a subshell, a function or a pattern")]
    Parenthesis,
    #[error("a here-document or here-string feeds text that is not judged")]
    HereDocument,
    #[error("process substitution runs another command inside this one")]
    ProcessSubstitution,
    #[error("the redirect `{0}` is not understood")]
    Redirect(&'static str),
    #[error("a redirect to {0} opens a network connection in some shells")]
    NetworkDevice(String),
    #[error("a redirect must follow the last word of its command")]
    RedirectBeforeWord,
    #[error("`{0}` sets a variable, which changes what later commands do")]
    Assignment(String),
    #[error("`{0}` is a word of the shell language")]
    ReservedWord(String),
    #[error("a quote is not closed")]
    UnclosedQuote,
    #[error(
        "a backslash at the end of a line or before this character is not understood: quote the word instead"
    )]
    Backslash,
    #[error("a command is missing before or after `{0}`")]
    MissingCommand(&'static str),
    #[error("two independent readings of the command differ")]
    Disagreement,
}

/// What an [`Opaque`] string deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A person can read it and decide.
    Ask,
    /// Not even a person can judge it from the text: it hides characters, or is too large to review.
    Deny,
}

impl Opaque {
    /// Whether a person may still approve the string.
    ///
    /// A string past the size limits is denied, not asked about: hosts that fell back to asking there turned a firm
    /// deny into a question which unattended modes answer with yes.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Empty
            | Self::TooLong { .. }
            | Self::TooManyCommands
            | Self::ControlCharacter(_)
            | Self::Invisible(_) => Severity::Deny,
            _ => Severity::Ask,
        }
    }
}
