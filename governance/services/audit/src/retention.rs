//! How long records are kept, and the chore that removes older ones.

use lanyard_governance_api::audit::Retention;
use lanyard_governance_api::endpoint::{GetRetention, SetRetention};
use lanyard_governance_api::id::TenantId;
use lanyard_governance_foundation::database::DatabaseError;
use lanyard_governance_foundation::{Ask, Fault, Foundation, Statement, Tx, trail};
use lanyard_protocol::Timestamp;
use lanyard_protocol::envelope::{BoundedContext, Component, Severity};

use crate::chain::Digest;
use crate::head::{self, Head};
use crate::{Settings, State};

/// Records removed in one transaction: short enough that nobody waits noticeably for SQLite's one writer.
const BATCH: i64 = 1_000;

/// Most days that can be set.
const MAX_DAYS: u32 = 3_650;

const DAY_MILLIS: i64 = 24 * 3_600 * 1_000;

async fn days(tx: &mut Tx, settings: &Settings) -> Result<u32, DatabaseError> {
    let sql = "SELECT days FROM audit_retention WHERE tenant_id = $1";
    match tx.one(Statement::new(sql)).await? {
        Some(row) => Ok(u32::try_from(row.int("days")?).unwrap_or(MAX_DAYS)),
        None => Ok(settings.retention_days),
    }
}

pub(crate) async fn get(state: State, ask: Ask<GetRetention>) -> Result<Retention, Fault> {
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    Ok(Retention { days: days(&mut tx, &state.settings).await? })
}

pub(crate) async fn set(state: State, ask: Ask<SetRetention>) -> Result<Retention, Fault> {
    let wanted = ask.body;
    if !(1..=MAX_DAYS).contains(&wanted.days) {
        return Err(Fault::invalid(format!("days is 1 to {MAX_DAYS}")));
    }
    let tenant = ask.caller.tenant()?;
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    let was = days(&mut tx, &state.settings).await?;
    let sql = "INSERT INTO audit_retention (tenant_id, days) VALUES ($1, $2)
        ON CONFLICT (tenant_id) DO UPDATE SET days = excluded.days";
    tx.run(Statement::new(sql).bind(wanted.days)).await?;
    if was != wanted.days {
        let own = (Component::AuditService, BoundedContext::ObservabilityAudit);
        let record = trail::Record::new("audit_retention_changed", own.0, own.1)
            .by(&ask.caller)
            .severity(Severity::Warning)
            .with("from", was)
            .with("to", wanted.days);
        trail::record(&mut tx, tenant, &*state.foundation.clock, record).await?;
    }
    tx.commit().await?;
    Ok(wanted)
}

/// Removes everything that is older than its tenant keeps. Returns the records removed.
pub(crate) async fn sweep(foundation: &Foundation, settings: &Settings) -> Result<u64, Fault> {
    let mut removed = 0;
    for tenant in head::tenants(foundation).await? {
        let mut tx = foundation.database.read_of(&tenant).await?;
        let days = days(&mut tx, settings).await?;
        drop(tx);
        let cutoff = foundation.clock.now().plus_millis(-i64::from(days) * DAY_MILLIS);
        removed += sweep_tenant(foundation, &tenant, cutoff).await?;
    }
    Ok(removed)
}

async fn sweep_tenant(foundation: &Foundation, tenant: &TenantId, cutoff: Timestamp) -> Result<u64, Fault> {
    let (mut removed, mut last) = (0, String::new());
    loop {
        let mut tx = foundation.database.read_of(tenant).await?;
        let heads = head::after(&mut tx, &last).await?;
        drop(tx);
        let Some((source, _)) = heads.last() else { break };
        last.clone_from(source);
        for (source, head) in heads.iter().filter(|(_, head)| head.seq > head.kept_after) {
            let mut gone = 0;
            while is_due(foundation, tenant, source, head.kept_after, cutoff).await? {
                let batch = remove(foundation, tenant, source, cutoff).await?;
                gone += batch;
                if batch == 0 {
                    break;
                }
            }
            if gone > 0 {
                tracing::info!(%tenant, source, records = gone, "old audit records were removed");
            }
            removed += gone;
        }
    }
    let mut tx = foundation.database.write_of(tenant).await?;
    let sql = "DELETE FROM audit_conflicts WHERE tenant_id = $1 AND received_at < $2";
    tx.run(Statement::new(sql).bind(cutoff)).await?;
    tx.commit().await?;
    Ok(removed)
}

/// Whether the oldest record of a source is old enough, without a lock.
async fn is_due(
    foundation: &Foundation,
    tenant: &TenantId,
    source: &str,
    kept_after: u64,
    cutoff: Timestamp,
) -> Result<bool, Fault> {
    let mut tx = foundation.database.read_of(tenant).await?;
    let sql = "SELECT received_at FROM audit_records
        WHERE tenant_id = $1 AND source = $2 AND seq > $3 ORDER BY seq LIMIT 1";
    let oldest = tx.one(Statement::new(sql).bind(source).bind_u64(kept_after)).await?;
    Ok(match oldest {
        Some(row) => row.time("received_at")? < cutoff,
        None => false,
    })
}

/// Removes the oldest records of a source, at most a batch, and keeps number and hash of the last of them.
async fn remove(
    foundation: &Foundation,
    tenant: &TenantId,
    source: &str,
    cutoff: Timestamp,
) -> Result<u64, Fault> {
    let mut tx = foundation.database.write_of(tenant).await?;
    let head = Head::lock(&mut tx, source).await?;
    let sql = "SELECT seq, hash, received_at FROM audit_records
        WHERE tenant_id = $1 AND source = $2 AND seq > $3 ORDER BY seq LIMIT $4";
    let oldest = Statement::new(sql).bind(source).bind_u64(head.kept_after).bind(BATCH);
    let mut last = None;
    for row in tx.all(oldest).await? {
        // Time and number agree, so what is old enough comes first.
        if row.time("received_at")? >= cutoff {
            break;
        }
        last = Some((row.count("seq")?, Digest::of(&row, "hash")?));
    }
    let Some((seq, hash)) = last else { return Ok(0) };
    let sql = "DELETE FROM audit_records WHERE tenant_id = $1 AND source = $2 AND seq <= $3";
    let removed = tx.run(Statement::new(sql).bind(source).bind_u64(seq)).await?;
    let sql = "UPDATE audit_records SET repeats = 0
        WHERE tenant_id = $1 AND source = $2 AND repeats <> 0 AND ABS(repeats) <= $3";
    tx.run(Statement::new(sql).bind(source).bind_u64(seq)).await?;
    let sql = "UPDATE audit_heads SET kept_after = $3, kept_after_hash = $4
        WHERE tenant_id = $1 AND source = $2";
    tx.run(Statement::new(sql).bind(source).bind_u64(seq).bind(hash.value())).await?;
    tx.commit().await?;
    Ok(removed)
}
