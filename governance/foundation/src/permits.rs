//! How much may be under way at once: a bound for the process, and below it one for each key (a tenant), so that nobody
//! shuts the others out.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::Fault;

/// When whoever was refused may come back, in seconds.
const COME_BACK: u32 = 5;

/// Permits of one kind of work.
#[derive(Debug)]
pub struct Permits<K> {
    what: &'static str,
    global: Arc<Semaphore>,
    per_key: usize,
    /// Those of each key. Whoever holds or waits for one keeps them there: they are bounded by what is under way.
    keys: Mutex<HashMap<K, Weak<Semaphore>>>,
}

/// Leave to do one piece of work; given back when dropped.
#[derive(Debug)]
#[must_use = "dropped, it is given back"]
pub struct Permit {
    _own: OwnedSemaphorePermit,
    _global: OwnedSemaphorePermit,
}

impl<K: Hash + Eq + Clone> Permits<K> {
    /// So many at once in this process, and so many of them for one key. `what` names them in refusals ("uploads").
    pub fn new(what: &'static str, global: usize, per_key: usize) -> Self {
        Self { what, global: Arc::new(Semaphore::new(global)), per_key, keys: Mutex::default() }
    }

    /// Takes one, waiting for at most so long; with no time at all it is there or refused (429). Whoever waits for one
    /// of its own key holds none of the others'. Cancel-safe.
    pub async fn take(&self, key: &K, longest: Duration) -> Result<Permit, Fault> {
        let until = Instant::now() + longest;
        let Ok(Ok(own)) = timeout_at(until, self.of(key).acquire_owned()).await else {
            let text = format!("as many {} as one tenant may have at once are under way", self.what);
            return Err(Fault::slow_down(text, COME_BACK));
        };
        let Ok(Ok(global)) = timeout_at(until, self.global.clone().acquire_owned()).await else {
            let text = format!("as many {} as this server takes at once are under way", self.what);
            return Err(Fault::slow_down(text, COME_BACK));
        };
        Ok(Permit { _own: own, _global: global })
    }

    fn of(&self, key: &K) -> Arc<Semaphore> {
        // Held for operations of the map only, which do not panic half-way.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = keys.get(key).and_then(Weak::upgrade) {
            return own;
        }
        keys.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.per_key));
        keys.insert(key.clone(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn refusal(refused: Result<Permit, Fault>) -> String {
        let fault = refused.unwrap_err();
        assert_eq!(fault.status().as_u16(), 429);
        fault.to_string()
    }

    #[tokio::test]
    async fn one_key_leaves_room_for_the_others() {
        let permits = Permits::new("uploads", 3, 2);
        let (one, _two) = (permits.take(&"a", NOW).await.unwrap(), permits.take(&"a", NOW).await.unwrap());
        assert!(refusal(permits.take(&"a", NOW).await).contains("one tenant"));
        let other = permits.take(&"b", NOW).await.unwrap();
        assert!(refusal(permits.take(&"c", NOW).await).contains("this server"));
        drop(other);
        drop(permits.take(&"c", NOW).await.unwrap());
        drop(one);
        drop(permits.take(&"a", NOW).await.unwrap());
    }

    #[tokio::test]
    async fn whoever_waits_gets_what_is_given_back_and_takes_nothing_from_others_meanwhile() {
        let permits = Arc::new(Permits::new("uploads", 2, 1));
        let held = permits.take(&"a", NOW).await.unwrap();
        let waiting = tokio::spawn({
            let permits = permits.clone();
            async move { permits.take(&"a", Duration::from_secs(20)).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(permits.take(&"b", NOW).await.unwrap());
        assert!(!waiting.is_finished());
        drop(held);
        drop(waiting.await.unwrap().unwrap());
        let _held = permits.take(&"a", NOW).await.unwrap();
        let begun = std::time::Instant::now();
        refusal(permits.take(&"a", Duration::from_millis(50)).await);
        assert!(begun.elapsed() >= Duration::from_millis(50));
    }

    #[tokio::test]
    async fn keys_that_have_nothing_under_way_are_forgotten() {
        let permits = Permits::new("uploads", 10, 1);
        for key in 0..1_000 {
            drop(permits.take(&key, NOW).await.unwrap());
        }
        assert!(permits.keys.lock().unwrap().len() <= 2);
    }
}
