//! What the service does by itself: it removes objects that nothing names, and workspaces that nobody used for 90 days.

use std::time::Duration;

use lanyard_governance_api::artifact::Purged;
use lanyard_governance_api::endpoint::PurgeWorkspaces;
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::limits::WORKSPACE_IDLE_DAYS;
use lanyard_governance_foundation::trail;
use lanyard_governance_foundation::{Ask, Fault, Foundation, Statement};
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::WorkspaceId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::Settings;
use crate::{State, forgetting, removal, workspaces};

const DAY_MILLIS: i64 = 24 * 3_600_000;

/// How often the list of removals is looked at without being woken.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How often idle workspaces are looked for. Looking is one read of an index.
const PURGE_EVERY: Duration = Duration::from_secs(3_600);

/// Workspaces looked at in one go.
const BATCH: i64 = 200;

/// Sweeps and purges until stopped. Several replicas may do it at once.
pub async fn chores(foundation: Foundation, settings: Settings, stop: CancellationToken) {
    let state = State::new(foundation, settings);
    let mut waiter = state.foundation.signals.listen(removal::TOPIC);
    let mut purged_at: Option<Instant> = None;
    loop {
        let work = async {
            if purged_at.is_none_or(|at| at.elapsed() >= PURGE_EVERY) {
                if let Err(fault) = purge(&state).await {
                    tracing::warn!(%fault, "idle workspaces are purged later");
                }
                purged_at = Some(Instant::now());
            }
            if let Err(fault) = removal::sweep(&state).await {
                tracing::warn!(%fault, "objects without a name are removed later");
            }
            if let Err(fault) = forgetting::sweep(&state).await {
                tracing::warn!(%fault, "what was said in deleted sessions is removed later");
            }
            waiter.wait(SWEEP_EVERY).await;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = work => {}
        }
    }
}

/// `POST /workspaces/purge`
pub(crate) async fn purge_now(state: State, _: Ask<PurgeWorkspaces>) -> Result<Purged, Fault> {
    purge(&state).await
}

/// Removes workspaces that were not used for 90 days of the server's clock, then their objects.
async fn purge(state: &State) -> Result<Purged, Fault> {
    let now = state.foundation.clock.now();
    let cutoff = now.plus_millis(-i64::from(WORKSPACE_IDLE_DAYS) * DAY_MILLIS);
    let mut purged = Purged::default();
    let mut after = (Timestamp::from_millis(0), String::new(), String::new());
    loop {
        let mut tx = state.foundation.database.across_read().await?;
        let sql = "SELECT tenant_id, workspace_id, last_active_at FROM workspaces WHERE last_active_at < $1 \
            AND (last_active_at, tenant_id, workspace_id) > ($2, $3, $4) \
            ORDER BY last_active_at, tenant_id, workspace_id LIMIT $5";
        let (at, tenant, workspace) = &after;
        let statement = Statement::new(sql).bind(cutoff).bind(*at).bind(tenant.as_str());
        let statement = statement.bind(workspace.as_str()).bind(BATCH);
        let rows = tx.all(statement).await?;
        drop(tx);
        let Some(last) = rows.last() else { break };
        after = (last.time("last_active_at")?, last.text("tenant_id")?, last.text("workspace_id")?);
        for row in &rows {
            let (tenant, workspace) = (row.id("tenant_id")?, row.id("workspace_id")?);
            match purge_one(state, &tenant, &workspace, cutoff, now).await {
                Ok(Some(objects)) => {
                    purged.workspaces += 1;
                    purged.objects += objects;
                }
                Ok(None) => {}
                Err(fault) => tracing::warn!(%fault, %workspace, "a workspace is purged later"),
            }
        }
    }
    removal::sweep(state).await?;
    Ok(purged)
}

/// `None`: it was used meanwhile. Else the objects that nothing names any more.
async fn purge_one(
    state: &State,
    tenant: &TenantId,
    workspace: &WorkspaceId,
    cutoff: Timestamp,
    now: Timestamp,
) -> Result<Option<u64>, Fault> {
    let mut tx = state.foundation.database.write_of(tenant).await?;
    let Some(gone) = workspaces::remove(&mut tx, workspace, Some(cutoff), now).await? else {
        return Ok(None);
    };
    let record = workspaces::trail_record("workspace_purged", workspace)
        .with("artifacts", gone.records)
        .with("idleDays", WORKSPACE_IDLE_DAYS);
    trail::record(&mut tx, tenant, state.foundation.clock.as_ref(), record).await?;
    tx.commit().await?;
    Ok(Some(gone.objects))
}
