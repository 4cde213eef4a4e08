//! Ending a session for good, and telling its host.
//!
//! The session is cancelled here at once; that its host is to be told is a row of the same transaction, so that a crash
//! before the command channel took it loses nothing. A host that cancels its own session is told nothing.

use std::time::Duration;

use lanyard_governance_api::command::{NewCommand, Order};
use lanyard_governance_api::endpoint::{CancelSession, QueueCommand};
use lanyard_governance_api::id::{AgentId, TenantId, UserId};
use lanyard_governance_api::limits::MAX_TEXT_BYTES;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::session::SessionInfo;
use lanyard_governance_foundation::{Ask, Caller, Fault, Foundation, Statement, trail};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::envelope::Severity;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::session::SessionState;

use crate::State;
use crate::store;

/// How long whoever cancels waits for the command channel; what is not taken by then is the chore's.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the chore leaves a fresh row to whoever made it.
const HEAD_START_MILLIS: i64 = 3_000;

/// Pause after the first failure, and the longest; it doubles in between.
const FIRST_PAUSE_MILLIS: i64 = 1_000;
const LONGEST_PAUSE_MILLIS: i64 = 60_000;

/// Sessions whose hosts are told in one round.
const ROUND: i64 = 100;

/// `POST /sessions/{id}/cancel`.
pub(crate) async fn cancel(state: State, ask: Ask<CancelSession>) -> Result<SessionInfo, Fault> {
    let id: SessionId = ask.path.get("session_id")?;
    let reason = ask.body.reason.trim();
    if reason.is_empty() || reason.len() > MAX_TEXT_BYTES {
        let text = format!(
            "a reason of 1 to {MAX_TEXT_BYTES} bytes is needed: whoever works in the session is told it"
        );
        return Err(Fault::invalid(text));
    }
    let (foundation, tenant) = (&state.foundation, ask.caller.tenant()?);
    let mut tx = foundation.database.write(&ask.caller).await?;
    let session = store::held(&mut tx, &ask.caller, &id).await?;
    if session.state == SessionState::SessionCancelled {
        return store::shown(&mut tx, &id).await;
    }
    if session.state.is_final() {
        let now = serde_json::to_value(session.state).unwrap_or_default();
        return Err(Fault::conflict(format!("the session {id} has ended already")).with("state", now));
    }
    let now = foundation.clock.now();
    let (by, name, tell_at) = match &ask.caller {
        Caller::Person(person) => {
            (Some(&person.user), Some(person.name.as_str()), Some(now.plus_millis(HEAD_START_MILLIS)))
        }
        _ => (None, None, None),
    };
    let sql = "UPDATE sessions SET state = $3, reason = $4, ended = 1, cancelled_by = $5, cancelled_by_name = $6, \
               tell_at = $7, tell_attempts = 0, updated_at = $8 WHERE tenant_id = $1 AND session_id = $2";
    let statement = Statement::new(sql).bind_id(&id).bind_json(&SessionState::SessionCancelled).bind(reason);
    tx.run(statement.bind_opt_id(by).bind(name).bind(tell_at).bind(now)).await?;
    let record = store::record("session_cancelled", &id, &session.workspace).by(&ask.caller);
    let record = record.about_agent(&session.agent).severity(Severity::Warning).with("reason", reason);
    trail::record(&mut tx, tenant, &*foundation.clock, record).await?;
    let info = store::shown(&mut tx, &id).await?;
    tx.commit().await?;
    if tell_at.is_some() {
        match tokio::time::timeout(PATIENCE, tell(foundation, tenant, &id)).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => {
                tracing::warn!(%fault, session = %id, "the host hears of its cancelled session later")
            }
            Err(_) => tracing::warn!(session = %id, "the host hears of its cancelled session later"),
        }
    }
    Ok(info)
}

/// Tells the host of one cancelled session. Cancel-safe: what is not known to be taken is told again.
async fn tell(foundation: &Foundation, tenant: &TenantId, id: &SessionId) -> Result<(), Fault> {
    let mut tx = foundation.database.read_of(tenant).await?;
    let sql = "SELECT agent_id, reason, cancelled_by, cancelled_by_name FROM sessions \
               WHERE tenant_id = $1 AND session_id = $2 AND tell_at IS NOT NULL";
    let Some(row) = tx.one(Statement::new(sql).bind_id(id)).await? else { return Ok(()) };
    drop(tx);
    let agent: AgentId = row.id("agent_id")?;
    let by: Option<UserId> = row.opt_id("cancelled_by")?;
    let reason = row.opt_text("reason")?.unwrap_or_default();
    let order = Order::CancelSession { session_id: id.clone(), reason };
    let command = NewCommand { by, by_name: row.opt_text("cancelled_by_name")?, order };
    let path = [("agent_id", agent.as_str())];
    let told = foundation.peers.call::<QueueCommand>(Some(tenant), &path, &Nothing {}, &command).await;
    match told {
        Ok(_) => {}
        Err(fault) if is_final(&fault) => {
            tracing::info!(%fault, session = %id, "the host of a cancelled session cannot be told any more");
        }
        Err(fault) => return Err(fault),
    }
    let mut tx = foundation.database.write_of(tenant).await?;
    let sql = "UPDATE sessions SET tell_at = NULL WHERE tenant_id = $1 AND session_id = $2";
    tx.run(Statement::new(sql).bind_id(id)).await?;
    tx.commit().await.map_err(Fault::from)
}

/// The host is not enrolled any more: nobody is there to be told. An address that leads elsewhere says nothing of that.
fn is_final(fault: &Fault) -> bool {
    fault.wire.code == ErrorCode::AgentRevoked || fault.is_absent()
}

/// Tells the hosts whose turn it is.
pub(crate) async fn tell_waiting(foundation: &Foundation) -> Result<(), Fault> {
    let now = foundation.clock.now();
    let mut tx = foundation.database.across_read().await?;
    let sql = "SELECT tenant_id, session_id, tell_attempts FROM sessions WHERE tell_at <= $1 ORDER BY tell_at LIMIT $2";
    let rows = tx.all(Statement::new(sql).bind(now).bind(ROUND)).await?;
    drop(tx);
    for row in &rows {
        let (tenant, id): (TenantId, SessionId) = (row.id("tenant_id")?, row.id("session_id")?);
        let attempts = row.int("tell_attempts")?;
        let pause = FIRST_PAUSE_MILLIS.saturating_mul(1 << attempts.clamp(0, 10)).min(LONGEST_PAUSE_MILLIS);
        // Whoever takes the turn tells; of several replicas one.
        let mut tx = foundation.database.write_of(&tenant).await?;
        let sql = "UPDATE sessions SET tell_at = $3, tell_attempts = tell_attempts + 1 \
                   WHERE tenant_id = $1 AND session_id = $2 AND tell_attempts = $4 AND tell_at <= $5";
        let statement =
            Statement::new(sql).bind_id(&id).bind(now.plus_millis(pause)).bind(attempts).bind(now);
        let taken = tx.run(statement).await?;
        tx.commit().await?;
        if taken == 0 {
            continue;
        }
        if let Err(fault) = tell(foundation, &tenant, &id).await {
            tracing::warn!(%fault, session = %id, attempts, "the host of a cancelled session cannot be told yet");
        }
    }
    Ok(())
}
