//! Places for connections: there are so many, and who has one that matters keeps it.
//!
//! When all are taken, the oldest connection that carries nobody makes room for a new one, once it had time enough; so
//! somebody who opens many crowds out his own. A connection that carries a device's channel is *settled* and safe from
//! that, but only after the time in which a stranger's handshake would have been given up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lanyard_transport::limits::{HANDSHAKE, HANDSHAKE_GRACE};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections at once. A browser opens up to six while it loads the page and keeps one; each costs a file descriptor,
/// of which many systems give a process 1,024, and under 100 KiB.
pub(super) const MAX_CONNECTIONS: usize = 512;

/// Age from which on a channel is known not to be a stranger in the middle of a handshake: those are given up sooner.
const SETTLED: Duration = HANDSHAKE.saturating_add(Duration::from_secs(1));

#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Mutex<Table>>);

#[derive(Debug)]
struct Table {
    most: usize,
    next: u64,
    /// Oldest first.
    taken: VecDeque<Taken>,
}

#[derive(Debug)]
struct Taken {
    id: u64,
    since: Instant,
    /// Since when it carries a channel.
    channel: Option<Instant>,
    given_up: CancellationToken,
}

impl Taken {
    fn may_go(&self, now: Instant) -> bool {
        let settled = self.channel.is_some_and(|since| now.duration_since(since) >= SETTLED);
        !settled && now.duration_since(self.since) >= HANDSHAKE_GRACE
    }
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Table { most, next: 0, taken: VecDeque::new() })))
    }

    #[cfg(test)]
    fn taken(&self) -> usize {
        self.table().taken.len()
    }

    /// A place, if need be somebody's who does not need it as much.
    pub(super) fn take(&self) -> Option<Place> {
        let now = Instant::now();
        let mut table = self.table();
        if table.taken.len() >= table.most {
            let at = table.taken.iter().position(|taken| taken.may_go(now))?;
            if let Some(gone) = table.taken.remove(at) {
                gone.given_up.cancel();
            }
        }
        let id = table.next;
        table.next += 1;
        let given_up = CancellationToken::new();
        table.taken.push_back(Taken { id, since: now, channel: None, given_up: given_up.clone() });
        Some(Place { places: self.clone(), id, given_up })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Held for a few instructions that leave it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them, until it is dropped or given to somebody else.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    id: u64,
    given_up: CancellationToken,
}

impl Place {
    /// Waits until the place is somebody else's.
    pub(super) async fn given_up(&self) {
        self.given_up.cancelled().await;
    }

    /// The connection carries a channel from now on.
    pub(super) fn carries_a_channel(&self) {
        self.change(|taken| {
            taken.channel.get_or_insert_with(Instant::now);
        });
    }

    /// The connection carries none any more, and is a visitor's again.
    pub(super) fn carries_nothing(&self) {
        self.change(|taken| taken.channel = None);
    }

    fn change(&self, change: impl FnOnce(&mut Taken)) {
        let mut table = self.places.table();
        if let Some(taken) = table.taken.iter_mut().find(|taken| taken.id == self.id) {
            change(taken);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table().taken.retain(|taken| taken.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_visitor_makes_room_and_a_settled_channel_never() {
        let places = Places::new(3);
        let channel = places.take().unwrap();
        channel.carries_a_channel();
        tokio::time::advance(SETTLED).await;
        let visitors = [places.take().unwrap(), places.take().unwrap()];
        assert!(places.take().is_none(), "all are taken, and nobody who may go had time enough");
        tokio::time::advance(HANDSHAKE_GRACE).await;
        let newest = places.take().unwrap();
        assert!(!channel.given_up.is_cancelled() && visitors[0].given_up.is_cancelled());
        assert!(!visitors[1].given_up.is_cancelled());
        drop(newest);
        assert_eq!(places.taken(), 2);
        drop((channel, visitors));
        assert_eq!(places.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_channel_that_has_just_begun_may_be_a_strangers() {
        let places = Places::new(1);
        let young = places.take().unwrap();
        young.carries_a_channel();
        tokio::time::advance(HANDSHAKE_GRACE).await;
        let next = places.take().unwrap();
        assert!(young.given_up.is_cancelled());
        next.carries_a_channel();
        tokio::time::advance(SETTLED).await;
        assert!(places.take().is_none(), "settled channels fill the house");
        next.carries_nothing();
        let _last = places.take().unwrap();
        assert!(next.given_up.is_cancelled(), "what has carried a channel once is not safe for ever");
    }
}
