//! Approvals: what a person is shown, and what became of it.

use serde::{Deserialize, Serialize};

use crate::id::{
    ApprovalId, ApprovalRuleId, PrincipalId, RuleId, SessionId, StepId, TaskId, ToolCallId, WorkspaceId,
};
use crate::policy::{Approver, CENTRAL_LAYER, Capability, Remember, SandboxLevel};
use crate::timestamp::Timestamp;

/// How much harm a call could do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RiskLevel {
    /// Reads, or changes that are undone by deleting a file in the workspace.
    Low,
    /// Changes inside the workspace.
    Medium,
    /// Runs programs whose effect is not known, or reaches outside.
    High,
    /// Destroys or publishes.
    Critical,
}

impl RiskLevel {
    /// The wire spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            RiskLevel::Low => "low",
            RiskLevel::Medium => "medium",
            RiskLevel::High => "high",
            RiskLevel::Critical => "critical",
        }
    }
}

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It did not exist.
    Created,
    /// Its content differs.
    Modified,
    /// It is gone.
    Deleted,
    /// It has another name.
    Moved,
}

/// The exact thing to be approved. Control, bidirectional and zero-width characters in every text are already
/// written visibly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ApprovalDetail {
    /// Programs to be run.
    Command(CommandDetail),
    /// A file to be changed.
    FileChange(FileChangeDetail),
    /// A request to be sent.
    Http(HttpDetail),
    /// Anything else, in words.
    Other(OtherDetail),
}

/// See [`ApprovalDetail::Command`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CommandDetail {
    /// The argument vectors that will run, in order; empty when the shell text could not be understood.
    pub argv: Vec<Vec<String>>,
    /// The shell text, when a shell will run it.
    pub shell: Option<String>,
    /// Why the shell text could not be understood.
    pub opaque_reason: Option<String>,
    /// Where it runs.
    pub cwd: String,
    /// What it reads on standard input.
    pub stdin: Option<String>,
    /// Variables added to the scrubbed environment, `NAME=value`.
    pub environment: Vec<String>,
    /// Whether it may use the network.
    pub network: bool,
}

/// See [`ApprovalDetail::FileChange`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FileChangeDetail {
    /// The file, relative to the workspace where it lies in it.
    pub path: String,
    /// The new name, for a move.
    pub new_path: Option<String>,
    /// What happens to it.
    pub change: ChangeKind,
    /// Unified diff of what will be written.
    pub diff: String,
    /// The diff was cut at [`crate::limits::MAX_DIFF_BYTES`].
    pub truncated: bool,
}

/// See [`ApprovalDetail::Http`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HttpDetail {
    /// The verb.
    pub method: String,
    /// The full address.
    pub url: String,
    /// Header names and values, `Name: value`.
    pub headers: Vec<String>,
    /// The body.
    pub body: Option<String>,
}

/// See [`ApprovalDetail::Other`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OtherDetail {
    /// What will happen.
    pub text: String,
}

/// A question to a person. Its id is derived from everything that will happen, so an answer fits one call only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalRequest {
    /// Content-bound id.
    pub approval_id: ApprovalId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The session.
    pub session_id: SessionId,
    /// The task.
    pub task_id: TaskId,
    /// The step.
    pub step_id: StepId,
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The tool.
    pub tool_name: String,
    /// The capability that asks.
    pub capability: Capability,
    /// One line: "Run this command?"
    pub title: String,
    /// One line: the command, the path, the address.
    pub action_summary: String,
    /// How much harm it could do.
    pub risk_level: RiskLevel,
    /// Why it is asked, in sentences.
    pub reasons: Vec<String>,
    /// The exact thing.
    pub detail: ApprovalDetail,
    /// How the child will be confined.
    pub sandbox_level: SandboxLevel,
    /// The policy layer that asks ("local", "central").
    pub layer: String,
    /// The rule that asks.
    pub approval_rule_id: Option<ApprovalRuleId>,
    /// Who may answer.
    pub approver: Approver,
    /// The longest memory an answer may ask for.
    pub max_remember: Remember,
    /// What "always" would cover, in words.
    pub remember_scope: String,
    /// Who started the task.
    pub initiator: PrincipalId,
    /// When it was asked.
    pub requested_at: Timestamp,
    /// Counts as denied after this instant.
    pub deadline: Timestamp,
    /// The policy epoch it was asked under.
    pub policy_epoch: u64,
}

impl ApprovalRequest {
    /// Whether only people of the central services answer it, signed in there: their own policy asks about a tool of theirs,
    /// and they take nobody else's word for the answer.
    pub fn is_answered_at_the_centre(&self) -> bool {
        self.layer == CENTRAL_LAYER && self.capability == Capability::BackendToolInvoke
    }
}

/// A person's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Go ahead.
    Approved,
    /// Do not.
    Denied,
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Nobody has answered.
    Pending,
    /// Approved.
    Approved,
    /// Denied.
    Denied,
    /// The deadline passed.
    Expired,
    /// The task ended first.
    Cancelled,
}

/// The answer that counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApprovalAnswer {
    /// The answer.
    pub decision: Decision,
    /// How long it is remembered.
    pub remember: Remember,
    /// Who gave it.
    pub decided_by: PrincipalId,
    /// When.
    pub decided_at: Timestamp,
    /// The person's own words.
    pub reason: Option<String>,
}

/// Proof that a client put the question before a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeliveryReceipt {
    /// Who saw it.
    pub principal: PrincipalId,
    /// When.
    pub shown_at: Timestamp,
}

/// A question and what became of it; durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRecord {
    /// The question.
    pub request: ApprovalRequest,
    /// What became of it.
    pub state: ApprovalState,
    /// The answer that counted; absent while pending and for expired or cancelled questions.
    pub answer: Option<ApprovalAnswer>,
    /// Who was shown it.
    #[serde(default)]
    pub receipts: Vec<DeliveryReceipt>,
}

/// A remembered answer. Matches exactly one fingerprint: tool and canonical arguments, working directory and
/// contents included; it can never widen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RememberedRule {
    /// The rule.
    pub rule_id: RuleId,
    /// How long it holds; never `once`.
    pub remember: Remember,
    /// The session it holds in (task and session rules).
    pub session_id: Option<SessionId>,
    /// The task it holds in (task rules).
    pub task_id: Option<TaskId>,
    /// Workspace it holds in.
    pub workspace_id: WorkspaceId,
    /// The tool.
    pub tool_name: String,
    /// Hex SHA-256 over what is remembered.
    pub fingerprint: String,
    /// The same in words.
    pub scope_text: String,
    /// Who gave the answer.
    pub created_by: PrincipalId,
    /// When.
    pub created_at: Timestamp,
}
