//! What hosts said of proposed answers, on its way to the Approval Service: kept with the acknowledgement, delivered at
//! least once.

use std::time::Duration;

use lanyard_governance_api::approval::OutcomeReport;
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_foundation::{Fault, Foundation, Row, Statement, Tx};
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::ApprovalId;
use tokio_util::sync::CancellationToken;

/// Topic that wakes the chore.
const TOPIC: &str = "approval-outcomes";

/// How often the chore looks by itself, and its longest pause after failures.
const LOOK: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Outcomes taken in one go.
const BATCH: i64 = 100;

/// Keeps one, with the acknowledgement that brought it.
pub(super) async fn keep(
    tx: &mut Tx,
    approval: &ApprovalId,
    report: &OutcomeReport,
    now: Timestamp,
) -> Result<(), Fault> {
    let sql = "INSERT INTO approval_outcomes (tenant_id, proposal_id, approval_id, at, body) \
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    let insert =
        Statement::new(sql).bind_id(&report.proposal_id).bind_id(approval).bind(now).bind_json(report);
    tx.run(insert).await?;
    tx.wake(TOPIC).await?;
    Ok(())
}

/// Delivers until stopped.
pub(crate) async fn deliver(foundation: Foundation, stop: CancellationToken) {
    let mut waiter = foundation.signals.listen(TOPIC);
    let mut pause = LOOK;
    while !stop.is_cancelled() {
        pause = match deliver_all(&foundation).await {
            Ok(()) => LOOK,
            Err(fault) => {
                tracing::warn!(%fault, "outcomes of proposed answers wait");
                (pause * 2).min(LONGEST_PAUSE)
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = waiter.wait(pause) => {}
        }
    }
}

/// Delivers everything that waits now. One that is refused for good is dropped, and the log says so; one that fails
/// otherwise waits, and stops none of those after it. When the Approval Service is away, all wait.
///
/// # Errors
/// The first failure.
pub(crate) async fn deliver_all(foundation: &Foundation) -> Result<(), Fault> {
    let (mut after, mut first) = ((i64::MIN, String::new(), String::new()), None);
    loop {
        let rows = waiting(foundation, &after).await?;
        if rows.is_empty() {
            return first.map_or(Ok(()), Err);
        }
        for row in rows {
            after = (row.int("at")?, row.text("tenant_id")?, row.text("proposal_id")?);
            match deliver_one(foundation, &row).await {
                Ok(()) => {}
                Err(fault) if fault.status() == 503 => return Err(fault),
                Err(fault) => {
                    tracing::error!(%fault, tenant = after.1, proposal = after.2, "the outcome of a proposed answer waits");
                    first.get_or_insert(fault);
                }
            }
        }
    }
}

/// Those that wait longest, after one.
async fn waiting(
    foundation: &Foundation,
    (at, tenant, proposal): &(i64, String, String),
) -> Result<Vec<Row>, Fault> {
    let mut tx = foundation.database.across_read().await?;
    let sql = "SELECT at, tenant_id, proposal_id, approval_id, body FROM approval_outcomes \
               WHERE (at, tenant_id, proposal_id) > ($1, $2, $3) ORDER BY at, tenant_id, proposal_id LIMIT $4";
    let select = Statement::new(sql).bind(*at).bind(tenant.as_str()).bind(proposal.as_str());
    Ok(tx.all(select.bind(BATCH)).await?)
}

/// Tells the Approval Service, and forgets it.
async fn deliver_one(foundation: &Foundation, row: &Row) -> Result<(), Fault> {
    let tenant: TenantId = row.id("tenant_id")?;
    let approval = row.text("approval_id")?;
    let report: OutcomeReport = row.json("body")?;
    let path = [("approval_id", approval.as_str())];
    let told = foundation.peers.call::<ep::ReportOutcome>(Some(&tenant), &path, &Nothing {}, &report).await;
    match told {
        Ok(Nothing {}) => {}
        Err(fault) if fault.is_about_content() || fault.is_absent() => {
            tracing::warn!(%fault, approval, "the outcome of a proposed answer was not taken");
        }
        Err(fault) => return Err(fault),
    }
    let mut tx = foundation.database.write_of(&tenant).await?;
    let sql = "DELETE FROM approval_outcomes WHERE tenant_id = $1 AND proposal_id = $2";
    tx.run(Statement::new(sql).bind(row.text("proposal_id")?)).await?;
    Ok(tx.commit().await?)
}
