//! Grants: their rules, their lists, and whether a list means anything for its capability.

use std::collections::BTreeSet;

use lanyard_governance_api::policy::{PolicyDocument, WORKSPACE_PLACEHOLDER};
use lanyard_policy::bundle::BundleFault;
use lanyard_policy::gitname::{check_name, check_remote_url};
use lanyard_policy::layer::Layers;
use lanyard_policy::path::HostPath;
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::policy::{Capability, CapabilityGrant, LlmPolicy, PolicyBundle, SandboxLevel};
use lanyard_protocol::version::POLICY_SCHEMA_VERSION;

use super::Problems;
use super::meaning::LAYER;
use crate::issue::MAX_BELOW_BYTES;

/// Entries of one list, and grants and rules of a document; hosts take as many.
const MAX_ENTRIES: usize = 1_000;

/// What the entries of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entries {
    /// Read by the hosts' own code: commands and domains.
    Read,
    /// The same, and may begin with the placeholder.
    Paths,
    Branches,
    Remotes,
    Names,
}

/// One of a grant's lists.
struct List {
    name: &'static str,
    entries: Entries,
    get: fn(&CapabilityGrant) -> Option<&Vec<String>>,
    /// A grant with nothing but one entry of this list, to be read.
    only: fn(&mut CapabilityGrant, String),
    /// Where it counts.
    counts: fn(Capability) -> bool,
}

macro_rules! list {
    ($name:literal, $field:ident, $entries:ident, $counts:expr) => {
        List {
            name: $name,
            entries: Entries::$entries,
            get: |grant| grant.$field.as_ref(),
            only: |grant, entry| grant.$field = Some(vec![entry]),
            counts: $counts,
        }
    };
}

const LISTS: &[List] = &[
    list!("allowedPaths", allowed_paths, Paths, |c| is_file(c) || is_git(c) || c == Capability::ShellExec),
    list!("blockedPaths", blocked_paths, Paths, |c| is_file(c) || is_git(c) || c == Capability::ShellExec),
    list!("allowedCommands", allowed_commands, Read, |c| c == Capability::ShellExec),
    list!("blockedCommands", blocked_commands, Read, |c| c == Capability::ShellExec),
    list!("allowedDomains", allowed_domains, Read, |c| c == Capability::NetworkHttp),
    list!("blockedDomains", blocked_domains, Read, |c| c == Capability::NetworkHttp),
    list!("allowedCwds", allowed_cwds, Paths, |c| c == Capability::ShellExec),
    list!("repoPaths", repo_paths, Paths, is_git),
    list!("allowedBranches", allowed_branches, Branches, |c| {
        matches!(c, Capability::GitCommit | Capability::GitPush)
    }),
    list!("allowedRemotes", allowed_remotes, Remotes, |c| c == Capability::GitPush),
    list!("allowedToolNames", allowed_tool_names, Names, |c| c == Capability::BackendToolInvoke),
];

fn is_file(capability: Capability) -> bool {
    matches!(capability, Capability::FileRead | Capability::FileWrite | Capability::FileDelete)
}

fn is_git(capability: Capability) -> bool {
    use Capability::{GitCommit, GitDiff, GitPush, GitStatus};
    matches!(capability, GitStatus | GitDiff | GitCommit | GitPush)
}

/// Refuses lists that hosts refuse for their length, before anybody looks at what is in them: each entry costs something to
/// look at, and becomes as many as a session has directories.
pub(super) fn lengths(document: &PolicyDocument, problems: &mut Problems) {
    let mut fits = |at: String, entries: usize| {
        if entries > MAX_ENTRIES {
            problems.fatal(at, format!("There are {entries} entries, and hosts take at most {MAX_ENTRIES}."));
        }
    };
    fits("/capabilities".to_owned(), document.capabilities.len());
    fits("/approvalRules".to_owned(), document.approval_rules.len());
    fits("/redactionRules".to_owned(), document.redaction_rules.len());
    for (index, grant) in document.capabilities.iter().enumerate() {
        for list in LISTS {
            let entries = (list.get)(grant).map_or(0, Vec::len);
            fits(format!("/capabilities/{index}/{}", list.name), entries);
        }
    }
}

/// Every grant of a document.
pub(super) fn check(document: &PolicyDocument, problems: &mut Problems) {
    let rules: BTreeSet<_> = document.approval_rules.iter().map(|rule| &rule.approval_rule_id).collect();
    for (index, grant) in document.capabilities.iter().enumerate() {
        let at = format!("/capabilities/{index}");
        if let Some(rule) = grant.approval_rule_id.as_ref().filter(|rule| !rules.contains(rule)) {
            let text = format!("There is no approval rule {rule}; define it in approvalRules.");
            problems.fatal(format!("{at}/approvalRuleId"), text);
        }
        asking(document, grant, &at, problems);
        for list in LISTS {
            entries(grant, list, &at, problems);
        }
        sizes(grant, &at, problems);
    }
    commands_and_network(document, problems);
}

fn asking(document: &PolicyDocument, grant: &CapabilityGrant, at: &str, problems: &mut Problems) {
    if grant.name == Capability::WorkspaceUpload && grant.requires_approval {
        let text =
            "Nobody is asked about uploads, which hosts make by themselves: they take this as not granted.";
        problems.advice(format!("{at}/requiresApproval"), text);
    }
    match (&grant.approval_rule_id, grant.requires_approval) {
        (None, true) => {
            let text =
                "It asks without a rule: anyone who may approve may answer, for the session at the longest.";
            problems.advice(format!("{at}/approvalRuleId"), text);
        }
        (Some(id), false) => {
            let must =
                document.approval_rules.iter().any(|rule| rule.approval_rule_id == *id && rule.must_ask);
            let at = format!("{at}/requiresApproval");
            if must {
                problems.fatal(
                    at,
                    format!("The rule {id} must ask, and a grant that does not ask never comes to it."),
                );
            } else {
                problems.advice(at, format!("Nobody is asked: the rule {id} has no effect."));
            }
        }
        (None, false) | (Some(_), true) => {}
    }
}

fn entries(grant: &CapabilityGrant, list: &List, at: &str, problems: &mut Problems) {
    let at = format!("{at}/{}", list.name);
    let Some(entries) = (list.get)(grant) else {
        if list.name == "allowedPaths" && is_file(grant.name) {
            let text = "Files are never granted without saying where: left out, it allows nothing.";
            problems.advice(at, text);
        }
        return;
    };
    if !(list.counts)(grant.name) {
        problems.advice(at.clone(), format!("{} has no effect on {}.", list.name, grant.name));
    } else if entries.is_empty() && !list.name.starts_with("blocked") {
        problems.advice(at.clone(), "An empty list allows nothing; leave it out for no limit of this kind.");
    }
    for (index, entry) in entries.iter().enumerate() {
        let at = format!("{at}/{index}");
        if list.entries != Entries::Paths && entry.contains(WORKSPACE_PLACEHOLDER) {
            problems.fatal(at, format!("{WORKSPACE_PLACEHOLDER} stands at the beginning of paths only."));
            continue;
        }
        match list.entries {
            Entries::Paths => path(grant.name, list, entry, at, problems),
            Entries::Read => {
                if let Some(why) = unread(grant.name, list, entry) {
                    problems.fatal(at, why);
                }
            }
            Entries::Branches => branch(entry, at, problems),
            Entries::Remotes => remote(entry, at, problems),
            Entries::Names => {
                if entry.trim().is_empty() || entry.contains('*') {
                    problems.advice(at, "A tool's whole name is written; there are no patterns.");
                }
            }
        }
    }
}

/// An absolute path, or one below the session's directories.
fn path(capability: Capability, list: &List, entry: &str, at: String, problems: &mut Problems) {
    let Some(below) = entry.strip_prefix(WORKSPACE_PLACEHOLDER) else {
        if entry.contains(WORKSPACE_PLACEHOLDER) {
            return problems.fatal(at, format!("{WORKSPACE_PLACEHOLDER} may only stand at the beginning."));
        }
        if let Some(why) = unread(capability, list, entry) {
            problems.fatal(
                at,
                format!("{why} Write an absolute path, or {WORKSPACE_PLACEHOLDER} and what is below it."),
            );
        }
        return;
    };
    if !below.is_empty() && !below.starts_with('/') {
        return problems.fatal(at, format!("After {WORKSPACE_PLACEHOLDER} comes `/` or nothing."));
    }
    if below.contains(WORKSPACE_PLACEHOLDER) {
        return problems.fatal(at, format!("{WORKSPACE_PLACEHOLDER} may only stand at the beginning."));
    }
    if below.len() > MAX_BELOW_BYTES {
        let text = format!("What follows {WORKSPACE_PLACEHOLDER} is longer than {MAX_BELOW_BYTES} bytes.");
        return problems.fatal(at, text);
    }
    if below.split('/').any(|name| name == "..") {
        return problems
            .fatal(at, "`..` would lead out of the session's directories: write the path itself.");
    }
    if let Err(fault) = HostPath::parse(&format!("/w{below}")) {
        problems.fatal(at, format!("{fault}."));
    }
}

/// Why hosts do not understand an entry, by their own code: a policy of nothing else is validated.
fn unread(capability: Capability, list: &List, entry: &str) -> Option<String> {
    let mut grant = CapabilityGrant::unlimited(capability);
    (list.only)(&mut grant, entry.to_owned());
    let session = SessionId::new("imagined").ok()?;
    let (now, one) = (Timestamp::from_millis(0), 1);
    let bundle = PolicyBundle {
        policy_bundle_version: String::new(),
        schema_version: POLICY_SCHEMA_VERSION.to_owned(),
        tenant_id: String::new(),
        user_id: String::new(),
        session_id: session.clone(),
        expires_at: now.plus_millis(1),
        capabilities: vec![grant],
        llm_policy: LlmPolicy {
            allowed_models: vec!["*".to_owned()],
            max_input_tokens: one,
            max_output_tokens: one,
            max_session_tokens: one,
        },
        approval_rules: Vec::new(),
        mcp_servers: Vec::new(),
        redaction_rules: Vec::new(),
        required_sandbox_level: SandboxLevel::None,
        policy_epoch: 1,
        offline_grace_seconds: 0,
    };
    match Layers::validate(vec![(LAYER, bundle)], &session, now) {
        Ok(_) => None,
        Err(BundleFault::Grant { fault, .. }) => Some(format!("{:?}: {}.", fault.entry, fault.why)),
        Err(other) => Some(format!("{other}.")),
    }
}

/// `main`, or `release/*`; only a trailing `*` stands for more.
fn branch(entry: &str, at: String, problems: &mut Problems) {
    let name = entry.strip_suffix('*').unwrap_or(entry);
    if name.contains('*') {
        return problems.advice(at, "Only a `*` at the end stands for the rest; this matches no branch.");
    }
    let name = name.trim_end_matches('/');
    if !name.is_empty()
        && let Err(fault) = check_name(name)
    {
        problems.fatal(at, format!("{fault}."));
    } else if entry.is_empty() {
        problems.fatal(at, "The name of a branch is empty.");
    }
}

/// The name of a remote, or its address as written in the repository.
fn remote(entry: &str, at: String, problems: &mut Problems) {
    if check_name(entry).is_err() && check_remote_url(entry).is_err() {
        problems.fatal(at, "This is neither the name of a remote nor an address that hosts push to.");
    }
}

fn sizes(grant: &CapabilityGrant, at: &str, problems: &mut Problems) {
    let zero = [
        ("maxFileSizeBytes", grant.max_file_size_bytes == Some(0)),
        ("maxOutputBytes", grant.max_output_bytes == Some(0)),
        ("maxExecutionTimeSeconds", grant.max_execution_time_seconds == Some(0)),
    ];
    for (name, _) in zero.iter().filter(|(_, zero)| *zero) {
        problems.advice(format!("{at}/{name}"), "Zero lets nothing through; leave it out for no limit.");
    }
}

/// A program cannot be held to domains.
fn commands_and_network(document: &PolicyDocument, problems: &mut Problems) {
    let of = |name| document.capabilities.iter().enumerate().filter(move |(_, grant)| grant.name == name);
    if of(Capability::ShellExec).next().is_none() {
        return;
    }
    for (index, grant) in of(Capability::NetworkHttp) {
        if grant.allowed_domains.is_some() || grant.blocked_domains.as_ref().is_some_and(|b| !b.is_empty()) {
            let text =
                "Commands get no network under this policy: a program cannot be held to certain domains.";
            problems.advice(format!("/capabilities/{index}"), text);
        }
    }
}
