//! Workspaces: found or made for a session, listed, removed with all that is in them.

use data_encoding::HEXLOWER;
use lanyard_governance_api::artifact::{ResolveWorkspace as Wanted, WorkspaceRecord};
use lanyard_governance_api::endpoint::{DeleteWorkspace, GetWorkspace, ListWorkspaces, ResolveWorkspace};
use lanyard_governance_api::id::UserId;
use lanyard_governance_api::page::{Nothing, Page};
use lanyard_governance_foundation::trail::{self, Record};
use lanyard_governance_foundation::{Ask, Caller, Fault, Row, Statement, Tx, fresh_id};
use lanyard_protocol::Timestamp;
use lanyard_protocol::envelope::{BoundedContext, Component};
use lanyard_protocol::id::WorkspaceId;
use lanyard_protocol::session::WorkspaceScope;
use sha2::{Digest as _, Sha256};

use crate::keep::{self, Which};
use crate::{State, forgetting};
use lanyard_governance_foundation::page::Cut;

/// Longest path of a directory, in bytes; what Linux takes.
const MAX_PATH_BYTES: usize = 4_096;

/// Most directories of one session.
const MAX_PATHS: usize = 64;

/// Reading counts as use, but is written down only when the last use is this old, in milliseconds (an hour): reading
/// stays cheap.
const READING_NOTED_AFTER: i64 = 3_600_000;

/// A workspace with what is counted of it. The tenant is `$1`.
const SELECT: &str = "SELECT workspace_id, scope, user_id, local_path, created_at, last_active_at, \
    (SELECT COUNT(*) FROM workspace_artifacts a \
     WHERE a.tenant_id = w.tenant_id AND a.workspace_id = w.workspace_id) AS artifacts, \
    (SELECT CAST(COALESCE(SUM(a.bytes), 0) AS BIGINT) FROM workspace_artifacts a \
     WHERE a.tenant_id = w.tenant_id AND a.workspace_id = w.workspace_id) AS kept_bytes \
    FROM workspaces w WHERE tenant_id = $1";

/// Whose workspaces a caller reaches: a host those of its own user, people and services all of their tenant.
fn owner(caller: &Caller) -> Option<&UserId> {
    match caller {
        Caller::Agent(agent) => Some(&agent.user),
        _ => None,
    }
}

/// A record of this service for the trail.
pub(crate) fn trail_record(event_type: &'static str, workspace: &WorkspaceId) -> Record {
    Record::new(event_type, Component::WorkspaceService, BoundedContext::WorkspaceArtifacts)
        .with("workspaceId", workspace.as_str())
}

/// Takes the row of a workspace that the caller reaches for the rest of the transaction, and counts as use of it.
pub(crate) async fn take(
    tx: &mut Tx,
    caller: &Caller,
    workspace: &WorkspaceId,
    now: Timestamp,
) -> Result<(), Fault> {
    let sql = "UPDATE workspaces SET last_active_at = CASE WHEN last_active_at < $3 THEN $3 ELSE last_active_at END \
        WHERE tenant_id = $1 AND workspace_id = $2";
    let statement = Statement::new(sql).bind_id(workspace).bind(now);
    let statement = statement.and_if("user_id =", owner(caller).map(UserId::as_str));
    match tx.run(statement).await? {
        0 => Err(Fault::not_found("workspace", workspace)),
        _ => Ok(()),
    }
}

/// Checks that there is such a workspace and that the caller reaches it; for reading. A host's reading counts as use.
pub(crate) async fn reach(state: &State, caller: &Caller, workspace: &WorkspaceId) -> Result<(), Fault> {
    let mut tx = state.foundation.database.read(caller).await?;
    let sql = "SELECT last_active_at FROM workspaces WHERE tenant_id = $1 AND workspace_id = $2";
    let statement =
        Statement::new(sql).bind_id(workspace).and_if("user_id =", owner(caller).map(UserId::as_str));
    let Some(row) = tx.one(statement).await? else {
        return Err(Fault::not_found("workspace", workspace));
    };
    drop(tx);
    let now = state.foundation.clock.now();
    let noted = row.time("last_active_at")?;
    if matches!(caller, Caller::Agent(_)) && noted.plus_millis(READING_NOTED_AFTER) < now {
        let mut tx = state.foundation.database.write(caller).await?;
        take(&mut tx, caller, workspace, now).await?;
        tx.commit().await?;
    }
    Ok(())
}

fn record(row: &Row) -> Result<WorkspaceRecord, Fault> {
    let scope = match row.text("scope")?.as_str() {
        "local" => WorkspaceScope::Local,
        "general" => WorkspaceScope::General,
        _ => WorkspaceScope::Cloud,
    };
    Ok(WorkspaceRecord {
        workspace_id: row.id("workspace_id")?,
        workspace_scope: scope,
        user_id: row.id("user_id")?,
        local_path: row.opt_text("local_path")?,
        artifacts: row.count("artifacts")?,
        bytes: row.count("kept_bytes")?,
        created_at: row.time("created_at")?,
        last_active_at: row.time("last_active_at")?,
    })
}

/// What makes a local workspace the same one: whose, on which host, which directory. Hashed, because a path can be longer
/// than what an index takes.
fn local_key(wanted: &Wanted) -> Result<Option<String>, Fault> {
    if wanted.local_paths.len() > MAX_PATHS {
        return Err(Fault::invalid(format!("localPaths names more than {MAX_PATHS} directories")));
    }
    if let Some(bad) = wanted.local_paths.iter().find(|path| path.is_empty() || path.len() > MAX_PATH_BYTES) {
        let bytes = bad.len();
        return Err(Fault::invalid(format!("a path has 1 to {MAX_PATH_BYTES} bytes, this one has {bytes}")));
    }
    let Some(first) = wanted.local_paths.first() else { return Ok(None) };
    let mut hash = Sha256::new();
    for part in [wanted.user_id.as_str(), wanted.agent_id.as_str(), first] {
        // Ids and paths hold no NUL.
        hash.update(part);
        hash.update([0]);
    }
    Ok(Some(HEXLOWER.encode(&hash.finalize())))
}

/// `POST /workspaces`
pub(crate) async fn resolve(state: State, ask: Ask<ResolveWorkspace>) -> Result<WorkspaceRecord, Fault> {
    let (wanted, now) = (&ask.body, state.foundation.clock.now());
    let local = local_key(wanted)?;
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    let mut found = match &local {
        Some(key) => by_local_key(&mut tx, key).await?,
        None => match &wanted.workspace_id {
            Some(id) => own_general(&mut tx, wanted, id).await?,
            None => None,
        },
    };
    if found.is_none() {
        // The id the host proposes, if nobody has it; else a fresh one. Somebody else may be doing the same now: then
        // theirs is found.
        for proposed in wanted.workspace_id.clone().into_iter().map(Ok).chain([fresh_id("ws")]) {
            let id: WorkspaceId = proposed?;
            if insert(&mut tx, wanted, &id, local.as_deref(), now).await? {
                trail::record(
                    &mut tx,
                    ask.caller.tenant()?,
                    state.foundation.clock.as_ref(),
                    trail_record("workspace_created", &id).about_agent(&wanted.agent_id),
                )
                .await?;
                found = Some(id);
                break;
            }
            if let Some(key) = &local
                && let Some(id) = by_local_key(&mut tx, key).await?
            {
                found = Some(id);
                break;
            }
        }
    }
    let id = found.ok_or_else(|| Fault::unavailable("the workspace could not be made; try again"))?;
    // Purged between being found and being used.
    let vanished = |_| Fault::unavailable("the workspace was just removed; try again");
    take(&mut tx, &ask.caller, &id, now).await.map_err(vanished)?;
    let record = one(&mut tx, &ask.caller, &id).await?;
    tx.commit().await?;
    Ok(record)
}

async fn by_local_key(tx: &mut Tx, key: &str) -> Result<Option<WorkspaceId>, Fault> {
    let sql = "SELECT workspace_id FROM workspaces WHERE tenant_id = $1 AND local_key = $2";
    let row = tx.one(Statement::new(sql).bind(key)).await?;
    Ok(row.map(|row| row.id("workspace_id")).transpose()?)
}

/// A general workspace that the host knows already, which is how a repeated request finds it again.
async fn own_general(tx: &mut Tx, wanted: &Wanted, id: &WorkspaceId) -> Result<Option<WorkspaceId>, Fault> {
    let sql = "SELECT workspace_id FROM workspaces WHERE tenant_id = $1 AND workspace_id = $2 AND user_id = $3 \
        AND agent_id = $4 AND scope = 'general'";
    let statement = Statement::new(sql).bind_id(id).bind_id(&wanted.user_id).bind_id(&wanted.agent_id);
    let row = tx.one(statement).await?;
    Ok(row.map(|row| row.id("workspace_id")).transpose()?)
}

async fn insert(
    tx: &mut Tx,
    wanted: &Wanted,
    id: &WorkspaceId,
    local_key: Option<&str>,
    now: Timestamp,
) -> Result<bool, Fault> {
    let sql = "INSERT INTO workspaces (tenant_id, workspace_id, scope, user_id, agent_id, local_path, local_key, \
        created_at, last_active_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT DO NOTHING";
    let statement = Statement::new(sql)
        .bind_id(id)
        .bind(if local_key.is_some() { "local" } else { "general" })
        .bind_id(&wanted.user_id)
        .bind_id(&wanted.agent_id)
        .bind(wanted.local_paths.first().map(String::as_str))
        .bind(local_key)
        .bind(now);
    Ok(tx.run(statement).await? == 1)
}

async fn one(tx: &mut Tx, caller: &Caller, id: &WorkspaceId) -> Result<WorkspaceRecord, Fault> {
    let statement = Statement::new(SELECT).push(" AND workspace_id = $2").bind_id(id);
    let statement = statement.and_if("user_id =", owner(caller).map(UserId::as_str));
    match tx.one(statement).await? {
        Some(row) => record(&row),
        None => Err(Fault::not_found("workspace", id)),
    }
}

/// `GET /workspaces`
pub(crate) async fn list(state: State, ask: Ask<ListWorkspaces>) -> Result<Page<WorkspaceRecord>, Fault> {
    let cut = Cut::of(ask.query.limit, ask.query.next_token.as_deref())?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let statement = cut.apply(Statement::new(SELECT), "AND", "last_active_at", "workspace_id")?;
    let rows = tx.all(statement).await?;
    cut.page(rows, |row| Ok((row.time("last_active_at")?, row.text("workspace_id")?)), record)
}

/// `GET /workspaces/{workspace_id}`
pub(crate) async fn get(state: State, ask: Ask<GetWorkspace>) -> Result<WorkspaceRecord, Fault> {
    let id = ask.path.get("workspace_id")?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    one(&mut tx, &ask.caller, &id).await
}

/// `DELETE /workspaces/{workspace_id}`
pub(crate) async fn delete(state: State, ask: Ask<DeleteWorkspace>) -> Result<Nothing, Fault> {
    let id: WorkspaceId = ask.path.get("workspace_id")?;
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    let gone = remove(&mut tx, &id, None, now).await?;
    let Some(gone) = gone else { return Err(Fault::not_found("workspace", &id)) };
    let record = trail_record("workspace_deleted", &id).by(&ask.caller).with("artifacts", gone.records);
    trail::record(&mut tx, ask.caller.tenant()?, state.foundation.clock.as_ref(), record).await?;
    tx.commit().await?;
    Ok(Nothing {})
}

/// Removes a workspace and all that is in it; with `idle_since`, only if it was not used since. `None`: it stays, or is
/// not there.
pub(crate) async fn remove(
    tx: &mut Tx,
    id: &WorkspaceId,
    idle_since: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<keep::Gone>, Fault> {
    // The row goes first: whoever stores something in it waits for this transaction, and then finds no workspace.
    let sql = "DELETE FROM workspaces WHERE tenant_id = $1 AND workspace_id = $2";
    let statement = Statement::new(sql).bind_id(id).and_if("last_active_at <", idle_since);
    if tx.run(statement).await? == 0 {
        return Ok(None);
    }
    // One that nobody used for long may have sessions all the same that go on and keep nothing.
    forgetting::intend(tx, id, None, idle_since, now).await?;
    keep::drop_records(tx, id, Which::All, now).await.map(Some)
}
