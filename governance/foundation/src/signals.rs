//! Wake-ups: whoever waits for a topic hears of it when a transaction that woke it commits, on any replica.
//!
//! A wake-up says only "look again"; what there is to see is in the database. It may be lost (a replica that cannot
//! reach PostgreSQL), so every waiter also looks after a while by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Pause before the next try to listen to PostgreSQL.
const RECONNECT: Duration = Duration::from_millis(500);

/// Topics and those who wait for them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    topics: Arc<Mutex<HashMap<String, watch::Sender<u64>>>>,
    stop: CancellationToken,
}

/// Somebody who waits for a topic. Made before looking, so that nothing falls between looking and waiting.
#[derive(Debug)]
pub struct Waiter {
    woken: watch::Receiver<u64>,
}

impl Waiter {
    /// Waits for the next wake-up since this was made or last returned, at most `longest`. Cancel-safe.
    pub async fn wait(&mut self, longest: Duration) {
        // Closed or out of time: the caller looks again either way.
        let _ = tokio::time::timeout(longest, self.woken.changed()).await;
    }
}

impl Signals {
    fn topics(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<u64>>> {
        // Held for map operations only, which do not panic half-way.
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait for a topic.
    pub fn listen(&self, topic: &str) -> Waiter {
        let mut topics = self.topics();
        let sender = topics.entry(topic.to_owned()).or_insert_with(|| watch::channel(0).0);
        let mut woken = sender.subscribe();
        woken.mark_unchanged();
        Waiter { woken }
    }

    /// Wakes those of this process. Services use [`crate::Tx::wake`], which reaches every replica.
    pub fn wake_here(&self, topic: &str) {
        let mut topics = self.topics();
        if let Some(sender) = topics.get(topic) {
            if sender.receiver_count() == 0 {
                topics.remove(topic);
            } else {
                sender.send_modify(|n| *n = n.wrapping_add(1));
            }
        }
    }

    /// Forgets topics for which nobody waits.
    pub fn tidy(&self) {
        self.topics().retain(|_, sender| sender.receiver_count() > 0);
    }

    fn wake_everybody(&self) {
        for sender in self.topics().values() {
            sender.send_modify(|n| *n = n.wrapping_add(1));
        }
    }

    /// Ends what listens to PostgreSQL.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Hands on what PostgreSQL says, for as long as the process lives.
    pub(crate) fn follow(&self, pool: PgPool) {
        let signals = self.clone();
        tokio::spawn(async move {
            let stop = signals.stop.clone();
            while !stop.is_cancelled() {
                let followed = tokio::select! {
                    () = stop.cancelled() => return,
                    followed = signals.follow_once(&pool) => followed,
                };
                if let Err(error) = followed {
                    tracing::warn!(%error, "wake-ups from other replicas are late until PostgreSQL is heard again");
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RECONNECT) => {}
                }
            }
        });
    }

    async fn follow_once(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen("lanyard").await?;
        // What was said while nobody listened is not said again.
        self.wake_everybody();
        loop {
            match listener.try_recv().await? {
                Some(notification) => self.wake_here(notification.payload()),
                None => return Ok(()),
            }
        }
    }
}
