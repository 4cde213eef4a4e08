//! Tools that run elsewhere, on the same way as the host's own: offered, planned, judged, approved, run, recorded.
//!
//! What is particular to them is here. A definition comes from outside: it is offered only if it is small, plain and shares
//! no name with a tool of this host, and both the approval and the call are bound to exactly it. What it does is not seen
//! from here, so a call is opaque: never made twice, alone in its step, shown to a person with all of its arguments.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use lanyard_policy::decide::{grants_tool, has_tools_elsewhere};
use lanyard_policy::demand::{Demand, PlannedCall};
use lanyard_policy::layer::Layers;
use lanyard_policy::permit::{Basis, Permitted};
use lanyard_policy::redact::Redactor;
use lanyard_policy::visible;
use lanyard_ports::journal::Replay;
use lanyard_ports::remote::{RemoteCall, RemoteEnd, RemoteOutcome, RemoteTool, RemoteTools};
use lanyard_ports::router::Lane;
use lanyard_protocol::approval::{ApprovalDetail, OtherDetail, RiskLevel};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::limits::MAX_DIFF_BYTES;
use lanyard_protocol::policy::{Capability, SandboxLevel};
use lanyard_protocol::tool::{ToolRequest, ToolSpec, ToolStatus};
use lanyard_tools::{Outcome, PlanError};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::plan::{Planned, Work};
use crate::router::RouterParts;

/// What such a call needs to be granted.
pub(crate) const NEEDS: &[Capability] = &[Capability::BackendToolInvoke];

/// Tools offered in one session. Models choose badly among more, and each costs its share of every request.
pub const MAX_OFFERED: usize = 64;

/// Bytes of their names, descriptions and schemas together: a few percent of a usual context window.
pub const MAX_OFFERED_BYTES: usize = 128 << 10;

/// Bytes of one tool's description and schema.
const MAX_ONE_BYTES: usize = 72 << 10;

/// Longest name. Models take no longer ones.
const MAX_NAME_BYTES: usize = 64;

/// Deepest schema. Nobody fills in a form of more levels, and gateways recurse.
const MAX_DEPTH: usize = 32;

/// Longest arguments, as a person is shown them: what does not fit into one question cannot be agreed to.
const MAX_SHOWN_BYTES: usize = MAX_DIFF_BYTES;

/// Longest summary line, in characters.
const MAX_SUMMARY_CHARS: usize = 200;

/// Definitions that may be used, and what was left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Screened {
    /// By name.
    pub tools: Vec<RemoteTool>,
    /// Name, made safe to show, and why.
    pub left_out: Vec<(String, String)>,
}

/// Looks through definitions that came from outside. Descriptions are made visible: what a person would not see in them, a
/// model is not told either.
pub fn screened(tools: Vec<RemoteTool>) -> Screened {
    let own: BTreeSet<String> = lanyard_tools::specs().iter().map(|spec| sound(&spec.name)).collect();
    let mut screened = Screened::default();
    for mut tool in tools {
        tool.spec.description = visible::text(&tool.spec.description).into_owned();
        match fault(&tool, &own, &screened.tools) {
            None => screened.tools.push(tool),
            Some(why) => screened.left_out.push((visible::clipped_line(&tool.spec.name, 80), why)),
        }
    }
    screened.tools.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    screened
}

fn fault(tool: &RemoteTool, own: &BTreeSet<String>, before: &[RemoteTool]) -> Option<String> {
    let name = &tool.spec.name;
    let plain = name.len() <= MAX_NAME_BYTES
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if !plain {
        return Some(format!(
            "its name is not a letter and then letters, digits, _ and -, {MAX_NAME_BYTES} at most"
        ));
    }
    if own.contains(&sound(name)) {
        return Some(
            "it has the name of a tool of this host; an administrator must name it otherwise".to_owned(),
        );
    }
    if before.iter().any(|other| sound(&other.spec.name) == sound(name)) {
        return Some("another tool has nearly the same name".to_owned());
    }
    if tool.spec.input_schema.0.get("type") != Some(&Value::from("object")) {
        return Some("its arguments are not described as an object".to_owned());
    }
    if is_deeper(&tool.spec.input_schema.0, MAX_DEPTH) {
        return Some(format!("its arguments are described on more than {MAX_DEPTH} levels"));
    }
    let bytes = bytes(&tool.spec);
    (bytes > MAX_ONE_BYTES)
        .then(|| format!("its description and schema have {bytes} bytes, and {MAX_ONE_BYTES} are taken"))
}

/// A name as it is easily mistaken for another one.
fn sound(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether a value has more than so many levels.
fn is_deeper(value: &Value, left: usize) -> bool {
    match value {
        Value::Object(members) => left == 0 || members.values().any(|member| is_deeper(member, left - 1)),
        Value::Array(items) => left == 0 || items.iter().any(|item| is_deeper(item, left - 1)),
        _ => false,
    }
}

fn bytes(spec: &ToolSpec) -> usize {
    spec.name.len() + spec.description.len() + spec.input_schema.0.to_string().len()
}

/// What the model is offered: what every layer grants, by name, as far as there is room.
pub(crate) fn offered(known: &[RemoteTool], layers: &Layers) -> (Vec<ToolSpec>, usize) {
    let mut room = MAX_OFFERED_BYTES;
    let (mut specs, mut left_out) = (Vec::new(), 0);
    if !has_tools_elsewhere(layers) {
        return (specs, left_out);
    }
    let theirs = |tool: &&RemoteTool| lanyard_tools::demands_of(&tool.spec.name).is_none();
    for tool in known.iter().filter(theirs).filter(|tool| grants_tool(layers, &tool.spec.name)) {
        let bytes = bytes(&tool.spec);
        if specs.len() == MAX_OFFERED || bytes > room {
            left_out += 1;
            continue;
        }
        room -= bytes;
        let capabilities = NEEDS.to_vec();
        specs.push(ToolSpec { capabilities, ..tool.spec.clone() });
    }
    (specs, left_out)
}

/// The definition of a tool that runs elsewhere; `None` for the host's own and for what nobody has.
pub(crate) async fn find(parts: &RouterParts, name: &str, layers: &Layers) -> Option<RemoteTool> {
    let possible = lanyard_tools::demands_of(name).is_none() && has_tools_elsewhere(layers);
    if possible { parts.remote.find(name).await } else { None }
}

/// What a call would do.
pub(crate) fn plan(tool: &RemoteTool, request: &ToolRequest, layers: &Layers) -> Result<Planned, PlanError> {
    let name = &tool.spec.name;
    let impossible = |reason: String| Err(PlanError::Impossible { reason });
    if !request.arguments.0.is_object() {
        return impossible(format!("{name}: the arguments are not an object"));
    }
    let text = request.arguments.canonical();
    if text.len() > MAX_SHOWN_BYTES {
        return impossible(format!(
            "{name}: the arguments have {} bytes as a person is shown them, and at most {MAX_SHOWN_BYTES} are sent to a \
             tool outside this host",
            text.len()
        ));
    }
    // Taken out, it would not be what a person agreed to; sent, it would be what the rules keep here.
    if must_stay(&request.arguments.0, layers) {
        let reason = format!(
            "{name}: the arguments hold something that redaction rules keep on this machine; leave it out"
        );
        return Err(PlanError::Denied { reason });
    }
    let mut request = request.clone();
    request.capability = Some(Capability::BackendToolInvoke);
    let demand = Demand::Backend { tool: name.clone(), definition: digest(tool) };
    Ok(Planned {
        call: PlannedCall::new(request, demand, Vec::new(), Vec::new()),
        summary: visible::clipped_line(&format!("{name} {text}"), MAX_SUMMARY_CHARS),
        risk: RiskLevel::High,
        // The contract of the central services: exactly this text is what an approval is of.
        detail: ApprovalDetail::Other(OtherDetail { text }),
        lane: Lane::Barrier,
        replay: Replay::Opaque,
        baselines: Vec::new(),
        work: Work::Elsewhere(tool.clone()),
    })
}

/// Whether a redaction rule of any layer takes something out of a text in here. Rules were checked with their bundle; one
/// that cannot be applied all the same lets nothing through.
fn must_stay(value: &Value, layers: &Layers) -> bool {
    let rules = layers.iter().flat_map(|layer| &layer.bundle().redaction_rules);
    match Redactor::compile(rules) {
        // Member by member, and as it is written: a rule may be about a name and its value together.
        Ok(redactor) => changes(value, &redactor) || taken_out(&redactor, &value.to_string()),
        Err(_) => true,
    }
}

fn taken_out(redactor: &Redactor, text: &str) -> bool {
    matches!(redactor.apply(text), Cow::Owned(_))
}

fn changes(value: &Value, redactor: &Redactor) -> bool {
    match value {
        Value::String(text) => taken_out(redactor, text),
        Value::Number(number) => taken_out(redactor, &number.to_string()),
        Value::Array(items) => items.iter().any(|item| changes(item, redactor)),
        Value::Object(members) => {
            members.iter().any(|(name, member)| taken_out(redactor, name) || changes(member, redactor))
        }
        Value::Null | Value::Bool(_) => false,
    }
}

/// Over what the model was offered, and what its keeper calls it.
fn digest(tool: &RemoteTool) -> String {
    let mut digest = Sha256::new();
    let schema = tool.spec.input_schema.canonical();
    for part in [&tool.spec.name, &tool.spec.description, &schema, &tool.definition] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    data_encoding::HEXLOWER.encode(&digest.finalize())
}

/// Makes a permitted call.
pub(crate) async fn run(
    parts: &RouterParts,
    permit: Permitted<PlannedCall>,
    tool: RemoteTool,
    cancel: &CancellationToken,
) -> Outcome {
    let judged = Demand::Backend { tool: tool.spec.name.clone(), definition: digest(&tool) };
    if permit.get().demands() != [judged] {
        let error =
            WireError::new(ErrorCode::InternalError, "the permit is for another tool: nothing was done");
        return outcome("host".to_owned(), ended(RemoteOutcome::NeverRan(error)));
    }
    let approval = match permit.basis() {
        Basis::Approved { approval, .. } => Some(approval.clone()),
        Basis::Policy | Basis::Waived { .. } | Basis::Remembered { .. } => None,
    };
    let request = permit.into_inner().request().clone();
    let source = format!("tool:{}", request.tool_name);
    if cancel.is_cancelled() {
        return outcome(source, cancelled());
    }
    let call = RemoteCall { request, definition: tool.definition, approval };
    outcome(source, ended(parts.remote.invoke(call, cancel).await))
}

/// How a call ended, where that is known.
pub(crate) fn ended(outcome: RemoteOutcome) -> RemoteEnd {
    let without = |status, error| RemoteEnd { status, output: String::new(), error: Some(error) };
    match outcome {
        RemoteOutcome::Ended(end) => end,
        RemoteOutcome::Cancelled => cancelled(),
        RemoteOutcome::NeverRan(error) => without(refused(error.code), error),
        RemoteOutcome::Unknown(why) => {
            let text = format!(
                "it is not known whether this call took effect: {why}. It is not repeated by itself; look at the state of \
                 things before deciding what to do"
            );
            without(ToolStatus::Indeterminate, WireError::new(ErrorCode::OutcomeUnknown, text))
        }
    }
}

fn cancelled() -> RemoteEnd {
    let error = WireError::new(ErrorCode::ToolExecutionFailed, "cancelled before it was called");
    RemoteEnd { status: ToolStatus::Cancelled, output: String::new(), error: Some(error) }
}

fn refused(code: ErrorCode) -> ToolStatus {
    match code {
        ErrorCode::CapabilityDenied
        | ErrorCode::ApprovalRequired
        | ErrorCode::ApprovalDenied
        | ErrorCode::PolicyRevoked
        | ErrorCode::PolicyExpired
        | ErrorCode::AgentRevoked
        | ErrorCode::Unauthorized
        | ErrorCode::Conflict => ToolStatus::Denied,
        _ => ToolStatus::Failed,
    }
}

fn outcome(source: String, end: RemoteEnd) -> Outcome {
    Outcome {
        status: end.status,
        output: end.output,
        error: end.error,
        exit_code: None,
        changes: Vec::new(),
        sandbox_level: SandboxLevel::None,
        source,
    }
}

/// Bytes of an output that every layer lets the model see.
pub(crate) fn cap(layers: &Layers) -> usize {
    let grants = layers.iter().flat_map(|layer| &layer.bundle().capabilities);
    let asked = grants.filter(|grant| grant.name == Capability::BackendToolInvoke);
    let least = asked.filter_map(|grant| grant.max_output_bytes).min();
    least.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX)
}

/// For a host that belongs to nobody's team.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRemoteTools;

#[async_trait::async_trait]
impl RemoteTools for NoRemoteTools {
    fn known(&self) -> Arc<[RemoteTool]> {
        Arc::new([])
    }

    async fn find(&self, _: &str) -> Option<RemoteTool> {
        None
    }

    async fn invoke(&self, call: RemoteCall, _: &CancellationToken) -> RemoteOutcome {
        let text = format!("there is no tool {} outside this host", call.request.tool_name);
        RemoteOutcome::NeverRan(WireError::new(ErrorCode::ToolNotFound, text))
    }

    async fn outcome(&self, _: &ToolRequest) -> RemoteOutcome {
        RemoteOutcome::Unknown("nobody can be asked".to_owned())
    }
}
