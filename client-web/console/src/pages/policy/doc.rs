//! The form's view of a policy document: what is read from it, and what an edit changes in it. Pure.
//!
//! The document is kept as JSON, not as the type: what the form has no field for, or what is wrong in the text, stays as
//! somebody wrote it. Places in it are JSON pointers, the same that central's problems name.

use lanyard_governance_api::policy::{PolicyDocument, PolicyProblem, WORKSPACE_PLACEHOLDER};
use lanyard_protocol::overview::Standing;
use lanyard_protocol::policy::Capability;
use serde_json::{Map, Value, json};

/// What one limit of a capability holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Texts, one a line. None: no limit of this kind.
    Lines,
    /// A number. None: as much as the host allows.
    Number,
}

/// One limit that a capability may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// The member's name.
    pub(crate) member: &'static str,
    /// For people.
    pub(crate) label: &'static str,
    /// More about it.
    pub(crate) hint: &'static str,
    /// What it holds.
    pub(crate) holds: Holds,
}

const fn lines(member: &'static str, label: &'static str, hint: &'static str) -> Limit {
    Limit { member, label, hint, holds: Holds::Lines }
}

const fn number(member: &'static str, label: &'static str, hint: &'static str) -> Limit {
    Limit { member, label, hint, holds: Holds::Number }
}

const PATHS: Limit = lines(
    "allowedPaths",
    "Only below these paths",
    "One a line, absolute. ${workspace} stands for the session's own directories. Without any line nothing is granted.",
);
const NOT_PATHS: Limit =
    lines("blockedPaths", "Never these paths", "One a line; refused even below an allowed one.");
const FILE_SIZE: Limit =
    number("maxFileSizeBytes", "Largest file, bytes", "Empty: as large as the host allows.");
const OUTPUT: Limit = number("maxOutputBytes", "Largest output, bytes", "Empty: as much as the host allows.");
const SECONDS: Limit =
    number("maxExecutionTimeSeconds", "Longest run, seconds", "Empty: as long as the host allows.");
const REPOSITORIES: Limit =
    lines("repoPaths", "Only these repositories", "One a line, absolute. Empty: any.");

/// The limits that mean something for a capability.
pub(crate) fn limits(capability: Capability) -> Vec<Limit> {
    match capability {
        Capability::FileRead | Capability::FileWrite => vec![PATHS, NOT_PATHS, FILE_SIZE],
        Capability::FileDelete => vec![PATHS, NOT_PATHS],
        Capability::ShellExec => vec![
            lines(
                "allowedCommands",
                "Only these commands",
                "One a line: how the command begins, like “cargo test”. Empty: any.",
            ),
            lines("blockedCommands", "Never these commands", "One a line; refused even if allowed above."),
            lines(
                "allowedCwds",
                "Only in these directories",
                "One a line, absolute. Empty: where files may be read.",
            ),
            SECONDS,
            OUTPUT,
        ],
        Capability::NetworkHttp => vec![
            lines(
                "allowedDomains",
                "Only these domains",
                "One a line: example.com, or *.example.com for all below it. Empty: any.",
            ),
            lines("blockedDomains", "Never these domains", "One a line; refused even if allowed above."),
            OUTPUT,
            SECONDS,
        ],
        Capability::GitStatus | Capability::GitDiff => vec![REPOSITORIES],
        Capability::GitCommit => vec![
            REPOSITORIES,
            lines(
                "allowedBranches",
                "Only on these branches",
                "One a line; a * at the end stands for the rest. Empty: any.",
            ),
        ],
        Capability::GitPush => vec![
            REPOSITORIES,
            lines(
                "allowedBranches",
                "Only to these branches",
                "One a line; a * at the end stands for the rest. Empty: any.",
            ),
            lines("allowedRemotes", "Only to these remotes", "One a line: name or URL. Empty: any."),
        ],
        Capability::BackendToolInvoke => vec![
            lines(
                "allowedToolNames",
                "Only these tools",
                "One a line, as the MCP server or the backend names them. Empty: any.",
            ),
            SECONDS,
            OUTPUT,
        ],
        Capability::WorkspaceUpload => vec![FILE_SIZE],
        Capability::LlmCall => Vec::new(),
    }
}

/// Where a capability's grant stands.
pub(crate) fn grant(doc: &Value, capability: Capability) -> Option<usize> {
    let grants = doc.pointer("/capabilities")?.as_array()?;
    grants.iter().position(|grant| grant.get("name").and_then(Value::as_str) == Some(capability.as_str()))
}

/// How a capability stands.
pub(crate) fn standing(doc: &Value, capability: Capability) -> Standing {
    match grant(doc, capability).and_then(|at| doc.pointer(&format!("/capabilities/{at}/requiresApproval"))) {
        None if grant(doc, capability).is_none() => Standing::Never,
        Some(Value::Bool(false)) => Standing::Free,
        _ => Standing::Asks,
    }
}

/// Lets a capability stand otherwise. Files are never granted without saying where: those of the session, to begin with.
pub(crate) fn set_standing(doc: &mut Value, capability: Capability, standing: Standing) {
    let at = grant(doc, capability);
    let rules = ids(doc, "/approvalRules", "approvalRuleId");
    let Some(grants) = array(doc, "capabilities") else { return };
    match (standing, at) {
        (Standing::Never, Some(at)) => {
            grants.remove(at);
        }
        (Standing::Never, None) => {}
        (_, at) => {
            let at = at.unwrap_or_else(|| {
                grants.push(fresh_grant(capability));
                grants.len() - 1
            });
            let Some(grant) = grants.get_mut(at).and_then(Value::as_object_mut) else { return };
            grant.insert("requiresApproval".to_owned(), Value::Bool(standing == Standing::Asks));
            match (standing, rules.first()) {
                (Standing::Free, _) => {
                    grant.remove("approvalRuleId");
                }
                (_, Some(rule)) if grant.get("approvalRuleId").is_none_or(Value::is_null) => {
                    grant.insert("approvalRuleId".to_owned(), Value::String(rule.clone()));
                }
                _ => {}
            }
        }
    }
}

fn fresh_grant(capability: Capability) -> Value {
    let files = matches!(capability, Capability::FileRead | Capability::FileWrite | Capability::FileDelete);
    match files {
        true => {
            json!({ "name": capability.as_str(), "allowedPaths": [WORKSPACE_PLACEHOLDER], "requiresApproval": false })
        }
        false => json!({ "name": capability.as_str(), "requiresApproval": false }),
    }
}

/// A list of the document; made where it is absent, none where something else is in its place.
fn array<'a>(doc: &'a mut Value, member: &str) -> Option<&'a mut Vec<Value>> {
    let root = doc.as_object_mut()?;
    let list = root.entry(member).or_insert_with(|| Value::Array(Vec::new()));
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    list.as_array_mut()
}

/// One member of each of a list's items.
pub(crate) fn ids(doc: &Value, list: &str, member: &str) -> Vec<String> {
    let items = doc.pointer(list).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.get(member)?.as_str().map(str::to_owned)).collect()
}

/// How many items a list has.
pub(crate) fn length(doc: &Value, list: &str) -> usize {
    doc.pointer(list).and_then(Value::as_array).map_or(0, Vec::len)
}

/// Adds an item to a list of the document.
pub(crate) fn push(doc: &mut Value, member: &str, item: Value) {
    if let Some(list) = array(doc, member) {
        list.push(item);
    }
}

/// Takes an item out of a list of the document.
pub(crate) fn remove(doc: &mut Value, member: &str, at: usize) {
    if let Some(list) = array(doc, member).filter(|list| at < list.len()) {
        list.remove(at);
    }
}

/// A new approval rule; its id is none that is there.
pub(crate) fn fresh_rule(doc: &Value) -> Value {
    let taken = ids(doc, "/approvalRules", "approvalRuleId");
    let id = (1..=taken.len() + 1).map(|number| format!("rule-{number}")).find(|id| !taken.contains(id));
    json!({
        "approvalRuleId": id.unwrap_or_default(),
        "title": "",
        "description": "",
        "mustAsk": false,
        "approver": "any",
        "maxRemember": "once",
    })
}

/// How one kind of field reads its part of the document as text, and writes it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text; empty: absent.
    Text,
    /// A text that must be there.
    NeededText,
    /// Texts, one a line; none: absent.
    Lines,
    /// Texts, one a line; the list is there even if it is empty.
    NeededLines,
    /// A number; empty: absent.
    Number,
    /// Switches, one a line: `name` or `name = off`.
    Flags,
}

/// What a field shows of the document.
pub(crate) fn read(doc: &Value, pointer: &str, kind: Kind) -> String {
    let Some(value) = doc.pointer(pointer) else { return String::new() };
    match (kind, value) {
        (Kind::Lines | Kind::NeededLines, Value::Array(items)) => {
            let lines =
                items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
            lines.collect::<Vec<_>>().join("\n")
        }
        (Kind::Flags, Value::Object(flags)) => {
            let lines = flags.iter().map(|(name, on)| match on {
                Value::Bool(false) => format!("{name} = off"),
                _ => name.clone(),
            });
            lines.collect::<Vec<_>>().join("\n")
        }
        (_, Value::Null) => String::new(),
        (_, Value::String(text)) => text.clone(),
        (_, other) => other.to_string(),
    }
}

/// Writes what a field shows into the document. What is no number stays as text, so that central says what is wrong.
pub(crate) fn write(doc: &mut Value, pointer: &str, kind: Kind, text: &str) {
    let texts = || {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(|line| Value::String(line.to_owned())).collect::<Vec<_>>()
    };
    let value = match kind {
        Kind::Text => Some(Value::String(text.to_owned())).filter(|_| !text.trim().is_empty()),
        Kind::NeededText => Some(Value::String(text.to_owned())),
        Kind::Lines => Some(Value::Array(texts()))
            .filter(|lines| lines.as_array().is_some_and(|lines| !lines.is_empty())),
        Kind::NeededLines => Some(Value::Array(texts())),
        Kind::Number => match (text.trim().is_empty(), text.trim().parse::<u64>()) {
            (true, _) => None,
            (_, Ok(number)) => Some(json!(number)),
            (_, Err(_)) => Some(Value::String(text.trim().to_owned())),
        },
        Kind::Flags => Some(Value::Object(flags(text))),
    };
    set(doc, pointer, value);
}

fn flags(text: &str) -> Map<String, Value> {
    let mut flags = Map::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once('=').unwrap_or((line, "on"));
        let off = matches!(value.trim().to_ascii_lowercase().as_str(), "off" | "false" | "no" | "0");
        flags.insert(name.trim().to_owned(), Value::Bool(!off));
    }
    flags
}

/// Puts something at a place whose surroundings are there; none takes it away.
pub(crate) fn set(doc: &mut Value, pointer: &str, value: Option<Value>) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    let name = name.replace("~1", "/").replace("~0", "~");
    match (doc.pointer_mut(parent), value) {
        (Some(Value::Object(members)), Some(value)) => {
            members.insert(name, value);
        }
        (Some(Value::Object(members)), None) => {
            members.remove(&name);
        }
        (Some(Value::Array(items)), Some(value)) => {
            if let Some(item) = name.parse::<usize>().ok().and_then(|at| items.get_mut(at)) {
                *item = value;
            }
        }
        _ => {}
    }
}

/// The document as the type, for what central takes only whole.
pub(crate) fn typed(doc: &Value) -> Result<PolicyDocument, String> {
    serde_json::from_value(doc.clone()).map_err(|error| format!("The document is not complete: {error}."))
}

/// What is wrong at a place or below it.
pub(crate) fn problems_at<'a>(problems: &'a [PolicyProblem], pointer: &str) -> Vec<&'a PolicyProblem> {
    let is_there = |problem: &&PolicyProblem| {
        problem.pointer == pointer
            || problem
                .pointer
                .strip_prefix(pointer)
                .is_some_and(|rest| rest.starts_with('/') && !pointer.is_empty())
    };
    problems.iter().filter(is_there).collect()
}

/// A place in a person's words: `/capabilities/3/allowedPaths/0` as "File.Read: allowedPaths, 1st".
pub(crate) fn place(doc: &Value, pointer: &str) -> String {
    let parts: Vec<&str> = pointer.split('/').skip(1).collect();
    let number = |text: &str| text.parse::<usize>().ok().map(|at| format!("no. {}", at + 1));
    match parts.as_slice() {
        [] => "The whole document".to_owned(),
        ["capabilities", at, rest @ ..] => {
            let name = doc.pointer(&format!("/capabilities/{at}/name")).and_then(Value::as_str);
            let head =
                name.map_or_else(|| format!("Capability {}", number(at).unwrap_or_default()), str::to_owned);
            let rest: Vec<String> =
                rest.iter().map(|part| number(part).unwrap_or_else(|| (*part).to_owned())).collect();
            if rest.is_empty() { head } else { format!("{head}: {}", rest.join(", ")) }
        }
        parts => {
            let parts: Vec<String> =
                parts.iter().map(|part| number(part).unwrap_or_else(|| (*part).to_owned())).collect();
            parts.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc() -> Value {
        json!({
            "capabilities": [
                { "name": "File.Read", "allowedPaths": ["${workspace}", "/srv/shared"], "requiresApproval": false },
                { "name": "Shell.Exec", "requiresApproval": true, "approvalRuleId": "careful" },
            ],
            "approvalRules": [{ "approvalRuleId": "careful", "title": "T", "description": "", "mustAsk": true, "approver": "any", "maxRemember": "task" }],
            "llmPolicy": { "allowedModels": ["*"], "maxInputTokens": 1, "maxOutputTokens": 2, "maxSessionTokens": 3 },
            "bundleSeconds": 3600,
            "offlineGraceSeconds": 600,
            "timeline": true,
        })
    }

    #[test]
    fn capabilities_stand_as_the_document_says_and_as_one_lets_them() {
        let mut doc = doc();
        assert_eq!(standing(&doc, Capability::FileRead), Standing::Free);
        assert_eq!(standing(&doc, Capability::ShellExec), Standing::Asks);
        assert_eq!(standing(&doc, Capability::GitPush), Standing::Never);
        for capability in Capability::ALL {
            for wanted in [Standing::Asks, Standing::Free, Standing::Never, Standing::Free, Standing::Asks] {
                set_standing(&mut doc, *capability, wanted);
                assert_eq!(standing(&doc, *capability), wanted, "{capability}");
            }
            let at = grant(&doc, *capability).unwrap();
            assert_eq!(doc.pointer(&format!("/capabilities/{at}/approvalRuleId")), Some(&json!("careful")));
        }
        let typed = typed(&doc).unwrap();
        let files = typed.capabilities.iter().filter(|grant| grant.name.as_str().starts_with("File."));
        assert!(files.clone().count() == 3 && files.into_iter().all(|grant| grant.allowed_paths.is_some()));
        set_standing(&mut doc, Capability::ShellExec, Standing::Free);
        let at = grant(&doc, Capability::ShellExec).unwrap();
        assert_eq!(
            doc.pointer(&format!("/capabilities/{at}/approvalRuleId")),
            None,
            "nobody is asked any more"
        );
    }

    #[test]
    fn a_grant_that_does_not_say_is_taken_for_the_stricter() {
        let doc = json!({ "capabilities": [{ "name": "Shell.Exec" }] });
        assert_eq!(standing(&doc, Capability::ShellExec), Standing::Asks);
    }

    #[test]
    fn fields_read_what_they_wrote() {
        let mut doc = doc();
        for (pointer, kind, text) in [
            ("/capabilities/0/allowedPaths", Kind::Lines, "/a\n/b c"),
            ("/capabilities/0/maxFileSizeBytes", Kind::Number, "1048576"),
            ("/minHostVersion", Kind::Text, "0.2.0"),
            ("/requiredTools", Kind::NeededLines, "RunCommand"),
            ("/featureFlags", Kind::Flags, "new-diff\nold-diff = off"),
            ("/bundleSeconds", Kind::Number, "60"),
        ] {
            write(&mut doc, pointer, kind, text);
            assert_eq!(read(&doc, pointer, kind), text, "{pointer}");
        }
        assert!(typed(&doc).is_ok(), "{:?}", typed(&doc));
        write(&mut doc, "/capabilities/0/allowedPaths", Kind::Lines, " \n");
        assert_eq!(doc.pointer("/capabilities/0/allowedPaths"), None, "no line is no limit");
        write(&mut doc, "/requiredTools", Kind::NeededLines, "");
        assert_eq!(doc.pointer("/requiredTools"), Some(&json!([])));
        write(&mut doc, "/bundleSeconds", Kind::Number, "an hour");
        assert_eq!(doc.pointer("/bundleSeconds"), Some(&json!("an hour")), "kept for central to judge");
        assert!(typed(&doc).unwrap_err().contains("not complete"));
    }

    #[test]
    fn lists_grow_and_shrink() {
        let mut doc = json!({ "approvalRules": null });
        let rule = fresh_rule(&doc);
        push(&mut doc, "approvalRules", rule);
        let rule = fresh_rule(&doc);
        push(&mut doc, "approvalRules", rule);
        assert_eq!(ids(&doc, "/approvalRules", "approvalRuleId"), ["rule-1", "rule-2"]);
        remove(&mut doc, "approvalRules", 0);
        remove(&mut doc, "approvalRules", 7);
        assert_eq!(length(&doc, "/approvalRules"), 1);
        assert_eq!(fresh_rule(&doc)["approvalRuleId"], "rule-1");
        push(&mut doc, "mcpServers", json!({}));
        assert_eq!(length(&doc, "/mcpServers"), 1);
    }

    #[test]
    fn nothing_is_edited_where_something_else_stands() {
        let mut odd = json!({ "capabilities": "all", "llmPolicy": 3 });
        let before = odd.clone();
        set_standing(&mut odd, Capability::ShellExec, Standing::Free);
        write(&mut odd, "/llmPolicy/allowedModels", Kind::NeededLines, "*");
        write(&mut odd, "", Kind::Text, "x");
        push(&mut odd, "capabilities", json!(1));
        assert_eq!(odd, before);
    }

    #[test]
    fn problems_are_found_where_they_are() {
        let problem = |pointer: &str| PolicyProblem {
            pointer: pointer.to_owned(),
            message: String::new(),
            fatal: true,
        };
        let problems = [problem("/capabilities/1"), problem("/capabilities/10/allowedPaths/0"), problem("")];
        assert_eq!(problems_at(&problems, "/capabilities/1").len(), 1, "10 is not below 1");
        assert_eq!(problems_at(&problems, "/capabilities/10/allowedPaths").len(), 1);
        assert_eq!(problems_at(&problems, "").len(), 1);
        assert_eq!(place(&doc(), "/capabilities/0/allowedPaths/1"), "File.Read: allowedPaths, no. 2");
        assert_eq!(place(&doc(), "/llmPolicy/allowedModels"), "llmPolicy, allowedModels");
        assert_eq!(place(&doc(), ""), "The whole document");
    }
}
