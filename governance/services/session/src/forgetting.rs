//! Removing what was said in sessions whose work was deleted elsewhere: their events, prompts and names. That there were
//! such sessions, what state they came to and what it cost, stays until they are forgotten as a whole.

use lanyard_governance_api::endpoint::ForgetSessions;
use lanyard_governance_api::session::{ForgetRequest, Forgotten};
use lanyard_governance_foundation::trail;
use lanyard_governance_foundation::{Ask, Fault, Statement, Tx};
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::{SessionId, WorkspaceId};

use crate::State;
use crate::store;

/// Sessions of one call: each may have a quarter gibibyte of events.
const ROUND: usize = 20;

/// The name of a session that ended and whose own was removed.
const NAMELESS: &str = "Deleted session";

/// `POST /sessions/forget`. Again, it finds nothing; what a session that goes on is told later stays.
pub(crate) async fn forget(state: State, ask: Ask<ForgetSessions>) -> Result<Forgotten, Fault> {
    let ForgetRequest { workspace_id, session_id, before } = &ask.body;
    let (database, tenant) = (&state.foundation.database, ask.caller.tenant()?);
    let mut tx = database.read(&ask.caller).await?;
    let sql = "SELECT s.session_id FROM sessions s WHERE s.tenant_id = $1 AND s.workspace_id = $2 \
        AND (s.event_bytes > 0 OR (s.ended = 1 AND s.name <> $3) OR EXISTS (SELECT 1 FROM session_tasks t \
        WHERE t.tenant_id = s.tenant_id AND t.session_id = s.session_id AND t.prompt IS NOT NULL))";
    let statement = Statement::new(sql)
        .bind_id(workspace_id)
        .bind(NAMELESS)
        .and_if("s.session_id =", session_id.as_ref().map(|id| id.as_str()))
        .and_if("s.updated_at <", *before);
    let limit = format!(" ORDER BY s.session_id LIMIT ${}", statement.next_placeholder());
    let rows = tx.all(statement.push(&limit).bind_u64(ROUND as u64 + 1)).await?;
    drop(tx);
    let mut sessions = 0;
    for row in rows.iter().take(ROUND) {
        let session = row.id("session_id")?;
        let mut tx = database.write_of(tenant).await?;
        if !said(&mut tx, &session, workspace_id, *before).await? {
            continue;
        }
        let record = record(&session, workspace_id);
        trail::record(&mut tx, tenant, &*state.foundation.clock, record).await?;
        tx.commit().await?;
        sessions += 1;
    }
    Ok(Forgotten { sessions, more: rows.len() > ROUND })
}

fn record(session: &SessionId, workspace: &WorkspaceId) -> trail::Record {
    store::record("session_content_removed", session, workspace)
}

/// Removes what was said in one. When it last changed stays, so that it is forgotten as a whole when it would have been.
/// `false`: it changed since it was found, or is gone.
pub(crate) async fn said(
    tx: &mut Tx,
    session: &SessionId,
    workspace: &WorkspaceId,
    before: Option<Timestamp>,
) -> Result<bool, Fault> {
    let sql = "UPDATE sessions SET event_bytes = 0, name = CASE WHEN ended = 1 THEN $3 ELSE name END \
        WHERE tenant_id = $1 AND session_id = $2 AND workspace_id = $4";
    let statement = Statement::new(sql).bind_id(session).bind(NAMELESS).bind_id(workspace);
    if tx.run(statement.and_if("updated_at <", before)).await? == 0 {
        return Ok(false);
    }
    for sql in [
        "DELETE FROM session_events WHERE tenant_id = $1 AND session_id = $2",
        "UPDATE session_tasks SET prompt = NULL WHERE tenant_id = $1 AND session_id = $2",
    ] {
        tx.run(Statement::new(sql).bind_id(session)).await?;
    }
    Ok(true)
}
