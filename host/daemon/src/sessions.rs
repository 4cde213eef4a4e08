//! The sessions that are live: opened when somebody needs them, let go when nobody does.
//!
//! A live session is an owner task (`lanyard-agent`) with its policy, its workspace and its router. The store knows
//! every session; this map only those in use, and dropping one loses nothing.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lanyard_agent::session::{NewTask, Resumed};
use lanyard_agent::{Ports, ResumeCause, Session, SessionSetup};
use lanyard_dispatch::{HostFacts, RouterParts, SessionPolicy, SessionRouter};
use lanyard_ports::authority::{SessionAuthority, SessionClaim};
use lanyard_ports::journal::{NewEvent, SessionProgress, SessionRecord, Write};
use lanyard_ports::router::ToolRouter;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{EventBody, SessionPaused};
use lanyard_protocol::id::{PrincipalId, SessionId, TaskId};
use lanyard_protocol::method::TaskAccepted;
use lanyard_protocol::session::{ModelInfo, SessionState};
use lanyard_tools::sandbox::{Limits, PrivateTmp};
use lanyard_tools::{HttpClient, Workspace, WorkspaceOptions};
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

use crate::api::{session_error, store_error};
use crate::authority::{LastWord, LocalAuthority};
use crate::central::BackendTools;
use crate::config::ResumePolicy;
use crate::guard::{ModelGate, SessionPictures, SessionRedactor, SessionsModel};
use crate::host::Host;
use crate::ids::fresh;
use crate::sources::SystemClock;

/// Live sessions kept although nothing runs in them. Opening one again costs some file-system calls.
const IDLE_KEPT: usize = 32;

/// Tasks that run at once. Each may hold programs and some megabytes of thread; more people than this do not share a
/// machine.
const MAX_RUNNING: usize = 64;

/// A session in use.
pub(crate) struct Live {
    owner: Session,
    router: Arc<dyn ToolRouter>,
    policy: Arc<SessionPolicy>,
    model: SessionsModel,
    workspace: Arc<Workspace>,
    tools: Arc<BackendTools>,
    scratch: Option<PrivateTmp>,
}

impl Live {
    /// The way of its tool calls.
    pub(crate) fn router(&self) -> &Arc<dyn ToolRouter> {
        &self.router
    }

    /// What is in force for it.
    pub(crate) fn policy(&self) -> &Arc<SessionPolicy> {
        &self.policy
    }

    /// Whether its model is behind a gateway that the centre granted.
    pub(crate) fn has_granted_model(&self) -> bool {
        matches!(self.model, SessionsModel::Granted(_))
    }

    fn is_idle(&self) -> bool {
        self.owner.status().task.is_none()
    }
}

impl Drop for Live {
    /// Programs may have left a great many files; they are deleted where blocking is allowed.
    fn drop(&mut self) {
        let Some(scratch) = self.scratch.take() else { return };
        let remove = move || {
            let path = scratch.path().to_owned();
            if let Err(error) = scratch.remove() {
                tracing::warn!(%error, dir = %path.display(), "a scratch directory stays until the next start");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// A session that is live or being opened; opening one never makes another wait.
type Opening = Arc<OnceCell<Arc<Live>>>;

/// The live sessions of a host.
#[derive(Default)]
pub(crate) struct LiveSessions {
    open: Mutex<HashMap<SessionId, Opening>>,
    tasks: TaskTracker,
    http: OnceCell<HttpClient>,
}

impl LiveSessions {
    fn map(&self) -> MutexGuard<'_, HashMap<SessionId, Opening>> {
        // Held for map operations only, which do not panic half-way.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The live session, opened if need be.
    pub(crate) async fn open(&self, host: &Arc<Host>, id: &SessionId) -> Result<Arc<Live>, WireError> {
        self.open_under(host, id, host.authority.clone(), || {}).await
    }

    /// Opened so that nothing can be begun in it, only ended, whatever the centre says or does not say.
    async fn open_to_end(&self, host: &Arc<Host>, id: &SessionId) -> Result<Arc<Live>, WireError> {
        let authority = Arc::new(LastWord::new(LocalAuthority {
            clock: SystemClock,
            accept_unconfined: host.config.accept_unconfined,
            max_session_tokens: host.config.max_session_tokens,
        }));
        self.open_under(host, id, authority.clone(), || authority.seal()).await
    }

    /// `opened`: done before anybody gets it.
    async fn open_under(
        &self,
        host: &Arc<Host>,
        id: &SessionId,
        authority: Arc<dyn SessionAuthority>,
        opened: impl Fn() + Send,
    ) -> Result<Arc<Live>, WireError> {
        let opening = {
            let mut open = self.map();
            if open.len() >= IDLE_KEPT && !open.contains_key(id) {
                open.retain(|_, opening| in_use(opening));
            }
            open.entry(id.clone()).or_default().clone()
        };
        let start = || async {
            let live = self.start(host, id, authority).await?;
            opened();
            Ok(Arc::new(live))
        };
        let live = opening.get_or_try_init(start).await.cloned();
        if live.is_err() {
            self.map().remove(id);
        }
        live
    }

    /// The workspace of a session, live or ended, to look at files in.
    pub(crate) async fn open_to_look(
        &self,
        host: &Arc<Host>,
        id: &SessionId,
    ) -> Result<Arc<Workspace>, WireError> {
        if let Some(live) = self.map().get(id).and_then(|opening| opening.get()) {
            return Ok(live.workspace.clone());
        }
        let record = host.journal.session(id).map_err(|e| session_error(id, e))?;
        self.look_at(host, record.roots).await
    }

    /// Directories to look at files in, without a session.
    pub(crate) async fn look_at(
        &self,
        host: &Arc<Host>,
        roots: Vec<PathBuf>,
    ) -> Result<Arc<Workspace>, WireError> {
        let (host, http) = (host.clone(), self.http().await?);
        // The scratch directory is for programs; none is started here.
        let open = move || opened(&host, roots, host.paths.scratch.clone(), http);
        let opened = tokio::task::spawn_blocking(open).await;
        opened.unwrap_or_else(|e| Err(WireError::new(ErrorCode::InternalError, e.to_string())))
    }

    async fn http(&self) -> Result<HttpClient, WireError> {
        self.http.get_or_try_init(|| async { http_client() }).await.cloned()
    }

    async fn start(
        &self,
        host: &Arc<Host>,
        id: &SessionId,
        authority: Arc<dyn SessionAuthority>,
    ) -> Result<Live, WireError> {
        let record = host.journal.session(id).map_err(|e| session_error(id, e))?;
        if record.summary.state.is_final() {
            let text = format!("session {id} has ended; start a new one");
            return Err(WireError::new(ErrorCode::SessionExpired, text));
        }
        let http = self.http().await?;
        let (scratch, workspace) = workspace(host, &record, http).await?;
        let claim = SessionClaim {
            session_id: id.clone(),
            workspace_id: record.summary.workspace_id.clone(),
            roots: record.roots.clone(),
            tenant_id: host.centre.tenant_id(),
            user_id: host.centre.user_id(record.created_by.id.as_str()),
        };
        let boot = Arc::new(SystemClock);
        let policy = Arc::new(SessionPolicy::open(authority, host.clock.clone(), boot, claim).await?);
        let model = SessionsModel::of(&policy, &host.models)?;
        let tools = host.centre.tools(policy.clone(), id.clone());
        tools.look().await;
        let router: Arc<dyn ToolRouter> = Arc::new(SessionRouter::new(RouterParts {
            facts: HostFacts {
                host_id: host.network.host_id(),
                tenant_id: host.centre.tenant_id(),
                unconfined: host.unconfined(),
                approval_seconds: host.config.approval_seconds,
                started_at: host.started_at,
            },
            policy: policy.clone(),
            workspace: workspace.clone(),
            remote: tools.clone(),
            desk: host.desk.clone(),
            principals: host.principals.clone(),
            journal: host.journal.clone(),
            artifacts: host.artifacts.clone(),
            deltas: host.hub.clone(),
            clock: host.clock.clone(),
            ids: host.ids.clone(),
        }));
        let ports = Ports {
            journal: host.journal.clone(),
            model: model.port(),
            router: router.clone(),
            deltas: host.hub.clone(),
            clock: host.clock.clone(),
            ids: host.ids.clone(),
            gate: Arc::new(ModelGate::new(policy.clone(), host.clock.clone())),
            redactor: Arc::new(SessionRedactor::new(policy.clone())),
            pictures: Arc::new(SessionPictures { workspace: workspace.clone(), policy: policy.clone() }),
        };
        let setup = SessionSetup {
            session_id: id.clone(),
            workspace_id: record.summary.workspace_id,
            roots: record.roots,
        };
        let stop = host.stop.clone();
        let owner = Session::spawn(setup, ports, stop, &self.tasks).map_err(|e| session_error(id, e))?;
        Ok(Live { owner, router, policy, model, workspace, tools, scratch: Some(scratch) })
    }

    /// Starts a task.
    pub(crate) async fn start_task(
        &self,
        host: &Arc<Host>,
        id: &SessionId,
        mut task: NewTask,
    ) -> Result<TaskAccepted, WireError> {
        if self.running() >= MAX_RUNNING {
            let text = format!("{MAX_RUNNING} tasks run on this host already; wait for one to end");
            return Err(WireError::new(ErrorCode::RateLimited, text));
        }
        if host.centre.jobs().is_in(id) {
            let text = "a job of the central services runs in this session; start a task in another one";
            return Err(WireError::new(ErrorCode::InvalidRequest, text));
        }
        let live = self.open(host, id).await?;
        // Asked here, so that the name of the model is known when the task says who answers.
        live.model.learn().await;
        live.tools.look().await;
        task.options.max_steps = task.options.max_steps.min(host.centre.max_steps(id));
        let who = task.initiator.id.clone();
        let accepted = live.owner.start_task(task).await.map_err(|e| WireError::from(&e))?;
        if host.principals.standing(&who).is_none() {
            // Revoked while the task was being started, perhaps after its tasks had been looked for.
            let task = accepted.task_id.clone();
            live.owner.cancel_task(task, who).await.map_err(|e| WireError::from(&e))?;
        }
        Ok(accepted)
    }

    /// The model of a session that is live.
    pub(crate) fn model(&self, id: &SessionId) -> Option<ModelInfo> {
        let live = self.map().get(id).and_then(|opening| opening.get()).cloned()?;
        Some(live.model.port().info())
    }

    /// Tasks that run now.
    pub(crate) fn running(&self) -> usize {
        self.map().values().filter_map(|opening| opening.get()).filter(|live| !live.is_idle()).count()
    }

    /// Cancels a task.
    pub(crate) async fn cancel_task(
        &self,
        host: &Arc<Host>,
        id: &SessionId,
        task: TaskId,
        by: PrincipalId,
    ) -> Result<TaskAccepted, WireError> {
        host.centre.jobs().cancel_in(id, &format!("{by} cancelled it on the machine"), false);
        let live = self.open(host, id).await?;
        live.owner.cancel_task(task, by).await.map_err(|e| WireError::from(&e))
    }

    /// Cancels what a principal has started, running or paused. Returns once every cancellation has begun.
    pub(crate) async fn cancel_tasks_of(&self, host: &Arc<Host>, who: &PrincipalId, by: PrincipalId) {
        let unfinished = match host.journal.unfinished() {
            Ok(sessions) => sessions,
            Err(error) => return tracing::error!(%error, "the tasks of a principal cannot be found"),
        };
        for id in unfinished {
            let task = match host.journal.checkpoint(&id) {
                Ok(mark) => mark.filter(|mark| mark.initiator.id == *who).map(|mark| mark.task_id),
                Err(error) => {
                    tracing::error!(%error, session = %id, "whose task this is cannot be read");
                    continue;
                }
            };
            let Some(task) = task else { continue };
            if let Err(error) = self.cancel_task(host, &id, task, by.clone()).await {
                tracing::error!(%error, session = %id, %who, "a task could not be cancelled");
            }
        }
    }

    /// Lets a paused task go on.
    pub(crate) async fn resume(&self, host: &Arc<Host>, id: &SessionId) -> Result<Resumed, WireError> {
        let live = self.open(host, id).await?;
        live.tools.look().await;
        live.owner.resume(ResumeCause::Asked).await.map_err(|e| WireError::from(&e))
    }

    /// Ends a session. `cancelled`: why somebody else than its user ends it.
    pub(crate) async fn end(
        &self,
        host: &Arc<Host>,
        id: &SessionId,
        cancelled: Option<String>,
    ) -> Result<(), WireError> {
        let why = cancelled.as_deref().unwrap_or("its session was ended on the machine");
        if host.centre.jobs().cancel_in(id, why, cancelled.is_some()) {
            // The job ends its session itself, once its call has ended.
            return Ok(());
        }
        // To end, a session needs nobody's leave: neither a centre that is away, nor one that has ended it already.
        let (live, only_to_end) = match self.open(host, id).await {
            Ok(live) => (live, false),
            Err(_) => (self.open_to_end(host, id).await?, true),
        };
        let ended = match cancelled {
            None => live.owner.end().await,
            Some(why) => live.owner.cancel(why).await,
        };
        if ended.is_ok() || only_to_end {
            self.forget(id);
        }
        ended.map_err(|e| WireError::from(&e))
    }

    /// Lets go of a session's handle.
    pub(crate) fn forget(&self, id: &SessionId) {
        self.map().remove(id);
    }

    /// Lets go of every session in which nothing runs: the next to need one opens it anew, under what is in force then.
    pub(crate) fn forget_idle(&self) {
        self.map().retain(|_, opening| in_use(opening));
    }

    /// Waits until every owner has ended; the host's token must have been cancelled.
    pub(crate) async fn stop(&self) {
        self.map().clear();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Whether a session must stay in the map: it runs a task, is being opened, or somebody holds it and may be about to
/// start a task; a session must never have two owners.
fn in_use(opening: &Opening) -> bool {
    let Some(live) = opening.get() else { return true };
    Arc::strong_count(opening) > 1 || Arc::strong_count(live) > 1 || !live.is_idle()
}

fn http_client() -> Result<HttpClient, WireError> {
    HttpClient::new().map_err(|e| {
        let text = format!("HTTP requests cannot be made: {e}");
        WireError::new(ErrorCode::InternalError, text)
    })
}

async fn workspace(
    host: &Arc<Host>,
    record: &SessionRecord,
    http: HttpClient,
) -> Result<(PrivateTmp, Arc<Workspace>), WireError> {
    let (host, roots) = (host.clone(), record.roots.clone());
    let made = tokio::task::spawn_blocking(move || open_workspace(&host, roots, http)).await;
    made.unwrap_or_else(|e| Err(WireError::new(ErrorCode::InternalError, e.to_string())))
}

fn open_workspace(
    host: &Host,
    roots: Vec<PathBuf>,
    http: HttpClient,
) -> Result<(PrivateTmp, Arc<Workspace>), WireError> {
    let scratch = PrivateTmp::create_in(&host.paths.scratch).map_err(|e| {
        let text = format!("{} cannot be used: {e}", host.paths.scratch.display());
        WireError::new(ErrorCode::InternalError, text)
    })?;
    let workspace = opened(host, roots, scratch.path().to_owned(), http)?;
    Ok((scratch, workspace))
}

fn opened(
    host: &Host,
    roots: Vec<PathBuf>,
    scratch: PathBuf,
    http: HttpClient,
) -> Result<Arc<Workspace>, WireError> {
    let options = WorkspaceOptions {
        roots,
        read: host.config.sandbox_read.clone(),
        scratch,
        protected: host.protected(),
        home: crate::state_dir::home(),
        sandbox: host.sandbox.clone(),
        limits: Limits::default(),
        http,
    };
    let workspace =
        Workspace::new(options).map_err(|e| WireError::new(ErrorCode::InvalidRequest, e.to_string()))?;
    Ok(Arc::new(workspace))
}

/// Takes up what the last host left: ends children that outlived it and lets interrupted tasks go on, as configured.
pub(crate) async fn recover(host: Arc<Host>) {
    let sweeping = host.clone();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = sweeping.paths.sweep() {
            tracing::warn!(%error, "files of programs of an earlier host could not be deleted");
        }
    });
    let unfinished = match host.journal.unfinished() {
        Ok(sessions) => sessions,
        Err(error) => return tracing::error!(%error, "interrupted tasks cannot be found"),
    };
    for id in unfinished {
        if let Some((task, gone)) = orphaned(&host, &id) {
            // Revoked just before the host stopped: nobody stands behind the task any more.
            if let Err(error) = host.sessions.cancel_task(&host, &id, task, gone).await {
                tracing::error!(session = %id, %error, "the task of a revoked device cannot be cancelled");
            }
            continue;
        }
        if host.config.resume == ResumePolicy::Ask {
            let reason = "the host was stopped while the task ran; resume the session to let it go on";
            pause(&host, &id, reason.to_owned()).await;
            continue;
        }
        let resumed = async {
            let live = host.sessions.open(&host, &id).await?;
            live.owner.resume(ResumeCause::HostStarted).await.map_err(|e| WireError::from(&e))
        };
        match resumed.await {
            Ok(Resumed::Running(task)) => tracing::info!(session = %id, %task, "an interrupted task goes on"),
            Ok(Resumed::StaysPaused { reason }) => {
                tracing::warn!(session = %id, reason, "a task stays paused")
            }
            Ok(Resumed::Nothing) => {}
            Err(error) => {
                tracing::error!(session = %id, %error, "an interrupted task cannot go on");
                let reason = format!(
                    "the host was stopped while the task ran, and it cannot go on by itself: {}; resume the session to \
                     try again",
                    error.message
                );
                pause(&host, &id, reason).await;
            }
        }
    }
}

/// The unfinished task of a session, and who started it, when that principal has no rights on this host any more.
fn orphaned(host: &Host, id: &SessionId) -> Option<(TaskId, PrincipalId)> {
    let mark = match host.journal.checkpoint(id) {
        Ok(mark) => mark?,
        Err(error) => {
            tracing::error!(session = %id, %error, "whose task this is cannot be read");
            return None;
        }
    };
    let who = mark.initiator.id;
    host.principals.standing(&who).is_none().then_some((mark.task_id, who))
}

/// Records that an interrupted task waits for `ResumeSession`, unless that is known already.
async fn pause(host: &Arc<Host>, id: &SessionId, reason: String) {
    let recorded = async {
        let record = host.journal.session(id).map_err(|e| session_error(id, e))?;
        if record.summary.state == SessionState::SessionPaused {
            return Ok(());
        }
        let at = host.clock.now();
        let event = NewEvent {
            event_id: fresh(host, "evt")?,
            workspace_id: record.summary.workspace_id,
            session_id: id.clone(),
            task_id: record.summary.last_task.map(|task| task.task_id),
            step_id: None,
            timestamp: at,
            body: EventBody::SessionPaused(SessionPaused { reason }),
        };
        let state = Some(SessionState::SessionPaused);
        let progress =
            SessionProgress { session_id: id.clone(), state, task: None, name: None, add_tokens: 0, at };
        let batch = vec![Write::Event(Box::new(event)), Write::Progress(Box::new(progress))];
        host.journal.commit(batch).await.map_err(store_error)
    };
    if let Err(error) = recorded.await {
        tracing::error!(session = %id, %error, "an interrupted task could not be marked as paused");
    }
}
