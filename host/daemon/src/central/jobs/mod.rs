//! Jobs: one tool call that the centre asks for. Each gets a session of its own, and goes the way of every call: router,
//! this machine's policy and the tenant's, approval, execution, audit. No model has a part in it.
//!
//! A job is run at most once. It is written down before it is claimed; the centre must have taken `running` before the
//! tool begins, so that a lease that ran out is never run by two; and what was under way when a host died is reported as
//! indeterminate, not repeated.

mod drive;
mod note;
mod record;
mod recover;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use lanyard_governance_api::id::{JobId, UserId};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{SessionId, TaskId};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(super) use note::Notes;
pub(super) use recover::recover;

use crate::host::Host;

/// Jobs that run or wait. The centre is told of those beyond.
const MAX_JOBS: usize = 64;

/// A job that runs or waits.
#[derive(Debug, Clone)]
struct Handle {
    cancel: CancellationToken,
    /// Why it was cancelled.
    why: Arc<OnceLock<String>>,
    /// Where it runs, once that is known.
    place: Arc<OnceLock<(SessionId, TaskId)>>,
    /// Not only the job was cancelled, its session was.
    session_cancelled: Arc<AtomicBool>,
    /// How often its lease is renewed.
    renew: Duration,
}

/// The jobs of this host.
#[derive(Debug)]
pub(crate) struct Jobs {
    notes: Notes,
    running: Mutex<HashMap<JobId, Handle>>,
    /// The rest wait, unclaimed, and expire if that takes too long.
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    /// How often leases are renewed, where a test cannot wait.
    renew: OnceLock<Duration>,
}

impl Jobs {
    pub(super) fn new(dir: PathBuf, at_once: usize) -> Self {
        Self {
            notes: Notes::new(dir),
            running: Mutex::default(),
            slots: Arc::new(Semaphore::new(at_once)),
            tasks: TaskTracker::new(),
            renew: OnceLock::new(),
        }
    }

    pub(super) fn notes(&self) -> &Notes {
        &self.notes
    }

    fn map(&self) -> MutexGuard<'_, HashMap<JobId, Handle>> {
        // Held for map operations only, which do not panic half-way.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are under way.
    pub(crate) fn running(&self) -> usize {
        self.map().values().filter(|handle| handle.place.get().is_some()).count()
    }

    /// Begins a job, once: one that is known already is left as it is.
    ///
    /// # Errors
    /// The owner takes no jobs, or too many wait; the centre is told so and may dispatch it elsewhere.
    pub(super) async fn begin(
        &self,
        host: &Arc<Host>,
        job: JobId,
        by: Option<UserId>,
    ) -> Result<(), WireError> {
        let (handle, wire) = {
            let mut running = self.map();
            // Read while the map is held: whoever takes the consent back does so first and then ends what is in the map,
            // so that no job slips in between.
            let tie = host.centre.tie();
            let Some(enrolled) = tie.enrolled() else { return Ok(()) };
            if !enrolled.consent.accept_jobs {
                let text = "the owner of this machine takes no jobs from the central services; \
                            `lanyard sync consent --jobs on` there allows it";
                return Err(WireError::new(ErrorCode::Unauthorized, text));
            }
            let wire = enrolled.way.wire(&host.centre.redaction)?;
            if running.contains_key(&job) || self.notes.holds(&job) {
                return Ok(());
            }
            if running.len() >= MAX_JOBS {
                let text = format!("{MAX_JOBS} jobs wait on this machine already");
                return Err(WireError::new(ErrorCode::RateLimited, text));
            }
            let handle = Handle {
                cancel: host.stop.child_token(),
                why: Arc::default(),
                place: Arc::default(),
                session_cancelled: Arc::default(),
                renew: self.renew.get().copied().unwrap_or(drive::RENEW),
            };
            running.insert(job.clone(), handle.clone());
            (handle, wire)
        };
        let (host, slots) = (host.clone(), self.slots.clone());
        self.tasks.spawn(async move {
            let slot = tokio::select! {
                biased;
                () = handle.cancel.cancelled() => None,
                slot = slots.acquire_owned() => slot.ok(),
            };
            let listed = Listed { host: &host, job: &job };
            if slot.is_some() {
                drive::run(&host, &*wire, &job, by, &handle).await;
            }
            drop(listed);
        });
        Ok(())
    }

    /// Whether a job runs or waits.
    #[cfg(test)]
    pub(super) fn knows(&self, job: &JobId) -> bool {
        self.map().contains_key(job)
    }

    /// Nobody begins or ends a job meanwhile.
    #[cfg(test)]
    pub(super) fn hold(&self) -> impl Sized + '_ {
        self.map()
    }

    #[cfg(test)]
    pub(super) fn renew_every(&self, period: Duration) {
        self.renew.set(period).unwrap();
    }

    /// As after the host's death: nobody remembers what was under way.
    #[cfg(test)]
    pub(super) fn lose(&self) {
        self.map().clear();
    }

    /// Stops a job, wherever it is.
    pub(super) fn cancel(&self, job: &JobId, why: &str) {
        if let Some(handle) = self.map().get(job) {
            handle.end(why);
        }
    }

    /// Stops all of them.
    pub(super) fn cancel_all(&self, why: &str) {
        self.map().values().for_each(|handle| handle.end(why));
    }

    /// Stops the job that runs in a session. `cancelled`: the session is cancelled with it. Whether there was one.
    pub(crate) fn cancel_in(&self, session: &SessionId, why: &str, cancelled: bool) -> bool {
        let running = self.map();
        let here = running.values().find(|handle| handle.is_in(session));
        if let Some(handle) = here {
            handle.session_cancelled.fetch_or(cancelled, Ordering::AcqRel);
            handle.end(why);
        }
        here.is_some()
    }

    /// Whether a job runs in a session: then nobody else works there.
    pub(crate) fn is_in(&self, session: &SessionId) -> bool {
        self.map().values().any(|handle| handle.is_in(session))
    }

    /// Waits until every job has ended; the host's token must have been cancelled.
    pub(crate) async fn stop(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A job on the list, until this is dropped: also by a panic, for a list that is full takes no jobs.
struct Listed<'a> {
    host: &'a Host,
    job: &'a JobId,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.host.centre.jobs().map().remove(self.job);
    }
}

impl Handle {
    fn end(&self, why: &str) {
        // The first reason stands.
        let _ = self.why.set(why.to_owned());
        self.cancel.cancel();
    }

    fn is_in(&self, session: &SessionId) -> bool {
        self.place.get().is_some_and(|(here, _)| here == session)
    }
}
