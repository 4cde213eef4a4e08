//! Places for strangers in the middle of a handshake.
//!
//! When all are taken, the oldest handshake makes room for a new one, once it had time enough. Honest handshakes take
//! milliseconds; somebody who begins many and ends none crowds out his own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::limits::{HANDSHAKE_GRACE, MAX_HANDSHAKES};

#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// Oldest first.
    taken: VecDeque<Taken>,
}

#[derive(Debug)]
struct Taken {
    id: u64,
    since: Instant,
    given_up: CancellationToken,
}

impl Places {
    pub(crate) fn taken(&self) -> usize {
        self.table().taken.len()
    }

    /// A place, if need be the oldest one's.
    pub(crate) fn take(&self) -> Option<Place> {
        let now = Instant::now();
        let mut table = self.table();
        if table.taken.len() >= MAX_HANDSHAKES {
            let oldest = table.taken.front()?;
            if now.duration_since(oldest.since) < HANDSHAKE_GRACE {
                return None;
            }
            oldest.given_up.cancel();
            table.taken.pop_front();
        }
        let id = table.next;
        table.next += 1;
        let given_up = CancellationToken::new();
        table.taken.push_back(Taken { id, since: now, given_up: given_up.clone() });
        Some(Place { places: self.clone(), id, given_up })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Held for a few instructions that leave it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them, until it is dropped or given to somebody else.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    id: u64,
    given_up: CancellationToken,
}

impl Place {
    /// Waits until the place is somebody else's.
    pub(crate) async fn given_up(&self) {
        self.given_up.cancelled().await;
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
    async fn the_oldest_makes_room_when_it_had_its_time() {
        let places = Places::default();
        let mut taken: Vec<_> = (0..MAX_HANDSHAKES).map(|_| places.take().unwrap()).collect();
        assert!(places.take().is_none(), "all are taken, none is old");
        tokio::time::advance(HANDSHAKE_GRACE).await;
        let newest = places.take().unwrap();
        assert!(taken[0].given_up.is_cancelled() && !taken[1].given_up.is_cancelled());
        assert_eq!(places.taken(), MAX_HANDSHAKES);
        taken.remove(0);
        assert_eq!(places.taken(), MAX_HANDSHAKES, "its place is another's");
        drop(newest);
        assert_eq!(places.taken(), MAX_HANDSHAKES - 1);
        drop(taken);
        assert_eq!(places.taken(), 0);
    }
}
