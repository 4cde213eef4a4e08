//! Unified diffs for approvals, results and previews.

use std::time::Duration;

use lanyard_protocol::limits::MAX_DIFF_BYTES;
use similar::{Algorithm, DiffOp, TextDiff};

use crate::text::{is_binary, lossy};

/// After this the comparison settles for a coarser, still correct, answer.
const TIMEOUT: Duration = Duration::from_millis(400);

/// Unchanged lines around a change, as everywhere.
const RADIUS: usize = 3;

/// The difference between two states of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Diff {
    /// Unified; empty when there is nothing to show as text. As it is: what cannot be seen is not written out here.
    pub(crate) text: String,
    /// Cut at [`MAX_DIFF_BYTES`].
    pub(crate) truncated: bool,
    /// Lines added.
    pub(crate) added: u32,
    /// Lines removed.
    pub(crate) removed: u32,
}

/// Compares two states found on disk; `None` is no file. `path` is what the header names. Empty when one side is data.
pub(crate) fn unified(path: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Diff {
    if [old, new].into_iter().flatten().any(is_binary) {
        return Diff::default();
    }
    compare(path, old, new)
}

/// Compares what is there with what a call is about to write. That is text whatever it holds, and always shown: a NUL
/// in it must not hide the rest from who is asked. Data that it replaces is left out; every new line counts as added.
pub(crate) fn written(path: &str, old: Option<&[u8]>, new: &str) -> Diff {
    compare(path, old.map(|old| if is_binary(old) { &[] } else { old }), Some(new.as_bytes()))
}

fn compare(path: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Diff {
    let ((before, _), (after, _)) = (lossy(old.unwrap_or_default()), lossy(new.unwrap_or_default()));
    let compared = TextDiff::configure()
        .algorithm(Algorithm::Myers)
        .timeout(TIMEOUT)
        .diff_lines(before.as_ref(), after.as_ref());
    let (added, removed) = compared.ops().iter().fold((0, 0), |(added, removed), op| match op {
        DiffOp::Equal { .. } => (added, removed),
        DiffOp::Delete { old_len, .. } => (added, removed + old_len),
        DiffOp::Insert { new_len, .. } => (added + new_len, removed),
        DiffOp::Replace { old_len, new_len, .. } => (added + new_len, removed + old_len),
    });
    let mut diff = Diff { added: saturate(added), removed: saturate(removed), ..Diff::default() };
    if added + removed == 0 {
        return diff;
    }
    diff.push(&old.map_or("--- /dev/null\n".to_owned(), |_| format!("--- a/{path}\n")));
    diff.push(&new.map_or("+++ /dev/null\n".to_owned(), |_| format!("+++ b/{path}\n")));
    for hunk in compared.unified_diff().context_radius(RADIUS).iter_hunks() {
        for line in hunk.to_string().split_inclusive('\n') {
            if !diff.push(line) {
                return diff;
            }
        }
    }
    diff
}

impl Diff {
    /// Appends a whole line, or says that there was no room for it.
    fn push(&mut self, line: &str) -> bool {
        if self.text.len() + line.len() > MAX_DIFF_BYTES {
            self.truncated = true;
            return false;
        }
        self.text.push_str(line);
        true
    }

    /// "+3 −1".
    pub(crate) fn counts(&self) -> String {
        format!("+{} \u{2212}{}", self.added, self.removed)
    }
}

fn saturate(lines: usize) -> u32 {
    u32::try_from(lines).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_shown_with_its_surroundings() {
        let diff = unified("a.rs", Some(b"one\ntwo\nthree\n"), Some(b"one\nTWO\nthree\nfour\n"));
        let wanted = "--- a/a.rs\n+++ b/a.rs\n@@ -1,3 +1,4 @@\n one\n-two\n+TWO\n three\n+four\n";
        assert_eq!((diff.text.as_str(), diff.added, diff.removed), (wanted, 2, 1));
        assert_eq!(diff.counts(), "+2 \u{2212}1");
    }

    #[test]
    fn created_and_deleted_files_have_an_empty_side() {
        assert!(unified("n", None, Some(b"x\n")).text.starts_with("--- /dev/null\n+++ b/n\n"));
        assert!(unified("n", Some(b"x\n"), None).text.starts_with("--- a/n\n+++ /dev/null\n"));
    }

    #[test]
    fn data_has_no_diff() {
        assert_eq!(unified("b", Some(b"\0\x01"), Some(b"x")), Diff::default());
    }

    #[test]
    fn what_is_written_is_shown_whatever_it_holds_and_replaces() {
        let wanted = "+++ b/f\n@@ -0,0 +1,2 @@\n+#!/bin/sh\n+\0rm -r x\n";
        let created = written("f", None, "#!/bin/sh\n\0rm -r x\n");
        assert_eq!(created.text, format!("--- /dev/null\n{wanted}"));
        let over_data = written("f", Some(b"\x7fELF\0\0"), "#!/bin/sh\n\0rm -r x\n");
        assert_eq!((over_data.text, over_data.added), (format!("--- a/f\n{wanted}"), 2));
        let over_text = written("f", Some(b"one\n"), "\0\n");
        assert!(over_text.text.ends_with("-one\n+\0\n"), "{}", over_text.text);
    }

    #[test]
    fn a_long_diff_is_cut_between_lines_and_says_so() {
        let new = "0123456789\n".repeat(60_000);
        let diff = unified("big", None, Some(new.as_bytes()));
        assert!(diff.truncated && diff.text.len() <= MAX_DIFF_BYTES && diff.text.ends_with("+0123456789\n"));
        assert_eq!(diff.added, 60_000);
    }
}
