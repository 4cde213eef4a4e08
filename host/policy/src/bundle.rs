//! Reading and validating a policy bundle, and the bundle of a machine without a backend.
//!
//! A bundle that cannot be understood completely is refused as a whole: the part not understood may be the
//! restriction that matters.

use std::collections::BTreeSet;

use lanyard_protocol::{
    Timestamp,
    error::{ErrorCode, WireError},
    id::{ApprovalRuleId, SessionId},
    policy::{
        ApprovalRule, Approver, Capability, CapabilityGrant, LlmPolicy, PolicyBundle, RedactionRule,
        Remember, SandboxLevel,
    },
    version::POLICY_SCHEMA_VERSION,
};
use thiserror::Error;

use crate::{
    path::HostPath,
    redact::{RedactionFault, Redactor},
};

/// Largest bundle read; policies are lists of names, not data.
pub const MAX_BUNDLE_BYTES: usize = 1 << 20;

/// Most entries of one list; decisions scan lists.
const MAX_LIST: usize = 1_000;

/// How long the machine's own bundle holds before it is issued again (4-host.md: renewed every 24 h), milliseconds.
pub const LOCAL_BUNDLE_LIFE_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// Why a bundle is not used. The session does not start with it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BundleFault {
    #[error("no policy bundle was issued")]
    Missing,
    #[error("the policy bundle is larger than {MAX_BUNDLE_BYTES} bytes")]
    TooLarge,
    #[error("the policy bundle is not understood: {0}")]
    Syntax(String),
    #[error(
        "the policy bundle has schema version {found:?}, this host understands {POLICY_SCHEMA_VERSION:?}: update the host"
    )]
    SchemaVersion { found: String },
    #[error("the policy bundle was issued for session {found}, not for {expected}")]
    OtherSession { found: SessionId, expected: SessionId },
    #[error("the policy bundle ran out at {0}")]
    Expired(Timestamp),
    #[error("the policy bundle grants {capability} with an entry that is not understood: {fault}")]
    Grant { capability: Capability, fault: GrantFault },
    #[error("{capability} refers to the approval rule {rule}, which the bundle does not define")]
    UnknownRule { capability: Capability, rule: ApprovalRuleId },
    #[error("the approval rule {0} is defined twice")]
    DuplicateRule(ApprovalRuleId),
    #[error("the policy bundle allows no model: llmPolicy.allowedModels is empty")]
    NoModel,
    #[error("{0} has more than {MAX_LIST} entries")]
    ListTooLong(&'static str),
    #[error(transparent)]
    Redaction(#[from] RedactionFault),
}

impl BundleFault {
    /// The fault as a peer is told.
    pub fn to_wire(&self) -> WireError {
        let code = match self {
            Self::Expired(_) => ErrorCode::PolicyExpired,
            _ => ErrorCode::PolicyBundleInvalid,
        };
        WireError::new(code, self.to_string())
    }
}

/// An entry of a grant's list that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{entry:?} in {list}: {why}")]
pub struct GrantFault {
    /// The list.
    pub list: &'static str,
    /// The entry.
    pub entry: String,
    /// What is wrong with it.
    pub why: String,
}

/// Reads a bundle from JSON. Never panics, whatever the input.
///
/// # Errors
/// [`BundleFault::TooLarge`] and [`BundleFault::Syntax`]; unknown members are a syntax fault.
pub fn parse(text: &str) -> Result<PolicyBundle, BundleFault> {
    if text.len() > MAX_BUNDLE_BYTES {
        return Err(BundleFault::TooLarge);
    }
    serde_json::from_str(text).map_err(|why| BundleFault::Syntax(why.to_string()))
}

/// What seed 004 §10 demands before a session starts, and that every part of the bundle is understood. The lists of
/// the grants are checked when they are compiled ([`crate::layer::Layers::validate`]).
pub(crate) fn validate(
    bundle: &PolicyBundle,
    session: &SessionId,
    now: Timestamp,
) -> Result<(), BundleFault> {
    if bundle.schema_version != POLICY_SCHEMA_VERSION {
        return Err(BundleFault::SchemaVersion { found: bundle.schema_version.clone() });
    }
    if bundle.session_id != *session {
        return Err(BundleFault::OtherSession {
            found: bundle.session_id.clone(),
            expected: session.clone(),
        });
    }
    if bundle.expires_at <= now {
        return Err(BundleFault::Expired(bundle.expires_at));
    }
    if bundle.llm_policy.allowed_models.is_empty() {
        return Err(BundleFault::NoModel);
    }
    sizes(bundle)?;
    let mut rules = BTreeSet::new();
    for rule in &bundle.approval_rules {
        if !rules.insert(&rule.approval_rule_id) {
            return Err(BundleFault::DuplicateRule(rule.approval_rule_id.clone()));
        }
    }
    for grant in &bundle.capabilities {
        if let Some(rule) = grant.approval_rule_id.as_ref().filter(|rule| !rules.contains(rule)) {
            return Err(BundleFault::UnknownRule { capability: grant.name, rule: rule.clone() });
        }
    }
    Redactor::compile(&bundle.redaction_rules)?;
    Ok(())
}

fn sizes(bundle: &PolicyBundle) -> Result<(), BundleFault> {
    let fits =
        |name, length: usize| if length > MAX_LIST { Err(BundleFault::ListTooLong(name)) } else { Ok(()) };
    fits("capabilities", bundle.capabilities.len())?;
    fits("approvalRules", bundle.approval_rules.len())?;
    fits("redactionRules", bundle.redaction_rules.len())?;
    for grant in &bundle.capabilities {
        let lists = [
            ("allowedPaths", &grant.allowed_paths),
            ("blockedPaths", &grant.blocked_paths),
            ("allowedCommands", &grant.allowed_commands),
            ("blockedCommands", &grant.blocked_commands),
            ("allowedDomains", &grant.allowed_domains),
            ("blockedDomains", &grant.blocked_domains),
            ("allowedCwds", &grant.allowed_cwds),
            ("repoPaths", &grant.repo_paths),
            ("allowedBranches", &grant.allowed_branches),
            ("allowedRemotes", &grant.allowed_remotes),
            ("allowedToolNames", &grant.allowed_tool_names),
        ];
        for (name, list) in lists {
            fits(name, list.as_ref().map_or(0, Vec::len))?;
        }
    }
    Ok(())
}

/// The bundle of a machine without a backend: inside the workspace directories reading is free, everything that
/// changes, runs, sends or publishes asks.
#[derive(Clone, Debug)]
pub struct LocalDefault {
    /// Workspace directories chosen by the owner.
    pub roots: Vec<HostPath>,
    /// Raised whenever the owner changes the machine's policy.
    pub policy_epoch: u64,
    /// Children are denied below this level.
    pub required_sandbox_level: SandboxLevel,
    /// Most tokens of one session.
    pub max_session_tokens: u64,
}

impl LocalDefault {
    /// Issues the bundle for a session; it holds for [`LOCAL_BUNDLE_LIFE_MILLIS`].
    ///
    /// # Errors
    /// None in practice; the fixed rule names are checked against the id grammar.
    pub fn issue(
        &self,
        session: SessionId,
        tenant: &str,
        user: &str,
        now: Timestamp,
    ) -> Result<PolicyBundle, lanyard_protocol::id::IdError> {
        let rules = local_rules()?;
        Ok(PolicyBundle {
            policy_bundle_version: format!("local-{}", self.policy_epoch),
            schema_version: POLICY_SCHEMA_VERSION.to_owned(),
            tenant_id: tenant.to_owned(),
            user_id: user.to_owned(),
            session_id: session,
            expires_at: now.plus_millis(LOCAL_BUNDLE_LIFE_MILLIS),
            capabilities: self.grants()?,
            llm_policy: LlmPolicy {
                allowed_models: vec![String::from("*")],
                max_input_tokens: self.max_session_tokens,
                max_output_tokens: self.max_session_tokens,
                max_session_tokens: self.max_session_tokens,
            },
            approval_rules: rules,
            mcp_servers: Vec::new(),
            redaction_rules: default_redactions(),
            required_sandbox_level: self.required_sandbox_level,
            policy_epoch: self.policy_epoch,
            offline_grace_seconds: 0,
        })
    }

    fn grants(&self) -> Result<Vec<CapabilityGrant>, lanyard_protocol::id::IdError> {
        let roots = || Some(self.roots.iter().map(|root| root.as_str().to_owned()).collect::<Vec<_>>());
        let files = |name| CapabilityGrant { allowed_paths: roots(), ..CapabilityGrant::unlimited(name) };
        let repos = |name| CapabilityGrant { repo_paths: roots(), ..CapabilityGrant::unlimited(name) };
        let asking = |grant: CapabilityGrant, rule: &str| {
            let approval_rule_id = Some(ApprovalRuleId::new(rule)?);
            Ok(CapabilityGrant { requires_approval: true, approval_rule_id, ..grant })
        };
        let exec =
            CapabilityGrant { allowed_cwds: roots(), ..CapabilityGrant::unlimited(Capability::ShellExec) };
        Ok(vec![
            files(Capability::FileRead),
            asking(files(Capability::FileWrite), "local.write")?,
            asking(files(Capability::FileDelete), "local.delete")?,
            asking(exec, "local.command")?,
            asking(CapabilityGrant::unlimited(Capability::NetworkHttp), "local.network")?,
            repos(Capability::GitStatus),
            repos(Capability::GitDiff),
            asking(repos(Capability::GitCommit), "local.commit")?,
            asking(repos(Capability::GitPush), "local.push")?,
            CapabilityGrant::unlimited(Capability::LlmCall),
        ])
    }
}

/// Adds to a machine's own bundle what it says of tools behind the central services: these names, or whatever those offer,
/// each call asked about.
///
/// # Errors
/// None in practice; the fixed rule name is checked against the id grammar.
pub fn grant_tools(
    bundle: &mut PolicyBundle,
    names: Option<Vec<String>>,
) -> Result<(), lanyard_protocol::id::IdError> {
    let rule = ApprovalRuleId::new("local.tool")?;
    bundle.approval_rules.push(ApprovalRule {
        approval_rule_id: rule.clone(),
        title: "Use a tool of the team?".to_owned(),
        description: "What it is given leaves this machine, and what it does there is not seen here."
            .to_owned(),
        must_ask: false,
        approver: Approver::Any,
        max_remember: Remember::Always,
    });
    bundle.capabilities.push(CapabilityGrant {
        allowed_tool_names: names,
        requires_approval: true,
        approval_rule_id: Some(rule),
        ..CapabilityGrant::unlimited(Capability::BackendToolInvoke)
    });
    Ok(())
}

fn local_rules() -> Result<Vec<ApprovalRule>, lanyard_protocol::id::IdError> {
    // (id, title, what to consider, longest memory)
    let rules: [(&str, &str, &str, Remember); 6] = [
        ("local.write", "Change a file?", "Look at the diff.", Remember::Session),
        ("local.delete", "Delete a file?", "A copy is kept until the session is deleted.", Remember::Session),
        (
            "local.command",
            "Run a command?",
            "It runs confined to the workspace, with your rights.",
            Remember::Always,
        ),
        ("local.network", "Send a request?", "What it sends leaves this machine.", Remember::Always),
        ("local.commit", "Commit?", "Hooks of the repository do not run.", Remember::Session),
        (
            "local.push",
            "Publish commits?",
            "What is pushed can be seen by others and may not be undone.",
            Remember::Task,
        ),
    ];
    rules
        .into_iter()
        .map(|(id, title, description, max_remember)| {
            Ok(ApprovalRule {
                approval_rule_id: ApprovalRuleId::new(id)?,
                title: title.to_owned(),
                description: description.to_owned(),
                must_ask: false,
                approver: Approver::Any,
                max_remember,
            })
        })
        .collect()
}

/// Credentials with a form of their own, which never belong in a prompt, nor anywhere else off this machine.
pub fn default_redactions() -> Vec<RedactionRule> {
    let rule = |name: &str, pattern: &str| RedactionRule {
        name: name.to_owned(),
        pattern: pattern.to_owned(),
        replacement: format!("[{name} removed]"),
    };
    vec![
        rule(
            "private key",
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----[A-Za-z0-9+/=\s:,-]*?-----END [A-Z ]*PRIVATE KEY-----",
        ),
        rule("AWS key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
        rule("GitHub token", r"\b(?:gh[opsur]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})\b"),
        rule("GitLab token", r"\bglpat-[A-Za-z0-9_-]{20,}"),
        rule("Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
        rule("API key", r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}"),
        rule("Google key", r"\bAIza[0-9A-Za-z_-]{35}"),
    ]
}

#[cfg(test)]
mod tests;
