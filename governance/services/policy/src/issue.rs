//! From a document to the bundle of one session.

use std::collections::HashSet;

use lanyard_governance_api::endpoint::IssueBundle;
use lanyard_governance_api::policy::{BundleQuery, IssuedPolicy, PolicyDocument, WORKSPACE_PLACEHOLDER};
use lanyard_governance_foundation::{Ask, Fault};
use lanyard_policy::path::{HostPath, PathFault};
use lanyard_protocol::id::SessionId;
use lanyard_protocol::policy::{CapabilityGrant, PolicyBundle};
use lanyard_protocol::version::POLICY_SCHEMA_VERSION;
use lanyard_protocol::{ErrorCode, Timestamp};

use crate::State;
use crate::store;

/// Directories of one session; hosts take as many.
pub(crate) const MAX_DIRECTORIES: usize = 16;

/// Longest directory of a session, in bytes. With [`MAX_BELOW_BYTES`] it stays within the longest path there is.
const MAX_DIRECTORY_BYTES: usize = 3_000;

/// Longest text after the placeholder, in bytes.
pub(crate) const MAX_BELOW_BYTES: usize = 1_000;

/// For whom a bundle is issued.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'c> {
    pub(crate) tenant: &'c str,
    pub(crate) user: &'c str,
    pub(crate) session: &'c SessionId,
    pub(crate) directories: &'c [HostPath],
}

/// What it is issued from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'s> {
    pub(crate) document: &'s PolicyDocument,
    pub(crate) version: u64,
    pub(crate) epoch: u64,
}

/// A path of the document that means nothing in the session's directories.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy's path {path:?} cannot be used: {fault}")]
pub(crate) struct PathProblem {
    pub(crate) path: String,
    pub(crate) fault: PathFault,
}

/// Fills a document in for a session.
pub(crate) fn issue(
    source: Source<'_>,
    claim: Claim<'_>,
    now: Timestamp,
) -> Result<PolicyBundle, PathProblem> {
    let Source { document, version, epoch } = source;
    let grant = |grant: &CapabilityGrant| {
        Ok(CapabilityGrant {
            allowed_paths: expand(grant.allowed_paths.as_ref(), claim.directories)?,
            blocked_paths: expand(grant.blocked_paths.as_ref(), claim.directories)?,
            allowed_cwds: expand(grant.allowed_cwds.as_ref(), claim.directories)?,
            repo_paths: expand(grant.repo_paths.as_ref(), claim.directories)?,
            ..grant.clone()
        })
    };
    Ok(PolicyBundle {
        policy_bundle_version: format!("v{version}@epoch{epoch}"),
        schema_version: POLICY_SCHEMA_VERSION.to_owned(),
        tenant_id: claim.tenant.to_owned(),
        user_id: claim.user.to_owned(),
        session_id: claim.session.clone(),
        expires_at: now.plus_millis(i64::from(document.bundle_seconds) * 1_000),
        capabilities: document.capabilities.iter().map(grant).collect::<Result<_, _>>()?,
        llm_policy: document.llm_policy.clone(),
        approval_rules: document.approval_rules.clone(),
        mcp_servers: document.mcp_servers.clone(),
        redaction_rules: document.redaction_rules.clone(),
        required_sandbox_level: document.required_sandbox_level,
        policy_epoch: epoch,
        offline_grace_seconds: document.offline_grace_seconds,
    })
}

/// Puts the session's directories in place of the placeholder. Without directories such an entry falls away; a list of
/// nothing else is then empty and allows nothing.
fn expand(list: Option<&Vec<String>>, directories: &[HostPath]) -> Result<Option<Vec<String>>, PathProblem> {
    let Some(list) = list else { return Ok(None) };
    let mut expanded: Vec<String> = Vec::with_capacity(list.len());
    let mut known: HashSet<String> = HashSet::new();
    for entry in list {
        let Some(below) = entry.strip_prefix(WORKSPACE_PLACEHOLDER) else {
            known.insert(entry.clone());
            expanded.push(entry.clone());
            continue;
        };
        for directory in directories {
            let path = format!("{}{below}", directory.as_str().trim_end_matches('/'));
            let path = if path.is_empty() { "/" } else { path.as_str() };
            let path = HostPath::parse(path).map_err(|fault| PathProblem { path: path.to_owned(), fault })?;
            if known.insert(path.as_str().to_owned()) {
                expanded.push(path.as_str().to_owned());
            }
        }
    }
    Ok(Some(expanded))
}

/// The directories of a session, as sent.
pub(crate) fn directories(texts: &[String]) -> Result<Vec<HostPath>, Fault> {
    if texts.len() > MAX_DIRECTORIES {
        return Err(Fault::invalid(format!("a session has at most {MAX_DIRECTORIES} directories")));
    }
    let parse = |text: &String| {
        if text.len() > MAX_DIRECTORY_BYTES {
            let text = format!("a directory of the session is longer than {MAX_DIRECTORY_BYTES} bytes");
            return Err(Fault::invalid(text));
        }
        HostPath::parse(text).map_err(|fault| {
            Fault::invalid(format!("the session's directory {text:?} cannot be governed: {fault}"))
        })
    };
    texts.iter().map(parse).collect()
}

/// `GET /policy-bundles`.
pub(crate) async fn bundle(state: State, ask: Ask<IssueBundle>) -> Result<IssuedPolicy, Fault> {
    let tenant = ask.caller.tenant()?;
    let BundleQuery { session_id, user_id, local_paths } = ask.query;
    let texts: Vec<String> = serde_json::from_str(&local_paths)
        .map_err(|e| Fault::invalid(format!("localPaths is not a JSON array of paths: {e}")))?;
    let directories = directories(&texts)?;
    let (standing, version) = store::in_force(&state.foundation, tenant).await?;
    if let Some(reason) = &standing.revoked {
        return Err(revoked(&standing, reason));
    }
    let claim = Claim {
        tenant: tenant.as_str(),
        user: user_id.as_str(),
        session: &session_id,
        directories: &directories,
    };
    let document = version.document;
    let source = Source { document: &document, version: version.version, epoch: standing.epoch };
    let bundle = issue(source, claim, state.foundation.clock.now()).map_err(|problem| {
        Fault::invalid(format!("no policy can be issued for these directories: {problem}"))
    })?;
    Ok(IssuedPolicy {
        bundle,
        when_away: document.when_away,
        timeline: document.timeline,
        min_host_version: document.min_host_version,
        required_tools: document.required_tools,
        feature_flags: document.feature_flags,
    })
}

fn revoked(standing: &store::Standing, reason: &str) -> Fault {
    let who = standing.changed_by_name.as_deref().unwrap_or("the operator");
    let text = format!("{who} revoked the policy: {reason}");
    Fault::new(ErrorCode::PolicyRevoked, text).with("reason", reason).with("epoch", standing.epoch)
}
