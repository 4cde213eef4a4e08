//! The unified diff of two texts, for what differs between two versions of a policy. Pure.
//!
//! After Myers, "An O(N·D) Difference Algorithm": the shortest way from one text to the other, line by line. Bounded: where
//! texts have almost nothing in common the rest is given as one removed and one added part.

use std::fmt::Write as _;

/// Unchanged lines shown around a change.
const AROUND: usize = 3;

/// Most differing lines that are searched for the shortest way. Memory and time grow with its square.
const MAX_DIFFERENT: usize = 1_500;

/// One step from the old text to the new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Keep,
    Remove,
    Add,
}

/// The difference as `diff -u` writes it; empty where there is none.
pub(crate) fn unified(old: &str, new: &str, old_name: &str, new_name: &str) -> String {
    let old: Vec<&str> = old.lines().collect();
    let new: Vec<&str> = new.lines().collect();
    let steps = steps(&old, &new);
    if steps.iter().all(|step| *step == Step::Keep) {
        return String::new();
    }
    let mut text = format!("--- {old_name}\n+++ {new_name}\n");
    for (from, to) in hunks(&steps) {
        hunk(&old, &new, &steps, from, to, &mut text);
    }
    text
}

/// Stretches of steps with something changed in them and [`AROUND`] lines around.
fn hunks(steps: &[Step]) -> Vec<(usize, usize)> {
    let mut hunks: Vec<(usize, usize)> = Vec::new();
    for (at, _) in steps.iter().enumerate().filter(|(_, step)| **step != Step::Keep) {
        let (from, to) = (at.saturating_sub(AROUND), (at + 1 + AROUND).min(steps.len()));
        match hunks.last_mut() {
            Some((_, end)) if from <= *end => *end = to,
            _ => hunks.push((from, to)),
        }
    }
    hunks
}

fn hunk(old: &[&str], new: &[&str], steps: &[Step], from: usize, to: usize, text: &mut String) {
    let count = |steps: &[Step], other: Step| steps.iter().filter(|step| **step != other).count();
    let (before, within) = (&steps[..from], &steps[from..to]);
    let (mut a, mut b) = (count(before, Step::Add), count(before, Step::Remove));
    let (a_lines, b_lines) = (count(within, Step::Add), count(within, Step::Remove));
    let first = |at: usize, lines: usize| if lines == 0 { at } else { at + 1 };
    // Writing to a text does not fail.
    let _ = writeln!(text, "@@ -{},{a_lines} +{},{b_lines} @@", first(a, a_lines), first(b, b_lines));
    for step in within {
        let (sign, line) = match step {
            Step::Keep | Step::Remove => (if *step == Step::Keep { ' ' } else { '-' }, old.get(a)),
            Step::Add => ('+', new.get(b)),
        };
        let _ = writeln!(text, "{sign}{}", line.copied().unwrap_or_default());
        a += usize::from(*step != Step::Add);
        b += usize::from(*step != Step::Remove);
    }
}

/// The steps from one text to the other.
fn steps(old: &[&str], new: &[&str]) -> Vec<Step> {
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[start..], &new[start..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    let mut steps = vec![Step::Keep; start];
    match shortest(a, b) {
        Some(middle) => steps.extend(middle),
        None => {
            steps.extend(std::iter::repeat_n(Step::Remove, a.len()));
            steps.extend(std::iter::repeat_n(Step::Add, b.len()));
        }
    }
    steps.extend(std::iter::repeat_n(Step::Keep, end));
    steps
}

/// Where the ways with some number of differences are on each diagonal (line of `a` less line of `b`), that is −d, −d+2 …
/// d: the furthest line of `a`. None where no way leads there within the texts.
type Row = Vec<Option<usize>>;

/// How one comes to a diagonal: the step, and the line of `a` after it.
fn arrival(before: &Row, j: usize, k: i64, a: usize, b: usize) -> Option<(Step, usize)> {
    let within = |x: usize| x <= a && (0..=b as i64).contains(&(x as i64 - k));
    let add = before.get(j).copied().flatten().filter(|x| within(*x)).map(|x| (Step::Add, x));
    let remove = j.checked_sub(1).and_then(|j| before.get(j).copied().flatten()).map(|x| x + 1);
    let remove = remove.filter(|x| within(*x)).map(|x| (Step::Remove, x));
    match (add, remove) {
        (Some(add), Some(remove)) => Some(if remove.1 > add.1 { remove } else { add }),
        (add, remove) => add.or(remove),
    }
}

/// The shortest way; none where it is longer than [`MAX_DIFFERENT`].
fn shortest(a: &[&str], b: &[&str]) -> Option<Vec<Step>> {
    let mut rows: Vec<Row> = Vec::new();
    for d in 0..=(a.len() + b.len()).min(MAX_DIFFERENT) {
        let mut row: Row = Vec::with_capacity(d + 1);
        for j in 0..=d {
            let k = 2 * j as i64 - d as i64;
            let reached = match rows.last() {
                None => Some(0),
                Some(before) => arrival(before, j, k, a.len(), b.len()).map(|(_, x)| x),
            };
            let far = reached.map(|x| {
                // Within the text: `arrival` looks to that.
                let y = (x as i64 - k) as usize;
                x + a[x..].iter().zip(&b[y..]).take_while(|(a, b)| a == b).count()
            });
            row.push(far);
            if far == Some(a.len()) && k == a.len() as i64 - b.len() as i64 {
                rows.push(row);
                return Some(way_back(&rows, a.len(), b.len()));
            }
        }
        rows.push(row);
    }
    None
}

/// From the end to the beginning, one difference after the other.
fn way_back(rows: &[Row], a: usize, b: usize) -> Vec<Step> {
    let (mut x, mut y) = (a, b);
    let mut steps = Vec::new();
    for d in (1..rows.len()).rev() {
        let k = x as i64 - y as i64;
        let j = ((k + d as i64) / 2) as usize;
        let Some((step, from)) = arrival(&rows[d - 1], j, k, a, b) else { break };
        steps.extend(std::iter::repeat_n(Step::Keep, x.saturating_sub(from)));
        y = y.saturating_sub(x.saturating_sub(from));
        x = from;
        steps.push(step);
        match step {
            Step::Add => y = y.saturating_sub(1),
            _ => x = x.saturating_sub(1),
        }
    }
    steps.extend(std::iter::repeat_n(Step::Keep, x));
    steps.reverse();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the steps make of the old text.
    fn applied(old: &[&str], new: &[&str]) -> (Vec<String>, usize) {
        let (mut a, mut b, mut out, mut changes) = (0, 0, Vec::new(), 0);
        for step in steps(old, new) {
            match step {
                Step::Keep => {
                    assert_eq!(old[a], new[b]);
                    out.push(old[a].to_owned());
                    (a, b) = (a + 1, b + 1);
                }
                Step::Remove => (a, changes) = (a + 1, changes + 1),
                Step::Add => {
                    out.push(new[b].to_owned());
                    (b, changes) = (b + 1, changes + 1);
                }
            }
        }
        assert_eq!(a, old.len());
        (out, changes)
    }

    #[test]
    fn the_steps_lead_from_one_text_to_the_other_and_are_few() {
        // Every text of up to four lines out of two kinds, against every other.
        let texts: Vec<Vec<&str>> = (0..5_u32)
            .flat_map(|length| {
                (0..2_u32.pow(length)).map(move |bits| {
                    (0..length).map(|at| if bits >> at & 1 == 0 { "x" } else { "y" }).collect()
                })
            })
            .collect();
        for old in &texts {
            for new in &texts {
                let (out, changes) = applied(old, new);
                assert_eq!(&out, new, "{old:?} {new:?}");
                assert!(changes <= old.len() + new.len());
                assert_eq!(changes == 0, old == new);
            }
        }
        assert_eq!(
            applied(&["a", "b", "c", "a", "b", "b", "a"], &["c", "b", "a", "b", "a", "c"]).1,
            5,
            "Myers' example"
        );
    }

    #[test]
    fn a_diff_is_read_by_what_shows_it() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";
        let new = "a\nb\nc\nd\nE\nf\ng\nh\ni\nj\nk\n";
        let text = unified(old, new, "version 3", "version 4");
        assert!(text.contains("@@ -2,9 +2,10 @@\n b\n c\n d\n-e\n+E\n f"), "{text}");
        let diff = lanyard_web_state::diff::parse(&text, lanyard_web_state::visible::Marks::Missing);
        assert_eq!((diff.added, diff.removed), (2, 1));
        assert_eq!(unified(old, old, "a", "b"), "");
        let text = unified("", "x\n", "a", "b");
        assert!(text.contains("@@ -0,0 +1,1 @@\n+x"), "{text}");
    }

    #[test]
    fn texts_without_anything_in_common_are_no_trap() {
        let old: Vec<String> = (0..3_000).map(|n| format!("old {n}")).collect();
        let new: Vec<String> = (0..3_000).map(|n| format!("new {n}")).collect();
        let text = unified(&old.join("\n"), &new.join("\n"), "a", "b");
        assert_eq!(text.lines().count(), 6_003);
    }
}
