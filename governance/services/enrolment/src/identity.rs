//! Issuing an identity: certificate, service token, and the credentials by which both are known.

use lanyard_governance_api::endpoint::AgentScope;
use lanyard_governance_api::enrolment::IssuedIdentity;
use lanyard_governance_api::id::{AgentId, TenantId, UserId};
use lanyard_governance_api::limits::{CERTIFICATE_SECONDS, HEARTBEAT_SECONDS, RENEWABLE_SECONDS};
use lanyard_governance_foundation::credentials::{self, Holder, fresh_secret};
use lanyard_governance_foundation::{Fault, Statement, Tx};
use lanyard_protocol::Timestamp;

use crate::State;
use crate::authority::KeyRequest;

/// Life of a certificate, in milliseconds.
const CERTIFICATE_MILLIS: i64 = CERTIFICATE_SECONDS as i64 * 1_000;

/// How long after its certificate ran out a key still proves something, in milliseconds.
pub(crate) const RENEWABLE_MILLIS: i64 = RENEWABLE_SECONDS as i64 * 1_000;

/// Who gets an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whom {
    pub(crate) tenant: TenantId,
    pub(crate) agent: AgentId,
    pub(crate) user: UserId,
}

impl Whom {
    pub(crate) fn holder(&self, scope: AgentScope) -> Holder {
        Holder::Agent {
            tenant: self.tenant.clone(),
            agent: self.agent.clone(),
            user: self.user.clone(),
            scope,
        }
    }
}

/// Certifies a key for an enrolled host. What was issued before stays good for a while: the answer may be lost. `tx`
/// reaches across tenants and holds the host's row.
pub(crate) async fn issue(
    state: &State,
    tx: &mut Tx,
    whom: &Whom,
    request: &KeyRequest,
    nonce: String,
    now: Timestamp,
) -> Result<IssuedIdentity, Fault> {
    let ca = &state.settings.ca;
    let certificate = ca
        .issue_agent(request, &whom.agent, &whom.tenant, now)
        .map_err(|e| Fault::internal("a certificate could not be issued", &e))?;
    // Earlier service tokens live on for a day at most, so that a host has a handful at any time.
    let sql = "UPDATE credentials SET expires_at = $3 \
               WHERE tenant_id = $1 AND agent_id = $2 AND kind = 'heartbeat' AND expires_at > $3";
    let retire = Statement::new(sql).bind_id(&whom.tenant).bind_id(&whom.agent);
    tx.run(retire.bind(now.plus_millis(CERTIFICATE_MILLIS))).await?;
    let agent = whom.holder(AgentScope::Agent);
    credentials::add(tx, certificate.hash, &agent, now, certificate.not_after).await?;
    // Heartbeats go on while the key can be renewed: a host that slept is seen before it has renewed.
    let service_token = fresh_secret("lanyard_heartbeat")?;
    let heartbeat = whom.holder(AgentScope::Heartbeat);
    let until = certificate.not_after.plus_millis(RENEWABLE_MILLIS);
    credentials::add(tx, credentials::hash(service_token.as_bytes()), &heartbeat, now, until).await?;
    let sql = "UPDATE agents SET issued_at = $3, not_after = $4 WHERE tenant_id = $1 AND agent_id = $2";
    let update = Statement::new(sql).bind_id(&whom.tenant).bind_id(&whom.agent);
    tx.run(update.bind(now).bind(certificate.not_after)).await?;
    Ok(IssuedIdentity {
        agent_id: whom.agent.clone(),
        tenant_id: whom.tenant.clone(),
        user_id: whom.user.clone(),
        certificate_pem: certificate.pem,
        ca_chain_pem: ca.certificate_pem().to_owned(),
        service_token,
        heartbeat_seconds: HEARTBEAT_SECONDS,
        not_after: certificate.not_after,
        server_time: now,
        nonce,
    })
}

/// What is told of a revoked enrolment; the same words as of a revoked credential.
pub(crate) fn revoked(reason: &str) -> Fault {
    Fault::new(lanyard_protocol::ErrorCode::AgentRevoked, format!("this enrolment was revoked: {reason}"))
}
