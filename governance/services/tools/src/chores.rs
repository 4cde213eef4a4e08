//! What the service does by itself: it ends runs whose process is gone, forgets old ones, and at the end waits for those
//! under way.

use std::time::Duration;

use lanyard_governance_api::id::{AgentId, TenantId};
use lanyard_governance_foundation::trail;
use lanyard_governance_foundation::{Fault, Foundation, Row, Statement};
use lanyard_protocol::envelope::Severity;
use lanyard_protocol::tool::ToolResult;
use tokio_util::sync::CancellationToken;

use crate::definitions::trail_record;
use crate::settings::Settings;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(30);

/// Runs are kept so long, in milliseconds (90 days): far longer than a session lives, within which alone a call can be
/// repeated.
const KEPT: i64 = 90 * 24 * 3_600_000;

/// Runs ended in one go.
const BATCH: i64 = 200;

/// How long runs under way are waited for when the process stops.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// Works until stopped, then waits for the runs under way, ten seconds at most. Several replicas may do it at once.
pub async fn chores(foundation: Foundation, settings: Settings, stop: CancellationToken) {
    loop {
        if let Err(fault) = tidy(&foundation).await {
            tracing::warn!(%fault, "runs of tools are tidied later");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    settings.runs.close();
    if tokio::time::timeout(LAST_WAIT, settings.runs.wait()).await.is_err() {
        tracing::warn!("tools still run; what becomes of them will not be known");
    }
}

/// Ends what has no process any more, and forgets what is old.
pub(crate) async fn tidy(foundation: &Foundation) -> Result<(), Fault> {
    let now = foundation.clock.now();
    loop {
        let mut tx = foundation.database.across_read().await?;
        let sql = "SELECT tenant_id, agent_id, result FROM tool_runs WHERE state = 'running' AND deadline_at < $1 LIMIT $2";
        let rows = tx.all(Statement::new(sql).bind(now).bind(BATCH)).await?;
        drop(tx);
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            give_up(foundation, row).await?;
        }
    }
    let mut tx = foundation.database.across_write().await?;
    tx.run(Statement::new("DELETE FROM tool_runs WHERE ended_at < $1").bind(now.plus_millis(-KEPT))).await?;
    Ok(tx.commit().await?)
}

async fn give_up(foundation: &Foundation, row: &Row) -> Result<(), Fault> {
    let tenant: TenantId = row.id("tenant_id")?;
    let agent: AgentId = row.id("agent_id")?;
    let result: ToolResult = row.json("result")?;
    let mut tx = foundation.database.write_of(&tenant).await?;
    let sql = "UPDATE tool_runs SET state = 'ended', ended_at = $4 \
        WHERE tenant_id = $1 AND agent_id = $2 AND tool_call_id = $3 AND state = 'running'";
    let statement =
        Statement::new(sql).bind_id(&agent).bind_id(&result.tool_call_id).bind(foundation.clock.now());
    if tx.run(statement).await? == 1 {
        let entry = trail_record("tool_completed", &result.tool_name)
            .about_agent(&agent)
            .about_session(&result.session_id, Some(&result.workspace_id))
            .about_task(&result.task_id)
            .severity(Severity::Warning)
            .with("toolCallId", result.tool_call_id.as_str())
            .with("status", "indeterminate");
        trail::record(&mut tx, &tenant, foundation.clock.as_ref(), entry).await?;
    }
    Ok(tx.commit().await?)
}
