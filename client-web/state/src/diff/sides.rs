//! Rows put next to each other: before on the left, after on the right.

use super::{Diff, Kind, Row};

/// One row of the side-by-side view; numbers are indices into [`Diff::rows`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Over both sides: where a hunk begins, or a note.
    Whole(usize),
    /// A line on each side; none where there is no counterpart.
    Two(Option<usize>, Option<usize>),
}

/// Pairs the rows. Of a run of changes the n-th removed row stands beside the n-th added one.
pub fn side_by_side(diff: &Diff) -> Vec<Side> {
    let mut sides = Vec::with_capacity(diff.rows.len());
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    for (at, row) in diff.rows.iter().enumerate() {
        match row {
            Row::Line(line) if line.kind == Kind::Removed => {
                // A removed line after added ones begins another run.
                if !added.is_empty() {
                    flush(&mut sides, &mut removed, &mut added);
                }
                removed.push(at);
            }
            Row::Line(line) if line.kind == Kind::Added => added.push(at),
            Row::Line(_) => {
                flush(&mut sides, &mut removed, &mut added);
                sides.push(Side::Two(Some(at), Some(at)));
            }
            Row::Hunk { .. } | Row::Note(_) => {
                flush(&mut sides, &mut removed, &mut added);
                sides.push(Side::Whole(at));
            }
        }
    }
    flush(&mut sides, &mut removed, &mut added);
    sides
}

fn flush(sides: &mut Vec<Side>, removed: &mut Vec<usize>, added: &mut Vec<usize>) {
    let rows = removed.len().max(added.len());
    sides.extend((0..rows).map(|at| Side::Two(removed.get(at).copied(), added.get(at).copied())));
    removed.clear();
    added.clear();
}
