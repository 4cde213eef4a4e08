//! Whether a host's call is granted: checked here again, because the centre does not take a host's word for it.

use std::time::Duration;

use lanyard_governance_api::approval::ApprovalQuery;
use lanyard_governance_api::endpoint::{CurrentPolicy, GetSession, ListCentralApprovals};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::policy::{PolicyState, PolicyVersion};
use lanyard_governance_api::session::SessionInfo;
use lanyard_governance_foundation::Fault;
use lanyard_governance_foundation::caller::Agent;
use lanyard_protocol::ErrorCode;
use lanyard_protocol::approval::ApprovalState;
use lanyard_protocol::policy::{Capability, CapabilityGrant};
use lanyard_protocol::session::CompatibilityStatus;
use lanyard_protocol::tool::ToolRequest;
use tokio::time::Instant;

use crate::State;

/// A host sends the call as soon as it has its answer, and the record of the answer at the same time: so long the record
/// is waited for.
const RECORD_ARRIVES: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Approved questions of the session that are looked through, newest first.
const PAGE: u32 = 50;
const PAGES: u32 = 4;

/// What the policy allows a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Granted {
    pub(crate) max_output_bytes: Option<u64>,
    pub(crate) max_seconds: Option<u32>,
}

/// Checks session, policy and approval. What cannot be checked is not granted.
pub(crate) async fn verify(state: &State, agent: &Agent, request: &ToolRequest) -> Result<Granted, Fault> {
    session(state, agent, request).await?;
    let path = &[];
    let policy: PolicyState = state
        .foundation
        .peers
        .call::<CurrentPolicy>(Some(&agent.tenant), path, &Nothing {}, &Nothing {})
        .await?;
    let Some(active) = &policy.active else {
        let reason = policy.revoked.map_or_else(|| "none is in force".to_owned(), |revoked| revoked.reason);
        return Err(Fault::new(ErrorCode::PolicyRevoked, format!("the policy is revoked: {reason}")));
    };
    let covering = covering(active, &request.tool_name)?;
    if covering.iter().any(|grant| grant.requires_approval) {
        approved(state, agent, request).await?;
    }
    // Where several grants cover it, each of their limits holds.
    Ok(Granted {
        max_output_bytes: covering.iter().filter_map(|grant| grant.max_output_bytes).min(),
        max_seconds: covering.iter().filter_map(|grant| grant.max_execution_time_seconds).min(),
    })
}

async fn session(state: &State, agent: &Agent, request: &ToolRequest) -> Result<(), Fault> {
    let id = &request.session_id;
    let unknown = || Fault::new(ErrorCode::SessionNotFound, format!("this host has no session {id}"));
    let path = [("session_id", id.as_str())];
    let call =
        state.foundation.peers.call::<GetSession>(Some(&agent.tenant), &path, &Nothing {}, &Nothing {});
    let info: SessionInfo = match call.await {
        Ok(info) => info,
        Err(fault) if fault.status() == 404 => return Err(unknown()),
        Err(fault) => return Err(fault),
    };
    if info.agent_id != agent.agent || info.user_id != agent.user {
        return Err(unknown());
    }
    if info.state.is_final() {
        return Err(Fault::conflict(format!("the session {id} has ended")));
    }
    if info.expires_at <= state.foundation.clock.now() {
        return Err(Fault::new(
            ErrorCode::SessionExpired,
            format!("the session {id} has expired; start a new one"),
        ));
    }
    if info.compatibility_status != CompatibilityStatus::Compatible {
        return Err(denied("host and policy of this session do not fit together"));
    }
    if info.workspace_id != request.workspace_id {
        return Err(Fault::invalid(format!("the session {id} does not belong to the workspace named")));
    }
    Ok(())
}

fn denied(message: impl Into<String>) -> Fault {
    Fault::new(ErrorCode::CapabilityDenied, message)
}

/// The grants that cover a tool. An absent list of names is no limit, an empty one allows nothing.
fn covering<'a>(policy: &'a PolicyVersion, tool: &str) -> Result<Vec<&'a CapabilityGrant>, Fault> {
    let grants = policy.document.capabilities.iter();
    let covering: Vec<_> = grants
        .filter(|grant| grant.name == Capability::BackendToolInvoke)
        .filter(|grant| match &grant.allowed_tool_names {
            Some(names) => names.iter().any(|name| name == tool),
            None => true,
        })
        .collect();
    if covering.is_empty() {
        return Err(denied(format!(
            "version {} of the policy does not allow the tool {tool} ({})",
            policy.version,
            Capability::BackendToolInvoke
        )));
    }
    Ok(covering)
}

/// The policy wants a person's approval: the Approval Service must hold it for this very call.
async fn approved(state: &State, agent: &Agent, request: &ToolRequest) -> Result<(), Fault> {
    let until = Instant::now() + RECORD_ARRIVES;
    loop {
        match recorded(state, agent, request).await {
            Ok(true) => return Ok(()),
            Ok(false) if Instant::now() < until => tokio::time::sleep(LOOK_AGAIN).await,
            Ok(false) => {
                return Err(Fault::new(
                    ErrorCode::ApprovalRequired,
                    "the policy asks for an approval of this call, and none is recorded at the centre",
                ));
            }
            Err(fault) => {
                tracing::warn!(%fault, "an approval cannot be checked");
                return Err(Fault::new(
                    ErrorCode::ApprovalRequired,
                    "the policy asks for an approval of this call, and whether there is one cannot be checked now",
                ));
            }
        }
    }
}

async fn recorded(state: &State, agent: &Agent, request: &ToolRequest) -> Result<bool, Fault> {
    let mut query = ApprovalQuery {
        session_id: Some(request.session_id.clone()),
        agent_id: Some(agent.agent.clone()),
        state: Some(ApprovalState::Approved),
        limit: Some(PAGE),
        next_token: None,
    };
    for _ in 0..PAGES {
        let peers = &state.foundation.peers;
        let page = peers.call::<ListCentralApprovals>(Some(&agent.tenant), &[], &query, &Nothing {}).await?;
        let this = page.items.iter().map(|info| &info.record.request).any(|asked| {
            asked.tool_call_id == request.tool_call_id
                && asked.tool_name == request.tool_name
                && asked.task_id == request.task_id
        });
        if this {
            return Ok(true);
        }
        match page.next_token {
            Some(token) => query.next_token = Some(token),
            None => return Ok(false),
        }
    }
    Ok(false)
}
