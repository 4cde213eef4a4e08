//! Sessions, one and many.

use lanyard_governance_api::endpoint::{GetSession, ListSessions};
use lanyard_governance_api::page::Page;
use lanyard_governance_api::session::{SessionInfo, SessionQuery};
use lanyard_governance_foundation::page::Cut;
use lanyard_governance_foundation::{Ask, Fault, Row};
use lanyard_protocol::id::SessionId;

use crate::{State, store, tasks};

/// `GET /sessions`.
pub(crate) async fn list(state: State, ask: Ask<ListSessions>) -> Result<Page<SessionInfo>, Fault> {
    let SessionQuery { agent_id, workspace_id, open, limit, next_token } = ask.query;
    let cut = Cut::of(limit, next_token.as_deref())?;
    let mut statement = store::select_with_task(tasks::LISTED)
        .and_if("s.agent_id =", agent_id.map(String::from))
        .and_if("s.workspace_id =", workspace_id.map(String::from));
    statement = match open {
        Some(true) => statement.push(" AND s.ended = 0"),
        Some(false) => statement.push(" AND s.ended = 1"),
        None => statement,
    };
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let rows = tx.all(cut.apply(statement, "AND", "s.created_at", "s.session_id")?).await?;
    let key = |row: &Row| Ok((row.time("created_at")?, row.text("session_id")?));
    cut.page(rows, key, |row| Ok(store::info(row)?))
}

/// `GET /sessions/{id}`.
pub(crate) async fn get(state: State, ask: Ask<GetSession>) -> Result<SessionInfo, Fault> {
    let id: SessionId = ask.path.get("session_id")?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    store::seen(&mut tx, &ask.caller, &id).await?;
    store::shown(&mut tx, &id).await
}
