//! Time and chance, handed in so that tests neither wait nor guess.

use std::time::{Duration, SystemTime};

/// Where waiting, wall clock and randomness come from.
#[async_trait::async_trait]
pub trait Pace: Send + Sync {
    /// Lets the time pass. Cancel-safe: dropping the future ends the wait.
    async fn wait(&self, delay: Duration);

    /// The wall clock, for `Retry-After` dates.
    fn now(&self) -> SystemTime;

    /// Anything from 0 to `u64::MAX`, each as likely; it spreads retries of many hosts.
    fn random(&self) -> u64;
}

/// The machine's own clock and randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealPace;

#[async_trait::async_trait]
impl Pace for RealPace {
    async fn wait(&self, delay: Duration) {
        tokio::time::sleep(delay).await;
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn random(&self) -> u64 {
        // Without entropy retries are merely not spread; the middle keeps them at their usual distance.
        getrandom::u64().unwrap_or(u64::MAX / 2)
    }
}
