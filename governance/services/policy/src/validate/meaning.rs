//! What a document that parses means, and whether hosts will take it.

use std::collections::BTreeSet;

use lanyard_governance_api::limits::MAX_TEXT_BYTES;
use lanyard_governance_api::policy::PolicyDocument;
use lanyard_governance_api::version::HostVersion;
use lanyard_policy::bundle::MAX_BUNDLE_BYTES;
use lanyard_policy::layer::Layers;
use lanyard_policy::path::HostPath;
use lanyard_policy::redact::Redactor;
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::policy::{Capability, Remember};

use super::{Problems, grants};
use crate::issue::{Claim, MAX_DIRECTORIES, Source, issue};

/// Lifetime of a bundle, in seconds.
const BUNDLE_SECONDS: std::ops::RangeInclusive<u32> = 60..=86_400;

/// The layer's name on hosts.
pub(crate) const LAYER: &str = "central";

/// Everything there is to say about a document.
pub(super) fn check(document: &PolicyDocument, problems: &mut Problems) {
    grants::lengths(document, problems);
    if problems.any_fatal() {
        return;
    }
    times(document, problems);
    models(document, problems);
    rules(document, problems);
    grants::check(document, problems);
    redactions(document, problems);
    servers(document, problems);
    hosts(document, problems);
    issued(document, problems);
}

fn times(document: &PolicyDocument, problems: &mut Problems) {
    if !BUNDLE_SECONDS.contains(&document.bundle_seconds) {
        let (least, most) = (BUNDLE_SECONDS.start(), BUNDLE_SECONDS.end());
        problems.fatal("/bundleSeconds", format!("A bundle holds for {least} to {most} seconds."));
    }
    if document.offline_grace_seconds > u64::from(document.bundle_seconds) {
        let text = "Longer than a bundle holds: it runs out first, so the rest of the grace means nothing.";
        problems.advice("/offlineGraceSeconds", text);
    }
}

fn models(document: &PolicyDocument, problems: &mut Problems) {
    let llm = &document.llm_policy;
    if llm.allowed_models.is_empty() {
        let text = "At least one model is needed, or `*` for any: hosts refuse a policy without one.";
        problems.fatal("/llmPolicy/allowedModels", text);
    }
    for (index, model) in llm.allowed_models.iter().enumerate() {
        let at = format!("/llmPolicy/allowedModels/{index}");
        if model.trim().is_empty() || model.trim() != model {
            problems.fatal(at, "A model's name has no blanks around it and is not empty.");
        } else if model != "*" && model.contains('*') {
            problems.advice(
                at,
                "Only `*` alone stands for any model; within a name it is an ordinary character.",
            );
        }
    }
    let most = [
        ("maxInputTokens", llm.max_input_tokens),
        ("maxOutputTokens", llm.max_output_tokens),
        ("maxSessionTokens", llm.max_session_tokens),
    ];
    for (name, tokens) in most {
        if tokens == 0 {
            problems.fatal(format!("/llmPolicy/{name}"), "Zero lets no model call through.");
        }
    }
    let granted = |name| document.capabilities.iter().any(|grant| grant.name == name);
    if !granted(Capability::LlmCall) {
        problems.advice("/capabilities", "LLM.Call is not granted: sessions can do nothing at all.");
    }
    if !granted(Capability::WorkspaceUpload) {
        let text =
            "Workspace.Upload is not granted: no thread, output or difference of a session is kept here.";
        problems.advice("/capabilities", text);
    }
}

fn rules(document: &PolicyDocument, problems: &mut Problems) {
    let mut known = BTreeSet::new();
    for (index, rule) in document.approval_rules.iter().enumerate() {
        let at = format!("/approvalRules/{index}");
        let id = &rule.approval_rule_id;
        if !known.insert(id) {
            problems.fatal(format!("{at}/approvalRuleId"), format!("The rule {id} is defined twice."));
        }
        if rule.title.trim().is_empty() {
            problems.fatal(format!("{at}/title"), "People see the title; it must not be empty.");
        }
        for (name, text) in [("title", &rule.title), ("description", &rule.description)] {
            if text.len() > MAX_TEXT_BYTES {
                problems.fatal(format!("{at}/{name}"), format!("It is longer than {MAX_TEXT_BYTES} bytes."));
            }
        }
        if rule.must_ask && rule.max_remember != Remember::Once {
            let text = "A rule that must ask asks each time: nothing is remembered, whatever this says.";
            problems.advice(format!("{at}/maxRemember"), text);
        }
        if !document.capabilities.iter().any(|grant| grant.approval_rule_id.as_ref() == Some(id)) {
            problems.advice(at, format!("No grant refers to the rule {id}."));
        }
    }
}

fn redactions(document: &PolicyDocument, problems: &mut Problems) {
    let mut known = BTreeSet::new();
    for (index, rule) in document.redaction_rules.iter().enumerate() {
        let at = format!("/redactionRules/{index}");
        if rule.name.trim().is_empty() {
            problems
                .fatal(format!("{at}/name"), "The name is shown where the rule acted; it must not be empty.");
        }
        if !known.insert(&rule.name) {
            problems.advice(format!("{at}/name"), "Another rule has this name.");
        }
        if let Err(fault) = Redactor::compile([rule]) {
            problems.fatal(format!("{at}/pattern"), format!("{fault}."));
        }
    }
}

fn servers(document: &PolicyDocument, problems: &mut Problems) {
    let mut known = BTreeSet::new();
    for (index, server) in document.mcp_servers.iter().enumerate() {
        let at = format!("/mcpServers/{index}");
        if server.name.trim().is_empty() {
            problems.fatal(format!("{at}/name"), "The name begins those of its tools; it must not be empty.");
        }
        if !known.insert(&server.name) {
            problems.fatal(format!("{at}/name"), format!("{} is listed twice.", server.name));
        }
        if server.command.first().is_none_or(|program| program.trim().is_empty()) {
            problems.fatal(format!("{at}/command"), "A program is needed.");
        }
    }
}

fn hosts(document: &PolicyDocument, problems: &mut Problems) {
    if let Some(Err(error)) = document.min_host_version.as_deref().map(str::parse::<HostVersion>) {
        problems.fatal("/minHostVersion", format!("{error}."));
    }
    for (index, tool) in document.required_tools.iter().enumerate() {
        if tool.trim().is_empty() || tool.trim() != tool {
            let text = "A tool's name has no blanks around it and is not empty.";
            problems.fatal(format!("/requiredTools/{index}"), text);
        }
    }
}

/// The same code that hosts use judges bundles for imagined sessions: without a directory, with one, and with as many
/// as there may be.
fn issued(document: &PolicyDocument, problems: &mut Problems) {
    if problems.any_fatal() {
        // Told already, and better.
        return;
    }
    for count in [0, 1, MAX_DIRECTORIES] {
        if let Err(text) = imagine(document, count) {
            return problems.fatal("", format!("Hosts would refuse it: {text}."));
        }
    }
}

fn imagine(document: &PolicyDocument, directories: usize) -> Result<(), String> {
    let parse = |number| HostPath::parse(&format!("/home/user/project-{number}"));
    let directories: Vec<HostPath> =
        (0..directories).map(parse).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    let session = SessionId::new("imagined").map_err(|e| e.to_string())?;
    let claim = Claim { tenant: "imagined", user: "imagined", session: &session, directories: &directories };
    let now = Timestamp::from_millis(0);
    let bundle = issue(Source { document, version: 1, epoch: 1 }, claim, now).map_err(|e| e.to_string())?;
    let bytes = serde_json::to_vec(&bundle).map_err(|e| e.to_string())?.len();
    if bytes > MAX_BUNDLE_BYTES {
        return Err(format!("the policy bundle has {bytes} bytes, more than {MAX_BUNDLE_BYTES}"));
    }
    Layers::validate(vec![(LAYER, bundle)], &session, now).map(drop).map_err(|e| e.to_string())
}
