//! What is in force: shown, changed, taken back.

use std::time::Duration;

use lanyard_governance_api::agent::EpochQuery;
use lanyard_governance_api::endpoint::{ActivatePolicy, CountEpoch, CurrentPolicy, RevokePolicy};
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::limits::MAX_TEXT_BYTES;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::policy::{PolicyState, PolicyVersion, Revocation, Rollout};
use lanyard_governance_foundation::{Ask, Caller, Fault, Foundation, Statement, Tx, trail};
use lanyard_protocol::envelope::Severity;

use crate::store::{self, Standing};
use crate::{State, tell, validate};

/// How long whoever changes the policy waits for the command channel to take the news. What is not taken by then is
/// the chore's.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /policies/current`.
pub(crate) async fn current(state: State, ask: Ask<CurrentPolicy>) -> Result<PolicyState, Fault> {
    let tenant = ask.caller.tenant()?;
    let (standing, version) = store::in_force(&state.foundation, tenant).await?;
    if matches!(ask.caller, Caller::Service { .. }) {
        // Services want the epoch, as often as hosts send heartbeats; how far hosts have heard is for people.
        return Ok(stated(standing, version, Rollout::default()));
    }
    Ok(shown(&state.foundation, tenant, standing, version).await)
}

async fn shown(
    foundation: &Foundation,
    tenant: &TenantId,
    standing: Standing,
    version: PolicyVersion,
) -> PolicyState {
    let rollout = rollout(foundation, tenant, standing.epoch).await;
    stated(standing, version, rollout)
}

fn stated(standing: Standing, version: PolicyVersion, rollout: Rollout) -> PolicyState {
    let at = standing.changed_at;
    let revoked = standing.revoked.map(|reason| Revocation { by: standing.changed_by, reason, at });
    let active = revoked.is_none().then_some(version);
    PolicyState { epoch: standing.epoch, active, revoked, changed_at: at, rollout }
}

/// How far hosts have heard. Nobody is kept from seeing or changing the policy because that cannot be told.
async fn rollout(foundation: &Foundation, tenant: &TenantId, epoch: u64) -> Rollout {
    let query = EpochQuery { epoch };
    match foundation.peers.call::<CountEpoch>(Some(tenant), &[], &query, &Nothing {}).await {
        Ok(counts) => Rollout { online: counts.online, confirmed: counts.confirmed, waiting: counts.waiting },
        Err(fault) => {
            tracing::warn!(%fault, "how far hosts have heard of the policy cannot be told");
            Rollout::default()
        }
    }
}

/// `POST /policies/versions/{version}/activate`.
pub(crate) async fn activate(state: State, ask: Ask<ActivatePolicy>) -> Result<PolicyState, Fault> {
    let person = ask.caller.person()?;
    let number: u64 = ask.path.get("version")?;
    let (foundation, tenant) = (&state.foundation, &person.tenant);
    // In force already; an answer that was lost costs nothing.
    let stands = |standing: &Standing| standing.revoked.is_none() && standing.version == number;
    let (standing, version) = store::in_force(foundation, tenant).await?;
    if stands(&standing) {
        return Ok(shown(foundation, tenant, standing, version).await);
    }
    let mut tx = foundation.database.read(&ask.caller).await?;
    let document = store::one(&mut tx, number).await?.document;
    drop(tx);
    // It may be older than what is known of policies today. Before the transaction, which others wait for; a version is
    // never changed.
    state.beside(tenant, move || validate::must_hold(&document)).await??;
    let mut tx = foundation.database.write(&ask.caller).await?;
    let standing = store::held(&mut tx, foundation, tenant).await?;
    let version = store::one(&mut tx, number).await?;
    if stands(&standing) {
        drop(tx);
        return Ok(shown(foundation, tenant, standing, version).await);
    }
    put(&mut tx, foundation, &ask.caller, &standing, number).await?;
    tx.commit().await?;
    told(foundation, tenant).await
}

/// `POST /policies/revoke`.
pub(crate) async fn revoke(state: State, ask: Ask<RevokePolicy>) -> Result<PolicyState, Fault> {
    let person = ask.caller.person()?;
    let reason = ask.body.reason.trim();
    if reason.is_empty() {
        return Err(Fault::invalid("a reason is needed: it is told to everybody whose work stops"));
    }
    if reason.len() > MAX_TEXT_BYTES {
        return Err(Fault::invalid(format!("the reason is longer than {MAX_TEXT_BYTES} bytes")));
    }
    let foundation = &state.foundation;
    let mut tx = foundation.database.write(&ask.caller).await?;
    let standing = store::held(&mut tx, foundation, &person.tenant).await?;
    if standing.revoked.is_some() {
        drop(tx);
        let (standing, version) = store::in_force(foundation, &person.tenant).await?;
        return Ok(shown(foundation, &person.tenant, standing, version).await);
    }
    let change = Change { version: standing.version, revoked: Some(reason), event: "policy_revoked" };
    raise(&mut tx, foundation, &ask.caller, &standing, change).await?;
    tx.commit().await?;
    told(foundation, &person.tenant).await
}

async fn told(foundation: &Foundation, tenant: &TenantId) -> Result<PolicyState, Fault> {
    tell_now(foundation, tenant).await;
    let (standing, version) = store::in_force(foundation, tenant).await?;
    Ok(shown(foundation, tenant, standing, version).await)
}

/// Tells hosts, for as long as a person may be kept waiting.
pub(crate) async fn tell_now(foundation: &Foundation, tenant: &TenantId) {
    match tokio::time::timeout(PATIENCE, tell::tenant(foundation, tenant)).await {
        Ok(Ok(())) => return,
        Ok(Err(fault)) => tracing::warn!(%fault, "hosts hear of the policy later"),
        Err(_) => tracing::warn!("hosts hear of the policy later: the command channel takes its time"),
    }
    if let Err(fault) = tell::once_more(foundation, tenant).await {
        tracing::warn!(%fault, "that hosts are to be told of the policy once more cannot be noted");
    }
}

/// Puts a version in force, in the transaction that holds the standing.
pub(crate) async fn put(
    tx: &mut Tx,
    foundation: &Foundation,
    caller: &Caller,
    before: &Standing,
    version: u64,
) -> Result<(), Fault> {
    let change = Change { version, revoked: None, event: "policy_activated" };
    raise(tx, foundation, caller, before, change).await
}

/// A change of what is in force.
struct Change<'c> {
    version: u64,
    revoked: Option<&'c str>,
    event: &'static str,
}

/// The only way the epoch is raised: with the row that says hosts are to be told.
async fn raise(
    tx: &mut Tx,
    foundation: &Foundation,
    caller: &Caller,
    before: &Standing,
    change: Change<'_>,
) -> Result<(), Fault> {
    let person = caller.person()?;
    let (epoch, now) = (before.epoch + 1, foundation.clock.now());
    let sql = "UPDATE policy_state SET epoch = $2, version = $3, revoked = $4, changed_by = $5, \
               changed_by_name = $6, changed_at = $7 WHERE tenant_id = $1";
    let statement = Statement::new(sql).bind_u64(epoch).bind_u64(change.version).bind(change.revoked);
    tx.run(statement.bind_id(&person.user).bind(person.name.as_str()).bind(now)).await?;
    tell::later(tx, epoch, now).await?;
    let severity = if change.revoked.is_some() { Severity::Warning } else { Severity::Info };
    let mut record = store::record(change.event).by(caller).severity(severity);
    record = record.with("epoch", epoch).with("version", change.version).with("before", before.version);
    if let Some(reason) = change.revoked {
        record = record.with("reason", reason);
    }
    trail::record(tx, &person.tenant, &*foundation.clock, record).await
}
