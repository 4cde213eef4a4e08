//! How high the rows of a list are, as far as they were ever measured, and which row is where.

/// Rows summed up together: finding a row among 50,000 looks at some hundreds of numbers instead of all.
const BLOCK: usize = 128;

/// Heights in pixels. What was not measured counts as the estimate.
#[derive(Debug, Clone)]
pub(super) struct Heights {
    estimate: f64,
    rows: Vec<f64>,
    /// Sum of each block of [`BLOCK`] rows.
    blocks: Vec<f64>,
}

impl Heights {
    pub(super) fn new(estimate: f64) -> Self {
        Self { estimate: estimate.max(1.0), rows: Vec::new(), blocks: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Pixels of all rows.
    pub(super) fn total(&self) -> f64 {
        self.blocks.iter().sum()
    }

    /// Adds rows at the end, or takes them away there.
    pub(super) fn resize(&mut self, len: usize) {
        let changed = len.min(self.rows.len());
        if len != self.rows.len() {
            self.rows.resize(len, self.estimate);
            self.sum_from(changed);
        }
    }

    /// Adds rows before the first and returns how high they are estimated.
    pub(super) fn put_before(&mut self, count: usize) -> f64 {
        self.rows.splice(0..0, std::iter::repeat_n(self.estimate, count));
        self.sum_from(0);
        self.estimate * count as f64
    }

    /// Takes the first rows away.
    pub(super) fn drop_first(&mut self, count: usize) {
        self.rows.drain(..count.min(self.rows.len()));
        self.sum_from(0);
    }

    /// Pixels of one row; none beyond the end.
    pub(super) fn height(&self, row: usize) -> f64 {
        self.rows.get(row).copied().unwrap_or(0.0)
    }

    /// Sets one row's height and returns by how much it grew.
    pub(super) fn set(&mut self, row: usize, height: f64) -> f64 {
        let Some(known) = self.rows.get_mut(row) else { return 0.0 };
        let grown = height - *known;
        // Browsers round differently at different scales; that is no change.
        if grown.abs() < 0.5 {
            return 0.0;
        }
        *known = height;
        if let Some(block) = self.blocks.get_mut(row / BLOCK) {
            *block += grown;
        }
        grown
    }

    /// Pixels of all rows before one.
    pub(super) fn before(&self, row: usize) -> f64 {
        let row = row.min(self.rows.len());
        let block = row / BLOCK;
        let whole: f64 = self.blocks[..block.min(self.blocks.len())].iter().sum();
        whole + self.rows[block * BLOCK..row].iter().sum::<f64>()
    }

    /// The row at a place in pixels from the top; the first or the last beyond the ends.
    pub(super) fn at(&self, pixels: f64) -> usize {
        let mut left = pixels.max(0.0);
        let mut row = 0;
        for block in &self.blocks {
            if left < *block {
                break;
            }
            left -= block;
            row += BLOCK;
        }
        for height in self.rows.iter().skip(row) {
            if left < *height {
                break;
            }
            left -= height;
            row += 1;
        }
        row.min(self.rows.len().saturating_sub(1))
    }

    /// Sums the blocks anew from the one that holds a row.
    fn sum_from(&mut self, row: usize) {
        let block = row / BLOCK;
        self.blocks.truncate(block);
        self.blocks.extend(self.rows.chunks(BLOCK).skip(block).map(|rows| rows.iter().sum::<f64>()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every answer as an honest walk over all rows gives it.
    fn check(heights: &Heights) {
        let mut top = 0.0;
        for (row, height) in heights.rows.iter().enumerate() {
            assert!((heights.before(row) - top).abs() < 1e-6, "row {row}");
            assert_eq!(heights.at(top), row, "at {top}");
            assert_eq!(heights.at(top + height - 0.01), row, "end of {row}");
            top += height;
        }
        assert!((heights.total() - top).abs() < 1e-6);
    }

    #[test]
    fn every_row_is_found_whatever_was_measured() {
        let mut heights = Heights::new(20.0);
        heights.resize(1_000);
        for row in (0..1_000).step_by(7) {
            heights.set(row, 10.0 + row as f64 / 4.0);
        }
        check(&heights);
        heights.put_before(130);
        assert!((heights.height(130) - 10.0).abs() < 1e-6, "measured heights move with their rows");
        check(&heights);
        heights.drop_first(100);
        heights.resize(1_500);
        check(&heights);
        heights.resize(3);
        check(&heights);
    }

    #[test]
    fn growth_is_told_and_noise_is_not() {
        let mut heights = Heights::new(20.0);
        heights.resize(2);
        assert!((heights.set(1, 50.0) - 30.0).abs() < 1e-6);
        assert_eq!(heights.set(1, 50.3), 0.0);
        assert_eq!(heights.set(2, 50.0), 0.0, "no such row");
    }

    #[test]
    fn beyond_the_ends_are_the_ends() {
        let mut heights = Heights::new(20.0);
        assert_eq!((heights.at(50.0), heights.before(3)), (0, 0.0));
        heights.resize(4);
        assert_eq!((heights.at(-9.0), heights.at(1e12)), (0, 3));
        assert_eq!(heights.at(f64::NAN), 0);
    }
}
