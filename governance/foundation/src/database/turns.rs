//! Whose turn it is to write to SQLite, which has one writer: tenants take turns, however many of each wait. So the hosts
//! of one tenant, many or busy, make nobody of another wait for longer than one transaction of each tenant takes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lanyard_governance_api::id::TenantId;
use tokio::sync::oneshot;

/// Transactions of one tenant that may wait. A writer that takes in a thousand a second works off more than any of them
/// waits for ([`super::open`] gives up earlier).
const MOST_WAITING: usize = 2_000;

/// A tenant; `None` is the installation, which has a turn like any of them.
type Whose = Option<TenantId>;

/// The queue. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    /// Somebody writes.
    taken: bool,
    /// Tenants of which somebody waits, next first.
    ring: VecDeque<Whose>,
    waiting: HashMap<Whose, VecDeque<oneshot::Sender<Turn>>>,
}

/// Leave to write; the next one has it when this is dropped.
#[must_use = "dropped, it is the next one's turn"]
pub(super) struct Turn(Option<Turns>);

/// More wait already than may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Crowded;

impl Turns {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Held for operations of the queue only, which do not panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn. Cancel-safe: whoever leaves is passed over.
    pub(super) async fn take(&self, whose: Whose) -> Result<Turn, Crowded> {
        let turn = {
            let mut queue = self.queue();
            if !queue.taken {
                queue.taken = true;
                return Ok(Turn(Some(self.clone())));
            }
            queue.add(whose)?
        };
        // The sender is kept until it is used, and `Turns` outlives whoever waits for it.
        turn.await.map_err(|_| Crowded)
    }

    fn pass_on(&self) {
        loop {
            let Some(next) = self.queue().next() else { return };
            // Whoever has left meanwhile is passed over.
            match next.send(Turn(Some(self.clone()))) {
                Ok(()) => return,
                Err(mut unwanted) => unwanted.0 = None,
            }
        }
    }
}

impl Queue {
    fn add(&mut self, whose: Whose) -> Result<oneshot::Receiver<Turn>, Crowded> {
        let (sender, turn) = oneshot::channel();
        let waiting = self.waiting.entry(whose.clone()).or_default();
        if waiting.len() >= MOST_WAITING {
            waiting.retain(|one| !one.is_closed());
            if waiting.len() >= MOST_WAITING {
                return Err(Crowded);
            }
        }
        if waiting.is_empty() && !self.ring.contains(&whose) {
            self.ring.push_back(whose);
        }
        waiting.push_back(sender);
        Ok(turn)
    }

    /// Whose turn it is now; nobody's, where nobody waits.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        while let Some(whose) = self.ring.pop_front() {
            let Some(waiting) = self.waiting.get_mut(&whose) else { continue };
            let next = waiting.pop_front();
            if waiting.is_empty() {
                self.waiting.remove(&whose);
            } else {
                self.ring.push_back(whose);
            }
            if next.is_some() {
                return next;
            }
        }
        self.taken = false;
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn tenant(name: &str) -> Whose {
        Some(TenantId::new(name).unwrap())
    }

    /// Stands in the queue, without a runtime: what it returns has been polled once.
    macro_rules! waits {
        ($turns:expr, $name:expr) => {{
            let mut waiting = Box::pin($turns.take(tenant($name)));
            assert!(now(&mut waiting).is_none());
            ($name, waiting)
        }};
    }

    fn now<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn tenants_take_turns_however_many_of_each_wait() {
        let turns = Turns::default();
        let mut held = now(&mut Box::pin(turns.take(None))).unwrap().ok();
        let names = ["a", "a", "a", "a", "b", "c", "b", "a"];
        let mut waiting: Vec<_> = names.into_iter().map(|name| waits!(turns, name)).collect();
        let mut order = String::new();
        while !waiting.is_empty() {
            drop(held.take());
            let ready = waiting.iter_mut().enumerate().find_map(|(at, (_, one))| Some((at, now(one)?)));
            let (at, turn) = ready.expect("somebody has the turn");
            held = Some(turn.unwrap());
            order.push_str(waiting.remove(at).0);
        }
        assert_eq!(order, "abcabaaa");
        drop(held);
        assert!(now(&mut Box::pin(turns.take(None))).is_some_and(|turn| turn.is_ok()), "free again");
    }

    #[test]
    fn whoever_leaves_is_passed_over_before_and_after_he_has_the_turn() {
        let turns = Turns::default();
        let held = now(&mut Box::pin(turns.take(None))).unwrap().unwrap();
        let (leaves, has_it, mut stays) = (waits!(turns, "a"), waits!(turns, "b"), waits!(turns, "c"));
        drop(leaves);
        drop(held);
        assert!(now(&mut stays.1).is_none());
        // It was given the turn, and did not look.
        drop(has_it);
        assert!(now(&mut stays.1).is_some());
        let queue = turns.queue();
        assert!(!queue.taken && queue.ring.is_empty() && queue.waiting.is_empty());
    }

    #[test]
    fn the_queue_of_a_tenant_has_an_end_and_others_are_not_in_it() {
        let turns = Turns::default();
        let held = now(&mut Box::pin(turns.take(None))).unwrap().unwrap();
        let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| waits!(turns, "a")).collect();
        let refused = now(&mut Box::pin(turns.take(tenant("a")))).unwrap().err();
        assert_eq!(refused, Some(Crowded));
        let _other = waits!(turns, "b");
        // One gives up, and there is room again.
        drop(waiting.pop());
        let _late = waits!(turns, "a");
        drop(held);
    }
}
