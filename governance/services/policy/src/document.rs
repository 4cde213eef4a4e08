//! What a tenant begins with: reading in the session's directories is free, everything that changes, runs, sends or
//! publishes asks.

use std::collections::BTreeMap;

use lanyard_governance_api::policy::{PolicyDocument, WORKSPACE_PLACEHOLDER};
use lanyard_governance_api::session::WhenAway;
use lanyard_policy::bundle::LocalDefault;
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::{ApprovalRuleId, IdError, SessionId};
use lanyard_protocol::policy::{
    ApprovalRule, Approver, Capability, CapabilityGrant, LlmPolicy, Remember, SandboxLevel,
};

/// A working day: a host that is switched off at night asks anew in the morning. Revocation does not wait for it.
const BUNDLE_SECONDS: u32 = 8 * 3_600;

/// Half of it: long enough for a train or an outage.
const OFFLINE_GRACE_SECONDS: u64 = 4 * 3_600;

/// Tokens of one session: some days of work with a large model.
const SESSION_TOKENS: u64 = 20_000_000;

/// Tokens of one request and of one answer; the windows of large models.
const INPUT_TOKENS: u64 = 1_000_000;
const OUTPUT_TOKENS: u64 = 128_000;

/// The document that a tenant without any begins with, as version 1.
///
/// # Errors
/// None in practice: the fixed names are checked against the grammar of ids.
pub fn first_document() -> Result<PolicyDocument, IdError> {
    Ok(PolicyDocument {
        capabilities: grants()?,
        llm_policy: LlmPolicy {
            allowed_models: vec!["*".to_owned()],
            max_input_tokens: INPUT_TOKENS,
            max_output_tokens: OUTPUT_TOKENS,
            max_session_tokens: SESSION_TOKENS,
        },
        approval_rules: rules()?,
        mcp_servers: Vec::new(),
        redaction_rules: redactions()?,
        required_sandbox_level: SandboxLevel::None,
        bundle_seconds: BUNDLE_SECONDS,
        offline_grace_seconds: OFFLINE_GRACE_SECONDS,
        when_away: WhenAway::Continue,
        timeline: true,
        min_host_version: None,
        required_tools: Vec::new(),
        feature_flags: BTreeMap::new(),
    })
}

fn grants() -> Result<Vec<CapabilityGrant>, IdError> {
    let workspace = || Some(vec![WORKSPACE_PLACEHOLDER.to_owned()]);
    let files = |name| CapabilityGrant { allowed_paths: workspace(), ..CapabilityGrant::unlimited(name) };
    let repos = |name| CapabilityGrant { repo_paths: workspace(), ..CapabilityGrant::unlimited(name) };
    let exec =
        CapabilityGrant { allowed_cwds: workspace(), ..CapabilityGrant::unlimited(Capability::ShellExec) };
    let asking = |grant: CapabilityGrant, rule: &str| {
        let approval_rule_id = Some(ApprovalRuleId::new(rule)?);
        Ok(CapabilityGrant { requires_approval: true, approval_rule_id, ..grant })
    };
    Ok(vec![
        files(Capability::FileRead),
        asking(files(Capability::FileWrite), "write")?,
        asking(files(Capability::FileDelete), "delete")?,
        asking(exec, "command")?,
        asking(CapabilityGrant::unlimited(Capability::NetworkHttp), "network")?,
        repos(Capability::GitStatus),
        repos(Capability::GitDiff),
        asking(repos(Capability::GitCommit), "commit")?,
        asking(repos(Capability::GitPush), "push")?,
        CapabilityGrant::unlimited(Capability::WorkspaceUpload),
        CapabilityGrant::unlimited(Capability::LlmCall),
    ])
}

fn rules() -> Result<Vec<ApprovalRule>, IdError> {
    // (id, title, what to consider, longest memory)
    let rules: [(&str, &str, &str, Remember); 6] = [
        ("write", "Change a file?", "Look at the diff.", Remember::Session),
        ("delete", "Delete a file?", "A copy is kept until the session is deleted.", Remember::Session),
        (
            "command",
            "Run a command?",
            "It runs confined to the workspace, with its owner's rights.",
            Remember::Session,
        ),
        ("network", "Send a request?", "What it sends leaves the machine.", Remember::Session),
        ("commit", "Commit?", "Hooks of the repository do not run.", Remember::Session),
        (
            "push",
            "Publish commits?",
            "What is pushed can be seen by others and may not be undone.",
            Remember::Task,
        ),
    ];
    let rule = |(id, title, description, max_remember): (&str, &str, &str, Remember)| {
        Ok(ApprovalRule {
            approval_rule_id: ApprovalRuleId::new(id)?,
            title: title.to_owned(),
            description: description.to_owned(),
            must_ask: false,
            approver: Approver::Any,
            max_remember,
        })
    };
    rules.into_iter().map(rule).collect()
}

/// The same as a machine without the centre has: credentials with a form of their own.
fn redactions() -> Result<Vec<lanyard_protocol::policy::RedactionRule>, IdError> {
    let machine = LocalDefault {
        roots: Vec::new(),
        policy_epoch: 0,
        required_sandbox_level: SandboxLevel::None,
        max_session_tokens: SESSION_TOKENS,
    };
    let bundle = machine.issue(SessionId::new("first")?, "none", "none", Timestamp::from_millis(0))?;
    Ok(bundle.redaction_rules)
}
