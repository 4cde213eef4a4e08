//! How long records are kept, and the chore that removes older ones.
//!
//! Removing records is what somebody would want who has something to hide, and administrators say how long they are kept.
//! So there is a time below which the installation lets nobody go, and a shorter one waits for some days, for all to see.

use lanyard_governance_api::audit::{PendingRetention, RetentionState};
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

/// How long records of the transaction's tenant are kept at an instant. `lock` holds its row.
async fn state(
    tx: &mut Tx,
    settings: &Settings,
    now: Timestamp,
    lock: bool,
) -> Result<RetentionState, DatabaseError> {
    let least_days = settings.least_days;
    let read = |days: i64| u32::try_from(days).unwrap_or(MAX_DAYS).max(least_days);
    let select =
        Statement::new("SELECT days, pending_days, pending_from FROM audit_retention WHERE tenant_id = $1")
            .push(if lock { " {lock}" } else { "" });
    let Some(row) = tx.one(select).await? else {
        let days = settings.retention_days.max(least_days);
        return Ok(RetentionState { days, pending: None, least_days });
    };
    let days = read(row.int("days")?);
    let pending = row.opt_int("pending_days")?.map(read).zip(row.opt_time("pending_from")?);
    Ok(match pending {
        Some((days, from)) if from <= now => RetentionState { days, pending: None, least_days },
        // As short as it is kept already, because the installation keeps it longer.
        Some((shorter, _)) if shorter >= days => RetentionState { days, pending: None, least_days },
        Some((days_then, from)) => {
            let pending = Some(PendingRetention { days: days_then, from });
            RetentionState { days, pending, least_days }
        }
        None => RetentionState { days, pending: None, least_days },
    })
}

pub(crate) async fn get(own: State, ask: Ask<GetRetention>) -> Result<RetentionState, Fault> {
    let mut tx = own.foundation.database.read(&ask.caller).await?;
    Ok(state(&mut tx, &own.settings, own.foundation.clock.now(), false).await?)
}

/// A longer time counts at once; a shorter one after some days, and not the sooner for being asked for again.
pub(crate) async fn set(own: State, ask: Ask<SetRetention>) -> Result<RetentionState, Fault> {
    let (wanted, settings, now) = (ask.body.days, &own.settings, own.foundation.clock.now());
    if !(settings.least_days..=MAX_DAYS).contains(&wanted) {
        return Err(Fault::invalid(format!(
            "days is {} to {MAX_DAYS} in this installation",
            settings.least_days
        )));
    }
    let tenant = ask.caller.tenant()?;
    let mut tx = own.foundation.database.write(&ask.caller).await?;
    let was = state(&mut tx, settings, now, true).await?;
    let pending = match was.pending {
        _ if wanted >= was.days => None,
        Some(waits) if waits.days == wanted => Some(waits),
        _ => {
            let from = now.plus_millis(i64::from(settings.shortening_days) * DAY_MILLIS);
            Some(PendingRetention { days: wanted, from })
        }
    };
    let days = if pending.is_some() { was.days } else { wanted };
    let is = RetentionState { days, pending, ..was };
    if is != was {
        let sql = "INSERT INTO audit_retention (tenant_id, days, pending_days, pending_from) VALUES ($1, $2, $3, $4)
            ON CONFLICT (tenant_id) DO UPDATE SET days = excluded.days,
            pending_days = excluded.pending_days, pending_from = excluded.pending_from";
        let upsert = Statement::new(sql).bind(days);
        tx.run(upsert.bind(pending.map(|p| i64::from(p.days))).bind(pending.map(|p| p.from))).await?;
        let service = (Component::AuditService, BoundedContext::ObservabilityAudit);
        let record = trail::Record::new("audit_retention_changed", service.0, service.1)
            .by(&ask.caller)
            .severity(Severity::Warning)
            .with("from", was.days)
            .with("to", wanted)
            .with("effectiveAt", pending.map_or(now, |pending| pending.from).to_string());
        trail::record(&mut tx, tenant, &*own.foundation.clock, record).await?;
    }
    tx.commit().await?;
    Ok(is)
}

/// Removes everything that is older than its tenant keeps. Returns the records removed.
pub(crate) async fn sweep(foundation: &Foundation, settings: &Settings) -> Result<u64, Fault> {
    let mut round = head::Round::default();
    for tenant in head::tenants(foundation).await? {
        round.add(&tenant, sweep_tenant(foundation, settings, &tenant).await)?;
    }
    round.end()
}

async fn sweep_tenant(foundation: &Foundation, settings: &Settings, tenant: &TenantId) -> Result<u64, Fault> {
    let mut tx = foundation.database.read_of(tenant).await?;
    let now = foundation.clock.now();
    let kept = state(&mut tx, settings, now, false).await?;
    drop(tx);
    let cutoff = now.plus_millis(-i64::from(kept.days) * DAY_MILLIS);
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
