//! Who stands behind an enrolment token: whoever made it, as long as they may make tokens, and whoever its hosts will
//! belong to, as long as they are in the tenant. And behind a job that waits: whoever dispatched it, as long as they may.
//! Asked of the Identity Service when a token is used or shown, or a job claimed, so that a removal counts at once,
//! whatever was handed out before.

use std::collections::{BTreeSet, HashMap};

use lanyard_governance_api::endpoint::GetStandings;
use lanyard_governance_api::enrolment::EnrolmentToken;
use lanyard_governance_api::id::{TenantId, UserId};
use lanyard_governance_api::limits::MAX_PAGE;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::people::{Role, StandingQuery};
use lanyard_governance_foundation::{Fault, Foundation};

/// Roles of people; absent are those who are not in the tenant.
type Roles = HashMap<UserId, Role>;

async fn roles(foundation: &Foundation, tenant: &TenantId, users: BTreeSet<UserId>) -> Result<Roles, Fault> {
    let users: Vec<UserId> = users.into_iter().collect();
    let mut roles = Roles::new();
    for some in users.chunks(MAX_PAGE as usize) {
        let query = StandingQuery { user_ids: some.to_vec() };
        let found = foundation.peers.call::<GetStandings>(Some(tenant), &[], &Nothing {}, &query).await?;
        let known = found.standings.into_iter();
        roles.extend(known.filter_map(|standing| Some((standing.user_id, standing.role?))));
    }
    Ok(roles)
}

/// Why a token is not accepted; nothing when it is.
fn void(roles: &Roles, maker: &UserId, owner: &UserId) -> Option<String> {
    let way_out = "an administrator can make a new one";
    match roles.get(maker) {
        Some(Role::Admin) if roles.contains_key(owner) => None,
        Some(Role::Admin) => {
            Some(format!("{owner}, whose host it would be, was removed from the tenant; {way_out}"))
        }
        Some(_) => Some(format!("{maker}, who made it, is no administrator any more; {way_out}")),
        None => Some(format!("{maker}, who made it, was removed from the tenant; {way_out}")),
    }
}

/// Why a token is not accepted now, whatever else is said of it.
pub(crate) async fn void_now(
    foundation: &Foundation,
    tenant: &TenantId,
    maker: &UserId,
    owner: &UserId,
) -> Result<Option<String>, Fault> {
    let roles = roles(foundation, tenant, [maker, owner].into_iter().cloned().collect()).await?;
    Ok(void(&roles, maker, owner))
}

/// Says of tokens that are shown why they are not accepted.
pub(crate) async fn mark(
    foundation: &Foundation,
    tenant: &TenantId,
    tokens: &mut [EnrolmentToken],
) -> Result<(), Fault> {
    if tokens.is_empty() {
        return Ok(());
    }
    let users = tokens.iter().flat_map(|token| [token.created_by.clone(), token.user_id.clone()]).collect();
    let roles = roles(foundation, tenant, users).await?;
    for token in tokens {
        token.void = void(&roles, &token.created_by, &token.user_id);
    }
    Ok(())
}

/// Refuses to make a token for somebody who is not in the tenant.
pub(crate) async fn check_owner(
    foundation: &Foundation,
    tenant: &TenantId,
    owner: &UserId,
) -> Result<(), Fault> {
    if roles(foundation, tenant, BTreeSet::from([owner.clone()])).await?.contains_key(owner) {
        return Ok(());
    }
    Err(Fault::invalid(format!("userId: {owner} is not in this tenant; invite them first")))
}

/// Why a job that waits is not handed out any more; nothing when it is.
pub(crate) async fn dispatcher_gone(
    foundation: &Foundation,
    tenant: &TenantId,
    dispatcher: &UserId,
) -> Result<Option<String>, Fault> {
    let roles = roles(foundation, tenant, BTreeSet::from([dispatcher.clone()])).await?;
    Ok(match roles.get(dispatcher) {
        Some(Role::Admin) => None,
        Some(_) => Some(format!("{dispatcher}, who dispatched it, is no administrator any more")),
        None => Some(format!("{dispatcher}, who dispatched it, was removed from the tenant")),
    })
}
