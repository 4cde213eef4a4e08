//! Comparison that errs towards "the same file": for blocked and protected paths.

use icu_normalizer::ComposingNormalizer;

use super::HostPath;
use crate::visible::is_invisible;

/// A path with case, Unicode composition, compatibility forms and ignorable characters removed.
///
/// `.GIT/Config`, `.ｇｉｔ/config` and `.gi\u{200c}t/config` all fold to `.git/config`, because some file system
/// in use takes each of them for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FoldedPath(String);

impl FoldedPath {
    pub(super) fn of(path: &HostPath) -> Self {
        Self(fold(path.as_str()))
    }

    /// The names between the slashes.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// Whether this path is `ancestor` or lies below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        match self.0.strip_prefix(&ancestor.0) {
            Some(rest) => rest.is_empty() || rest.starts_with('/') || ancestor.0.len() == 1,
            None => false,
        }
    }

    /// The names below `ancestor`, `None` when this path lies elsewhere.
    pub fn below<'p>(
        &'p self,
        ancestor: &Self,
    ) -> Option<impl DoubleEndedIterator<Item = &'p str> + use<'p>> {
        let rest = self.is_within(ancestor).then(|| &self.0[ancestor.0.len()..])?;
        Some(rest.split('/').filter(|name| !name.is_empty()))
    }
}

/// Folds any text; idempotent for the characters file systems fold.
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let nfkc = ComposingNormalizer::new_nfkc();
    let visible: String = text.chars().filter(|c| !is_invisible(*c)).collect();
    // Upper case first: it merges letters that have no lower case of their own (long s, dotless i, sharp s).
    let cased = nfkc.normalize(&visible).to_uppercase().to_lowercase();
    nfkc.normalize(&cased).into_owned()
}
