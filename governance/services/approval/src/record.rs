//! Writing facts, and the spelling of states.

use lanyard_governance_foundation::trail::Record;
use lanyard_governance_foundation::{Caller, Fault, Statement, Tx};
use lanyard_protocol::approval::{ApprovalRecord, ApprovalState, Decision};
use lanyard_protocol::envelope::{BoundedContext, Component};
use lanyard_protocol::id::ApprovalId;
use lanyard_protocol::{ErrorCode, Timestamp};
use serde::Serialize;

/// The spelling of a state, which is that of the wire.
pub(crate) fn state_name(state: ApprovalState) -> &'static str {
    match state {
        ApprovalState::Pending => "pending",
        ApprovalState::Approved => "approved",
        ApprovalState::Denied => "denied",
        ApprovalState::Expired => "expired",
        ApprovalState::Cancelled => "cancelled",
    }
}

/// The spelling of a decision.
pub(crate) fn decision_name(decision: Decision) -> &'static str {
    match decision {
        Decision::Approved => "approved",
        Decision::Denied => "denied",
    }
}

/// 404.
pub(crate) fn not_found(id: &ApprovalId) -> Fault {
    Fault::new(ErrorCode::ApprovalNotFound, format!("there is no approval {id}"))
}

/// Adds a fact. `false`: it is there already.
pub(crate) async fn add(
    tx: &mut Tx,
    id: &ApprovalId,
    fact: &str,
    at: Timestamp,
    by: &Caller,
    body: &impl Serialize,
) -> Result<bool, Fault> {
    let (agent, user) = match by {
        Caller::Agent(agent) => (Some(agent.agent.as_str()), None),
        Caller::Person(person) => (None, Some(person.user.as_str())),
        _ => (None, None),
    };
    let sql = "INSERT INTO approval_facts (tenant_id, approval_id, fact, at, agent_id, by_user, body) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    let statement =
        Statement::new(sql).bind_id(id).bind(fact).bind(at).bind(agent).bind(user).bind_json(body);
    Ok(tx.run(statement).await? == 1)
}

/// A record for the trail about an approval. The summary is what the person was shown of the action; its detail stays
/// here.
pub(crate) fn trail_record(event_type: &'static str, record: &ApprovalRecord) -> Record {
    let request = &record.request;
    Record::new(event_type, Component::ApprovalService, BoundedContext::Approval)
        .about_session(&request.session_id, Some(&request.workspace_id))
        .about_task(&request.task_id)
        .with("approvalId", request.approval_id.as_str())
        .with("toolCallId", request.tool_call_id.as_str())
        .with("toolName", request.tool_name.as_str())
        .with("capability", request.capability.as_str())
        .with("riskLevel", request.risk_level.as_str())
        .with("state", state_name(record.state))
}
