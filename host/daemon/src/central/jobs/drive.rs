//! One job, from its claim to its outcome.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lanyard_governance_api::id::{JobId, UserId};
use lanyard_governance_api::job::{Job, JobProgress, JobState};
use lanyard_governance_api::limits::LEASE_SECONDS;
use lanyard_governance_client::backoff::Backoff;
use lanyard_ports::router::{Settled, TaskTerms};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{CommandId, SessionId, StepId, TaskId, ToolCallId};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::session::{SessionState, WorkspaceScope};
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolStatus};
use tokio::sync::watch;

use super::Handle;
use super::note::{Ids, Note};
use super::record::{Record, request};
use crate::api::sessions::{Founding, allowed_root, found};
use crate::central::contact::reached_again;
use crate::central::standing::principal;
use crate::central::wire::{Meaning, Wire, meaning};
use crate::host::Host;
use crate::ids::{fresh, invalid};
use crate::sessions::Live;

/// The lease, and how often it is renewed.
const LEASE: Duration = Duration::from_secs(LEASE_SECONDS as u64);
pub(super) const RENEW: Duration = Duration::from_secs(LEASE_SECONDS as u64 / 3);

/// How long a claim, and the word that a job runs, are tried. Well within a lease, so that nobody else has it meanwhile.
const PATIENCE: Duration = Duration::from_secs(LEASE_SECONDS as u64 / 3);

/// How long a host that stops tries to report what became of a job; the next one tries again.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Longest title, in characters.
const MAX_TITLE: usize = 200;

/// Claims a job, does it, and reports what came of it.
pub(super) async fn run(host: &Arc<Host>, wire: &dyn Wire, job: &JobId, by: Option<UserId>, handle: &Handle) {
    let lease = match fresh::<CommandId>(host, "lease") {
        Ok(lease) => lease,
        Err(error) => {
            return tracing::error!(%error, %job, "a job is not claimed, because its claim has no id");
        }
    };
    let note = Note { job: job.clone(), lease, by, ids: None, outcome: None };
    if let Err(error) = keep(host, &note).await {
        return tracing::error!(%error, %job, "a job is not claimed, because nothing can be written down of it");
    }
    let claimed = insist(wire, &note, JobState::Leased, None).await;
    let claimed = match claimed {
        Ok(claimed) => claimed,
        Err(error) => {
            tracing::warn!(%error, %job, "a job could not be claimed");
            return forget(host, job).await;
        }
    };
    let mut work = Work { host: host.clone(), wire, handle, note };
    let outcome = work.go(&claimed).await;
    let mut note = work.note;
    note.outcome = Some(outcome);
    if let Err(error) = keep(host, &note).await {
        tracing::error!(%error, %job, "what became of a job could not be written down");
    }
    deliver(host, wire, note).await;
}

/// Reports an outcome until it is taken, or the host stops: then the next one goes on.
pub(super) async fn deliver(host: &Arc<Host>, wire: &dyn Wire, note: Note) {
    let Some(outcome) = &note.outcome else { return };
    let mut backoff = Backoff::new();
    loop {
        let telling = wire.report_job(&note.job, outcome);
        let told = match host.stop.is_cancelled() {
            false => telling.await,
            true => match tokio::time::timeout(LAST_WORDS, telling).await {
                Ok(told) => told,
                Err(_) => return,
            },
        };
        match told {
            Ok(_) => return forget(host, &note.job).await,
            Err(error) => match meaning(&error) {
                Meaning::Later if host.stop.is_cancelled() => return,
                Meaning::Later => {}
                Meaning::Gone => return,
                Meaning::Never => {
                    tracing::warn!(%error, job = %note.job, "the centre does not take what became of a job");
                    return forget(host, &note.job).await;
                }
            },
        }
        tokio::select! {
            () = host.stop.cancelled() => {}
            () = tokio::time::sleep(backoff.pause()) => {}
            () = reached_again(host.centre.contact.subscribe()) => {}
        }
    }
}

async fn keep(host: &Arc<Host>, note: &Note) -> Result<(), WireError> {
    let (host, note) = (host.clone(), note.clone());
    let kept = tokio::task::spawn_blocking(move || host.centre.jobs().notes().keep(&note)).await;
    let fault = |text: String| WireError::new(ErrorCode::InternalError, text);
    kept.map_err(|e| fault(e.to_string()))?.map_err(|e| fault(e.to_string()))
}

async fn forget(host: &Arc<Host>, job: &JobId) {
    let (host, job) = (host.clone(), job.clone());
    // Only the file stays; the next host finds its outcome taken.
    let _ = tokio::task::spawn_blocking(move || host.centre.jobs().notes().forget(&job)).await;
}

/// Says where a job stands until that is taken or refused, for a bounded time.
async fn insist(
    wire: &dyn Wire,
    note: &Note,
    state: JobState,
    session: Option<&SessionId>,
) -> Result<Job, WireError> {
    let progress = progress(note, state, session);
    let begun = Instant::now();
    let mut backoff = Backoff::new();
    loop {
        let error = match wire.report_job(&note.job, &progress).await {
            Ok(job) => return Ok(job),
            Err(error) => error,
        };
        if meaning(&error) != Meaning::Later || begun.elapsed() >= PATIENCE {
            return Err(error);
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

fn progress(note: &Note, state: JobState, session: Option<&SessionId>) -> JobProgress {
    JobProgress {
        state,
        lease_key: note.lease.clone(),
        session_id: session.cloned(),
        reason: None,
        result: None,
    }
}

/// The outcome as the centre is told it.
pub(super) fn outcome(note: &Note, result: ToolResult, why: Option<String>) -> JobProgress {
    let state = match result.status {
        ToolStatus::Succeeded => JobState::Succeeded,
        ToolStatus::Failed => JobState::Failed,
        ToolStatus::Denied => JobState::Denied,
        ToolStatus::Cancelled => JobState::Cancelled,
        ToolStatus::Indeterminate => JobState::Indeterminate,
    };
    let reason = match state {
        JobState::Succeeded => None,
        JobState::Cancelled => why.or_else(|| result.error.as_ref().map(|error| error.message.clone())),
        _ => result.error.as_ref().map(|error| error.message.clone()).or(why),
    };
    let session_id = Some(result.session_id.clone());
    JobProgress { state, lease_key: note.lease.clone(), session_id, reason, result: Some(result) }
}

struct Work<'a> {
    host: Arc<Host>,
    wire: &'a dyn Wire,
    handle: &'a Handle,
    note: Note,
}

impl Work<'_> {
    async fn go(&mut self, job: &Job) -> JobProgress {
        match self.prepare(job).await {
            Ok(ready) => self.call(ready).await,
            Err(error) => {
                let state = match error.code {
                    ErrorCode::InternalError
                    | ErrorCode::StorageFull
                    | ErrorCode::CentralUnavailable
                    | ErrorCode::RateLimited => JobState::Failed,
                    _ => JobState::Denied,
                };
                let reason = Some(error.message);
                JobProgress { reason, ..progress(&self.note, state, None) }
            }
        }
    }

    /// A session for the job, in a directory where jobs may work.
    async fn prepare(&mut self, job: &Job) -> Result<Ready, WireError> {
        let host = self.host.clone();
        let initiator = principal(&job.created_by, None, vec![Scope::Observe, Scope::Operate])
            .map_err(|e| invalid(format!("createdBy: {e}")))?;
        let root = workspace(&host, &initiator, &job.workspace).await?;
        let title: String = job.title.chars().filter(|c| !c.is_control()).take(MAX_TITLE).collect();
        let wanted = Founding {
            session_id: fresh(&host, "sess")?,
            roots: vec![root],
            scope: WorkspaceScope::Local,
            name: title.clone(),
            job: Some(job.job_id.to_string()),
        };
        let begun = found(&host, &initiator, wanted).await?;
        let ids = Ids {
            session: begun.opened.session_id.clone(),
            task: fresh::<TaskId>(&host, "task")?,
            step: fresh::<StepId>(&host, "step")?,
            call: fresh::<ToolCallId>(&host, "call")?,
        };
        self.note.ids = Some(ids.clone());
        keep(&host, &self.note).await?;
        host.journal.commit(begun.batch).await.map_err(crate::api::store_error)?;
        // Whoever looks for the job from here on finds it.
        let _ = self.handle.place.set((ids.session.clone(), ids.task.clone()));
        let workspace = begun.opened.workspace_id;
        let live = host.sessions.open(&host, &ids.session).await?;
        let request = request(&ids, &workspace, &job.tool_name, &job.arguments);
        let started_at = host.clock.now();
        let record = Record { host: host.clone(), ids, workspace, title, started_at };
        let version = begun.opened.policy.policy_bundle_version;
        record.begin(&initiator, &request, version).await.map_err(crate::api::store_error)?;
        Ok(Ready { live, record, request, initiator })
    }

    /// The call, with its lease renewed beside it.
    async fn call(&self, ready: Ready) -> JobProgress {
        let Ready { live, record, request, initiator } = ready;
        let terms = TaskTerms { options: Record::options(), initiator };
        let (state, standing) = watch::channel(JobState::Leased);
        let session = record.ids.session.clone();
        // People at the centre can follow the session from here on.
        if let Err(error) = insist(self.wire, &self.note, JobState::Leased, Some(&session)).await {
            self.handle.end(&format!("the centre took the job back: {}", error.message));
        }
        let made = tokio::select! {
            made = self.made(&live, &record, request.clone(), &terms, &state) => made,
            never = self.renew(&session, standing) => match never {},
            never = self.watch_policy(&live) => match never {},
        };
        let why = self.handle.why.get().cloned();
        let result = match made {
            Made::Told(result) => result,
            Made::Dropped(error) => {
                let result = ToolResult::of(&request, ToolStatus::Cancelled);
                let result = match error {
                    Some(error) => result.with_error(error),
                    None => result,
                };
                if let Err(error) = record.dropped(&result).await {
                    tracing::error!(%error, %session, "a job that never began could not be recorded");
                }
                result
            }
        };
        let recorded = async {
            record.end(&result, why.as_deref()).await?;
            record.close(self.handle.session_cancelled.load(Ordering::Acquire)).await
        };
        if let Err(error) = recorded.await {
            tracing::error!(%error, %session, "the end of a job could not be recorded");
        }
        drop(live);
        self.host.sessions.forget(&session);
        let (host, id) = (self.host.clone(), session);
        drop(tokio::task::spawn_blocking(move || host.centre.forget(&id)));
        outcome(&self.note, result, why)
    }

    async fn made(
        &self,
        live: &Live,
        record: &Record,
        request: ToolRequest,
        terms: &TaskTerms,
        state: &watch::Sender<JobState>,
    ) -> Made {
        let cancel = &self.handle.cancel;
        let prepared = live.router().prepare(request, terms).await;
        if prepared.awaits_person() {
            record.state(SessionState::WaitingForApproval).await;
        }
        let ready = match prepared.settle(cancel).await {
            Settled::Done(result) => return Made::Told(*result),
            Settled::Ready(_) if cancel.is_cancelled() => return Made::Dropped(None),
            Settled::Ready(ready) => ready,
        };
        // From here on the centre never gives it to anybody else, so it has to know before the tool begins. Whoever renews
        // the lease meanwhile says the same, so that nothing goes back.
        state.send_replace(JobState::Running);
        if let Err(error) = insist(self.wire, &self.note, JobState::Running, Some(&record.ids.session)).await
        {
            let text =
                format!("the job did not begin, because the centre did not confirm it: {}", error.message);
            self.handle.end(&text);
            return Made::Dropped(Some(WireError { message: text, ..error }));
        }
        record.state(SessionState::WaitingForTool).await;
        Made::Told(ready.run(cancel).await)
    }

    /// Renews the lease. One that is lost before the job runs ends it; one that is lost later changes nothing: it runs.
    async fn renew(
        &self,
        session: &SessionId,
        standing: watch::Receiver<JobState>,
    ) -> std::convert::Infallible {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.handle.renew).await;
            let state = *standing.borrow();
            match self.wire.report_job(&self.note.job, &progress(&self.note, state, Some(session))).await {
                Ok(_) => renewed = Instant::now(),
                // Said too late: it has begun meanwhile.
                Err(_) if *standing.borrow() != state => {}
                // Whatever the centre took it for while it was not reached: it is told how it ended.
                Err(error) if state == JobState::Running => {
                    tracing::info!(%error, job = %self.note.job, "the centre does not hear that a job runs");
                }
                Err(error) if meaning(&error) != Meaning::Later => {
                    self.handle.end(&format!("the centre took the job back: {}", error.message));
                }
                Err(_) if state == JobState::Leased && renewed.elapsed() >= LEASE => {
                    self.handle.end("the centre was not reached, and the lease ran out before the job began");
                }
                Err(_) => {}
            }
        }
    }

    async fn watch_policy(&self, live: &Live) -> std::convert::Infallible {
        let lapse = live.policy().revoked().await;
        self.handle.end(&lapse.to_string());
        std::future::pending().await
    }
}

/// What became of the call.
enum Made {
    /// It has its result, and that is recorded.
    Told(ToolResult),
    /// It never ran, and nobody has recorded that yet.
    Dropped(Option<WireError>),
}

/// A job that can be judged.
struct Ready {
    live: Arc<Live>,
    record: Record,
    request: ToolRequest,
    initiator: Principal,
}

/// A directory of the host's workspaces, or below one, with every link in its path resolved.
async fn workspace(host: &Arc<Host>, by: &Principal, path: &str) -> Result<PathBuf, WireError> {
    if !Path::new(path).is_absolute() {
        return Err(invalid(format!("workspace: {path:?} is not an absolute path")));
    }
    let (host, by, path) = (host.clone(), by.clone(), PathBuf::from(path));
    let resolve = move || {
        let root = crate::config::directory("workspace", &path).map_err(|e| invalid(e.to_string()))?;
        allowed_root(&host, &by, &root).map(|()| root)
    };
    let resolved = tokio::task::spawn_blocking(resolve).await;
    resolved.unwrap_or_else(|e| Err(WireError::new(ErrorCode::InternalError, e.to_string())))
}
