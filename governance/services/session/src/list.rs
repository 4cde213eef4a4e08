//! Sessions, one and many.

use data_encoding::BASE64URL_NOPAD;
use lanyard_governance_api::endpoint::{GetSession, ListSessions};
use lanyard_governance_api::limits::{DEFAULT_PAGE, MAX_PAGE};
use lanyard_governance_api::page::Page;
use lanyard_governance_api::session::{SessionInfo, SessionQuery};
use lanyard_governance_foundation::{Ask, Fault};
use lanyard_protocol::id::SessionId;

use crate::State;
use crate::store;

/// Longest token of a page, in bytes: a number and an id.
const MAX_TOKEN_BYTES: usize = 256;

/// Rows wanted.
pub(crate) fn limit(wanted: Option<u32>) -> Result<u32, Fault> {
    let limit = wanted.unwrap_or(DEFAULT_PAGE);
    if (1..=MAX_PAGE).contains(&limit) {
        Ok(limit)
    } else {
        Err(Fault::invalid(format!("limit must be 1 to {MAX_PAGE}")))
    }
}

/// Where a page ended, as it is handed out.
pub(crate) fn token(number: i64, id: &str) -> String {
    BASE64URL_NOPAD.encode(format!("{number}.{id}").as_bytes())
}

/// Number and id of a token that was handed out.
pub(crate) fn read_token(token: &str) -> Result<(i64, String), Fault> {
    let read = || {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let text = String::from_utf8(BASE64URL_NOPAD.decode(token.as_bytes()).ok()?).ok()?;
        let (number, id) = text.split_once('.')?;
        lanyard_protocol::id::check(id).ok()?;
        Some((number.parse().ok()?, id.to_owned()))
    };
    read().ok_or_else(|| Fault::invalid("nextToken is none that this list gave"))
}

/// `GET /sessions`.
pub(crate) async fn list(state: State, ask: Ask<ListSessions>) -> Result<Page<SessionInfo>, Fault> {
    let SessionQuery { agent_id, workspace_id, open, limit, next_token } = ask.query;
    let limit = self::limit(limit)?;
    let mut statement = store::select_with_task()
        .and_if("s.agent_id =", agent_id.map(String::from))
        .and_if("s.workspace_id =", workspace_id.map(String::from));
    if open == Some(true) {
        statement = statement.push(" AND s.ended = 0");
    }
    if let Some(token) = next_token {
        let (created_at, id) = read_token(&token)?;
        let (time, session) = (statement.next_placeholder(), statement.next_placeholder() + 1);
        let below = format!(
            " AND (s.created_at < ${time} OR (s.created_at = ${time} AND s.session_id < ${session}))"
        );
        statement = statement.push(&below).bind(created_at).bind(id);
    }
    let rows = statement.next_placeholder();
    let order = format!(" ORDER BY s.created_at DESC, s.session_id DESC LIMIT ${rows}");
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let rows = tx.all(statement.push(&order).bind(limit + 1)).await?;
    let mut items = rows.iter().map(store::info).collect::<Result<Vec<_>, _>>()?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let last = items.last().filter(|_| more);
    let next_token = last.map(|last| token(last.created_at.as_millis(), last.session_id.as_str()));
    Ok(Page { items, next_token })
}

/// `GET /sessions/{id}`.
pub(crate) async fn get(state: State, ask: Ask<GetSession>) -> Result<SessionInfo, Fault> {
    let id: SessionId = ask.path.get("session_id")?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    store::seen(&mut tx, &ask.caller, &id).await?;
    store::shown(&mut tx, &id).await
}
