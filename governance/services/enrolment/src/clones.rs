//! Clearing the mark of a suspected second machine.
//!
//! The mark says that somebody has to look. What they find decides: a machine that was copied is revoked, both copies
//! with it, and the right one enrolled anew; where there was none (a snapshot that was tried out, a restored backup), the
//! mark is cleared, and the reason kept. What is remembered of the host's lives is forgotten with it, so that two machines
//! that go on are marked again.

use lanyard_governance_api::agent::AgentInfo;
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::AgentId;
use lanyard_governance_api::limits::MAX_TEXT_BYTES;
use lanyard_governance_foundation::{Ask, Fault, Statement};

use crate::trace::Trace;
use crate::{State, agents, check};

/// `POST /agents/{id}/clone-mark/clear`. Of a host without a mark nothing changes.
pub(crate) async fn clear(state: State, ask: Ask<ep::ClearCloneMark>) -> Result<AgentInfo, Fault> {
    let agent: AgentId = ask.path.get("agent_id")?;
    let reason = ask.body.reason;
    check::text("reason", &reason, MAX_TEXT_BYTES)?;
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.write(&ask.caller).await?;
    let marked = agents::find(&mut tx, &agent, true, now).await?;
    if !marked.clone_suspected {
        return Ok(marked);
    }
    if marked.revoked.is_some() {
        let text = "the enrolment of this host was revoked; its mark stays, as part of what is known of it";
        return Err(Fault::conflict(text));
    }
    let sql = "UPDATE agents SET clone_suspected = 0, other_life = NULL, swaps = 0 \
               WHERE tenant_id = $1 AND agent_id = $2";
    tx.run(Statement::new(sql).bind_id(&agent)).await?;
    Trace::alarm("clone_mark_cleared")
        .by(&ask.caller)
        .about(&agent)
        .with("reason", reason)
        .write(&mut tx, ask.caller.tenant()?, &state.foundation)
        .await?;
    tx.commit().await?;
    Ok(AgentInfo { clone_suspected: false, ..marked })
}
