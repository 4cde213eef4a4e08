//! The shape of a document: members, types, spellings. Every member that is wrong is told, not only the first.

use std::collections::BTreeMap;

use lanyard_governance_api::policy::{PolicyDocument, PolicyProblem};
use lanyard_governance_api::session::WhenAway;
use lanyard_protocol::policy::{
    ApprovalRule, CapabilityGrant, LlmPolicy, McpServer, RedactionRule, SandboxLevel,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use super::Problems;

/// Members looked at again after a wrong one was set aside; objects of a policy have fewer.
const MAX_TURNS: usize = 40;

/// A member of a document.
struct Member {
    name: &'static str,
    needed: bool,
    check: fn(&Value, &str, &mut Problems),
}

const fn needed(name: &'static str, check: fn(&Value, &str, &mut Problems)) -> Member {
    Member { name, needed: true, check }
}

const fn optional(name: &'static str, check: fn(&Value, &str, &mut Problems)) -> Member {
    Member { name, needed: false, check }
}

const MEMBERS: &[Member] = &[
    needed("capabilities", list::<CapabilityGrant>),
    needed("llmPolicy", one::<LlmPolicy>),
    optional("approvalRules", list::<ApprovalRule>),
    optional("mcpServers", list::<McpServer>),
    optional("redactionRules", list::<RedactionRule>),
    optional("requiredSandboxLevel", one::<SandboxLevel>),
    needed("bundleSeconds", one::<u32>),
    needed("offlineGraceSeconds", one::<u64>),
    optional("whenAway", one::<WhenAway>),
    needed("timeline", one::<bool>),
    optional("minHostVersion", one::<Option<String>>),
    optional("requiredTools", list::<String>),
    optional("featureFlags", one::<BTreeMap<String, bool>>),
];

/// The document, or everything about its shape that is wrong.
pub(super) fn read(document: &Value) -> Result<PolicyDocument, Vec<PolicyProblem>> {
    let whole = match serde_path_to_error::deserialize::<_, PolicyDocument>(document) {
        Ok(document) => return Ok(document),
        Err(error) => error,
    };
    let mut problems = Problems::default();
    match document {
        Value::Object(members) => self::members(members, &mut problems),
        other => problems.fatal("", format!("a policy is a JSON object, and this is {}", kind(other))),
    }
    if !problems.any_fatal() {
        problems.fatal(pointer("", whole.path()), sentence(&whole.inner().to_string()));
    }
    Err(problems.0)
}

fn members(members: &Map<String, Value>, problems: &mut Problems) {
    for name in members.keys() {
        if !MEMBERS.iter().any(|known| known.name == name) {
            let known: Vec<&str> = MEMBERS.iter().map(|known| known.name).collect();
            let text = format!("There is no member of this name; known are {}.", known.join(", "));
            problems.fatal(below("", name), text);
        }
    }
    for Member { name, needed, check } in MEMBERS {
        match members.get(*name) {
            Some(value) => check(value, &below("", name), problems),
            None if *needed => problems.fatal("", format!("The member {name} is missing.")),
            None => {}
        }
    }
}

fn list<T: DeserializeOwned>(value: &Value, at: &str, problems: &mut Problems) {
    let Value::Array(items) = value else {
        return problems.fatal(at, format!("This must be a list, and is {}.", kind(value)));
    };
    for (index, item) in items.iter().enumerate() {
        one::<T>(item, &below(at, &index.to_string()), problems);
    }
}

/// Reads one value; in an object, a member that is wrong is set aside and the rest read again.
fn one<T: DeserializeOwned>(value: &Value, at: &str, problems: &mut Problems) {
    let mut value = value.clone();
    let mut aside: Vec<String> = Vec::new();
    for _ in 0..MAX_TURNS {
        let Err(error) = serde_path_to_error::deserialize::<_, T>(&value) else { return };
        let text = error.inner().to_string();
        if let Some(name) = quoted(&text, "missing field `") {
            if !aside.iter().any(|known| known == name) {
                problems.fatal(pointer(at, error.path()), format!("The member {name} is missing."));
            }
            return;
        }
        let first = match error.path().iter().next() {
            Some(Segment::Map { key }) => Some(key.clone()),
            _ => quoted(&text, "unknown field `").map(str::to_owned),
        };
        let Some(name) = first.filter(|name| value.get(name).is_some()) else {
            return problems.fatal(pointer(at, error.path()), sentence(&text));
        };
        match quoted(&text, "unknown field `") {
            Some(unknown) => {
                let mut place = pointer(at, error.path());
                if !place.ends_with(&below("", unknown)) {
                    place = below(&place, unknown);
                }
                let known = text.split_once("expected ").map_or("", |(_, known)| known);
                problems.fatal(place, format!("There is no member of this name; known are {known}."));
            }
            None => problems.fatal(pointer(at, error.path()), sentence(&text)),
        }
        if let Value::Object(members) = &mut value {
            members.remove(&name);
        }
        aside.push(name);
    }
}

/// The name in backticks after a beginning.
fn quoted<'t>(text: &'t str, beginning: &str) -> Option<&'t str> {
    text.strip_prefix(beginning).and_then(|rest| rest.split('`').next())
}

/// A path as a JSON pointer (RFC 6901), below another.
fn pointer(at: &str, path: &Path) -> String {
    let mut pointer = at.to_owned();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer = below(&pointer, &index.to_string()),
            Segment::Map { key } => pointer = below(&pointer, key),
            // An enum's variant is no step in its JSON here; what cannot be told ends the path.
            Segment::Enum { .. } | Segment::Unknown => break,
        }
    }
    pointer
}

fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}
