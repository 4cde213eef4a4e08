//! The host command channel: numbered per host, at least once, kept until acknowledged.
//!
//! A host's numbers are given out under the lock of its row in `channels`, which is held until the commit: a number is
//! never seen before a smaller one. A policy epoch is no row of its own: the channel holds its number, the tenant's row
//! of `policy_epochs` what it says. So telling ten thousand hosts is one UPDATE, and a newer epoch takes the place of one
//! that still waits (with a new number: a host that handled the old one must not take the new one for it).
//!
//! Numbers are given out without gaps; a host sees a gap where an epoch was replaced before it looked.
//!
//! Locks are taken in this order: the tenant's row of `policy_epochs`, hosts, commands, jobs, channels.

mod acknowledge;
mod look;
mod outcomes;
mod queue;
mod serve;

use std::time::Duration;

use lanyard_governance_api::command::Order;
use lanyard_governance_api::id::{AgentId, TenantId};
use lanyard_governance_foundation::{Fault, Tx};
use tokio::time::Instant;

pub(crate) use acknowledge::{Acknowledging, acknowledge};
pub(crate) use look::Looking;
pub(crate) use outcomes::deliver as deliver_outcomes;
#[cfg(test)]
pub(crate) use outcomes::deliver_all as deliver_all_outcomes;
pub(crate) use queue::{broadcast, close, give, queue};
pub(crate) use serve::{poll, stream};

use crate::scope::scoped;

/// How often whoever waits looks by itself: wake-ups may be lost, and a revoked stream ends soon all the same.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The instants at which everybody who waits looks again: the same for all, so that they are gathered in few statements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticks(Instant);

impl Default for Ticks {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Ticks {
    /// Until the next one.
    fn until_next(self) -> Duration {
        let period = LOOK_AGAIN.as_millis();
        let past = self.0.elapsed().as_millis() % period;
        Duration::from_millis(u64::try_from(period - past).unwrap_or(1))
    }
}

/// Topic of one host's commands.
fn topic(tenant: &TenantId, agent: &AgentId) -> String {
    format!("commands/{tenant}/{agent}")
}

/// Topic of what is for all hosts of a tenant.
fn topic_of_all(tenant: &TenantId) -> String {
    format!("commands/{tenant}")
}

/// The kind of an order, as kept.
fn kind(order: &Order) -> &'static str {
    match order {
        Order::DecideApproval { .. } => "decide_approval",
        Order::DecidePairing { .. } => "decide_pairing",
        Order::RevokeDevice { .. } => "revoke_device",
        Order::PolicyEpoch { .. } => "policy_epoch",
        Order::CancelSession { .. } => "cancel_session",
        Order::Job { .. } => "job",
        Order::CancelJob { .. } => "cancel_job",
        Order::Revoked { .. } => "revoked",
    }
}

/// Holds a tenant's row, which everything takes first that touches channels or commands of several hosts.
pub(crate) async fn hold_tenant(tx: &mut Tx, tenant: &TenantId) -> Result<(), Fault> {
    let sql = "SELECT tenant_id FROM policy_epochs WHERE tenant_id = $1 {lock}";
    let select = scoped(tx, tenant, sql);
    tx.one(select).await?;
    Ok(())
}
