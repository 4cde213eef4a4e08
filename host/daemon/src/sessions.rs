//! The sessions that are live: opened when somebody needs them, let go when nobody does.
//!
//! A live session is an owner task (`lanyard-agent`) with its policy, its workspace and its router. The store knows
//! every session; this map only those in use, and dropping one loses nothing.

mod live;
mod opening;
mod recover;
mod workspace;

use std::path::PathBuf;
use std::sync::Arc;

use lanyard_agent::ResumeCause;
use lanyard_agent::session::{NewTask, Resumed};
use lanyard_ports::authority::SessionAuthority;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{PrincipalId, SessionId, TaskId};
use lanyard_protocol::method::TaskAccepted;
use lanyard_protocol::session::ModelInfo;
use lanyard_tools::{HttpClient, Workspace};
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

use crate::api::session_error;
use crate::authority::{LastWord, LocalAuthority};
use crate::host::Host;
use crate::sources::SystemClock;

pub(crate) use live::Live;
pub(crate) use recover::recover;

use opening::Openings;

/// Tasks that run at once. Each may hold programs and some megabytes of thread; more people than this do not share a
/// machine.
const MAX_RUNNING: usize = 64;

/// The live sessions of a host.
#[derive(Default)]
pub(crate) struct LiveSessions {
    open: Openings<Live>,
    tasks: TaskTracker,
    http: OnceCell<HttpClient>,
}

impl LiveSessions {
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
        opened: impl FnOnce() + Send,
    ) -> Result<Arc<Live>, WireError> {
        let start = || async {
            let live = Live::start(host, id, authority, self.http().await?, &self.tasks).await?;
            opened();
            Ok(live)
        };
        self.open.open(id, start).await
    }

    /// The workspace of a session, live or ended, to look at files in.
    pub(crate) async fn open_to_look(
        &self,
        host: &Arc<Host>,
        id: &SessionId,
    ) -> Result<Arc<Workspace>, WireError> {
        if let Some(live) = self.open.get(id) {
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
        let open = move || workspace::opened(&host, roots, host.paths.scratch.clone(), http);
        let opened = tokio::task::spawn_blocking(open).await;
        opened.unwrap_or_else(|e| Err(WireError::new(ErrorCode::InternalError, e.to_string())))
    }

    async fn http(&self) -> Result<HttpClient, WireError> {
        self.http.get_or_try_init(|| async { workspace::http_client() }).await.cloned()
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
        Some(self.open.get(id)?.model.port().info())
    }

    /// Tasks that run now.
    pub(crate) fn running(&self) -> usize {
        self.open.busy()
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
        self.open.forget(id);
    }

    /// Lets go of every session in which nothing runs: the next to need one opens it anew, under what is in force then.
    pub(crate) fn forget_idle(&self) {
        self.open.forget_idle();
    }

    /// Waits until every owner has ended; the host's token must have been cancelled.
    pub(crate) async fn stop(&self) {
        self.open.clear();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
