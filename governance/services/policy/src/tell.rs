//! Telling hosts of another epoch: a row is written with the change, and removed when the command channel took it.
//!
//! What is sent is always what is in force at that moment. A sender that was overtaken finds a higher epoch afterwards
//! and sends again, so the last thing told is the last thing that happened.

use std::time::Duration;

use lanyard_governance_api::command::{NewCommand, Order};
use lanyard_governance_api::endpoint::BroadcastCommand;
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_foundation::{Fault, Foundation, Statement, Tx};
use lanyard_protocol::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::store;

/// How long the chore leaves a fresh row to whoever made it.
const HEAD_START_MILLIS: i64 = 3_000;

/// How often the chore looks.
const LOOK: Duration = Duration::from_secs(1);

/// Pause after the first failure, and the longest; it doubles in between.
const FIRST_PAUSE_MILLIS: i64 = 1_000;
const LONGEST_PAUSE_MILLIS: i64 = 60_000;

/// Tenants told in one round; the rest is next.
const ROUND: i64 = 100;

/// Times one sender follows a policy that changes while it sends. More is left to the chore.
const MAX_TURNS: usize = 5;

/// Notes that hosts are to be told of an epoch.
pub(crate) async fn later(tx: &mut Tx, epoch: u64, now: Timestamp) -> Result<(), Fault> {
    let sql = "INSERT INTO policy_news (tenant_id, epoch, attempts, next_at) VALUES ($1, $2, 0, $3) \
               ON CONFLICT (tenant_id) DO UPDATE SET epoch = excluded.epoch, attempts = 0, next_at = excluded.next_at";
    tx.run(Statement::new(sql).bind_u64(epoch).bind(now.plus_millis(HEAD_START_MILLIS))).await?;
    Ok(())
}

/// Notes that hosts are to be told although nobody knows whether they were: a call that was given up may still arrive,
/// after another that told the newer epoch and removed the row.
pub(crate) async fn once_more(foundation: &Foundation, tenant: &TenantId) -> Result<(), Fault> {
    let mut tx = foundation.database.write_of(tenant).await?;
    let epoch = store::held(&mut tx, foundation, tenant).await?.epoch;
    let sql = "INSERT INTO policy_news (tenant_id, epoch, attempts, next_at) VALUES ($1, $2, 0, $3) \
               ON CONFLICT DO NOTHING";
    let at = foundation.clock.now().plus_millis(HEAD_START_MILLIS);
    tx.run(Statement::new(sql).bind_u64(epoch).bind(at)).await?;
    Ok(tx.commit().await?)
}

/// Tells the hosts of a tenant what is in force. Cancel-safe: what is not known to be taken is told again.
pub(crate) async fn tenant(foundation: &Foundation, tenant: &TenantId) -> Result<(), Fault> {
    for _ in 0..MAX_TURNS {
        let (standing, _) = store::in_force(foundation, tenant).await?;
        let epoch = standing.epoch;
        let order = Order::PolicyEpoch { epoch, revoked: standing.revoked };
        let command = NewCommand { by: standing.changed_by, by_name: standing.changed_by_name, order };
        foundation.peers.call::<BroadcastCommand>(Some(tenant), &[], &Nothing {}, &command).await?;
        let mut tx = foundation.database.write_of(tenant).await?;
        let overtaken = store::held(&mut tx, foundation, tenant).await?.epoch > epoch;
        if overtaken {
            // Whoever overtook may have been told before us, and we have just told the older: once more.
            continue;
        }
        let sql = "DELETE FROM policy_news WHERE tenant_id = $1 AND epoch <= $2";
        tx.run(Statement::new(sql).bind_u64(epoch)).await?;
        tx.commit().await?;
        return Ok(());
    }
    Err(Fault::unavailable("the policy changes faster than hosts can be told"))
}

/// Tells hosts what nobody has told them yet, until stopped.
pub async fn chores(foundation: Foundation, stop: CancellationToken) {
    loop {
        if let Err(fault) = round(&foundation).await {
            tracing::warn!(%fault, "whether hosts are to be told of a policy cannot be seen");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Every tenant whose turn it is, each once.
pub(crate) async fn round(foundation: &Foundation) -> Result<(), Fault> {
    let now = foundation.clock.now();
    let mut tx = foundation.database.across_read().await?;
    let sql = "SELECT tenant_id, attempts FROM policy_news WHERE next_at <= $1 ORDER BY next_at LIMIT $2";
    let rows = tx.all(Statement::new(sql).bind(now).bind(ROUND)).await?;
    drop(tx);
    for row in &rows {
        let (waiting, attempts): (TenantId, i64) = (row.id("tenant_id")?, row.int("attempts")?);
        if !claim(foundation, &waiting, attempts, now).await? {
            continue;
        }
        if let Err(fault) = tenant(foundation, &waiting).await {
            tracing::warn!(%fault, tenant = %waiting, attempts, "hosts cannot be told of the policy yet");
            once_more(foundation, &waiting).await?;
        }
    }
    Ok(())
}

/// Takes a turn, so that of several replicas one tells. Its end is the next try.
async fn claim(
    foundation: &Foundation,
    tenant: &TenantId,
    attempts: i64,
    now: Timestamp,
) -> Result<bool, Fault> {
    let doubled = FIRST_PAUSE_MILLIS.saturating_mul(1 << attempts.clamp(0, 10));
    let next_at = now.plus_millis(doubled.min(LONGEST_PAUSE_MILLIS));
    let mut tx = foundation.database.write_of(tenant).await?;
    let sql = "UPDATE policy_news SET attempts = attempts + 1, next_at = $2 \
               WHERE tenant_id = $1 AND attempts = $3 AND next_at <= $4";
    let claimed = tx.run(Statement::new(sql).bind(next_at).bind(attempts).bind(now)).await?;
    tx.commit().await?;
    Ok(claimed > 0)
}
