//! The carriers that are made of requests: which there are, and what their next request must be.
//!
//! A carrier is known by 16 random bytes that only the page that opened it knows. Whoever breaks a rule with the right
//! bytes is that page, or has them from it; the carrier ends, because what it carried can no longer be in order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER_PERMISSIVE;
use lanyard_transport::limits::{HANDSHAKE, HANDSHAKE_GRACE};
use lanyard_transport::noise::CarrierEnd;
use subtle::ConstantTimeEq;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Carriers of this kind at once: phones whose browser refuses a WebSocket. Each may have a request of 256 KiB under way.
const MAX_FETCHING: usize = 64;

/// Age from which on a carrier is not a stranger's in the middle of a handshake, and keeps its place.
const SETTLED: Duration = HANDSHAKE.saturating_add(Duration::from_secs(1));

/// How long the last words of a channel wait to be fetched.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What names a carrier.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct CarrierId([u8; 16]);

impl CarrierId {
    /// From the system's source of randomness.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        Ok(Self(id))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    pub(super) fn text(&self) -> String {
        HEXLOWER_PERMISSIVE.encode(&self.0)
    }
}

impl std::fmt::Debug for CarrierId {
    /// Whoever has it can send in the page's place, though nothing that the channel would take.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CarrierId(…)")
    }
}

/// One carrier.
#[derive(Debug)]
pub(super) struct Entry {
    id: CarrierId,
    since: Instant,
    /// Cancelled when it is over, whoever ended it.
    pub(super) over: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When something last showed that the page is there.
    active: Instant,
    /// Where posted messages go; lent to the one post that is under way.
    inward: Option<mpsc::Sender<Vec<u8>>>,
    /// Number of the next post.
    next: u64,
    /// What goes to the page, until somebody streams it.
    outward: Option<mpsc::Receiver<Vec<u8>>>,
    /// The channel has ended; there may be last words to be fetched.
    ended: bool,
}

/// The right to post, while it lasts.
#[derive(Debug)]
pub(super) struct Turn {
    entry: Arc<Entry>,
    inward: Option<mpsc::Sender<Vec<u8>>>,
    taken: bool,
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        // Held for a few instructions that leave it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page is there.
    pub(super) fn touch(&self) {
        self.state().active = Instant::now();
    }

    /// What goes to the page; `None` when it is streamed already.
    pub(super) fn outward(&self) -> Option<mpsc::Receiver<Vec<u8>>> {
        let mut state = self.state();
        state.active = Instant::now();
        state.outward.take()
    }

    /// The turn of a post with a number; `None`, and the carrier is over, when it is not its turn, or another one's is not
    /// over.
    pub(super) fn turn(self: &Arc<Self>, number: u64) -> Option<Turn> {
        let mut state = self.state();
        state.active = Instant::now();
        if state.next == number
            && let Some(inward) = state.inward.take()
        {
            return Some(Turn { entry: self.clone(), inward: Some(inward), taken: false });
        }
        drop(state);
        self.over.cancel();
        None
    }

    /// Waits until the carrier is over: somebody ended it, nothing has shown for `gone` that the page is there, or the
    /// channel has ended and its last words had their time. `channel` leads to it.
    pub(super) async fn watch(&self, channel: mpsc::Sender<Vec<u8>>, gone: Duration) {
        while !self.over.is_cancelled() {
            let due = self.state().active + gone;
            if Instant::now() >= due {
                break;
            }
            tokio::select! {
                () = self.over.cancelled() => {}
                () = tokio::time::sleep_until(due) => {}
                () = channel.closed() => {
                    self.state().ended = true;
                    let _ = tokio::time::timeout(LAST_WORDS.min(gone), self.over.cancelled()).await;
                    break;
                }
            }
        }
        self.end();
    }

    /// It is over. A channel that still runs learns of that by losing its queues.
    pub(super) fn end(&self) {
        self.over.cancel();
        let mut state = self.state();
        state.inward = None;
        state.outward = None;
    }

    fn may_go(&self, now: Instant) -> bool {
        let age = now.duration_since(self.since);
        age >= HANDSHAKE_GRACE && (age < SETTLED || self.state().ended)
    }
}

impl Turn {
    /// Gives the channel one message; waits while it has no room. `false` when it takes no more.
    pub(super) async fn give(&self, message: Vec<u8>) -> bool {
        let Some(inward) = &self.inward else { return false };
        tokio::select! {
            sent = inward.send(message) => sent.is_ok(),
            () = self.entry.over.cancelled() => false,
        }
    }

    /// All of the post was taken: the next one may come.
    pub(super) fn done(mut self) {
        self.taken = true;
        let mut state = self.entry.state();
        state.active = Instant::now();
        state.next += 1;
        if !self.entry.over.is_cancelled() {
            state.inward = self.inward.take();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Part of it may be lost, and no other post can stand in for it.
        if !self.taken {
            self.entry.over.cancel();
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(in crate::web) struct Table(Arc<Mutex<Vec<Arc<Entry>>>>);

impl Table {
    /// Enters a carrier. Where there is no room, the oldest that may be a stranger's makes some; `None` when there is
    /// none.
    pub(super) fn enter(&self, id: CarrierId, end: CarrierEnd) -> Option<Arc<Entry>> {
        let now = Instant::now();
        let mut entries = self.entries();
        entries.retain(|entry| !entry.over.is_cancelled());
        if entries.len() >= MAX_FETCHING {
            let at = entries.iter().position(|entry| entry.may_go(now))?;
            entries.remove(at).over.cancel();
        }
        let CarrierEnd { arrived, departing } = end;
        let state =
            State { active: now, inward: Some(arrived), next: 0, outward: Some(departing), ended: false };
        let entry =
            Arc::new(Entry { id, since: now, over: CancellationToken::new(), state: Mutex::new(state) });
        entries.push(entry.clone());
        Some(entry)
    }

    /// The carrier of that name. Every name is compared whole, so that the time it takes says nothing of any.
    pub(super) fn find(&self, id: CarrierId) -> Option<Arc<Entry>> {
        let entries = self.entries();
        let mut found = None;
        for entry in entries.iter() {
            if bool::from(entry.id.0.ct_eq(&id.0)) {
                found = Some(entry.clone());
            }
        }
        found.filter(|entry| !entry.over.is_cancelled())
    }

    pub(super) fn forget(&self, entry: &Arc<Entry>) {
        self.entries().retain(|other| !Arc::ptr_eq(other, entry));
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Arc<Entry>>> {
        // Held for a few instructions that leave it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use lanyard_transport::noise::Carrier;

    use super::*;

    fn entered(table: &Table) -> Option<(Arc<Entry>, Carrier)> {
        let (carrier, end) = Carrier::new(SocketAddr::from(([192, 168, 1, 9], 50_000)));
        let channel = end.arrived.clone();
        let entry = table.enter(CarrierId::random().unwrap(), end)?;
        let watched = entry.clone();
        tokio::spawn(async move { watched.watch(channel, Duration::from_secs(45)).await });
        Some((entry, carrier))
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_one_takes_the_place_of_one_that_may_be_a_strangers() {
        let table = Table::default();
        let settled: Vec<_> = (1..MAX_FETCHING).map(|_| entered(&table).unwrap()).collect();
        tokio::time::sleep(SETTLED).await;
        let (young, _carrier) = entered(&table).unwrap();
        assert!(entered(&table).is_none(), "all are taken, and nobody who may go had time enough");
        tokio::time::sleep(HANDSHAKE_GRACE).await;
        let (next, _carrier) = entered(&table).unwrap();
        assert!(young.over.is_cancelled() && table.find(young.id).is_none());
        assert!(settled.iter().all(|(entry, _)| table.find(entry.id).is_some()));
        tokio::time::sleep(SETTLED).await;
        assert!(entered(&table).is_none(), "settled ones fill the house");
        // A stranger whose handshake came to nothing is not settled however old he is.
        let mut settled = settled;
        let (failed, carrier) = settled.remove(0);
        drop(carrier);
        tokio::time::sleep(HANDSHAKE_GRACE).await;
        let _newest = entered(&table).unwrap();
        assert!(failed.over.is_cancelled() && !next.over.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_words_of_a_channel_wait_and_not_for_long() {
        let table = Table::default();
        let (entry, carrier) = entered(&table).unwrap();
        carrier.outgoing.send(b"not paired".to_vec()).await.unwrap();
        drop(carrier);
        tokio::time::sleep(LAST_WORDS / 2).await;
        let mut outward = table.find(entry.id).unwrap().outward().unwrap();
        assert_eq!(outward.recv().await.unwrap(), b"not paired");
        assert!(outward.recv().await.is_none());
        tokio::time::sleep(LAST_WORDS).await;
        assert!(entry.over.is_cancelled() && table.find(entry.id).is_none());
    }

    #[test]
    fn a_name_does_not_appear_in_logs() {
        let id = CarrierId::random().unwrap();
        assert!(!format!("{id:?}").contains(&id.text()));
        assert_eq!(CarrierId::parse(&id.text()), Some(id));
    }
}
