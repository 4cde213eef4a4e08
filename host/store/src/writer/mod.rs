//! The writer: one thread, one transaction per group of batches.

mod apply;
mod approval;
mod call;
mod central;
mod device;
mod group;
mod prune;
mod refusals;
mod rule;
mod session;
mod stage;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use lanyard_ports::journal::JournalError;
use lanyard_ports::sink::CommitObserver;
use redb::Database;
use tokio::sync::oneshot;

#[cfg(test)]
pub(crate) use self::device::{COUNTER_NAME_BYTES, COUNTERS};
pub(crate) use self::group::begin;
#[cfg(test)]
pub(crate) use self::prune::{
    COMMANDS, CONNECTIONS_SLACK, HOST_EVENTS, HOST_EVENTS_SLACK, OUTBOX, OUTBOX_SLACK,
};
pub(crate) use self::refusals::Refusals;

use self::group::Group;
use crate::artifact::ArtifactFiles;
use crate::condition::Condition;
use crate::queue::{Job, Queue};
use crate::record::Totals;
use crate::space::Space;

/// What the writer works with.
pub(crate) struct Writer {
    pub(crate) db: Arc<Database>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) condition: Arc<Condition>,
    pub(crate) artifacts: Arc<ArtifactFiles>,
    pub(crate) space: Space,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) observer: Arc<dyn CommitObserver>,
    pub(crate) totals: Totals,
    pub(crate) linger: Duration,
}

impl Writer {
    /// Writes until the queue is closed and empty. The body of the writer's thread.
    pub(crate) fn run(mut self) {
        let _at_work = self.condition.at_work();
        // However the thread ends, nobody waits for it afterwards.
        let _end = End { queue: Arc::clone(&self.queue) };
        while let Some(jobs) = self.queue.take(self.linger) {
            self.serve(jobs);
        }
        // Owners of artifacts that no commit followed.
        self.serve(Vec::new());
    }

    /// Writes one group and answers its callers.
    fn serve(&mut self, jobs: Vec<Job>) {
        let jobs = self.admit(jobs);
        let holds = self.artifacts.take_queued();
        if jobs.is_empty() && holds.is_empty() {
            return;
        }
        let (batches, callers): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.writes, job.reply)).unzip();
        // Declared after the callers: they learn of a panic when it has been noted.
        let _note = PoisonOnPanic(Arc::clone(&self.condition));
        let waits: Vec<bool> = callers.iter().map(Option::is_some).collect();
        let group = Group { totals: self.totals, holds: &holds, refusals: &self.refusals };
        let written = group.write(&self.db, batches, &waits);
        // What was held is on disk now, or never will be.
        self.artifacts.release(&holds);
        match written {
            Ok(done) => {
                self.totals = done.totals;
                self.artifacts.set_bytes(done.totals.row_bytes, done.totals.artifact_bytes);
                if !(done.outcome.events.is_empty() && done.outcome.host_events.is_empty()) {
                    self.observer.committed(&done.outcome.events, &done.outcome.host_events);
                }
                callers.into_iter().zip(done.verdicts).for_each(|(caller, verdict)| answer(caller, verdict));
                self.artifacts.collect(&done.outcome.orphans, &self.db);
            }
            Err(fault) => {
                let error = self.condition.write_failed(&fault);
                callers.into_iter().for_each(|caller| answer(caller, Err(error.clone())));
            }
        }
    }

    /// Turns away what cannot be written now, and returns the rest. On a disk about to be full only what
    /// takes rows away passes.
    fn admit(&self, jobs: Vec<Job>) -> Vec<Job> {
        if let Err(stopped) = self.condition.check() {
            turn_away(jobs, &stopped, &self.refusals);
            return Vec::new();
        }
        let Err(full) = self.space.for_commit() else { return jobs };
        let (urgent, others) = jobs.into_iter().partition(|job| refusals::takes_away(&job.writes));
        turn_away(others, &full, &self.refusals);
        if self.space.for_delete().is_ok() {
            return urgent;
        }
        turn_away(urgent, &full, &self.refusals);
        Vec::new()
    }
}

/// Answers batches that are not written.
fn turn_away(jobs: Vec<Job>, why: &JournalError, refusals: &Refusals) {
    for job in jobs {
        if job.reply.is_none() {
            refusals.note(&job.writes, why);
        }
        answer(job.reply, Err(why.clone()));
    }
}

fn answer(caller: Option<oneshot::Sender<Result<(), JournalError>>>, verdict: Result<(), JournalError>) {
    match (caller, verdict) {
        // A caller that stopped waiting does not need the answer.
        (Some(caller), verdict) => drop(caller.send(verdict)),
        (None, Err(JournalError::Repeated(text))) => {
            tracing::debug!(text, "an appended batch was not needed")
        }
        (None, Err(error)) => tracing::error!(%error, "an appended batch was not written"),
        (None, Ok(())) => {}
    }
}

/// Closes the queue and drops what is left in it, however the thread ends; callers learn from the dropped reply.
struct End {
    queue: Arc<Queue>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.queue.close();
        while self.queue.take(Duration::ZERO).is_some() {}
    }
}

/// Stops the store when the writer panics while it lives.
struct PoisonOnPanic(Arc<Condition>);

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("the store's writer broke off; its message is in the log".to_owned());
        }
    }
}
