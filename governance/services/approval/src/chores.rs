//! What is done without being asked: questions that no host settles are, and those settled long ago are forgotten.

use std::time::Duration;

use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::limits::AUDIT_RETENTION_DAYS;
use lanyard_governance_foundation::{Fault, Foundation, Statement};
use lanyard_protocol::id::ApprovalId;
use tokio_util::sync::CancellationToken;

use crate::lapse::lapse;

/// How often.
const LOOK: Duration = Duration::from_secs(3_600);

/// Questions looked up at once.
const ROUND: usize = 200;

/// Settles what is over and forgets what is old, until stopped.
pub(crate) async fn chores(foundation: Foundation, stop: CancellationToken) {
    loop {
        if let Err(fault) = lapse(&foundation).await {
            tracing::warn!(%fault, "questions whose deadline has passed cannot be settled");
        }
        if let Err(fault) = sweep(&foundation).await {
            tracing::warn!(%fault, "old approvals cannot be forgotten");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Removes questions that were settled longer ago than audit records are kept by default, with all that was told and
/// proposed of them.
pub async fn sweep(foundation: &Foundation) -> Result<(), Fault> {
    let before = foundation.clock.now().plus_millis(-i64::from(AUDIT_RETENTION_DAYS) * 24 * 3_600_000);
    loop {
        let mut tx = foundation.database.across_read().await?;
        let sql =
            "SELECT tenant_id, approval_id FROM approvals WHERE settled_at < $1 ORDER BY settled_at LIMIT $2";
        let rows = tx.all(Statement::new(sql).bind(before).bind(ROUND as i64)).await?;
        drop(tx);
        for row in &rows {
            let (tenant, id): (TenantId, ApprovalId) = (row.id("tenant_id")?, row.id("approval_id")?);
            let mut tx = foundation.database.write_of(&tenant).await?;
            for sql in [
                "DELETE FROM approvals WHERE tenant_id = $1 AND approval_id = $2",
                "DELETE FROM approval_proposals WHERE tenant_id = $1 AND approval_id = $2",
                "DELETE FROM approval_facts WHERE tenant_id = $1 AND approval_id = $2",
            ] {
                tx.run(Statement::new(sql).bind_id(&id)).await?;
            }
            tx.commit().await?;
        }
        if rows.len() < ROUND {
            return Ok(());
        }
    }
}
