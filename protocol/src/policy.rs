//! The policy bundle (seed 004 §9, §10; fields of the Policy Service).
//!
//! Unknown members are refused everywhere: a restriction this build does not understand must not be skipped.

use serde::{Deserialize, Serialize};

use crate::id::{ApprovalRuleId, SessionId};
use crate::timestamp::Timestamp;

/// The layer of bundles that central services issued, wherever a layer is named.
pub const CENTRAL_LAYER: &str = "central";

macro_rules! capabilities {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// What an agent may be allowed to do (seed 004 §9).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum Capability { $($(#[doc = $doc])* #[serde(rename = $name)] $variant,)* }

        impl Capability {
            /// All twelve, in the seed's order.
            pub const ALL: &'static [Capability] = &[$(Capability::$variant,)*];

            /// What it means, for the reference.
            #[cfg(feature = "schema")]
            pub fn description(self) -> &'static str {
                match self { $(Capability::$variant => concat!($($doc),*),)* }
            }

            /// The wire spelling.
            pub fn as_str(self) -> &'static str {
                match self { $(Capability::$variant => $name,)* }
            }
        }
    };
}

capabilities! {
    /// Read file contents and list directories.
    FileRead = "File.Read",
    /// Create or modify files.
    FileWrite = "File.Write",
    /// Delete files.
    FileDelete = "File.Delete",
    /// Run programs.
    ShellExec = "Shell.Exec",
    /// Make HTTP requests.
    NetworkHttp = "Network.Http",
    /// Read a repository's status.
    GitStatus = "Git.Status",
    /// Read a repository's differences.
    GitDiff = "Git.Diff",
    /// Create commits.
    GitCommit = "Git.Commit",
    /// Push commits.
    GitPush = "Git.Push",
    /// Upload artifacts.
    WorkspaceUpload = "Workspace.Upload",
    /// Invoke MCP and remote-only tools.
    BackendToolInvoke = "BackendTool.Invoke",
    /// Call the model.
    LlmCall = "LLM.Call",
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One capability and its limits. An absent list is no limit of that kind; an *empty* list allows nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CapabilityGrant {
    /// The capability granted.
    pub name: Capability,
    /// Absolute directories or files under which paths must lie. For the `File.*` capabilities absence is
    /// treated like the empty list: files are never granted without naming where.
    pub allowed_paths: Option<Vec<String>>,
    /// Paths refused even under an allowed one.
    pub blocked_paths: Option<Vec<String>>,
    /// Argument-vector prefixes, words separated by single spaces: `cargo test` matches `cargo test -p x`.
    pub allowed_commands: Option<Vec<String>>,
    /// Argument-vector prefixes refused even if allowed.
    pub blocked_commands: Option<Vec<String>>,
    /// `example.com` (that name) or `*.example.com` (any name below it).
    pub allowed_domains: Option<Vec<String>>,
    /// Domains refused even if allowed.
    pub blocked_domains: Option<Vec<String>>,
    /// Directories in or below which commands may run.
    pub allowed_cwds: Option<Vec<String>>,
    /// Repositories git tools may touch.
    pub repo_paths: Option<Vec<String>>,
    /// Branches that may be committed to or pushed; a trailing `*` matches the rest.
    pub allowed_branches: Option<Vec<String>>,
    /// Remote names or URLs that may be pushed to.
    pub allowed_remotes: Option<Vec<String>>,
    /// Tools of MCP servers and the backend that may be invoked.
    pub allowed_tool_names: Option<Vec<String>>,
    /// Largest file read or written, bytes.
    pub max_file_size_bytes: Option<u64>,
    /// Largest output returned to the model, bytes.
    pub max_output_bytes: Option<u64>,
    /// Longest run of one call, seconds.
    pub max_execution_time_seconds: Option<u32>,
    /// Whether each call needs an approval.
    pub requires_approval: bool,
    /// The rule that says who may approve.
    pub approval_rule_id: Option<ApprovalRuleId>,
}

impl CapabilityGrant {
    /// A grant without limits and without approval, to be narrowed.
    pub fn unlimited(name: Capability) -> Self {
        Self {
            name,
            allowed_paths: None,
            blocked_paths: None,
            allowed_commands: None,
            blocked_commands: None,
            allowed_domains: None,
            blocked_domains: None,
            allowed_cwds: None,
            repo_paths: None,
            allowed_branches: None,
            allowed_remotes: None,
            allowed_tool_names: None,
            max_file_size_bytes: None,
            max_output_bytes: None,
            max_execution_time_seconds: None,
            requires_approval: false,
            approval_rule_id: None,
        }
    }
}

/// Who may answer an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Approver {
    /// Anyone with the `approve` scope.
    Any,
    /// Anyone with the `approve` scope but whoever started the task.
    NotInitiator,
    /// Only somebody at the machine itself.
    Local,
}

/// How long an answer is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Remember {
    /// For this one call.
    #[default]
    Once,
    /// For the same call in this task.
    Task,
    /// For the same call in this session.
    Session,
    /// For the same call on this host, until revoked. Needs `admin`.
    Always,
}

/// A rule referenced by grants that ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalRule {
    /// Referenced by [`CapabilityGrant::approval_rule_id`].
    pub approval_rule_id: ApprovalRuleId,
    /// Short title shown to the person.
    pub title: String,
    /// What to consider before answering.
    pub description: String,
    /// A person must answer: neither `approvalMode: never` nor a remembered answer is enough.
    pub must_ask: bool,
    /// Who may answer.
    pub approver: Approver,
    /// The longest memory an answer may ask for.
    pub max_remember: Remember,
}

/// Limits on model use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LlmPolicy {
    /// At least one; `*` allows any.
    pub allowed_models: Vec<String>,
    /// Most tokens of one request.
    pub max_input_tokens: u64,
    /// Most tokens of one answer.
    pub max_output_tokens: u64,
    /// Most tokens, in and out, of one session.
    pub max_session_tokens: u64,
}

/// An MCP server the host may start (used from a later protocol version on).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct McpServer {
    /// Name, prefix of its tools.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
}

/// Text replaced before anything leaves for the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedactionRule {
    /// Name shown where the rule acted.
    pub name: String,
    /// Regular expression (RE2 syntax, no back-references).
    pub pattern: String,
    /// What stands instead.
    pub replacement: String,
}

/// How strongly children are confined, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SandboxLevel {
    /// Not at all.
    #[default]
    None,
    /// Some of the mechanisms are missing; approvals are no boundary against the child.
    Partial,
    /// Files, sockets, signals and system calls are confined.
    Full,
}

impl SandboxLevel {
    /// The wire spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            SandboxLevel::None => "none",
            SandboxLevel::Partial => "partial",
            SandboxLevel::Full => "full",
        }
    }
}

/// What a session may do, issued at its start and checked before every model and tool call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyBundle {
    /// Version of the content, for people and audit.
    pub policy_bundle_version: String,
    /// Must equal [`crate::version::POLICY_SCHEMA_VERSION`].
    pub schema_version: String,
    /// The tenant; `local` without a backend.
    pub tenant_id: String,
    /// The user; the owner without a backend.
    pub user_id: String,
    /// The session it was issued for.
    pub session_id: SessionId,
    /// Not used past this instant.
    pub expires_at: Timestamp,
    /// What is granted. A capability not listed is denied.
    pub capabilities: Vec<CapabilityGrant>,
    /// Limits on model use.
    pub llm_policy: LlmPolicy,
    /// Rules referenced by the grants.
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
    /// Raised by each revocation; echoed in heartbeats, part of every approval's binding.
    #[serde(default)]
    pub policy_epoch: u64,
    /// How long the bundle may be used while its issuer is out of reach, seconds of boot time.
    #[serde(default)]
    pub offline_grace_seconds: u64,
}
