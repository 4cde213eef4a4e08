//! Heartbeats: what a host says of itself, and what it hears in return.
//!
//! Ten thousand hosts beat 170 times a second. A beat is one read and one write of the host's own rows; the policy epoch
//! is kept here and not asked for.

use std::time::Instant;

use lanyard_governance_api::agent::{Heartbeat, HeartbeatAnswer};
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::limits::HEARTBEAT_SECONDS;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_foundation::{Ask, Fault, Row, Statement, Tx};
use lanyard_protocol::Timestamp;

use crate::lives::Lives;
use crate::trace::Trace;
use crate::{State, check, identity};

/// Directories that a host may name for jobs, and the longest of them in bytes.
const MAX_WORKSPACES: usize = 100;
const MAX_PATH: usize = 4_096;

pub(crate) async fn beat(state: State, ask: Ask<ep::SendHeartbeat>) -> Result<HeartbeatAnswer, Fault> {
    let caller = ask.caller.agent()?.clone();
    let beat = ask.body;
    check_beat(&beat)?;
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.write_of(&caller.tenant).await?;
    let sql = "SELECT a.life AS life, a.other_life AS other_life, a.swaps AS swaps, \
               a.clone_suspected AS clone_suspected, a.issued_at AS issued_at, a.not_after AS not_after, \
               a.revoked_at AS revoked_at, a.revoked_reason AS revoked_reason, c.last_number AS last_number, \
               p.epoch AS epoch \
               FROM agents a JOIN channels c ON c.tenant_id = a.tenant_id AND c.agent_id = a.agent_id \
               LEFT JOIN policy_epochs p ON p.tenant_id = a.tenant_id \
               WHERE a.tenant_id = $1 AND a.agent_id = $2";
    let Some(row) = tx.one(Statement::new(sql).bind_id(&caller.agent)).await? else {
        return Err(Fault::unknown_caller("this host is not enrolled here"));
    };
    if row.opt_time("revoked_at")?.is_some() {
        return Err(identity::revoked(&row.opt_text("revoked_reason")?.unwrap_or_default()));
    }
    let lives = lives(&row, &beat, now)?;
    let news = lives.suspicious() && !row.flag("clone_suspected")?;
    keep(&mut tx, &caller.agent, &beat, lives, now).await?;
    if news {
        Trace::alarm("clone_suspected")
            .about(&caller.agent)
            .with("reason", "heartbeats of two machines that run at the same time")
            .write(&mut tx, &caller.tenant, &state.foundation)
            .await?;
    }
    tx.commit().await?;
    let policy_epoch = match row.opt_int("epoch")? {
        Some(epoch) => u64::try_from(epoch).unwrap_or(0),
        None => first_epoch(&state, &caller.tenant).await,
    };
    let (issued, not_after) = (row.time("issued_at")?, row.time("not_after")?);
    Ok(HeartbeatAnswer {
        policy_epoch,
        last_command: row.count("last_number")?,
        renew: now.millis_since(issued) * 2 >= not_after.millis_since(issued),
        server_time: now,
        heartbeat_seconds: HEARTBEAT_SECONDS,
    })
}

fn check_beat(beat: &Heartbeat) -> Result<(), Fault> {
    check::machine(&beat.machine)?;
    if beat.workspaces.len() > MAX_WORKSPACES {
        return Err(Fault::invalid(format!(
            "workspaces: at most {MAX_WORKSPACES}, these are {}",
            beat.workspaces.len()
        )));
    }
    beat.workspaces.iter().try_for_each(|path| check::text("workspaces", path, MAX_PATH))
}

fn lives(row: &Row, beat: &Heartbeat, now: Timestamp) -> Result<Lives, Fault> {
    let known =
        Lives { life: row.opt_int("life")?, other: row.opt_int("other_life")?, swaps: row.int("swaps")? };
    let uptime = i64::try_from(beat.uptime_seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
    Ok(known.heard(now.as_millis().saturating_sub(uptime)))
}

async fn keep(
    tx: &mut Tx,
    agent: &impl std::fmt::Display,
    beat: &Heartbeat,
    lives: Lives,
    now: Timestamp,
) -> Result<(), Fault> {
    let sql = "UPDATE agents SET machine = $3, heartbeat = $4, policy_epoch = $5, last_seen_at = $6, heard_at = $6, \
               skew = $7, life = $8, other_life = $9, swaps = $10, \
               clone_suspected = CASE WHEN $11 = 1 THEN 1 ELSE clone_suspected END \
               WHERE tenant_id = $1 AND agent_id = $2";
    let update = Statement::new(sql)
        .bind_id(agent)
        .bind_json(&beat.machine)
        .bind_json(beat)
        .bind_u64(beat.policy_epoch)
        .bind(now)
        .bind(beat.client_time.as_millis().saturating_sub(now.as_millis()))
        .bind(lives.life)
        .bind(lives.other)
        .bind(lives.swaps)
        .bind(lives.suspicious());
    tx.run(update).await?;
    Ok(())
}

/// The epoch of a tenant whose policy did not change since its first host enrolled: asked for once. While the Policy
/// Service is away it is 0, which no host takes for a change.
async fn first_epoch(state: &State, tenant: &TenantId) -> u64 {
    if state.paces.first_epoch(tenant, Instant::now()).is_err() {
        return 0;
    }
    let asked = async {
        let peers = &state.foundation.peers;
        let current = peers.call::<ep::CurrentPolicy>(Some(tenant), &[], &Nothing {}, &Nothing {}).await?;
        let mut tx = state.foundation.database.write_of(tenant).await?;
        // A change that came meanwhile is newer.
        let sql = "UPDATE policy_epochs SET epoch = $2 WHERE tenant_id = $1 AND epoch IS NULL";
        tx.run(Statement::new(sql).bind_u64(current.epoch)).await?;
        tx.commit().await?;
        Ok::<_, Fault>(current.epoch)
    };
    asked.await.unwrap_or_else(|fault| {
        tracing::debug!(%fault, "the policy epoch is not known yet");
        0
    })
}
