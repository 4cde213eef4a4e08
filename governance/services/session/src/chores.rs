//! What is done without being asked: hosts are told of cancelled sessions, sessions whose time is over are ended, old
//! ones are forgotten.

use std::time::Duration;

use lanyard_governance_api::id::TenantId;
use lanyard_governance_foundation::{Fault, Foundation, Statement, trail};
use lanyard_protocol::id::{SessionId, WorkspaceId};
use lanyard_protocol::session::SessionState;
use tokio_util::sync::CancellationToken;

use crate::standing::EXPIRED;
use crate::{Settings, cancel, store};

/// How often cancelled sessions are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Looks between two at expiry and age.
const SLOW: u32 = 30;

/// Sessions ended or forgotten in one round; the rest is next.
const ROUND: i64 = 200;

/// Does what is to be done, until stopped.
pub async fn chores(foundation: Foundation, settings: Settings, stop: CancellationToken) {
    let mut turn = 0;
    loop {
        let told = cancel::tell_waiting(&foundation).await;
        noted("hosts cannot be told of cancelled sessions", told);
        if turn % SLOW == 0 {
            noted("sessions cannot be ended", end_expired(&foundation).await);
            noted("old sessions cannot be forgotten", forget(&foundation, settings.days_kept).await);
        }
        turn = turn.wrapping_add(1);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn noted(what: &str, done: Result<(), Fault>) {
    if let Err(fault) = done {
        tracing::warn!(%fault, "{what}");
    }
}

/// Marks sessions past their expiry as failed.
pub(crate) async fn end_expired(foundation: &Foundation) -> Result<(), Fault> {
    let now = foundation.clock.now();
    let mut tx = foundation.database.across_read().await?;
    let sql = "SELECT tenant_id, session_id, workspace_id FROM sessions WHERE ended = 0 AND expires_at <= $1 \
               ORDER BY expires_at LIMIT $2";
    let rows = tx.all(Statement::new(sql).bind(now).bind(ROUND)).await?;
    drop(tx);
    for row in &rows {
        let (tenant, id): (TenantId, SessionId) = (row.id("tenant_id")?, row.id("session_id")?);
        let workspace: WorkspaceId = row.id("workspace_id")?;
        let mut tx = foundation.database.write_of(&tenant).await?;
        // Resumed or ended meanwhile? Then it is left alone.
        let sql = "UPDATE sessions SET state = $3, reason = $4, ended = 1, updated_at = $5 \
                   WHERE tenant_id = $1 AND session_id = $2 AND ended = 0 AND expires_at <= $5";
        let statement = Statement::new(sql).bind_id(&id).bind_json(&SessionState::SessionFailed);
        if tx.run(statement.bind(EXPIRED).bind(now)).await? > 0 {
            let record = store::record("session_expired", &id, &workspace);
            trail::record(&mut tx, &tenant, &*foundation.clock, record).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Removes sessions that ended and did not change for so many days, with their tasks and events.
pub(crate) async fn forget(foundation: &Foundation, days: u32) -> Result<(), Fault> {
    let before = foundation.clock.now().plus_millis(-i64::from(days) * 24 * 3_600_000);
    let mut tx = foundation.database.across_read().await?;
    let sql = "SELECT tenant_id, session_id FROM sessions WHERE ended = 1 AND updated_at < $1 \
               ORDER BY updated_at LIMIT $2";
    let rows = tx.all(Statement::new(sql).bind(before).bind(ROUND)).await?;
    drop(tx);
    for row in &rows {
        let (tenant, id): (TenantId, SessionId) = (row.id("tenant_id")?, row.id("session_id")?);
        let mut tx = foundation.database.write_of(&tenant).await?;
        let sql =
            "DELETE FROM sessions WHERE tenant_id = $1 AND session_id = $2 AND ended = 1 AND updated_at < $3";
        if tx.run(Statement::new(sql).bind_id(&id).bind(before)).await? == 0 {
            continue;
        }
        for sql in [
            "DELETE FROM session_tasks WHERE tenant_id = $1 AND session_id = $2",
            "DELETE FROM session_events WHERE tenant_id = $1 AND session_id = $2",
        ] {
            tx.run(Statement::new(sql).bind_id(&id)).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}
