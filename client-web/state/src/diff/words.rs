//! What differs within a line, word by word. Bounded: a large diff is shown without rather than late.

use super::{Kind, Line, Row, Span};

/// Most words of a line that are compared; longer ones are marked as a whole by their colour.
const MAX_WORDS: usize = 250;

/// Comparisons of two words in one diff: some milliseconds on a phone.
const MAX_COMPARISONS: usize = 2_000_000;

/// Lines that share less than this part of their words are different lines, not changed ones; marks would only confuse.
const SHARED: usize = 3;

/// What is left of [`MAX_COMPARISONS`].
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn new() -> Self {
        Self(MAX_COMPARISONS)
    }

    /// Marks a run of changed rows: runs of removed lines followed by as many added ones, line by line. Where the numbers
    /// differ, which line became which is a guess, and nothing is marked.
    pub(super) fn mark(&mut self, block: &mut [Row]) {
        let mut rest = block;
        while !rest.is_empty() {
            let removed = run(rest, Kind::Removed);
            let added = run(rest.get(removed..).unwrap_or_default(), Kind::Added);
            let (head, tail) = rest.split_at_mut((removed + added).max(1));
            let (olds, news) = head.split_at_mut(removed.min(head.len()));
            if olds.len() == news.len() {
                olds.iter_mut().zip(news).for_each(|(old, new)| self.pair(old, new));
            }
            rest = tail;
        }
    }

    fn pair(&mut self, old: &mut Row, new: &mut Row) {
        let (Row::Line(old), Row::Line(new)) = (old, new) else { return };
        if old.continued || new.continued {
            return;
        }
        let (before, after) = (old.text(), new.text());
        let (olds, news) = (split(&before), split(&after));
        if olds.len() > MAX_WORDS || news.len() > MAX_WORDS {
            return;
        }
        let Some(left) = self.0.checked_sub(olds.len() * news.len()) else { return };
        self.0 = left;
        let kept = common(&olds, &news);
        let solid = |words: &[&str], kept: &[bool]| {
            words.iter().zip(kept).filter(|(word, kept)| **kept && !word.trim().is_empty()).count()
        };
        let words = olds.iter().filter(|word| !word.trim().is_empty()).count();
        if solid(&olds, &kept.0) * SHARED < words {
            return;
        }
        set(old, &olds, &kept.0);
        set(new, &news, &kept.1);
    }
}

fn run(rows: &[Row], kind: Kind) -> usize {
    rows.iter().take_while(|row| matches!(row, Row::Line(line) if line.kind == kind)).count()
}

fn set(line: &mut Line, words: &[&str], kept: &[bool]) {
    let mut spans: Vec<Span> = Vec::new();
    for (word, kept) in words.iter().zip(kept) {
        match spans.last_mut() {
            Some(last) if last.changed != *kept => last.text.push_str(word),
            _ => spans.push(Span { text: (*word).to_owned(), changed: !kept }),
        }
    }
    if !spans.is_empty() {
        line.spans = spans;
    }
}

/// Words, runs of blanks, and every other character by itself.
fn split(text: &str) -> Vec<&str> {
    let class = |c: char| match c {
        c if c.is_alphanumeric() || c == '_' => 0,
        c if c.is_whitespace() => 1,
        _ => 2,
    };
    let mut words = Vec::new();
    let mut start = 0;
    let mut before = None;
    for (at, c) in text.char_indices() {
        let class = class(c);
        if before.is_some_and(|before| before != class || class == 2) {
            words.push(&text[start..at]);
            start = at;
        }
        before = Some(class);
    }
    if start < text.len() {
        words.push(&text[start..]);
    }
    words
}

/// Which words of either side are part of the longest common subsequence.
fn common(olds: &[&str], news: &[&str]) -> (Vec<bool>, Vec<bool>) {
    let width = news.len() + 1;
    // lengths[i * width + j]: the longest common subsequence of olds[i..] and news[j..].
    let mut lengths = vec![0_u16; (olds.len() + 1) * width];
    for i in (0..olds.len()).rev() {
        for j in (0..news.len()).rev() {
            lengths[i * width + j] = if olds[i] == news[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut kept_old, mut kept_new) = (vec![false; olds.len()], vec![false; news.len()]);
    let (mut i, mut j) = (0, 0);
    while i < olds.len() && j < news.len() {
        if olds[i] == news[j] {
            (kept_old[i], kept_new[j]) = (true, true);
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    (kept_old, kept_new)
}
