//! Delivering the trail, tenant by tenant: what stops the records of one never stops those of another.

use std::collections::HashSet;
use std::time::Duration;

use lanyard_governance_api::audit::ServiceRecords;
use lanyard_governance_api::endpoint::PostServiceAudit;
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::page::Nothing;
use lanyard_protocol::envelope::EventEnvelope;
use tokio_util::sync::CancellationToken;

use super::TOPIC;
use crate::Foundation;
use crate::database::{Row, Statement, Tx};
use crate::fault::Fault;

/// Records delivered at once.
const BATCH: usize = 200;

/// Bytes of events delivered at once: well below what the Audit Service takes. One event may be longer by itself.
const BATCH_BYTES: usize = 1 << 20;

/// Rows read at once, so that a batch of long records is not read whole before it is cut.
const CHUNK: u32 = 20;

/// How often the chore looks by itself, and its longest pause after failures.
const LOOK: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Delivers what was recorded, until stopped. Several replicas may do it at once: the Audit Service dedupes by id.
pub async fn deliver(foundation: Foundation, stop: CancellationToken) {
    let mut waiter = foundation.signals.listen(TOPIC);
    let mut pause = LOOK;
    loop {
        // Nothing is lost by leaving in the middle: what was delivered and not removed is recognised when it comes again.
        let delivered = tokio::select! {
            () = stop.cancelled() => return,
            delivered = deliver_all(&foundation) => delivered,
        };
        match delivered {
            Ok(()) => pause = LOOK,
            Err(fault) => {
                tracing::warn!(%fault, "audit records of the services wait");
                pause = (pause * 2).min(LONGEST_PAUSE);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => continue,
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = waiter.wait(pause) => {}
        }
    }
}

/// Delivers everything that waits now, in turns of one batch per tenant.
///
/// # Errors
/// The first failure, where nothing at all could be delivered. Otherwise a tenant whose records cannot be delivered is
/// logged, and waits for the next call.
pub async fn deliver_all(foundation: &Foundation) -> Result<(), Fault> {
    let (mut failed, mut first) = (HashSet::new(), None);
    let mut delivered = false;
    loop {
        let (mut last, mut more) = (String::new(), false);
        while let Some(tenant) = next(foundation, &last).await? {
            last = tenant.to_string();
            if failed.contains(&tenant) {
                continue;
            }
            let mut progress = false;
            let result = one_batch(foundation, &tenant, &mut progress).await;
            more |= progress;
            if let Err(fault) = result {
                tracing::warn!(%fault, %tenant, "audit records of this tenant wait");
                failed.insert(tenant);
                first.get_or_insert(fault);
            }
        }
        delivered |= more;
        if !more {
            break;
        }
    }
    match first {
        Some(fault) if !delivered => Err(fault),
        _ => Ok(()),
    }
}

/// The first tenant after another that records wait of.
async fn next(foundation: &Foundation, after: &str) -> Result<Option<TenantId>, Fault> {
    let mut tx = foundation.database.across_read().await?;
    let sql = "SELECT tenant_id FROM trail WHERE tenant_id > $1 AND parked = 0 ORDER BY tenant_id LIMIT 1";
    let row = tx.one(Statement::new(sql).bind(after)).await?;
    Ok(row.map(|row| row.id("tenant_id")).transpose()?)
}

/// A record that waits.
struct Waiting {
    id: String,
    /// As it is kept; `None` where what is kept is no event of this tenant.
    event: Option<EventEnvelope>,
}

/// Delivers the oldest records of a tenant. `progress`: some do not wait any more, whatever the result.
async fn one_batch(foundation: &Foundation, tenant: &TenantId, progress: &mut bool) -> Result<(), Fault> {
    let mut events = Vec::new();
    for waiting in oldest(foundation, tenant).await? {
        match waiting.event {
            Some(event) => events.push(event),
            None => {
                park(foundation, tenant, &waiting.id, "it cannot be read").await?;
                *progress = true;
            }
        }
    }
    let mut parts = vec![events];
    while let Some(mut part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        let body = ServiceRecords { agent_id: None, events: part };
        let sent = foundation.peers.call::<PostServiceAudit>(Some(tenant), &[], &Nothing {}, &body).await;
        part = body.events;
        match sent {
            Ok(_) => remove(foundation, tenant, &part).await?,
            Err(fault) if !fault.is_about_content() => return Err(fault),
            Err(fault) => {
                let half = part.split_off(part.len().div_ceil(2));
                if half.is_empty() {
                    for event in &part {
                        park(foundation, tenant, event.event_id.as_str(), &fault.wire.message).await?;
                    }
                } else {
                    parts.extend([half, part]);
                    continue;
                }
            }
        }
        *progress = true;
    }
    Ok(())
}

/// The oldest records of a tenant, as many as one batch takes.
async fn oldest(foundation: &Foundation, tenant: &TenantId) -> Result<Vec<Waiting>, Fault> {
    let mut tx = foundation.database.read_of(tenant).await?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    let mut after = (i64::MIN, String::new());
    loop {
        let rows = chunk(&mut tx, &after).await?;
        let last = rows.len() < CHUNK as usize;
        for row in rows {
            let (id, text) = (row.text("event_id")?, row.text("event")?);
            if !found.is_empty() && bytes + text.len() > BATCH_BYTES || found.len() >= BATCH {
                return Ok(found);
            }
            bytes += text.len();
            after = (row.int("at")?, id.clone());
            let event = serde_json::from_str::<EventEnvelope>(&text).ok();
            let event =
                event.filter(|event| event.tenant_id == tenant.as_str() && event.event_id.as_str() == id);
            found.push(Waiting { id, event });
        }
        if last {
            return Ok(found);
        }
    }
}

async fn chunk(tx: &mut Tx, (at, id): &(i64, String)) -> Result<Vec<Row>, Fault> {
    let sql = "SELECT event_id, at, event FROM trail \
               WHERE tenant_id = $1 AND parked = 0 AND (at > $2 OR (at = $2 AND event_id > $3)) \
               ORDER BY at, event_id LIMIT $4";
    Ok(tx.all(Statement::new(sql).bind(*at).bind(id.as_str()).bind(CHUNK)).await?)
}

async fn remove(foundation: &Foundation, tenant: &TenantId, events: &[EventEnvelope]) -> Result<(), Fault> {
    let mut tx = foundation.database.write_of(tenant).await?;
    for event in events {
        let sql = "DELETE FROM trail WHERE tenant_id = $1 AND event_id = $2";
        tx.run(Statement::new(sql).bind_id(&event.event_id)).await?;
    }
    Ok(tx.commit().await?)
}

/// Sets a record aside that can never be delivered. It stays in the table, for somebody to look at.
async fn park(foundation: &Foundation, tenant: &TenantId, id: &str, why: &str) -> Result<(), Fault> {
    let now = foundation.clock.now();
    let mut tx = foundation.database.write_of(tenant).await?;
    let sql = "UPDATE trail SET parked = $3 WHERE tenant_id = $1 AND event_id = $2 AND parked = 0";
    let parked = tx.run(Statement::new(sql).bind(id).bind(now)).await?;
    tx.commit().await?;
    if parked > 0 {
        tracing::error!(%tenant, event = id, why, "an audit record cannot be delivered and is set aside");
    }
    Ok(())
}
