//! What was said in sessions goes with what they kept: the Session Service is asked to remove it.
//!
//! That it is to be asked is a row of the transaction that removes the artifacts, so that neither a crash nor a Session
//! Service that is away leaves anything behind. Asked again, it finds nothing.

use lanyard_governance_api::endpoint::ForgetSessions;
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::session::{ForgetRequest, Forgotten};
use lanyard_governance_foundation::{Fault, Statement, Tx};
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::{SessionId, WorkspaceId};

use crate::{State, removal};

/// Pause after the first failure, and the longest, in milliseconds; it doubles in between.
const FIRST_PAUSE: i64 = 5_000;
const LONGEST_PAUSE: i64 = 600_000;

/// Rows looked at in one round; the rest is next.
const BATCH: i64 = 100;

/// Calls for one workspace in a row; some sessions go with each.
const MOST_CALLS: usize = 200;

/// Stands for all sessions of a workspace. No session has it as its id.
const ALL: &str = "*";

/// Says that what was said in a workspace's sessions is to go: in one of them, or in all; and only in those that did not
/// change since `before`.
pub(crate) async fn intend(
    tx: &mut Tx,
    workspace: &WorkspaceId,
    session: Option<&SessionId>,
    before: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Fault> {
    // Wanted again while it is being done: done again, and without a bound where either had none.
    let sql = "INSERT INTO workspace_forgetting (tenant_id, workspace_id, session_id, changed_before, due_at, attempts, wanted) \
        VALUES ($1, $2, $3, $4, $5, 0, 1) ON CONFLICT (tenant_id, workspace_id, session_id) DO UPDATE SET \
        wanted = workspace_forgetting.wanted + 1, due_at = $5, attempts = 0, \
        changed_before = CASE WHEN workspace_forgetting.changed_before IS NULL THEN NULL ELSE $4 END";
    let session = session.map_or(ALL, |session| session.as_str());
    let statement = Statement::new(sql).bind_id(workspace).bind(session).bind(before).bind(now);
    tx.run(statement).await?;
    tx.wake(removal::TOPIC).await?;
    Ok(())
}

/// Asks for what is due, of every tenant. Safe on several replicas at once.
pub(crate) async fn sweep(state: &State) -> Result<(), Fault> {
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.across_read().await?;
    let sql = "SELECT tenant_id, workspace_id, session_id, changed_before, attempts, wanted FROM workspace_forgetting \
        WHERE due_at <= $1 ORDER BY due_at LIMIT $2";
    let rows = tx.all(Statement::new(sql).bind(now).bind(BATCH)).await?;
    drop(tx);
    for row in &rows {
        let (tenant, workspace_id): (TenantId, WorkspaceId) = (row.id("tenant_id")?, row.id("workspace_id")?);
        let session = row.text("session_id")?;
        let session_id = match session.as_str() {
            ALL => None,
            _ => Some(row.id("session_id")?),
        };
        let wanted = row.int("wanted")?;
        let request = ForgetRequest { workspace_id, session_id, before: row.opt_time("changed_before")? };
        let workspace = &request.workspace_id;
        let asked = ask(state, &tenant, &request).await;
        let mut tx = state.foundation.database.write_of(&tenant).await?;
        match &asked {
            Ok(()) => {
                let sql = "DELETE FROM workspace_forgetting WHERE tenant_id = $1 AND workspace_id = $2 \
                    AND session_id = $3 AND wanted = $4";
                tx.run(Statement::new(sql).bind_id(workspace).bind(session).bind(wanted)).await?;
            }
            Err(fault) => {
                let attempts = row.int("attempts")?;
                let pause = FIRST_PAUSE.saturating_mul(1 << attempts.clamp(0, 10)).min(LONGEST_PAUSE);
                tracing::warn!(%fault, %workspace, attempts, "what was said in deleted sessions is removed later");
                let sql = "UPDATE workspace_forgetting SET attempts = attempts + 1, due_at = $5 WHERE tenant_id = $1 \
                    AND workspace_id = $2 AND session_id = $3 AND wanted = $4";
                let statement = Statement::new(sql).bind_id(workspace).bind(session).bind(wanted);
                tx.run(statement.bind(now.plus_millis(pause))).await?;
            }
        }
        tx.commit().await?;
        if asked.is_err() {
            // Where one call is not answered, others would wait as long: the rest has its turn at the next look.
            break;
        }
    }
    Ok(())
}

/// Asks until nothing is left. Each answer means that some of it went.
async fn ask(state: &State, tenant: &TenantId, request: &ForgetRequest) -> Result<(), Fault> {
    let peers = &state.foundation.peers;
    for _ in 0..MOST_CALLS {
        let Forgotten { more, .. } =
            peers.call::<ForgetSessions>(Some(tenant), &[], &Nothing {}, request).await?;
        if !more {
            return Ok(());
        }
    }
    Err(Fault::unavailable("there are more sessions than are dealt with at once"))
}
