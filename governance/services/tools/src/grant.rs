//! Whether a host's call is granted: checked here again, because the centre does not take a host's word for it.

use std::time::Duration;

use lanyard_governance_api::approval::{ApprovalInfo, ApprovalQuery, ProposalOutcome};
use lanyard_governance_api::endpoint::{CurrentPolicy, GetSession, ListCentralApprovals};
use lanyard_governance_api::id::UserId;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::policy::{PolicyState, PolicyVersion};
use lanyard_governance_api::session::SessionInfo;
use lanyard_governance_foundation::Fault;
use lanyard_governance_foundation::caller::Agent;
use lanyard_protocol::ErrorCode;
use lanyard_protocol::approval::{ApprovalDetail, ApprovalRequest, ApprovalState, Decision};
use lanyard_protocol::id::PrincipalId;
use lanyard_protocol::policy::{Approver, Capability, CapabilityGrant};
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

/// What hosts put before the id of a person of the centre.
const CENTRAL: &str = "central:";

/// What the policy allows a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Granted {
    pub(crate) max_output_bytes: Option<u64>,
    pub(crate) max_seconds: Option<u32>,
}

/// Checks session, policy and approval. What cannot be checked is not granted.
pub(crate) async fn verify(state: &State, agent: &Agent, request: &ToolRequest) -> Result<(), Fault> {
    session(state, agent, request).await?;
    let policy = in_force(state, agent).await?;
    let wanted = wanted(&policy, &covering(&policy, &request.tool_name)?)?;
    match wanted {
        Some(wanted) => approved(state, agent, request, wanted, RECORD_ARRIVES).await,
        None => Ok(()),
    }
}

/// Reads the policy once more, right before the run: while an approval was waited for, the policy may have been revoked
/// or may have come to ask for more.
pub(crate) async fn confirm(state: &State, agent: &Agent, request: &ToolRequest) -> Result<Granted, Fault> {
    let policy = in_force(state, agent).await?;
    let covering = covering(&policy, &request.tool_name)?;
    if let Some(wanted) = wanted(&policy, &covering)? {
        approved(state, agent, request, wanted, Duration::ZERO).await?;
    }
    // Where several grants cover it, each of their limits holds.
    Ok(Granted {
        max_output_bytes: covering.iter().filter_map(|grant| grant.max_output_bytes).min(),
        max_seconds: covering.iter().filter_map(|grant| grant.max_execution_time_seconds).min(),
    })
}

async fn in_force(state: &State, agent: &Agent) -> Result<PolicyVersion, Fault> {
    let peers = &state.foundation.peers;
    let policy: PolicyState =
        peers.call::<CurrentPolicy>(Some(&agent.tenant), &[], &Nothing {}, &Nothing {}).await?;
    policy.active.ok_or_else(|| {
        let reason = policy.revoked.map_or_else(|| "none is in force".to_owned(), |revoked| revoked.reason);
        Fault::new(ErrorCode::PolicyRevoked, format!("the policy is revoked: {reason}"))
    })
}

/// The session a call names, which must be the host's own; alive or not.
pub(crate) async fn own_session(
    state: &State,
    agent: &Agent,
    request: &ToolRequest,
) -> Result<SessionInfo, Fault> {
    let id = &request.session_id;
    let unknown = || Fault::new(ErrorCode::SessionNotFound, format!("this host has no session {id}"));
    let path = [("session_id", id.as_str())];
    let call =
        state.foundation.peers.call::<GetSession>(Some(&agent.tenant), &path, &Nothing {}, &Nothing {});
    let info: SessionInfo = match call.await {
        Ok(info) => info,
        Err(fault) if fault.is_absent() => return Err(unknown()),
        // An address that leads elsewhere says nothing about the session.
        Err(fault) if fault.status() == 404 => {
            tracing::error!(%fault, "the Session Service is not where this process looks for it");
            return Err(Fault::unavailable("the session of this call cannot be looked up; try again"));
        }
        Err(fault) => return Err(fault),
    };
    if info.agent_id != agent.agent || info.user_id != agent.user {
        return Err(unknown());
    }
    Ok(info)
}

async fn session(state: &State, agent: &Agent, request: &ToolRequest) -> Result<(), Fault> {
    let info = own_session(state, agent, request).await?;
    let id = &request.session_id;
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

/// Who has to have approved, where the policy asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// A person of the centre.
    Somebody,
    /// A person of the centre who is neither the host's owner nor whoever began the task.
    SomebodyElse,
}

/// What the strictest rule of the grants that ask wants; `None`: none asks.
fn wanted(policy: &PolicyVersion, covering: &[&CapabilityGrant]) -> Result<Option<Wanted>, Fault> {
    let mut wanted = None;
    for grant in covering.iter().filter(|grant| grant.requires_approval) {
        let rules = &policy.document.approval_rules;
        let rule = match &grant.approval_rule_id {
            Some(id) => Some(rules.iter().find(|rule| rule.approval_rule_id == *id).ok_or_else(|| {
                denied(format!("the policy asks for an approval by the rule {id}, which it does not have"))
            })?),
            None => None,
        };
        match rule.map_or(Approver::Any, |rule| rule.approver) {
            Approver::Any => wanted = wanted.or(Some(Wanted::Somebody)),
            Approver::NotInitiator => wanted = Some(Wanted::SomebodyElse),
            Approver::Local => {
                return Err(denied(
                    "the policy wants this call approved at the host itself, and for a tool of the centre that cannot \
                     be checked; let the rule name another approver",
                ));
            }
        }
    }
    Ok(wanted)
}

/// The policy wants a person's approval: the Approval Service must hold it for this very call.
async fn approved(
    state: &State,
    agent: &Agent,
    request: &ToolRequest,
    wanted: Wanted,
    longest: Duration,
) -> Result<(), Fault> {
    let until = Instant::now() + longest;
    let required = |text: &str| Fault::new(ErrorCode::ApprovalRequired, text);
    loop {
        match recorded(state, agent, request, wanted).await {
            Ok(None) => return Ok(()),
            Ok(Some(_)) if Instant::now() < until => tokio::time::sleep(LOOK_AGAIN).await,
            Ok(Some(lacking)) => return Err(required(lacking)),
            Err(fault) => {
                tracing::warn!(%fault, "an approval cannot be checked");
                return Err(required(
                    "the policy asks for an approval of this call, and whether there is one cannot be checked now",
                ));
            }
        }
    }
}

/// What an approval of this call lacks; `None`: it is there.
async fn recorded(
    state: &State,
    agent: &Agent,
    request: &ToolRequest,
    wanted: Wanted,
) -> Result<Option<&'static str>, Fault> {
    let mut query = ApprovalQuery {
        session_id: Some(request.session_id.clone()),
        agent_id: Some(agent.agent.clone()),
        state: Some(ApprovalState::Approved),
        limit: Some(PAGE),
        next_token: None,
    };
    let mut lacking = "the policy asks for an approval of this call, and none is recorded at the centre";
    let arguments = request.arguments.canonical();
    for _ in 0..PAGES {
        let peers = &state.foundation.peers;
        let page = peers.call::<ListCentralApprovals>(Some(&agent.tenant), &[], &query, &Nothing {}).await?;
        for info in page.items.iter().filter(|info| is_of(&info.record.request, request)) {
            match lacks(info, agent, &arguments, wanted) {
                None => return Ok(None),
                Some(text) => lacking = text,
            }
        }
        match page.next_token {
            Some(token) => query.next_token = Some(token),
            None => break,
        }
    }
    Ok(Some(lacking))
}

fn is_of(asked: &ApprovalRequest, request: &ToolRequest) -> bool {
    asked.tool_call_id == request.tool_call_id
        && asked.tool_name == request.tool_name
        && asked.task_id == request.task_id
}

/// Why an approval under the call's id is none of this call.
///
/// The contract for hosts: the question's `detail` is `other`, and its text is the canonical JSON of the arguments (see
/// [`lanyard_protocol::Json::canonical`]), so that what a person saw is what runs. And a host's word that somebody approved is not enough:
/// a person signed in at the centre must have said so, and the host must have taken that answer.
fn lacks(info: &ApprovalInfo, agent: &Agent, arguments: &str, wanted: Wanted) -> Option<&'static str> {
    let asked = &info.record.request;
    if !matches!(&asked.detail, ApprovalDetail::Other(other) if other.text == arguments) {
        return Some(
            "the policy asks for an approval of this call, and the one recorded shows other arguments than these",
        );
    }
    let mut by = info.proposals.iter().filter(|proposal| {
        proposal.decision == Decision::Approved && proposal.outcome == ProposalOutcome::Accepted
    });
    match wanted {
        Wanted::Somebody if by.next().is_none() => Some(
            "the policy asks for an approval of this call, and nobody gave it at the centre; \
             an answer at the host alone cannot be checked",
        ),
        Wanted::SomebodyElse if !by.any(|proposal| is_else(&proposal.by, agent, &asked.initiator)) => Some(
            "the policy asks for an approval of this call by somebody else than whoever started it, \
             and nobody else gave it at the centre",
        ),
        Wanted::Somebody | Wanted::SomebodyElse => None,
    }
}

/// Neither the owner of the host nor whoever began the task; hosts write people of the centre as `central:{user}`.
fn is_else(user: &UserId, agent: &Agent, initiator: &PrincipalId) -> bool {
    let initiator = initiator.as_str();
    *user != agent.user && initiator.strip_prefix(CENTRAL).unwrap_or(initiator) != user.as_str()
}
