//! Policy Service: versions, the one in force, its epoch, dry runs (seed 004 §9, §10).

use std::collections::BTreeMap;

use lanyard_protocol::Timestamp;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::overview::Standing;
use lanyard_protocol::policy::{
    ApprovalRule, Capability, CapabilityGrant, LlmPolicy, McpServer, RedactionRule, SandboxLevel,
};
use serde::{Deserialize, Serialize};

use crate::id::{AgentId, UserId};
use crate::session::WhenAway;

/// Stands for the session's own directories in the paths of a document; `${workspace}/src` is below each of them.
pub const WORKSPACE_PLACEHOLDER: &str = "${workspace}";

/// What an administrator writes: a bundle without what is filled in when it is issued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyDocument {
    /// What is granted; a capability not listed is denied. Paths may begin with [`WORKSPACE_PLACEHOLDER`].
    pub capabilities: Vec<CapabilityGrant>,
    /// Limits on model use.
    pub llm_policy: LlmPolicy,
    /// Rules referenced by the grants.
    #[serde(default)]
    pub approval_rules: Vec<ApprovalRule>,
    /// MCP servers that may be started.
    #[serde(default)]
    pub mcp_servers: Vec<McpServer>,
    /// Text replaced before anything leaves for the gateway.
    #[serde(default)]
    pub redaction_rules: Vec<RedactionRule>,
    /// Calls that start children are denied below this level.
    #[serde(default)]
    pub required_sandbox_level: SandboxLevel,
    /// Lifetime of an issued bundle, in seconds, 60–86,400.
    #[cfg_attr(feature = "schema", schemars(range(min = 60, max = 86_400)))]
    pub bundle_seconds: u32,
    /// How long a bundle may be used while the centre is out of reach, in seconds of boot time.
    pub offline_grace_seconds: u64,
    /// What hosts do while the centre is away.
    #[serde(default)]
    pub when_away: WhenAway,
    /// Hosts send the live timeline (prompts, answers, tool outputs), not only the history after each task.
    pub timeline: bool,
    /// Least host version that may run sessions, like `0.1.0`.
    pub min_host_version: Option<String>,
    /// Tools a host must have.
    #[serde(default)]
    pub required_tools: Vec<String>,
    /// Switches handed to hosts.
    #[serde(default)]
    pub feature_flags: BTreeMap<String, bool>,
}

/// Body of `POST /policies`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewPolicy {
    /// The content.
    pub document: PolicyDocument,
    /// Why it changed.
    pub comment: String,
    /// Puts it in force at once.
    pub activate: bool,
    /// The version the editor began from; another one in force since then is a conflict.
    pub based_on: Option<u64>,
}

/// One version. Versions are never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicyVersion {
    /// Number, from 1 without gaps per tenant.
    pub version: u64,
    /// The content.
    pub document: PolicyDocument,
    /// Why it changed.
    pub comment: String,
    /// Who wrote it; absent for the one a tenant begins with.
    pub created_by: Option<UserId>,
    /// When.
    pub created_at: Timestamp,
}

/// The same without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicyVersionSummary {
    /// Number.
    pub version: u64,
    /// Why it changed.
    pub comment: String,
    /// Who wrote it.
    pub created_by: Option<UserId>,
    /// When.
    pub created_at: Timestamp,
    /// It is in force.
    pub active: bool,
}

/// Answer of `GET /policies/current`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicyState {
    /// Raised by each change of what is in force; echoed by hosts.
    pub epoch: u64,
    /// The version in force; absent while revoked.
    pub active: Option<PolicyVersion>,
    /// Nothing is in force, and why.
    pub revoked: Option<Revocation>,
    /// When the epoch was last raised.
    pub changed_at: Timestamp,
    /// How far hosts have heard of it.
    pub rollout: Rollout,
}

/// Why nothing is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// Who.
    pub by: Option<UserId>,
    /// Why; told to everybody who works under it.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// How far hosts have heard of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Hosts that are online.
    pub online: u64,
    /// Of these, hosts that have confirmed it.
    pub confirmed: u64,
    /// Some of those that have not.
    pub waiting: Vec<AgentId>,
}

/// Body of `POST /policies/revoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevokeRequest {
    /// Why; told to everybody who works under it.
    pub reason: String,
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PolicyProblem {
    /// JSON pointer into the document, like `/capabilities/3/allowedPaths/0`; empty for the whole.
    pub pointer: String,
    /// The problem and the way out.
    pub message: String,
    /// It must be mended before the document can be put in force; else it is advice.
    pub fatal: bool,
}

/// Body of `POST /policies/validate`: any JSON, so that what does not parse is told in words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValidateRequest {
    /// The document as it stands in the editor.
    pub document: lanyard_protocol::Json,
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// Empty: it can be put in force as it is.
    pub problems: Vec<PolicyProblem>,
}

/// Body of `POST /policies/dry-run`: "what would this get?"
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DryRun {
    /// A document that is not saved yet; absent: the version named, else the one in force.
    pub document: Option<PolicyDocument>,
    /// A saved version.
    pub version: Option<u64>,
    /// Directories the imagined session is about; absolute.
    pub workspace: Vec<String>,
    /// What is asked.
    pub action: DryAction,
    /// How the imagined host confines programs.
    #[serde(default)]
    pub sandbox_level: SandboxLevel,
}

/// What a dry run asks about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DryAction {
    /// A shell line, and where it runs; without it in the first workspace directory.
    Command {
        /// As a person would type it.
        line: String,
        /// Absolute.
        cwd: Option<String>,
    },
    /// A file.
    Path {
        /// `File.Read`, `File.Write` or `File.Delete`.
        capability: Capability,
        /// Absolute.
        path: String,
    },
    /// An HTTP request.
    Url {
        /// `GET`, `POST`, …
        method: String,
        /// The URL.
        url: String,
    },
    /// A tool of an MCP server or of the backend.
    Tool {
        /// Its name.
        name: String,
    },
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DryVerdict {
    /// Free, asks or never. The machine's own policy may be stricter.
    pub standing: Standing,
    /// Why, in sentences.
    pub reasons: Vec<String>,
    /// The capabilities it needs.
    pub needs: Vec<Capability>,
    /// The rule by which a person would be asked.
    pub rule: Option<ApprovalRule>,
}

/// Query of the internal `GET /policy-bundles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundleQuery {
    /// The session it is for.
    pub session_id: SessionId,
    /// Its user.
    pub user_id: UserId,
    /// Its directories, as a JSON array of absolute paths.
    pub local_paths: String,
}

/// Answer to it: the bundle and what goes with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct IssuedPolicy {
    /// The bundle.
    pub bundle: lanyard_protocol::policy::PolicyBundle,
    /// What hosts do while the centre is away.
    pub when_away: WhenAway,
    /// Hosts send the live timeline.
    pub timeline: bool,
    /// Least host version.
    pub min_host_version: Option<String>,
    /// Tools a host must have.
    pub required_tools: Vec<String>,
    /// Switches handed to hosts.
    pub feature_flags: BTreeMap<String, bool>,
}
