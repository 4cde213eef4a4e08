//! Which sessions are open. Each is opened once, however many ask for it at the same moment, and opening one makes nobody
//! wait who wants another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lanyard_protocol::error::WireError;
use lanyard_protocol::id::SessionId;
use tokio::sync::OnceCell;

/// Sessions kept although nothing runs in them. Opening one again costs some file-system calls.
const IDLE_KEPT: usize = 32;

/// What is kept of an open session.
pub(super) trait Idle {
    /// Nothing runs in it: it may be let go.
    fn is_idle(&self) -> bool;
}

/// A session that is open or being opened. Cloned while the map is held, and only by those who are opening it.
type Opening<T> = Arc<OnceCell<Arc<T>>>;

/// See the module.
pub(super) struct Openings<T> {
    open: Mutex<HashMap<SessionId, Opening<T>>>,
}

impl<T> Default for Openings<T> {
    fn default() -> Self {
        Self { open: Mutex::default() }
    }
}

impl<T: Idle> Openings<T> {
    fn map(&self) -> MutexGuard<'_, HashMap<SessionId, Opening<T>>> {
        // Held for map operations only, which do not panic half-way.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open session, or what `start` makes of it. Where one fails, the next of those who wait starts it. Cancel-safe.
    ///
    /// # Errors
    /// Those of `start`.
    pub(super) async fn open<F>(
        &self,
        id: &SessionId,
        start: impl FnOnce() -> F + Send,
    ) -> Result<Arc<T>, WireError>
    where
        F: Future<Output = Result<T, WireError>> + Send,
    {
        let opening = {
            let mut open = self.map();
            if open.len() >= IDLE_KEPT && !open.contains_key(id) {
                open.retain(|_, opening| in_use(opening));
            }
            open.entry(id.clone()).or_default().clone()
        };
        let made = || async { start().await.map(Arc::new) };
        let found = opening.get_or_try_init(made).await.cloned();
        if found.is_err() {
            self.give_up(id, opening);
        }
        found
    }

    /// Forgets an opening that failed, unless somebody else has it and goes on: a session that was opened outside the map
    /// would be opened a second time by whoever comes next.
    fn give_up(&self, id: &SessionId, opening: Opening<T>) {
        let mut open = self.map();
        // The map's own and this one.
        let alone = Arc::strong_count(&opening) == 2;
        if alone && open.get(id).is_some_and(|kept| Arc::ptr_eq(kept, &opening)) {
            open.remove(id);
        }
        // While the map is held, so that the next to give up counts right.
        drop(opening);
    }

    /// The session, if it is open already.
    pub(super) fn get(&self, id: &SessionId) -> Option<Arc<T>> {
        self.map().get(id)?.get().cloned()
    }

    /// Open sessions in which something runs.
    pub(super) fn busy(&self) -> usize {
        self.map().values().filter_map(|opening| opening.get()).filter(|open| !open.is_idle()).count()
    }

    /// Lets go of a session.
    pub(super) fn forget(&self, id: &SessionId) {
        self.map().remove(id);
    }

    /// Lets go of every session that nobody uses.
    pub(super) fn forget_idle(&self) {
        self.map().retain(|_, opening| in_use(opening));
    }

    /// Lets go of all.
    pub(super) fn clear(&self) {
        self.map().clear();
    }
}

/// Whether a session must stay in the map: it is being opened, it runs a task, or somebody holds it and may be about to
/// start one; a session must never have two owners. One that nobody opens any more, because whoever did went away, need
/// not stay.
fn in_use<T: Idle>(opening: &Opening<T>) -> bool {
    Arc::strong_count(opening) > 1
        || opening.get().is_some_and(|open| Arc::strong_count(open) > 1 || !open.is_idle())
}

#[cfg(test)]
mod tests {
    use std::future::Ready;
    use std::pin::pin;

    use futures_util::poll;
    use lanyard_protocol::error::ErrorCode;
    use tokio::sync::oneshot;

    use super::*;

    #[derive(Debug)]
    struct Quiet;

    impl Idle for Quiet {
        fn is_idle(&self) -> bool {
            true
        }
    }

    fn session() -> SessionId {
        SessionId::new("sess_1").unwrap()
    }

    fn refused() -> WireError {
        WireError::new(ErrorCode::CentralUnavailable, "not now")
    }

    #[tokio::test]
    async fn who_waited_goes_on_where_another_failed_and_nobody_opens_it_beside_them() {
        let (open, id) = (Openings::<Quiet>::default(), session());
        let (fail, failing) = oneshot::channel::<()>();
        let (go, going) = oneshot::channel::<()>();
        let mut first = pin!(open.open(&id, || async {
            failing.await.unwrap();
            Err(refused())
        }));
        let mut second = pin!(open.open(&id, || async {
            going.await.unwrap();
            Ok(Quiet)
        }));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        fail.send(()).unwrap();
        first.await.unwrap_err();
        assert!(poll!(&mut second).is_pending(), "it is being opened now");
        let mut third =
            pin!(open.open(&id, || -> Ready<Result<Quiet, WireError>> { panic!("it is opened twice") }));
        assert!(poll!(&mut third).is_pending());
        open.forget_idle();
        go.send(()).unwrap();
        let (second, third) = (second.await.unwrap(), third.await.unwrap());
        assert!(Arc::ptr_eq(&second, &third));
    }

    #[tokio::test]
    async fn nothing_stays_of_an_opening_that_failed_or_was_given_up() {
        let (open, id) = (Openings::<Quiet>::default(), session());
        open.open(&id, || async { Err(refused()) }).await.unwrap_err();
        assert_eq!(open.map().len(), 0);
        {
            let mut gone = pin!(open.open(&id, std::future::pending));
            assert!(poll!(&mut gone).is_pending());
            open.forget_idle();
            assert_eq!(open.map().len(), 1, "somebody opens it");
        }
        open.forget_idle();
        assert_eq!(open.map().len(), 0);
        let held = open.open(&id, || async { Ok(Quiet) }).await.unwrap();
        open.forget_idle();
        assert!(open.get(&id).is_some_and(|open| Arc::ptr_eq(&open, &held)), "somebody holds it");
        drop(held);
        open.forget_idle();
        assert!(open.get(&id).is_none());
    }
}
