//! The way to the writer: a bounded queue of batches, first come, first written.
//!
//! The writer takes everything that waits as soon as one of the batches has a caller waiting for the disk; batches
//! nobody waits for linger for a few milliseconds, so that they share the transaction of the commit that usually
//! follows.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lanyard_ports::journal::{JournalError, Write};
use tokio::sync::{Semaphore, oneshot};

/// Batches that may wait. Each running session waits for its own commits, so more than a few dozen means that the
/// disk is slower than the host: then appending waits too, and memory stays bounded.
pub(crate) const QUEUE_BATCHES: usize = 256;

/// Batches nobody waits for that make the writer start before their time, so that appending rarely has to wait.
const EAGER_BATCHES: usize = QUEUE_BATCHES / 2;

/// A batch on its way.
#[derive(Debug)]
pub(crate) struct Job {
    /// The rows.
    pub(crate) writes: Vec<Write>,
    /// Told once the batch is on disk or refused; absent for `append`.
    pub(crate) reply: Option<oneshot::Sender<Result<(), JournalError>>>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    room: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    /// When the oldest batch was queued.
    since: Option<Instant>,
    /// Somebody waits, or the writer is wanted for another reason.
    urgent: bool,
    closed: bool,
}

/// The queue takes nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

impl Queue {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), room: Semaphore::new(QUEUE_BATCHES) }
    }

    /// Adds a batch, waiting while the queue is full. Cancel-safe: a dropped future has queued nothing, a finished
    /// one has.
    pub(crate) async fn push(&self, job: Job) -> Result<(), Closed> {
        // Given back by `take`, one for each batch.
        self.room.acquire().await.map_err(|_| Closed)?.forget();
        let mut state = self.lock();
        if state.closed {
            return Err(Closed);
        }
        state.urgent |= job.reply.is_some() || state.jobs.len() + 1 >= EAGER_BATCHES;
        state.since.get_or_insert_with(Instant::now);
        state.jobs.push_back(job);
        self.wake.notify_one();
        Ok(())
    }

    /// Wakes the writer although no batch asks for it.
    pub(crate) fn nudge(&self) {
        self.lock().urgent = true;
        self.wake.notify_one();
    }

    /// Takes nothing more; what waits is still handed out.
    pub(crate) fn close(&self) {
        self.room.close();
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Blocks until the writer has something to do, then hands out everything that waits; possibly nothing, after a
    /// nudge. `None` once the queue is closed and empty.
    pub(crate) fn take(&self, linger: Duration) -> Option<Vec<Job>> {
        let mut state = self.lock();
        loop {
            if state.closed && state.jobs.is_empty() {
                return None;
            }
            let waited = state.since.map(|since| since.elapsed());
            if state.urgent || state.closed || waited.is_some_and(|waited| waited >= linger) {
                break;
            }
            state = match waited {
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(waited) => {
                    let left = linger.saturating_sub(waited);
                    self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        let jobs: Vec<Job> = state.jobs.drain(..).collect();
        state.urgent = false;
        state.since = None;
        drop(state);
        self.room.add_permits(jobs.len());
        Some(jobs)
    }

    /// Nothing panics while holding the lock; if it did, the state would still be whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Far longer than any test waits.
    const NEVER: Duration = Duration::from_secs(3600);

    fn append() -> Job {
        Job { writes: Vec::new(), reply: None }
    }

    #[tokio::test]
    async fn a_commit_takes_the_appended_batches_along() {
        let queue = Queue::new();
        queue.push(append()).await.unwrap();
        queue.push(append()).await.unwrap();
        let (reply, _waits) = oneshot::channel();
        queue.push(Job { writes: Vec::new(), reply: Some(reply) }).await.unwrap();
        let jobs = queue.take(NEVER).unwrap();
        assert_eq!(jobs.iter().map(|job| job.reply.is_some()).collect::<Vec<_>>(), [false, false, true]);
    }

    #[tokio::test]
    async fn appended_batches_do_not_wait_for_ever() {
        let queue = Queue::new();
        queue.push(append()).await.unwrap();
        assert_eq!(queue.take(Duration::from_millis(1)).unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_full_queue_makes_appending_wait_until_the_writer_takes() {
        let queue = Arc::new(Queue::new());
        for _ in 0..QUEUE_BATCHES {
            queue.push(append()).await.unwrap();
        }
        let mut waiting = tokio_test_poll(queue.clone());
        assert!(waiting.try_recv().is_err());
        assert_eq!(queue.take(NEVER).unwrap().len(), QUEUE_BATCHES);
        assert_eq!(waiting.recv().await, Some(Ok(())));
    }

    /// Pushes in a task of its own and reports when it got through.
    fn tokio_test_poll(queue: Arc<Queue>) -> tokio::sync::mpsc::Receiver<Result<(), Closed>> {
        let (tell, told) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move { tell.send(queue.push(append()).await).await });
        told
    }

    #[tokio::test]
    async fn a_closed_queue_hands_out_the_rest_and_takes_nothing_more() {
        let queue = Queue::new();
        queue.push(append()).await.unwrap();
        queue.close();
        assert_eq!(queue.push(append()).await, Err(Closed));
        assert_eq!(queue.take(NEVER).unwrap().len(), 1);
        assert!(queue.take(NEVER).is_none());
    }

    #[tokio::test]
    async fn a_nudge_wakes_the_writer_with_empty_hands() {
        let queue = Queue::new();
        queue.nudge();
        assert_eq!(queue.take(NEVER).unwrap().len(), 0);
    }
}
