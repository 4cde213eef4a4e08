//! Writes words so that a shell reads them back unchanged; used to show an argv to a person.

use std::borrow::Cow;

/// `word` as a shell would have to be given it. Words of harmless characters stay as they are.
pub fn quote(word: &str) -> Cow<'_, str> {
    let harmless = |b: u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b',' | b':' | b'@' | b'%' | b'+')
    };
    if !word.is_empty() && word.bytes().all(harmless) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

/// An argv as one line that a shell would split into the same words.
pub fn join<S: AsRef<str>>(argv: &[S]) -> String {
    argv.iter().map(|word| quote(word.as_ref())).collect::<Vec<_>>().join(" ")
}
