//! Lengths of model calls, counted in steps that grow: enough for percentiles on a chart, and they can be added up.

/// Upper bounds of the steps, in milliseconds; the last step has none.
const BOUNDS: [u64; STEPS - 1] = [
    50, 100, 200, 350, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 8_000, 13_000, 20_000, 30_000, 60_000,
    120_000,
];

/// Steps; as many columns has the table.
pub(crate) const STEPS: usize = 18;

/// How many calls took how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Histogram {
    pub(crate) counts: [u64; STEPS],
    /// The longest.
    pub(crate) slowest: u64,
}

impl Histogram {
    /// Counts one call.
    pub(crate) fn add(&mut self, millis: u64) {
        let step = BOUNDS.partition_point(|bound| *bound <= millis);
        if let Some(count) = self.counts.get_mut(step) {
            *count += 1;
        }
        self.slowest = self.slowest.max(millis);
    }

    /// Adds another.
    pub(crate) fn merge(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        self.slowest = self.slowest.max(other.slowest);
    }

    /// The length that so many percent of the calls do not exceed, estimated within its step; 0 without calls.
    pub(crate) fn percentile(&self, percent: u64) -> u64 {
        let total: u64 = self.counts.iter().sum();
        // The rank of the call that is asked for, from 1.
        let rank = (u128::from(total) * u128::from(percent)).div_ceil(100).max(1);
        let (mut below, mut from) = (0_u128, 0_u64);
        for (step, count) in self.counts.iter().enumerate() {
            let to = BOUNDS.get(step).copied().unwrap_or(u64::MAX).min(self.slowest).max(from);
            if *count > 0 && below + u128::from(*count) >= rank {
                let within = u128::from(to - from) * (rank - below) / u128::from(*count);
                return from + u64::try_from(within).unwrap_or(to - from);
            }
            below += u128::from(*count);
            from = BOUNDS.get(step).copied().unwrap_or(from);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_in_the_right_step() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.percentile(50), histogram.percentile(95)), (0, 0));
        histogram.add(400);
        assert_eq!((histogram.percentile(50), histogram.percentile(95)), (400, 400));
        let mut many = Histogram::default();
        for millis in 0..1_000 {
            many.add(millis);
        }
        assert!((490..=510).contains(&many.percentile(50)), "{}", many.percentile(50));
        assert!((940..=960).contains(&many.percentile(95)), "{}", many.percentile(95));
        many.add(500_000);
        assert_eq!(many.percentile(100), 500_000);
        let mut twice = many;
        twice.merge(&many);
        assert_eq!(twice.counts.iter().sum::<u64>(), 2_002);
        assert!((490..=510).contains(&twice.percentile(50)));
        let mut endless = Histogram::default();
        endless.add(u64::MAX);
        assert_eq!(endless.percentile(50), u64::MAX);
    }
}
