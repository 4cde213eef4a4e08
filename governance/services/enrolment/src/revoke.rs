//! Revoking a host: its credentials are refused from the next request on, its open streams end, its jobs are settled.

use lanyard_governance_api::agent::AgentInfo;
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::{AgentId, TenantId, UserId};
use lanyard_governance_api::limits::MAX_TEXT_BYTES;
use lanyard_governance_foundation::{Ask, Caller, Fault, Statement, Tx, credentials};
use lanyard_protocol::Timestamp;

use crate::trace::Trace;
use crate::{State, agents, check, commands, jobs};

pub(crate) async fn revoke(state: State, ask: Ask<ep::RevokeAgent>) -> Result<AgentInfo, Fault> {
    let agent: AgentId = ask.path.get("agent_id")?;
    let tenant = ask.caller.tenant()?.clone();
    let reason = ask.body.reason;
    check::text("reason", &reason, MAX_TEXT_BYTES)?;
    let by = match &ask.caller {
        Caller::Person(person) => Some(person.user.clone()),
        _ => None,
    };
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.across_write().await?;
    // First, as everywhere where several hosts' channels or commands may be touched.
    commands::hold_tenant(&mut tx, &tenant).await?;
    if mark(&mut tx, &tenant, &agent, by.as_ref(), &reason, now).await? {
        credentials::revoke_agent(&mut tx, &tenant, &agent, &reason, now).await?;
        jobs::settle_revoked(&state.foundation, &mut tx, &tenant, &agent, now).await?;
        commands::close(&mut tx, &tenant, &agent, &reason).await?;
        Trace::alarm("agent_revoked")
            .by(&ask.caller)
            .about(&agent)
            .with("reason", reason)
            .write(&mut tx, &tenant, &state.foundation)
            .await?;
        tx.commit().await?;
    } else {
        // Unknown, of another tenant, or revoked already: the answer below tells.
        drop(tx);
    }
    let mut tx = state.foundation.database.read_of(&tenant).await?;
    agents::find(&mut tx, &agent, false, now).await
}

/// Whether the host was there and not revoked yet.
async fn mark(
    tx: &mut Tx,
    tenant: &TenantId,
    agent: &AgentId,
    by: Option<&UserId>,
    reason: &str,
    now: Timestamp,
) -> Result<bool, Fault> {
    let sql = "UPDATE agents SET revoked_at = $3, revoked_by = $4, revoked_reason = $5 \
               WHERE tenant_id = $1 AND agent_id = $2 AND revoked_at IS NULL";
    let update = Statement::new(sql).bind_id(tenant).bind_id(agent).bind(now).bind_opt_id(by).bind(reason);
    Ok(tx.run(update).await? > 0)
}
