//! Diffs as hosts send them, hostile ones, and what must hold for any text.

use super::{End, Kind, MAX_ROWS, ROW_CHARS, Row, Side, parse, side_by_side};
use crate::visible::Marks;
use proptest::prelude::*;

const SAMPLE: &str = "--- a/src/a.rs\n+++ b/src/a.rs\n@@ -17,4 +17,5 @@ fn retry()\n one\n-let wait = base;\n+let wait = self.base;\n+two\n three\n\\ No newline at end of file\n";

fn lines(text: &str, marks: Marks) -> Vec<super::Line> {
    let line = |row| match row {
        Row::Line(line) => Some(line),
        Row::Hunk { .. } | Row::Note(_) => None,
    };
    parse(text, marks).rows.into_iter().filter_map(line).collect()
}

#[test]
fn a_hunk_with_numbers_and_counts() {
    let diff = parse(SAMPLE, Marks::Missing);
    assert_eq!(diff.old_path.as_deref(), Some("src/a.rs"));
    assert_eq!((diff.added, diff.removed, diff.counts().as_str()), (2, 1, "+2 \u{2212}1"));
    assert_eq!(diff.rows[0], Row::Hunk { old: 17, new: 17, about: "fn retry()".into() });
    let lines = lines(SAMPLE, Marks::Missing);
    let numbers: Vec<_> = lines.iter().map(|line| (line.kind, line.old, line.new)).collect();
    assert_eq!(
        numbers,
        [
            (Kind::Same, Some(17), Some(17)),
            (Kind::Removed, Some(18), None),
            (Kind::Added, None, Some(18)),
            (Kind::Added, None, Some(19)),
            (Kind::Same, Some(19), Some(20)),
        ]
    );
    assert_eq!(lines[4].end, End::NoNewline);
    assert_eq!(diff.number_width(), 2);
}

#[test]
fn created_and_deleted_files_have_one_name() {
    let created = parse("--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n", Marks::Missing);
    assert_eq!((created.old_path, created.new_path.as_deref()), (None, Some("n")));
    let deleted = parse("--- a/n\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n", Marks::Missing);
    assert_eq!((deleted.old_path.as_deref(), deleted.new_path), (Some("n"), None));
    assert!(parse("", Marks::Missing).is_empty());
}

#[test]
fn a_removed_line_that_looks_like_a_header_is_a_line() {
    let text = "--- a/q.sql\n+++ b/q.sql\n@@ -1,2 +1,2 @@\n--- drop it\n-@@ -1 +1 @@\n+++ keep it\n+x\n";
    let kinds: Vec<_> = lines(text, Marks::Missing).iter().map(|line| (line.kind, line.text())).collect();
    assert_eq!(
        kinds,
        [
            (Kind::Removed, "-- drop it".to_owned()),
            (Kind::Removed, "@@ -1 +1 @@".to_owned()),
            (Kind::Added, "++ keep it".to_owned()),
            (Kind::Added, "x".to_owned()),
        ]
    );
}

#[test]
fn what_changed_within_a_line_is_marked_word_by_word() {
    let text = "@@ -1 +1 @@\n-let wait = base;\n+let wait = self.base;\n";
    let lines = lines(text, Marks::Missing);
    let marked = |line: &super::Line| -> Vec<String> {
        line.spans.iter().filter(|span| span.changed).map(|span| span.text.clone()).collect()
    };
    assert_eq!(marked(&lines[0]), Vec::<String>::new());
    assert_eq!(marked(&lines[1]), ["self."]);
    let others = "@@ -1 +1 @@\n-fn entirely different\n+{ } ;\n";
    assert!(super::parse(others, Marks::Missing).rows.iter().all(|row| match row {
        Row::Line(line) => line.spans.iter().all(|span| !span.changed),
        _ => true,
    }));
}

#[test]
fn line_ends_are_told() {
    let raw = lines("@@ -1 +1 @@\n-a\r\n+a\n", Marks::Missing);
    assert_eq!((raw[0].end, raw[0].text().as_str(), raw[1].end), (End::CrLf, "a", End::Plain));
    let marked = lines("@@ -1 +1 @@\n-a⟦U+000D⟧\n+a\n", Marks::Written);
    assert_eq!((marked[0].end, marked[0].text().as_str()), (End::CrLf, "a"));
    let forged = lines("@@ -1 +1 @@\n-a⟦U+000D⟧\n+a\n", Marks::Missing);
    assert_eq!((forged[0].end, forged[0].text().as_str()), (End::Plain, "a⟦U+27E6⟧U+000D⟧"));
}

#[test]
fn what_hides_in_a_line_is_written_out() {
    let shown = lines("@@ -0,0 +1,2 @@\n+if a\u{202e} || b {\n+\0x\u{1b}[2J\n", Marks::Missing);
    assert_eq!(shown[0].text(), "if a⟦U+202E⟧ || b {");
    assert_eq!(shown[1].text(), "⟦U+0000⟧x⟦U+001B⟧[2J");
}

#[test]
fn a_long_line_goes_on_and_nothing_of_it_is_lost() {
    let long = "ä".repeat(2 * ROW_CHARS + 1);
    let shown = lines(&format!("@@ -0,0 +1 @@\n+{long}\n\\ No newline at end of file\n"), Marks::Missing);
    assert_eq!(shown.iter().map(|line| line.continued).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(shown.iter().map(super::Line::text).collect::<String>(), long);
    assert_eq!((shown[0].end, shown[2].end), (End::Plain, End::NoNewline));
}

#[test]
fn what_is_no_diff_is_shown_all_the_same() {
    let diff = parse("Binary files differ\n@@ -x +y @@\n", Marks::Missing);
    assert_eq!(diff.rows, [Row::Note("Binary files differ".into()), Row::Note("@@ -x +y @@".into())]);
    let short = parse("@@ -1,9 +1,9 @@\n-a\n", Marks::Missing);
    assert_eq!((short.rows.len(), short.removed), (2, 1));
}

#[test]
fn too_many_rows_are_left_out_and_counted() {
    let text = format!("@@ -0,0 +1,{0} @@\n{1}", MAX_ROWS + 10, "+\n".repeat(MAX_ROWS + 10));
    let diff = parse(&text, Marks::Missing);
    assert_eq!((diff.rows.len(), diff.left_out), (MAX_ROWS, 11));
}

#[test]
fn a_large_diff_is_marked_as_far_as_the_budget_goes() {
    let words = "a ".repeat(120);
    let hunk = |n: usize| format!("@@ -{n} +{n} @@\n-old {words}\n+new {words}\n");
    let lines = lines(&(1..=100).map(hunk).collect::<String>(), Marks::Missing);
    let marked = |line: &super::Line| line.spans.iter().any(|span| span.changed);
    assert!(marked(&lines[0]) && marked(&lines[1]));
    assert!(!lines.iter().skip(150).any(marked), "comparing all of it would keep a phone busy");
}

#[test]
fn sides_put_replacements_next_to_each_other() {
    let diff = parse(SAMPLE, Marks::Missing);
    assert_eq!(
        side_by_side(&diff),
        [
            Side::Whole(0),
            Side::Two(Some(1), Some(1)),
            Side::Two(Some(2), Some(3)),
            Side::Two(None, Some(4)),
            Side::Two(Some(5), Some(5)),
        ]
    );
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("@@ -1,3 +1,4 @@\n".to_owned()),
        Just("@@ -4294967295,18446744073709551615 +1 @@\n".to_owned()),
        Just("\\ No newline at end of file\n".to_owned()),
        Just("--- a/x\n+++ b/x\n".to_owned()),
        Just("\r\n\n\\\n+\n-\n \n".to_owned()),
        "[-+ ]?[a-z .\u{202e}\u{0}ä⟦⟧]{0,12}\n?",
        any::<String>(),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_read_and_every_row_is_on_each_view_once(text in hostile(), written in any::<bool>()) {
        let marks = if written { Marks::Written } else { Marks::Missing };
        let diff = parse(&text, marks);
        prop_assert!(diff.rows.len() <= MAX_ROWS + text.len() / ROW_CHARS + 1);
        let mut seen = vec![0_usize; diff.rows.len()];
        for side in side_by_side(&diff) {
            let (left, right) = match side { Side::Whole(at) => (Some(at), None), Side::Two(l, r) if l == r => (l, None), Side::Two(l, r) => (l, r) };
            left.into_iter().chain(right).for_each(|at| seen[at] += 1);
        }
        prop_assert!(seen.iter().all(|times| *times == 1));
        for row in &diff.rows {
            if let Row::Line(line) = row {
                prop_assert!(line.text().chars().count() <= ROW_CHARS);
                let hides = |c: char| c.is_control() && c != '\t' || lanyard_protocol::visible::is_invisible(c);
                prop_assert!(!line.text().contains(hides));
            }
        }
    }

    #[test]
    fn marking_words_never_changes_the_text(old in "[a-c ._(){}é]{0,40}", new in "[a-c ._(){}é]{0,40}") {
        let shown = lines(&format!("@@ -1 +1 @@\n-{old}\n+{new}\n"), Marks::Missing);
        prop_assert_eq!((shown[0].text(), shown[1].text()), (old, new));
    }
}
