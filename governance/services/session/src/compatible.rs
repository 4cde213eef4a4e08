//! Whether a host and the policy it would work under fit together.

use std::collections::BTreeSet;

use lanyard_governance_api::limits::MAX_TEXT_BYTES;
use lanyard_governance_api::policy::IssuedPolicy;
use lanyard_governance_api::version::HostVersion;
use lanyard_governance_foundation::Fault;
use lanyard_protocol::session::ClientInfo;

use crate::standing::clipped;

/// Entries of one list of a host, and the bytes of one; hosts have some tens of tools.
const MAX_ENTRIES: usize = 1_000;
const MAX_ENTRY_BYTES: usize = 200;

/// Names shown of those that are missing.
const SHOWN: usize = 8;

/// What a host says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) client_info: ClientInfo,
    pub(crate) capabilities: Vec<String>,
    pub(crate) tools: Vec<String>,
    pub(crate) schemas: Vec<String>,
}

impl Offer {
    /// Refuses what no host says.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let lists = [
            ("supportedCapabilities", &self.capabilities),
            ("supportedTools", &self.tools),
            ("supportedSchemaVersions", &self.schemas),
        ];
        for (name, list) in lists {
            if list.len() > MAX_ENTRIES || list.iter().any(|entry| entry.len() > MAX_ENTRY_BYTES) {
                let text = format!(
                    "{name} has more than {MAX_ENTRIES} entries, or one of more than {MAX_ENTRY_BYTES} bytes"
                );
                return Err(Fault::invalid(text));
            }
        }
        let info = &self.client_info;
        let texts =
            [&info.desktop_app_version, &info.local_agent_host_version, &info.os_family, &info.os_version];
        if texts.into_iter().flatten().any(|text| text.len() > MAX_ENTRY_BYTES) {
            return Err(Fault::invalid(format!(
                "clientInfo holds a text of more than {MAX_ENTRY_BYTES} bytes"
            )));
        }
        Ok(())
    }
}

/// Why they do not fit, with the way out; nothing when they do.
pub(crate) fn misfit(policy: &IssuedPolicy, offer: &Offer) -> Option<String> {
    let mut reasons = Vec::new();
    let schema = &policy.bundle.schema_version;
    if !offer.schemas.contains(schema) {
        reasons.push(format!("the host does not understand policies of schema version {schema}: update it"));
    }
    reasons.extend(version(policy, offer));
    let tools: BTreeSet<&str> = offer.tools.iter().map(String::as_str).collect();
    let missing = policy.required_tools.iter().map(String::as_str).filter(|tool| !tools.contains(tool));
    reasons.extend(lacking(missing, "the host lacks tools that the policy requires"));
    let capabilities: BTreeSet<&str> = offer.capabilities.iter().map(String::as_str).collect();
    let granted = policy.bundle.capabilities.iter().map(|grant| grant.name.as_str());
    let missing = granted.filter(|name| !capabilities.contains(name));
    reasons.extend(lacking(missing, "the host cannot enforce capabilities that the policy grants"));
    // The names in it are as long as whoever wrote the policy likes.
    if reasons.is_empty() { None } else { Some(clipped(&reasons.join("; "), MAX_TEXT_BYTES).to_owned()) }
}

fn version(policy: &IssuedPolicy, offer: &Offer) -> Option<String> {
    let least = policy.min_host_version.as_deref()?;
    let Ok(wanted) = least.parse::<HostVersion>() else {
        // The Policy Service lets none in force; whatever it is, it is not fulfilled.
        return Some(format!("the policy requires a host version that is none ({least:?}): mend the policy"));
    };
    match offer
        .client_info
        .local_agent_host_version
        .as_deref()
        .map(|text| (text, text.parse::<HostVersion>()))
    {
        Some((_, Ok(version))) if version >= wanted => None,
        Some((text, Ok(_))) => {
            Some(format!("the host has version {text}, the policy requires {least} or later: update it"))
        }
        Some((_, Err(_))) => {
            Some(format!("the host's version is not understood, the policy requires {least}: update it"))
        }
        None => Some(format!(
            "the host does not say its version, the policy requires {least} or later: update it"
        )),
    }
}

fn lacking<'n>(missing: impl Iterator<Item = &'n str>, what: &str) -> Option<String> {
    let missing: BTreeSet<&str> = missing.collect();
    if missing.is_empty() {
        return None;
    }
    let shown: Vec<&str> = missing.iter().copied().take(SHOWN).collect();
    let more = match missing.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("{what} ({}{more}): update it, or change the policy", shown.join(", ")))
}
