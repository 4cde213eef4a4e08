//! Questions whose deadline passed long ago, and of which no host told how they ended: it was revoked, wiped, or lost.
//!
//! They count as expired from then on, which is what a host makes of them: nobody waits for an answer any more. Should the
//! host tell after all, its word stands.

use lanyard_governance_api::id::{AgentId, TenantId};
use lanyard_governance_foundation::{Caller, Fault, Foundation, Statement, trail};
use lanyard_protocol::approval::{ApprovalRecord, ApprovalState};
use lanyard_protocol::id::ApprovalId;

use crate::record::{self, state_name, trail_record};

/// How long after the deadline, in milliseconds (an hour): a host that is there has told by then.
const AFTER: i64 = 3_600_000;

/// How long after it was told a question is over whose deadline was not kept beside the record (a week): longer than
/// hosts give anybody.
const OLD: i64 = 7 * 24 * 3_600_000;

/// Questions looked up at once.
const ROUND: u32 = 200;

/// The fact that says so.
const LAPSED: &str = "lapsed";

/// Settles them all. Safe on several replicas at once.
pub(crate) async fn lapse(foundation: &Foundation) -> Result<(), Fault> {
    let now = foundation.clock.now();
    let mut passed_over = 0_u32;
    loop {
        let mut tx = foundation.database.across_read().await?;
        let sql = "SELECT tenant_id, approval_id FROM approvals WHERE state = 'pending' \
            AND (deadline < $1 OR (deadline IS NULL AND received_at < $2)) \
            ORDER BY deadline, approval_id LIMIT $3 OFFSET $4";
        let statement = Statement::new(sql).bind(now.plus_millis(-AFTER)).bind(now.plus_millis(-OLD));
        let rows = tx.all(statement.bind(ROUND).bind(passed_over)).await?;
        drop(tx);
        for row in &rows {
            let (tenant, id) = (row.id("tenant_id")?, row.id("approval_id")?);
            // One that cannot be settled keeps no other waiting.
            if let Err(fault) = settle(foundation, &tenant, &id).await {
                tracing::warn!(%fault, %tenant, approval = %id, "a question that is over is settled later");
                passed_over += 1;
            }
        }
        if rows.len() < ROUND as usize {
            return Ok(());
        }
    }
}

async fn settle(foundation: &Foundation, tenant: &TenantId, id: &ApprovalId) -> Result<(), Fault> {
    let now = foundation.clock.now();
    let mut tx = foundation.database.write_of(tenant).await?;
    let sql = "SELECT agent_id, record FROM approvals \
        WHERE tenant_id = $1 AND approval_id = $2 AND state = 'pending' {lock}";
    // Told meanwhile, or settled by another replica.
    let Some(row) = tx.one(Statement::new(sql).bind_id(id)).await? else { return Ok(()) };
    let agent: AgentId = row.id("agent_id")?;
    let expired = ApprovalRecord { state: ApprovalState::Expired, ..row.json("record")? };
    let sql = "UPDATE approvals SET state = $3, record = $4, settled_at = $5, lapsed_at = $5 \
        WHERE tenant_id = $1 AND approval_id = $2";
    let statement = Statement::new(sql).bind_id(id).bind(state_name(expired.state)).bind_json(&expired);
    tx.run(statement.bind(now)).await?;
    let by = Caller::Service { tenant: Some(tenant.clone()) };
    let body = serde_json::json!({ "deadline": expired.request.deadline });
    record::add(&mut tx, id, LAPSED, now, &by, &body).await?;
    let entry = trail_record("approval_lapsed", &expired).about_agent(&agent);
    trail::record(&mut tx, tenant, foundation.clock.as_ref(), entry).await?;
    Ok(tx.commit().await?)
}
