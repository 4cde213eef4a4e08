//! Many callers, one statement: what is asked while a batch runs goes into the next one.
//!
//! When ten thousand hosts acknowledge at once, a transaction for each would cost a commit each; like this it is a few
//! dozen. Nobody waits when nothing runs: a single caller is a batch of one.
//!
//! A batch holds questions of several tenants. When it fails because of what was asked, each question is run alone, so
//! that only whoever asked it hears of it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use lanyard_protocol::ErrorCode;
use tokio::sync::{Semaphore, oneshot};

use crate::fault::Fault;

/// A caller's own question and where its answer goes.
struct Asked<I, O> {
    question: I,
    answer: oneshot::Sender<Result<O, Fault>>,
}

/// How often a caller asks again whose batch was dropped with the connection of whoever ran it.
const TRIES: usize = 5;

/// Questions that wait. Cheap to clone.
pub struct Gather<I, O> {
    waiting: Arc<Mutex<Vec<Asked<I, O>>>>,
    turns: Arc<Semaphore>,
}

impl<I, O> Clone for Gather<I, O> {
    fn clone(&self) -> Self {
        Self { waiting: self.waiting.clone(), turns: self.turns.clone() }
    }
}

impl<I, O> Default for Gather<I, O> {
    fn default() -> Self {
        Self::of(1)
    }
}

impl<I, O> std::fmt::Debug for Gather<I, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gather")
    }
}

impl<I, O> Gather<I, O> {
    /// With so many batches at once: with two, somebody who comes while a batch runs need not wait for its end.
    pub fn of(batches: usize) -> Self {
        Self { waiting: Arc::default(), turns: Arc::new(Semaphore::new(batches)) }
    }
}

impl<I: Clone, O> Gather<I, O> {
    /// Asks. `run` answers a batch of at most `most` questions, in order; the same for every caller, and harmless when
    /// repeated. Cancel-safe for the others: they ask again.
    pub async fn ask<R, F>(&self, question: I, most: usize, run: R) -> Result<O, Fault>
    where
        R: Fn(Vec<I>) -> F,
        F: Future<Output = Result<Vec<O>, Fault>>,
    {
        for _ in 0..TRIES {
            if let Some(answer) = self.once(question.clone(), most, &run).await {
                return answer;
            }
        }
        Err(Fault::unavailable("the server is busy; try again"))
    }

    async fn once<R, F>(&self, question: I, most: usize, run: &R) -> Option<Result<O, Fault>>
    where
        R: Fn(Vec<I>) -> F,
        F: Future<Output = Result<Vec<O>, Fault>>,
    {
        let (sender, mut answer) = oneshot::channel();
        self.waiting().push(Asked { question, answer: sender });
        loop {
            let turn = tokio::select! {
                biased;
                answer = &mut answer => return answer.ok(),
                turn = self.turns.acquire() => turn,
            };
            if let Ok(answer) = answer.try_recv() {
                return Some(answer);
            }
            let (questions, senders) = self.take(most);
            if senders.is_empty() {
                // Ours is in the batch of whoever has the other turn.
                drop(turn);
                return answer.await.ok();
            }
            // Boxed: most of those who wait never run a batch, and need not have room for one.
            match Box::pin(whole(questions.clone(), run)).await {
                Ok(answers) => {
                    for (sender, answer) in senders.into_iter().zip(answers) {
                        // Whoever asked may have gone.
                        let _ = sender.send(Ok(answer));
                    }
                }
                Err(fault) if senders.len() <= 1 || nobodys(&fault) => {
                    for sender in senders {
                        let _ = sender.send(Err(fault.clone()));
                    }
                }
                Err(fault) => {
                    tracing::debug!(%fault, count = senders.len(), "a batch failed; its questions are run alone");
                    for (sender, question) in senders.into_iter().zip(questions) {
                        let answer = Box::pin(whole(vec![question], run)).await;
                        let answer = answer.and_then(|mut answers| {
                            answers.pop().ok_or_else(|| Fault::internal("a question got no answer", &0))
                        });
                        let _ = sender.send(answer);
                    }
                }
            }
            drop(turn);
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Asked<I, O>>> {
        // Held for operations of the vector only, which do not panic half-way.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, most: usize) -> (Vec<I>, Vec<oneshot::Sender<Result<O, Fault>>>) {
        let mut waiting = self.waiting();
        // Those who have gone need no answer.
        waiting.retain(|asked| !asked.answer.is_closed());
        let count = waiting.len().min(most);
        waiting.drain(..count).map(|asked| (asked.question, asked.answer)).unzip()
    }
}

/// Runs a batch; every question has its answer.
async fn whole<I, O, R, F>(questions: Vec<I>, run: &R) -> Result<Vec<O>, Fault>
where
    R: Fn(Vec<I>) -> F,
    F: Future<Output = Result<Vec<O>, Fault>>,
{
    let count = questions.len();
    let answers = run(questions).await?;
    if answers.len() != count {
        return Err(Fault::internal("a batch was not answered whole", &answers.len()));
    }
    Ok(answers)
}

/// Whether nobody who asked is to blame: what is needed cannot be reached, and would not be for one question either.
fn nobodys(fault: &Fault) -> bool {
    matches!(fault.wire.code, ErrorCode::CentralUnavailable | ErrorCode::StorageFull)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_thousand_callers_are_a_few_batches_and_each_gets_its_own_answer() {
        let gather = Gather::<usize, usize>::default();
        let batches = Arc::new(AtomicUsize::new(0));
        let asks = (0..1_000).map(|n| {
            let (gather, batches) = (gather.clone(), batches.clone());
            tokio::spawn(async move {
                let run = |questions: Vec<usize>| {
                    let batches = batches.clone();
                    async move {
                        assert!(questions.len() <= 400);
                        batches.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        Ok(questions.iter().map(|q| q * 2).collect())
                    }
                };
                assert_eq!(gather.ask(n, 400, run).await.unwrap(), n * 2);
            })
        });
        for ask in asks.collect::<Vec<_>>() {
            ask.await.unwrap();
        }
        let count = batches.load(Ordering::Relaxed);
        assert!((3..=10).contains(&count), "{count} batches");
    }

    #[tokio::test]
    async fn whoever_leaves_in_the_middle_takes_nobody_along() {
        let gather = Gather::<u8, u8>::default();
        let run = |questions: Vec<u8>| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(questions)
        };
        let (one, two) = (gather.clone(), gather.clone());
        let leaving = tokio::spawn(async move { one.ask(1, 10, run).await });
        let staying = tokio::spawn(async move { two.ask(2, 10, run).await });
        tokio::time::sleep(Duration::from_millis(5)).await;
        leaving.abort();
        assert_eq!(staying.await.unwrap().unwrap(), 2);
    }

    #[tokio::test]
    async fn with_two_turns_nobody_runs_a_batch_of_nothing() {
        let gather = Gather::<u8, u8>::of(2);
        let batches = AtomicUsize::new(0);
        let run = |questions: Vec<u8>| {
            batches.fetch_add(1, Ordering::Relaxed);
            async move {
                assert!(!questions.is_empty());
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(questions)
            }
        };
        let answers = futures_util::future::join_all((0..6).map(|n| gather.ask(n, 10, run))).await;
        assert!(
            answers.iter().enumerate().all(|(n, answer)| answer.as_ref().is_ok_and(|a| usize::from(*a) == n))
        );
        assert!(batches.load(Ordering::Relaxed) <= 3);
    }

    #[tokio::test]
    async fn one_bad_question_fails_for_whoever_asked_it_alone() {
        let gather = Gather::<u8, u8>::default();
        let batches = AtomicUsize::new(0);
        let run = |questions: Vec<u8>| {
            batches.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                match questions.contains(&3) {
                    true => Err(Fault::invalid("three")),
                    false => Ok(questions),
                }
            }
        };
        let answers = futures_util::future::join_all((0..6).map(|n| gather.ask(n, 10, run))).await;
        for (n, answer) in (0..6).zip(answers) {
            match n {
                3 => assert_eq!(answer.unwrap_err(), Fault::invalid("three")),
                _ => assert_eq!(answer.unwrap(), n),
            }
        }
        // The first alone, the others together, and those five each alone.
        assert_eq!(batches.load(Ordering::Relaxed), 7);
    }

    #[tokio::test]
    async fn when_the_database_is_away_it_is_asked_once() {
        let gather = Gather::<u8, u8>::default();
        let batches = AtomicUsize::new(0);
        let run = |_| {
            batches.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Err(Fault::unavailable("away"))
            }
        };
        let answers = futures_util::future::join_all((0..6).map(|n| gather.ask(n, 10, run))).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(batches.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_batch_that_fails_fails_for_all_and_the_next_one_runs() {
        let gather = Gather::<u8, u8>::default();
        let failed = gather.ask(1, 10, |_| async { Err(Fault::unavailable("no")) }).await;
        assert!(failed.is_err());
        let short = gather.ask(1, 10, |_| async { Ok(Vec::new()) }).await;
        assert!(short.is_err());
        assert_eq!(gather.ask(3, 10, |q| async { Ok(q) }).await.unwrap(), 3);
    }
}
