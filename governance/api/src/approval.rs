//! Approval Service: the record of what was asked and answered, and proposals from the console.

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalRecord, ApprovalState, Decision};
use lanyard_protocol::id::{ApprovalId, SessionId};
use serde::{Deserialize, Serialize};

use crate::id::{AgentId, JobId, ProposalId, UserId};

/// Body of `POST /approvals`: a question that waits, or one that is settled. Idempotent by id and state; a settled
/// question is never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalReport {
    /// The host's record: ids, summary, detail, risk, deadline, state, answer.
    pub record: ApprovalRecord,
    /// The job it belongs to.
    pub job_id: Option<JobId>,
    /// The host's clock.
    pub client_timestamp: Timestamp,
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStored {
    /// The approval.
    pub approval_id: ApprovalId,
    /// When the server took it; of the first time, when repeated.
    pub server_timestamp: Timestamp,
}

/// An approval as the centre knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApprovalInfo {
    /// The host's record, as last reported.
    pub record: ApprovalRecord,
    /// The host.
    pub agent_id: AgentId,
    /// The job it belongs to.
    pub job_id: Option<JobId>,
    /// The host takes answers from the centre (its owner's choice).
    pub answerable: bool,
    /// When the server took the question.
    pub received_at: Timestamp,
    /// When the server took the answer.
    pub settled_at: Option<Timestamp>,
    /// Proposals from the console, oldest first.
    pub proposals: Vec<Proposal>,
}

/// What a person in the console proposed. The host arbitrates: first answer wins, its binding is checked there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// The proposal.
    pub proposal_id: ProposalId,
    /// What.
    pub decision: Decision,
    /// Who.
    pub by: UserId,
    /// Name of that person.
    pub by_name: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
    /// What became of it.
    pub outcome: ProposalOutcome,
    /// Why the host did not take it.
    pub refusal: Option<String>,
}

/// What became of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProposalOutcome {
    /// On its way to the host.
    Sent,
    /// It is the answer.
    Accepted,
    /// Another answer was first, or the host refused it.
    Refused,
}

/// Body of `POST /approvals/{id}/decision`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DecisionRequest {
    /// What.
    pub decision: Decision,
    /// Why.
    pub reason: Option<String>,
}

/// Body of the internal `POST /approvals/{id}/outcome`: what the host said of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutcomeReport {
    /// The proposal.
    pub proposal_id: ProposalId,
    /// What became of it; not `sent`.
    pub outcome: ProposalOutcome,
    /// Why the host did not take it.
    pub refusal: Option<String>,
}

/// Query of `GET /approvals`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalQuery {
    /// Of one session.
    pub session_id: Option<SessionId>,
    /// Of one host.
    pub agent_id: Option<AgentId>,
    /// In one state.
    pub state: Option<ApprovalState>,
    /// See [`crate::page::PageQuery`].
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 500)))]
    pub limit: Option<u32>,
    /// See [`crate::page::PageQuery`].
    pub next_token: Option<String>,
}
