//! Rows of sessions.

use lanyard_governance_api::id::{AgentId, JobId, UserId};
use lanyard_governance_api::session::SessionInfo;
use lanyard_governance_foundation::database::DatabaseError;
use lanyard_governance_foundation::trail::Record;
use lanyard_governance_foundation::{Caller, Fault, Row, Statement, Tx};
use lanyard_protocol::envelope::{BoundedContext, Component};
use lanyard_protocol::id::{SessionId, WorkspaceId};
use lanyard_protocol::session::{ClientInfo, CompatibilityStatus, ExecutionEnvironment, SessionState};
use lanyard_protocol::{ErrorCode, Timestamp};

use crate::tasks;

/// A session as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) agent: AgentId,
    pub(crate) user: UserId,
    pub(crate) name: String,
    pub(crate) state: SessionState,
    pub(crate) reason: Option<String>,
    pub(crate) state_seq: u64,
    pub(crate) environment: ExecutionEnvironment,
    pub(crate) client_info: ClientInfo,
    pub(crate) directories: Vec<String>,
    pub(crate) compatible: bool,
    pub(crate) bundle_version: Option<String>,
    pub(crate) timeline: bool,
    pub(crate) job: Option<JobId>,
    pub(crate) tasks: u32,
    pub(crate) last_seq: u64,
    pub(crate) event_bytes: u64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

const COLUMNS: &str = "s.session_id, s.workspace_id, s.agent_id, s.user_id, s.name, s.state, s.reason, s.state_seq, \
    s.environment, s.client_info, s.directories, s.compatible, s.bundle_version, s.timeline, s.job_id, s.tasks, \
    s.last_seq, s.event_bytes, s.created_at, s.updated_at, s.expires_at";

/// Sessions with their last task, of which these columns are read; conditions are added to it. The tenant is `$1`.
pub(crate) fn select_with_task(task: &str) -> Statement {
    Statement::new(format!(
        "SELECT {COLUMNS}, {task} FROM sessions s LEFT JOIN session_tasks t ON t.tenant_id = s.tenant_id \
         AND t.session_id = s.session_id AND t.task_id = s.last_task WHERE s.tenant_id = $1"
    ))
}

fn session(row: &Row) -> Result<Session, DatabaseError> {
    Ok(Session {
        id: row.id("session_id")?,
        workspace: row.id("workspace_id")?,
        agent: row.id("agent_id")?,
        user: row.id("user_id")?,
        name: row.text("name")?,
        state: row.json("state")?,
        reason: row.opt_text("reason")?,
        state_seq: row.count("state_seq")?,
        environment: row.json("environment")?,
        client_info: row.json("client_info")?,
        directories: row.json("directories")?,
        compatible: row.flag("compatible")?,
        bundle_version: row.opt_text("bundle_version")?,
        timeline: row.flag("timeline")?,
        job: row.opt_id("job_id")?,
        tasks: u32::try_from(row.count("tasks")?).unwrap_or(u32::MAX),
        last_seq: row.count("last_seq")?,
        event_bytes: row.count("event_bytes")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        expires_at: row.time("expires_at")?,
    })
}

/// A row of [`select_with_task`] as people and hosts see it.
pub(crate) fn info(row: &Row) -> Result<SessionInfo, DatabaseError> {
    let session = session(row)?;
    let last_task = if row.opt_text("task_id")?.is_some() { Some(tasks::task(row)?) } else { None };
    Ok(SessionInfo {
        session_id: session.id,
        workspace_id: session.workspace,
        agent_id: session.agent,
        user_id: session.user,
        name: session.name,
        state: session.state,
        reason: session.reason,
        execution_environment: session.environment,
        client_info: session.client_info,
        compatibility_status: status(session.compatible),
        policy_bundle_version: session.bundle_version,
        job_id: session.job,
        tasks: session.tasks,
        last_task,
        last_seq: session.last_seq,
        created_at: session.created_at,
        updated_at: session.updated_at,
        expires_at: session.expires_at,
    })
}

pub(crate) fn status(compatible: bool) -> CompatibilityStatus {
    if compatible { CompatibilityStatus::Compatible } else { CompatibilityStatus::Incompatible }
}

/// The same whether the session does not exist, is another host's or another tenant's.
pub(crate) fn no_session(id: &SessionId) -> Fault {
    Fault::new(ErrorCode::SessionNotFound, format!("there is no session {id}"))
}

/// A session whoever has it.
pub(crate) async fn find(tx: &mut Tx, id: &SessionId) -> Result<Option<Session>, DatabaseError> {
    let sql = format!("SELECT {COLUMNS} FROM sessions s WHERE s.tenant_id = $1 AND s.session_id = $2");
    tx.one(Statement::new(sql).bind_id(id)).await?.map(|row| session(&row)).transpose()
}

/// A session that the caller may see: a host its own, people and services every one of their tenant.
pub(crate) async fn seen(tx: &mut Tx, caller: &Caller, id: &SessionId) -> Result<Session, Fault> {
    find(tx, id).await?.filter(|session| is_seen(caller, &session.agent)).ok_or_else(|| no_session(id))
}

/// The same, held against others who change it until the transaction ends.
pub(crate) async fn held(tx: &mut Tx, caller: &Caller, id: &SessionId) -> Result<Session, Fault> {
    let sql =
        format!("SELECT {COLUMNS} FROM sessions s WHERE s.tenant_id = $1 AND s.session_id = $2 {{lock}}");
    let found = tx.one(Statement::new(sql).bind_id(id)).await?.map(|row| session(&row)).transpose()?;
    found.filter(|session| is_seen(caller, &session.agent)).ok_or_else(|| no_session(id))
}

fn is_seen(caller: &Caller, agent: &AgentId) -> bool {
    match caller {
        Caller::Agent(own) => own.agent == *agent,
        Caller::Person(_) | Caller::Service { .. } => true,
        Caller::Nobody | Caller::Revoked { .. } => false,
    }
}

/// A session as it now stands, for the answer. Whether the caller may see it was asked before.
pub(crate) async fn shown(tx: &mut Tx, id: &SessionId) -> Result<SessionInfo, Fault> {
    let row = tx.one(select_with_task(tasks::COLUMNS).push(" AND s.session_id = $2").bind_id(id)).await?;
    Ok(info(&row.ok_or_else(|| no_session(id))?)?)
}

/// A record for audit about a session.
pub(crate) fn record(event: &'static str, session: &SessionId, workspace: &WorkspaceId) -> Record {
    Record::new(event, Component::SessionService, BoundedContext::SessionCoordination)
        .about_session(session, Some(workspace))
}
