//! The chore that removes what is old.

use lanyard_governance_api::id::TenantId;
use lanyard_governance_foundation::{Fault, Foundation, Statement};
use lanyard_protocol::Timestamp;

/// Days raw spans and events are kept: long enough to look into what happened, and to deliver them to a tracing system
/// that is away.
const RAW_DAYS: i64 = 14;

/// Days sums are kept: a year and a month, so that a month can be compared with that of the year before.
const SUM_DAYS: i64 = 400;

const DAY_MILLIS: i64 = 24 * 3_600 * 1_000;

/// Rows removed in one transaction.
const BATCH: i64 = 1_000;

/// Key and time of each table, and how the rows of one transaction are found.
const RAW: &[&str] = &[
    "DELETE FROM telemetry_outgoing WHERE tenant_id = $1 AND (source, span_id) IN
        (SELECT source, span_id FROM telemetry_outgoing WHERE tenant_id = $1 AND queued_at < $2 LIMIT $3)",
    "DELETE FROM telemetry_spans WHERE tenant_id = $1 AND (source, span_id) IN
        (SELECT source, span_id FROM telemetry_spans WHERE tenant_id = $1 AND received_at < $2 LIMIT $3)",
    "DELETE FROM telemetry_events WHERE tenant_id = $1 AND (source, event_id) IN
        (SELECT source, event_id FROM telemetry_events WHERE tenant_id = $1 AND received_at < $2 LIMIT $3)",
];
const SUMS: &[&str] = &[
    "DELETE FROM telemetry_hours WHERE tenant_id = $1 AND (source, hour) IN
        (SELECT source, hour FROM telemetry_hours WHERE tenant_id = $1 AND hour < $2 LIMIT $3)",
    "DELETE FROM telemetry_names WHERE tenant_id = $1 AND (source, hour, kind, name) IN
        (SELECT source, hour, kind, name FROM telemetry_names WHERE tenant_id = $1 AND hour < $2 LIMIT $3)",
];

/// Removes everything that is too old. Returns the rows removed.
pub(crate) async fn sweep(foundation: &Foundation) -> Result<u64, Fault> {
    let mut tx = foundation.database.across_read().await?;
    let sql = "SELECT DISTINCT tenant_id FROM telemetry_sources
        UNION SELECT DISTINCT tenant_id FROM telemetry_events";
    let rows = tx.all(Statement::new(sql)).await?;
    drop(tx);
    let now = foundation.clock.now();
    let mut removed = 0;
    for row in rows {
        let tenant: TenantId = row.id("tenant_id")?;
        for (statements, days) in [(RAW, RAW_DAYS), (SUMS, SUM_DAYS)] {
            for sql in statements {
                removed += remove(foundation, &tenant, sql, now.plus_millis(-days * DAY_MILLIS)).await?;
            }
        }
    }
    if removed > 0 {
        tracing::info!(rows = removed, "old telemetry was removed");
    }
    Ok(removed)
}

async fn remove(
    foundation: &Foundation,
    tenant: &TenantId,
    sql: &'static str,
    before: Timestamp,
) -> Result<u64, Fault> {
    let mut removed = 0;
    loop {
        let mut tx = foundation.database.write_of(tenant).await?;
        let gone = tx.run(Statement::new(sql).bind(before).bind(BATCH)).await?;
        tx.commit().await?;
        removed += gone;
        if gone < BATCH.unsigned_abs() {
            return Ok(removed);
        }
    }
}
