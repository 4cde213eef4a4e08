//! Sessions: create, resume, look at, list, end, delete.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lanyard_dispatch::SessionPolicy;
use lanyard_policy::layer::Layers;
use lanyard_ports::authority::{Adopted, NewSession, SessionClaim};
use lanyard_ports::journal::{NewEvent, SessionRecord, Write};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{EventBody, SessionCreated};
use lanyard_protocol::id::{EventId, SessionId, WorkspaceId};
use lanyard_protocol::method::{
    CreateSession, DeleteSession, Done, EndSession, ListSessions, Method, Response, ResumeSession,
    SessionOpened, SessionPage, SessionSnapshot,
};
use lanyard_protocol::policy::Capability;
use lanyard_protocol::principal::Principal;
use lanyard_protocol::session::{
    CompatibilityStatus, ExecutionEnvironment, PolicySummary, SessionState, SessionSummary, WorkspaceHint,
    WorkspaceScope,
};

use super::history::check_cursor;
use super::{Answer, Follow, blocking, page_size, session_error, store_error};
use crate::command::{Command, NewCommand};
use crate::host::Host;
use crate::ids::{fresh, invalid};

/// Directories one session may be about.
const MAX_ROOTS: usize = 16;

/// Longest session name, in characters.
const MAX_NAME: usize = 200;

/// Questions shown in a snapshot; more than can wait at once in one session.
const MAX_PENDING: usize = 200;

/// `CreateSession`.
pub(super) async fn create(
    host: &Arc<Host>,
    principal: &Principal,
    params: CreateSession,
) -> Result<Answer, WireError> {
    let command =
        Command::begin(host, principal, Method::CreateSession, params.command_id.as_ref(), &params)?;
    let command = match command {
        Command::Known(response) => return Ok(resubscribed(*response)),
        Command::New(command) => command,
    };
    if params.execution_environment != ExecutionEnvironment::Desktop {
        return Err(invalid("executionEnvironment: this host runs sessions on itself only; use \"desktop\""));
    }
    let name = params.name.unwrap_or_default();
    if name.chars().count() > MAX_NAME {
        return Err(invalid(format!("name: at most {MAX_NAME} characters")));
    }
    let session_id: SessionId = fresh(host, "sess")?;
    let (roots, scope) = roots(host, principal, &params.workspace_hint, &session_id)?;
    let founding = Founding { session_id, roots, scope, name, job: None };
    let Begun { mut batch, opened } = found(host, principal, founding).await?;
    let response = Response::CreateSession(opened);
    let key = command.key();
    batch.extend(command.remember(&response));
    match host.journal.commit(batch).await {
        Ok(()) => Ok(resubscribed(response)),
        Err(error) => NewCommand::after(host, key.as_ref(), error).map(resubscribed),
    }
}

/// A session to be.
pub(crate) struct Founding {
    /// The id the host proposes.
    pub(crate) session_id: SessionId,
    /// Canonical directories.
    pub(crate) roots: Vec<PathBuf>,
    /// How its workspace is reused.
    pub(crate) scope: WorkspaceScope,
    /// Name for people.
    pub(crate) name: String,
    /// The job of the centre it is for.
    pub(crate) job: Option<String>,
}

/// A session whose policy is known and that is not yet written down.
pub(crate) struct Begun {
    /// What makes it one.
    pub(crate) batch: Vec<Write>,
    /// As whoever asked for it is told.
    pub(crate) opened: SessionOpened,
}

/// Asks whoever has a say in it, and prepares the rows of a new session.
pub(crate) async fn found(
    host: &Arc<Host>,
    principal: &Principal,
    founding: Founding,
) -> Result<Begun, WireError> {
    let Founding { session_id, roots, scope, name, job } = founding;
    let wanted = NewSession {
        session_id,
        workspace_id: workspace(host, &roots, scope)?,
        scope,
        roots: roots.clone(),
        name: name.clone(),
        user_id: host.centre.user_id(principal.id.as_str()),
        job,
    };
    let Adopted { session_id, workspace_id } = host.authority.adopt(wanted).await?;
    let claim = SessionClaim {
        session_id: session_id.clone(),
        workspace_id: workspace_id.clone(),
        roots: roots.clone(),
        tenant_id: host.centre.tenant_id(),
        user_id: host.centre.user_id(principal.id.as_str()),
    };
    let layers = SessionPolicy::layers(&*host.authority, &claim, host.clock.now()).await?;
    let model = match host.centre.granted_model(&session_id) {
        Some(granted) => granted,
        None => host.models.current().await.info(),
    };
    let now = host.clock.now();
    let shown_roots: Vec<String> = roots.iter().map(|r| r.display().to_string()).collect();
    let record = SessionRecord {
        summary: SessionSummary {
            session_id: session_id.clone(),
            workspace_id: workspace_id.clone(),
            workspace_scope: scope,
            workspace_roots: shown_roots.clone(),
            name: name.clone(),
            state: SessionState::SessionCreated,
            last_task: None,
            pending_approvals: 0,
            last_seq: 0,
            created_at: now,
            updated_at: now,
        },
        roots,
        scope,
        created_by: principal.clone(),
        tokens_used: 0,
        agent_id: None,
    };
    let created = SessionCreated { name, workspace_roots: shown_roots.clone(), model: model.clone() };
    let event = NewEvent {
        event_id: fresh::<EventId>(host, "evt")?,
        workspace_id: workspace_id.clone(),
        session_id: session_id.clone(),
        task_id: None,
        step_id: None,
        timestamp: now,
        body: EventBody::SessionCreated(created),
    };
    let central = host.centre.rows_of(&session_id);
    let opened = SessionOpened {
        session_id,
        workspace_id,
        workspace_roots: shown_roots,
        compatibility_status: CompatibilityStatus::Compatible,
        incompatibility_reason: None,
        model,
        policy: summary(&layers),
        state: SessionState::SessionCreated,
        last_seq: 1,
    };
    let mut batch = vec![Write::Session(Box::new(record)), Write::Event(Box::new(event))];
    batch.extend(central);
    Ok(Begun { batch, opened })
}

/// A new or repeated `CreateSession` follows the session from its beginning.
fn resubscribed(response: Response) -> Answer {
    let follow = match &response {
        Response::CreateSession(opened) => Follow::Session(opened.session_id.clone(), 0),
        _ => Follow::Nothing,
    };
    Answer { response, follow }
}

fn summary(layers: &Layers) -> PolicySummary {
    let granted = |asks: bool| -> Vec<Capability> {
        let every =
            |c: &&Capability| layers.iter().all(|l| l.bundle().capabilities.iter().any(|g| g.name == **c));
        let any_asks = |c: &Capability| {
            layers.iter().any(|l| l.bundle().capabilities.iter().any(|g| g.name == *c && g.requires_approval))
        };
        Capability::ALL.iter().filter(every).filter(|c| any_asks(c) == asks).copied().collect()
    };
    let version =
        layers.iter().map(|l| l.bundle().policy_bundle_version.as_str()).collect::<Vec<_>>().join(" + ");
    PolicySummary {
        policy_bundle_version: version,
        expires_at: layers.expires_at(),
        free: granted(false),
        asks: granted(true),
    }
}

/// The directories of a new session: those named, else the host's first workspace, else an empty one of its own.
fn roots(
    host: &Host,
    principal: &Principal,
    hint: &WorkspaceHint,
    session: &SessionId,
) -> Result<(Vec<PathBuf>, WorkspaceScope), WireError> {
    if hint.local_paths.len() > MAX_ROOTS {
        return Err(invalid(format!("workspaceHint.localPaths: at most {MAX_ROOTS} directories")));
    }
    if hint.local_paths.is_empty() {
        if let Some(first) = host.config.workspaces.first() {
            return Ok((vec![first.clone()], WorkspaceScope::Local));
        }
        let own = host.paths.general.join(session.as_str());
        crate::state_dir::private_dir(&own)
            .map_err(|e| WireError::new(ErrorCode::InternalError, e.to_string()))?;
        let own = std::fs::canonicalize(&own)
            .map_err(|e| WireError::new(ErrorCode::InternalError, e.to_string()))?;
        return Ok((vec![own], WorkspaceScope::General));
    }
    let mut roots = Vec::new();
    for path in &hint.local_paths {
        if !Path::new(path).is_absolute() {
            return Err(invalid(format!("workspaceHint.localPaths: {path:?} is not an absolute path")));
        }
        let root = crate::config::directory("workspaceHint.localPaths", Path::new(path))
            .map_err(|e| invalid(e.to_string()))?;
        allowed_root(host, principal, &root)?;
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    Ok((roots, WorkspaceScope::Local))
}

pub(crate) fn allowed_root(host: &Host, principal: &Principal, root: &Path) -> Result<(), WireError> {
    let shown = root.display();
    for ours in [host.state_dir.as_path(), &host.paths.socket_dir, &host.paths.scratch] {
        if root.starts_with(ours) {
            return Err(invalid(format!(
                "workspaceHint.localPaths: {shown} belongs to the host itself; choose another"
            )));
        }
    }
    let owner_at_the_machine = principal.local;
    if owner_at_the_machine || host.config.workspaces.iter().any(|w| root.starts_with(w)) {
        return Ok(());
    }
    let text = format!(
        "{shown} is not among this host's workspaces; its owner can add it with `lanyard up --workspace`"
    );
    Err(WireError::new(ErrorCode::Unauthorized, text))
}

fn workspace(host: &Host, roots: &[PathBuf], scope: WorkspaceScope) -> Result<WorkspaceId, WireError> {
    let known = match scope {
        WorkspaceScope::Local => host.journal.workspace_for(roots).map_err(store_error)?,
        WorkspaceScope::General | WorkspaceScope::Cloud => None,
    };
    known.map_or_else(|| fresh(host, "ws"), Ok)
}

/// `ResumeSession`.
pub(super) async fn resume(host: &Arc<Host>, params: ResumeSession) -> Result<Answer, WireError> {
    let before =
        host.journal.session(&params.session_id).map_err(|e| session_error(&params.session_id, e))?;
    let last_seq = before.summary.last_seq;
    let cursor = params.checkpoint_cursor.unwrap_or(last_seq);
    check_cursor(cursor, last_seq)?;
    if !before.summary.state.is_final() {
        host.sessions.resume(host, &params.session_id).await?;
    }
    let snapshot = snapshot(host, &params.session_id)?;
    Ok(Answer {
        response: Response::ResumeSession(snapshot),
        follow: Follow::Session(params.session_id, cursor),
    })
}

/// `GetSessionState`.
pub(super) fn snapshot(host: &Arc<Host>, session: &SessionId) -> Result<SessionSnapshot, WireError> {
    let record = host.journal.session(session).map_err(|e| session_error(session, e))?;
    let checkpoint = host.journal.checkpoint(session).map_err(store_error)?;
    let pending = host.journal.approvals(Some(session), false, MAX_PENDING).map_err(store_error)?;
    let model = host.sessions.model(session).unwrap_or_else(|| host.models.known().info());
    Ok(SessionSnapshot {
        session_id: session.clone(),
        workspace_id: record.summary.workspace_id,
        workspace_roots: record.summary.workspace_roots,
        name: record.summary.name,
        state: record.summary.state,
        task_id: checkpoint.as_ref().map(|c| c.task_id.clone()),
        step_id: checkpoint.as_ref().map(|c| c.step_id.clone()),
        step_count: checkpoint
            .as_ref()
            .map(|c| c.step_number)
            .or(record.summary.last_task.as_ref().map(|t| t.steps))
            .unwrap_or(0),
        last_task: record.summary.last_task,
        last_seq: record.summary.last_seq,
        pending_approvals: pending,
        tokens_used: record.tokens_used,
        model,
    })
}

/// `ListSessions`.
pub(super) async fn list(host: &Arc<Host>, params: ListSessions) -> Result<Answer, WireError> {
    let limit = page_size(params.limit)?;
    let journal = host.journal.clone();
    let query = params.query.map(|q| q.to_lowercase()).filter(|q| !q.is_empty());
    let (sessions, next_cursor) =
        blocking(move || journal.list_sessions(query.as_deref(), params.cursor.as_deref(), limit)).await?;
    Ok(Response::ListSessions(SessionPage { sessions, next_cursor }).into())
}

/// `EndSession`.
pub(super) async fn end(host: &Arc<Host>, params: EndSession) -> Result<Answer, WireError> {
    let record =
        host.journal.session(&params.session_id).map_err(|e| session_error(&params.session_id, e))?;
    if !record.summary.state.is_final() {
        host.sessions.end(host, &params.session_id, None).await?;
        let (centre, id) = (host.centre.clone(), params.session_id);
        drop(tokio::task::spawn_blocking(move || centre.forget(&id)));
    }
    Ok(Response::EndSession(Done {}).into())
}

/// `DeleteSession`.
pub(super) async fn delete(host: &Arc<Host>, params: DeleteSession) -> Result<Answer, WireError> {
    let record =
        host.journal.session(&params.session_id).map_err(|e| session_error(&params.session_id, e))?;
    if host.journal.checkpoint(&params.session_id).map_err(store_error)?.is_some() {
        let text = "a task of this session is under way; cancel it first, then delete the session";
        return Err(invalid(text));
    }
    host.sessions.forget(&params.session_id);
    if host.centre.jobs().is_in(&params.session_id) {
        return Err(invalid("a job of the central services runs in this session; end the session first"));
    }
    host.journal.commit(vec![Write::DeleteSession(params.session_id.clone())]).await.map_err(store_error)?;
    let (centre, id) = (host.centre.clone(), params.session_id.clone());
    drop(tokio::task::spawn_blocking(move || centre.forget(&id)));
    if record.scope == WorkspaceScope::General {
        let own = host.paths.general.join(params.session_id.as_str());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = std::fs::remove_dir_all(&own) {
                tracing::warn!(%error, dir = %own.display(), "the directory of a deleted session stays");
            }
        });
    }
    Ok(Response::DeleteSession(Done {}).into())
}
