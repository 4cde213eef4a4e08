//! Habits of Rust files: length, a first line that says what the module is for, no marks of unfinished work.

use super::Finding;

/// Above this a file gets a look: is it one thing?
const REVIEWED_AT: usize = 500;
/// Above this nobody reads it whole any more.
const MAX_LINES: usize = 800;

/// Text that must not be in a Rust file, and what to do instead. Split, so that this file passes its own check.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("#[", "ignore"), "a test that does not run proves nothing: mend it or delete it"),
    (concat!(", ", "ignore)]"), "a test that does not run proves nothing: mend it or delete it"),
    (concat!("```", "ignore"), "an example that is not compiled rots: use ```no_run or ```text"),
    (concat!("to", "do!("), "finish it"),
    (concat!("unimple", "mented!("), "finish it, or return an error that says so"),
    (concat!("d", "bg!("), "use tracing"),
    (concat!("dead", "_code"), "delete what nothing uses, or put it behind the cfg of what uses it"),
    (concat!("TO", "DO"), "finish it, or open an issue"),
    (concat!("FIX", "ME"), "mend it, or open an issue"),
];

/// Every broken habit in one file.
pub(super) fn check(file: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        findings.push(Finding::new(
            file,
            lines,
            format!("{lines} lines, more than {MAX_LINES}: split it by what it does"),
        ));
    }
    if !text.lines().find(|line| !line.trim().is_empty()).is_some_and(|line| line.starts_with("//! ")) {
        findings.push(Finding::new(file, 1, "the first line is not `//! …`: say what the module is for"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        let found = FORBIDDEN
            .iter()
            .filter(|(pattern, _)| contains_word(line, pattern) && !used_elsewhere(pattern, line));
        findings
            .extend(found.map(|(pattern, way)| Finding::new(file, number, format!("`{pattern}`: {way}"))));
    }
    findings
}

/// Code that another platform or the tests use is not dead: one condition and one reason on the same line say so.
fn used_elsewhere(pattern: &str, line: &str) -> bool {
    pattern.starts_with("dead") && line.contains("cfg_attr(") && line.contains("reason = \"")
}

/// A note on a file that is long, though not too long.
pub(super) fn worth_reviewing(file: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (REVIEWED_AT < lines && lines <= MAX_LINES)
        .then(|| format!("{file} has {lines} lines: is it still one thing?"))
}

/// Whether `pattern` is in `line` and is not the end or the start of a longer word.
fn contains_word(line: &str, pattern: &str) -> bool {
    let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(pattern).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + pattern.len()..].chars().next();
        let opens = pattern.starts_with(|c: char| c.is_alphanumeric());
        let closes = pattern.ends_with(|c: char| c.is_alphanumeric());
        !(opens && in_word(before) || closes && in_word(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        check("a.rs", text).into_iter().map(|finding| format!("{}: {}", finding.line, finding.what)).collect()
    }

    #[test]
    fn code_for_another_platform_is_not_dead() {
        let line = concat!("#[cfg_attr(test, allow(dead", "_code, reason = \"used elsewhere\"))]");
        assert!(found(&module(line)).is_empty());
        let bare = concat!("#[cfg_attr(test, allow(dead", "_code))]");
        assert_eq!(found(&module(bare)).len(), 1);
    }

    fn module(body: &str) -> String {
        format!("//! A module.\n{body}\n")
    }

    #[test]
    fn a_tidy_module_passes() {
        assert_eq!(found(&module("fn main() {}")), Vec::<String>::new());
        assert_eq!(found("\n//! Text may start below an empty line.\n"), Vec::<String>::new());
    }

    #[test]
    fn a_module_says_what_it_is_for() {
        for text in ["", "fn main() {}\n", "//!\n", "// A comment.\n//! Too late.\n"] {
            assert_eq!(found(text).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn length_is_noted_above_500_and_refused_above_800() {
        let file = |lines: usize| module(&"\n".repeat(lines - 2));
        assert_eq!(worth_reviewing("a.rs", &file(500)), None);
        assert!(worth_reviewing("a.rs", &file(501)).is_some());
        assert_eq!(found(&file(800)).len(), 0);
        assert_eq!(found(&file(801)).len(), 1);
        assert_eq!(worth_reviewing("a.rs", &file(801)), None, "said once is enough");
    }

    #[test]
    fn every_mark_of_unfinished_work_is_found_on_its_line() {
        for (pattern, _) in FORBIDDEN {
            let findings = found(&module(&format!("fn a() {{}}\n    {pattern} b")));
            assert!(findings.iter().any(|finding| finding.starts_with("3:")), "{pattern}: {findings:?}");
        }
    }

    #[test]
    fn a_reason_or_a_list_does_not_hide_an_attribute() {
        for line in [
            concat!("#[", "ignore = \"slow\"]"),
            concat!("#[cfg_attr(windows, ", "ignore)]"),
            concat!("#![allow(clippy::all, dead", "_code)]"),
            concat!("#[expect(dead", "_code, reason = \"later\")]"),
        ] {
            assert_eq!(found(&module(line)).len(), 1, "{line}");
        }
    }

    #[test]
    fn words_that_only_contain_a_mark_are_left_alone() {
        for line in [
            concat!("my_to", "do!(x)"),
            concat!("MASTO", "DON"),
            concat!("dead", "_codes"),
            concat!("rd", "bg!(x)"),
        ] {
            assert_eq!(found(&module(line)), Vec::<String>::new(), "{line}");
        }
    }
}
