//! Proposals on their way to the host: that one is to be sent is written with it, so that a browser that went away, or a
//! crash, leaves none that was shown as sent and never was.
//!
//! Whoever proposed sends it, and says so when that fails. Only what nobody lived to send is the chore's; a host that gets
//! one twice takes the same answer once.

use std::time::Duration;

use lanyard_governance_api::command::{NewCommand, Order};
use lanyard_governance_api::endpoint::QueueCommand;
use lanyard_governance_api::id::{AgentId, ProposalId, TenantId};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_foundation::{Fault, Foundation, Statement};
use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalRecord, Decision};
use tokio_util::sync::CancellationToken;

/// How often the chore looks.
const LOOK: Duration = Duration::from_secs(5);

/// How long the chore leaves a fresh proposal to whoever made it: longer than any call of another service takes.
const HEAD_START_MILLIS: i64 = 15_000;

/// Between two tries of the chore.
const PAUSE_MILLIS: i64 = 5_000;

/// Proposals sent in one round; the rest is next.
const ROUND: i64 = 100;

/// When the chore takes a proposal up that is written now.
pub(crate) fn overdue_at(now: Timestamp) -> Timestamp {
    now.plus_millis(HEAD_START_MILLIS)
}

/// Sends one. Cancel-safe: what is not known to be sent is sent again.
pub(crate) async fn send(foundation: &Foundation, tenant: &TenantId, id: &ProposalId) -> Result<(), Fault> {
    let mut tx = foundation.database.read_of(tenant).await?;
    let sql = "SELECT p.decision, p.reason, p.by_user, p.by_name, a.agent_id, a.record FROM approval_proposals p \
        JOIN approvals a ON a.tenant_id = p.tenant_id AND a.approval_id = p.approval_id \
        WHERE p.tenant_id = $1 AND p.proposal_id = $2 AND p.send_at IS NOT NULL";
    let Some(row) = tx.one(Statement::new(sql).bind_id(id)).await? else { return Ok(()) };
    drop(tx);
    let ApprovalRecord { request, .. } = row.json("record")?;
    let approved = row.text("decision")? == "approved";
    let order = Order::DecideApproval {
        session_id: request.session_id,
        approval_id: request.approval_id,
        proposal_id: id.clone(),
        decision: if approved { Decision::Approved } else { Decision::Denied },
        reason: row.opt_text("reason")?,
    };
    let command = NewCommand { by: Some(row.id("by_user")?), by_name: Some(row.text("by_name")?), order };
    let agent: AgentId = row.id("agent_id")?;
    let path = [("agent_id", agent.as_str())];
    foundation.peers.call::<QueueCommand>(Some(tenant), &path, &Nothing {}, &command).await?;
    let mut tx = foundation.database.write_of(tenant).await?;
    let sql = "UPDATE approval_proposals SET send_at = NULL WHERE tenant_id = $1 AND proposal_id = $2";
    tx.run(Statement::new(sql).bind_id(id)).await?;
    Ok(tx.commit().await?)
}

/// Sends what nobody lived to send, until stopped.
pub(crate) async fn chores(foundation: Foundation, stop: CancellationToken) {
    loop {
        if let Err(fault) = send_overdue(&foundation).await {
            tracing::warn!(%fault, "proposed answers that were not sent cannot be seen");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Sends what nobody lived to send, as long as its question waits. Safe on several replicas at once.
pub(crate) async fn send_overdue(foundation: &Foundation) -> Result<(), Fault> {
    let now = foundation.clock.now();
    let mut tx = foundation.database.across_read().await?;
    let sql = "SELECT p.tenant_id, p.proposal_id, p.send_at, a.state, a.record FROM approval_proposals p \
        JOIN approvals a ON a.tenant_id = p.tenant_id AND a.approval_id = p.approval_id \
        WHERE p.send_at <= $1 ORDER BY p.send_at LIMIT $2";
    let rows = tx.all(Statement::new(sql).bind(now).bind(ROUND)).await?;
    drop(tx);
    for row in &rows {
        let (tenant, id): (TenantId, ProposalId) = (row.id("tenant_id")?, row.id("proposal_id")?);
        let ApprovalRecord { request, .. } = row.json("record")?;
        let over = (row.text("state")? != "pending" || request.deadline <= now)
            .then_some("the question was over before this could be sent to the host");
        let mut tx = foundation.database.write_of(&tenant).await?;
        // Whoever takes the turn sends; of several replicas one.
        let sql = "UPDATE approval_proposals SET send_at = $3, outcome = CASE WHEN $4 = 1 THEN 'unsent' ELSE outcome END, \
            refusal = COALESCE($5, refusal) \
            WHERE tenant_id = $1 AND proposal_id = $2 AND send_at = $6 AND outcome = 'sent'";
        let next = over.is_none().then(|| now.plus_millis(PAUSE_MILLIS));
        let turn = Statement::new(sql).bind_id(&id).bind(next).bind(over.is_some()).bind(over);
        let taken = tx.run(turn.bind(row.time("send_at")?)).await?;
        if taken == 0 {
            // The host has told of it already.
            let sql = "UPDATE approval_proposals SET send_at = NULL \
                WHERE tenant_id = $1 AND proposal_id = $2 AND outcome <> 'sent'";
            tx.run(Statement::new(sql).bind_id(&id)).await?;
        }
        tx.commit().await?;
        if taken == 0 || over.is_some() {
            continue;
        }
        if let Err(fault) = send(foundation, &tenant, &id).await {
            tracing::warn!(%fault, proposal = %id, "a proposed answer cannot be sent yet");
        }
    }
    Ok(())
}
