//! Renewal of an identity and access tokens, by proof of possession.

use lanyard_governance_api::endpoint::{self as ep, AgentScope};
use lanyard_governance_api::enrolment::{AccessToken, IssuedIdentity, Purpose};
use lanyard_governance_api::id::AgentId;
use lanyard_governance_api::limits::ACCESS_TOKEN_SECONDS;
use lanyard_governance_foundation::credentials::{self, fresh_secret};
use lanyard_governance_foundation::{Ask, Fault, Statement};

use crate::State;
use crate::authority::KeyRequest;
use crate::trace::Trace;
use crate::{check, identity, proof};

/// A fresh certificate for the same key. The same request again, with a proof of its own, gets another: a lost answer
/// costs nothing, and what was issued before stays good for a while.
pub(crate) async fn renew(state: State, ask: Ask<ep::RenewIdentity>) -> Result<IssuedIdentity, Fault> {
    let agent: AgentId = ask.path.get("agent_id")?;
    let body = ask.body;
    check::hex("nonce", &body.nonce, 16, 64)?;
    let request = KeyRequest::parse(&body.csr_pem).map_err(|e| Fault::invalid(e.to_string()))?;
    let now = state.foundation.clock.now();
    let (mut tx, proven) = proof::check(&state, Purpose::Renew, &agent, &body.proof, now).await?;
    let tenant = &proven.whom.tenant;
    if request.key != proven.key {
        // Whoever asks holds the enrolled key and wants another: two machines, or somebody who wants to stay.
        let sql = "UPDATE agents SET clone_suspected = 1 WHERE tenant_id = $1 AND agent_id = $2";
        tx.run(Statement::new(sql).bind_id(tenant).bind_id(&agent)).await?;
        Trace::alarm("clone_suspected")
            .about(&agent)
            .with("reason", "a renewal asked for another key")
            .write(&mut tx, tenant, &state.foundation)
            .await?;
        tx.commit().await?;
        let text = "a certificate is renewed for the enrolled key only; to change the key, unenrol this host and enrol it again";
        return Err(Fault::forbidden(text));
    }
    let issued = identity::issue(&state, &mut tx, &proven.whom, &request, body.nonce, now).await?;
    Trace::of("agent_renewed")
        .about(&agent)
        .with("notAfter", issued.not_after.to_string())
        .write(&mut tx, tenant, &state.foundation)
        .await?;
    tx.commit().await?;
    Ok(issued)
}

/// A bearer for a quarter of an hour, for connections that carry no client certificate.
pub(crate) async fn access_token(
    state: State,
    ask: Ask<ep::CreateAccessToken>,
) -> Result<AccessToken, Fault> {
    let agent: AgentId = ask.path.get("agent_id")?;
    let now = state.foundation.clock.now();
    let (mut tx, proven) = proof::check(&state, Purpose::AccessToken, &agent, &ask.body.proof, now).await?;
    let token = fresh_secret("lanyard_access")?;
    let expires_at = now.plus_millis(i64::from(ACCESS_TOKEN_SECONDS) * 1_000);
    let holder = proven.whom.holder(AgentScope::Agent);
    credentials::add(&mut tx, credentials::hash(token.as_bytes()), &holder, now, expires_at).await?;
    tx.commit().await?;
    Ok(AccessToken { token, expires_at, server_time: now })
}
