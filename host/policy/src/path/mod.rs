//! Paths in one lexical normal form, compared component by component.
//!
//! A [`HostPath`] says what was *asked for*. It does not follow symbolic links: whoever opens a file does so by
//! directory handle and hands the real location in beside the asked one (`demand::PathTarget`), so that both are
//! judged. The forms that make two spellings of one file possible on some system (6-security.md, items 6 to 8) are
//! refused on every system: a workspace travels between systems, and no honest call needs them.

mod concern;
mod fold;
mod protected;

#[cfg(test)]
mod tests;

use std::fmt;

use thiserror::Error;

pub use concern::Concern;
pub use fold::FoldedPath;
pub use protected::{Access, Places, Protection, protection};

use crate::visible::{is_invisible, is_style_selector};

/// Longest path, `PATH_MAX` of Linux.
const MAX_PATH_BYTES: usize = 4096;

/// Longest component, `NAME_MAX` of every file system in use.
const MAX_COMPONENT_BYTES: usize = 255;

/// Why a text is no acceptable path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PathFault {
    #[error("the path is empty")]
    Empty,
    #[error("{0:?} is not absolute")]
    NotAbsolute(String),
    #[error(
        "the path is longer than {MAX_PATH_BYTES} bytes, or one of its names longer than {MAX_COMPONENT_BYTES}"
    )]
    TooLong,
    #[error("the path contains the control character U+{0:04X}")]
    Control(u32),
    #[error("the path contains the invisible or look-alike character U+{0:04X}")]
    Deceptive(u32),
    #[error("the path contains a backslash: write `/`")]
    Backslash,
    #[error("the path starts with `//`, which names a network share on some systems")]
    NetworkShare,
    #[error("the path climbs above the root directory")]
    AboveRoot,
    #[error("the name {0:?} ends in a dot or blank, which some systems drop")]
    TrailingDotOrBlank(String),
    #[error("the name {0:?} addresses a hidden data stream on some systems")]
    DataStream(String),
    #[error("the name {0:?} is the short form of another name on some systems")]
    ShortName(String),
}

/// An absolute path without `.`, `..`, empty components or deceptive characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPath(String);

impl HostPath {
    /// Reads an absolute path.
    ///
    /// # Errors
    /// [`PathFault`] for anything that is not absolute or has more than one reading.
    pub fn parse(text: &str) -> Result<Self, PathFault> {
        check_text(text)?;
        if !text.starts_with('/') {
            return Err(PathFault::NotAbsolute(text.to_owned()));
        }
        let mut path = Self::root();
        path.extend(text)?;
        Ok(path)
    }

    /// Reads `text` as seen from this directory: absolute as it is, relative below it.
    ///
    /// # Errors
    /// As [`HostPath::parse`].
    pub fn resolve(&self, text: &str) -> Result<Self, PathFault> {
        if text.starts_with('/') {
            return Self::parse(text);
        }
        check_text(text)?;
        let mut path = self.clone();
        path.extend(text)?;
        Ok(path)
    }

    fn root() -> Self {
        Self(String::from("/"))
    }

    fn extend(&mut self, text: &str) -> Result<(), PathFault> {
        for name in text.split('/') {
            match name {
                "" | "." => {}
                ".." => self.climb()?,
                _ => {
                    check_name(name)?;
                    if self.0.len() > 1 {
                        self.0.push('/');
                    }
                    self.0.push_str(name);
                }
            }
        }
        if self.0.len() > MAX_PATH_BYTES { Err(PathFault::TooLong) } else { Ok(()) }
    }

    fn climb(&mut self) -> Result<(), PathFault> {
        match self.0.rfind('/') {
            _ if self.0.len() == 1 => Err(PathFault::AboveRoot),
            Some(0) => {
                self.0.truncate(1);
                Ok(())
            }
            Some(cut) => {
                self.0.truncate(cut);
                Ok(())
            }
            None => Err(PathFault::AboveRoot),
        }
    }

    /// The normal form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names between the slashes; none for the root.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// The last name; `None` for the root.
    pub fn file_name(&self) -> Option<&str> {
        self.components().next_back()
    }

    /// Whether this path is `ancestor` or lies below it, byte for byte and component by component.
    ///
    /// Exact on purpose: it answers "is this allowed", and on a system that ignores case a differently spelled path
    /// is then refused rather than let through. The opposite question uses [`FoldedPath`].
    pub fn is_within(&self, ancestor: &Self) -> bool {
        match self.0.strip_prefix(&ancestor.0) {
            Some(rest) => rest.is_empty() || rest.starts_with('/') || ancestor.0.len() == 1,
            None => false,
        }
    }

    /// Whether it names the kernel (`/proc`, `/sys`, devices) rather than a file.
    pub(crate) fn is_kernel_interface(&self) -> bool {
        protected::is_kernel(&self.folded())
    }

    /// The form in which two spellings of one file compare equal on any system.
    pub fn folded(&self) -> FoldedPath {
        FoldedPath::of(self)
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn check_text(text: &str) -> Result<(), PathFault> {
    if text.is_empty() {
        return Err(PathFault::Empty);
    }
    if text.len() > MAX_PATH_BYTES {
        return Err(PathFault::TooLong);
    }
    for c in text.chars() {
        match c {
            '\\' => return Err(PathFault::Backslash),
            _ if c.is_control() => return Err(PathFault::Control(c.into())),
            _ if is_deceptive(c) => return Err(PathFault::Deceptive(c.into())),
            _ => {}
        }
    }
    if text.starts_with("//") { Err(PathFault::NetworkShare) } else { Ok(()) }
}

/// Characters that show nothing or pass for a separator or a dot.
fn is_deceptive(c: char) -> bool {
    is_invisible(c)
        || is_style_selector(c)
        || matches!(c, '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{29f9}' | '\u{ff0f}' | '\u{ff3c}')
        || matches!(c, '\u{2024}'..='\u{2026}' | '\u{ff0e}' | '\u{fe52}')
}

fn check_name(name: &str) -> Result<(), PathFault> {
    if name.len() > MAX_COMPONENT_BYTES {
        return Err(PathFault::TooLong);
    }
    if name.ends_with(['.', ' ']) {
        return Err(PathFault::TrailingDotOrBlank(name.to_owned()));
    }
    // `f::$DATA` and `.git:stream`: a colon is an ordinary character on Unix, but behind a dotted name or before
    // `$` it only makes sense to reach a stream.
    if name.contains(":$") || (name.starts_with('.') && name.contains(':')) {
        return Err(PathFault::DataStream(name.to_owned()));
    }
    if is_short_name(name) { Err(PathFault::ShortName(name.to_owned())) } else { Ok(()) }
}

/// `GIT~1`, `PROGRA~2.TXT`: up to eight characters with a tilde and digits at the end, at most three of extension.
fn is_short_name(name: &str) -> bool {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let Some((head, digits)) = stem.rsplit_once('~') else { return false };
    !head.is_empty()
        && stem.len() <= 8
        && extension.len() <= 3
        && !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
}
