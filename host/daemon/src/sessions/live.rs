//! One session in use, and how it is put together.

use std::sync::Arc;

use lanyard_agent::{Ports, Session, SessionSetup};
use lanyard_dispatch::{HostFacts, RouterParts, SessionPolicy, SessionRouter};
use lanyard_ports::authority::{SessionAuthority, SessionClaim};
use lanyard_ports::router::ToolRouter;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::SessionId;
use lanyard_tools::sandbox::PrivateTmp;
use lanyard_tools::{HttpClient, Workspace};
use tokio_util::task::TaskTracker;

use super::opening::Idle;
use super::workspace::private;
use crate::api::session_error;
use crate::central::BackendTools;
use crate::guard::{ModelGate, SessionPictures, SessionRedactor, SessionsModel};
use crate::host::Host;
use crate::sources::SystemClock;

/// A session in use.
pub(crate) struct Live {
    pub(super) owner: Session,
    router: Arc<dyn ToolRouter>,
    policy: Arc<SessionPolicy>,
    pub(super) model: SessionsModel,
    pub(super) workspace: Arc<Workspace>,
    pub(super) tools: Arc<BackendTools>,
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

    /// Opens a session under what `authority` says: its policy, its workspace, its router, its owner task among `tasks`.
    ///
    /// # Errors
    /// It has ended, nobody lets it go on, or this machine cannot have it.
    pub(super) async fn start(
        host: &Arc<Host>,
        id: &SessionId,
        authority: Arc<dyn SessionAuthority>,
        http: HttpClient,
        tasks: &TaskTracker,
    ) -> Result<Self, WireError> {
        let record = host.journal.session(id).map_err(|e| session_error(id, e))?;
        if record.summary.state.is_final() {
            let text = format!("session {id} has ended; start a new one");
            return Err(WireError::new(ErrorCode::SessionExpired, text));
        }
        let (scratch, workspace) = private(host, record.roots.clone(), http).await?;
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
        let owner = Session::spawn(setup, ports, stop, tasks).map_err(|e| session_error(id, e))?;
        Ok(Self { owner, router, policy, model, workspace, tools, scratch: Some(scratch) })
    }
}

impl Idle for Live {
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
