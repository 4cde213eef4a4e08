//! How often somebody may call: a token bucket each, in this process.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Callers remembered. When more come, those whose bucket is full again are forgotten, then the whole table: a flood of
/// addresses costs neither memory nor anybody's service.
const MAX_KNOWN: usize = 50_000;

/// Buckets by caller.
#[derive(Debug)]
pub struct Pace<K> {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl<K: Hash + Eq + Clone> Pace<K> {
    /// So many calls a second in the long run, and so many at once.
    pub fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, buckets: Mutex::default() }
    }

    /// Takes one call. Refused: seconds after which the next may succeed.
    pub fn take(&self, who: &K, now: Instant) -> Result<(), u32> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_KNOWN && !buckets.contains_key(who) {
            let full = |b: &Bucket| b.left + self.grown(b, now) >= self.burst;
            buckets.retain(|_, bucket| !full(bucket));
            if buckets.len() >= MAX_KNOWN {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(who.clone()).or_insert(Bucket { left: self.burst, at: now });
        let left = (bucket.left + self.grown(bucket, now)).min(self.burst);
        *bucket = Bucket { left, at: now };
        if left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        // Between one and sixty: small and finite by construction.
        let seconds = ((1.0 - left) / self.per_second).ceil().clamp(1.0, 60.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1..=60")]
        Err(seconds as u32)
    }

    fn grown(&self, bucket: &Bucket, now: Instant) -> f64 {
        now.saturating_duration_since(bucket.at).as_secs_f64() * self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_then_the_long_run_and_nobody_pays_for_another() {
        let (pace, start) = (Pace::new(2.0, 3.0), Instant::now());
        assert!((0..3).all(|_| pace.take(&"a", start).is_ok()));
        assert_eq!(pace.take(&"a", start), Err(1));
        assert_eq!(pace.take(&"b", start), Ok(()));
        assert_eq!(pace.take(&"a", start + Duration::from_millis(500)), Ok(()));
        assert!(pace.take(&"a", start + Duration::from_millis(501)).is_err());
    }
}
