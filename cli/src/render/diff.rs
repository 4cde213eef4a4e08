//! Unified diffs and patch previews.

use lanyard_protocol::approval::ChangeKind;
use lanyard_protocol::method::PatchPreview;

use super::paint::{Paint, Tone};
use super::visible;

/// A diff, coloured, each line after `indent`; at most `most` lines of it, then how many are left.
///
/// The lines of a hunk are told from headers by the counts in its `@@` line, so that a removed line that reads
/// `-- x` (shown as `--- x`) is not taken for a header.
pub(crate) fn diff(paint: Paint, text: &str, indent: &str, most: usize) -> String {
    let mut shown = String::new();
    let mut hunk = Hunk::default();
    let mut lines = text.lines();
    for line in lines.by_ref().take(most) {
        let tone = hunk.tone(line);
        let line = visible::marked_line(line);
        let line = tone.map_or_else(|| line.to_string(), |tone| paint.tone(tone, &line));
        shown.push_str(&format!("{indent}{line}\n"));
    }
    let left = lines.count();
    if left > 0 {
        let note = format!("… {}", super::plural(u64::try_from(left).unwrap_or(u64::MAX), "more line"));
        shown.push_str(&format!("{indent}{}\n", paint.tone(Tone::Faint, &note)));
    }
    shown
}

/// Lines the hunk under way still owes.
#[derive(Debug, Default)]
struct Hunk {
    old: u64,
    new: u64,
}

impl Hunk {
    fn tone(&mut self, line: &str) -> Option<Tone> {
        if self.old == 0 && self.new == 0 {
            if let Some((old, new)) = counts(line) {
                (self.old, self.new) = (old, new);
                return Some(Tone::Accent);
            }
            return Some(Tone::Faint);
        }
        let (old, new, tone) = match line.as_bytes().first() {
            Some(b'+') => (0, 1, Some(Tone::Good)),
            Some(b'-') => (1, 0, Some(Tone::Bad)),
            Some(b'\\') => (0, 0, Some(Tone::Faint)),
            _ => (1, 1, None),
        };
        self.old = self.old.saturating_sub(old);
        self.new = self.new.saturating_sub(new);
        tone
    }
}

/// The numbers of old and new lines in `@@ -1,3 +1,4 @@`.
fn counts(line: &str) -> Option<(u64, u64)> {
    let mut words = line.strip_prefix("@@ ")?.split(' ');
    let count = |word: &str, sign: char| match word.strip_prefix(sign)?.split_once(',') {
        Some((_, count)) => count.parse().ok(),
        None => Some(1),
    };
    Some((count(words.next()?, '-')?, count(words.next()?, '+')?))
}

/// All changed files of a task.
pub(crate) fn patch(paint: Paint, preview: &PatchPreview) -> String {
    if preview.files.is_empty() {
        return "This task has changed no file.\n".to_owned();
    }
    let mut shown = String::new();
    for file in &preview.files {
        let title = format!("{} {}", change_word(file.change), visible::line(&file.path));
        shown.push_str(&format!("{}\n", paint.tone(Tone::Strong, &title)));
        match file.diff.is_empty() {
            true => shown.push_str("(not text, or only moved)\n"),
            false => shown.push_str(&diff(paint, &file.diff, "", usize::MAX)),
        }
        if file.truncated {
            let note = "… the diff was cut here; the file in the workspace is whole";
            shown.push_str(&format!("{}\n", paint.tone(Tone::Faint, note)));
        }
    }
    shown
}

/// What happened to a file, in a word.
pub(crate) fn change_word(change: ChangeKind) -> &'static str {
    match change {
        ChangeKind::Created => "created",
        ChangeKind::Modified => "changed",
        ChangeKind::Deleted => "deleted",
        ChangeKind::Moved => "moved",
    }
}

#[cfg(test)]
mod tests {
    use super::{counts, diff};
    use crate::render::Paint;

    const DIFF: &str = "--- a/x\n+++ b/x\n@@ -1,3 +1,2 @@\n one\n--- two\n-three\n+\u{1b}[2Jfour\n";

    #[test]
    fn hunks_are_told_from_headers_and_escapes_are_shown() {
        let plain = diff(Paint::new(false), DIFF, "  ", usize::MAX);
        assert_eq!(
            plain,
            "  --- a/x\n  +++ b/x\n  @@ -1,3 +1,2 @@\n   one\n  --- two\n  -three\n  +⟦U+001B⟧[2Jfour\n"
        );
        let painted = diff(Paint::new(true), DIFF, "", usize::MAX);
        assert!(painted.contains("\u{1b}[31m--- two"), "a removed line: {painted:?}");
        assert!(painted.contains("\u{1b}[2m--- a/x"), "a header: {painted:?}");
        assert!(painted.contains("\u{1b}[32m+"), "an added line: {painted:?}");
    }

    #[test]
    fn a_long_diff_is_folded() {
        let folded = diff(Paint::new(false), DIFF, "", 3);
        assert!(folded.ends_with("@@ -1,3 +1,2 @@\n… 4 more lines\n"), "{folded}");
    }

    #[test]
    fn hunk_headers() {
        assert_eq!(counts("@@ -1,3 +1,4 @@ fn x()"), Some((3, 4)));
        assert_eq!(counts("@@ -0,0 +1 @@"), Some((0, 1)));
        for none in ["@@", "@@ -x,y +1 @@", "--- a"] {
            assert_eq!(counts(none), None, "{none}");
        }
    }
}
