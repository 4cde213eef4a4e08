//! The fourteen tools: what the model is offered, and who plans each.

use lanyard_protocol::json::Json;
use lanyard_protocol::policy::Capability;
use lanyard_protocol::tool::ToolSpec;
use serde_json::{Map, Value, json};

use crate::plan::{Draft, PlanError, Planning};
use crate::{command, files, git, http, search};

/// One tool.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) capabilities: &'static [Capability],
    pub(crate) parameters: &'static [Parameter],
    pub(crate) plan: fn(&Planning<'_>, &Json) -> Result<Draft, PlanError>,
}

/// One argument of a tool.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) kind: ParameterKind,
    pub(crate) required: bool,
}

/// The JSON type of an argument.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ParameterKind {
    Text,
    Flag,
    /// A whole number within bounds.
    Number(u64, u64),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// Names to texts.
    Map,
}

impl Parameter {
    pub(crate) const fn required(name: &'static str, kind: ParameterKind, description: &'static str) -> Self {
        Self { name, description, kind, required: true }
    }

    pub(crate) const fn optional(name: &'static str, kind: ParameterKind, description: &'static str) -> Self {
        Self { name, description, kind, required: false }
    }

    fn schema(&self) -> Value {
        let mut schema = match self.kind {
            ParameterKind::Text => json!({"type": "string"}),
            ParameterKind::Flag => json!({"type": "boolean"}),
            ParameterKind::Number(least, most) => {
                json!({"type": "integer", "minimum": least, "maximum": most})
            }
            ParameterKind::OneOf(values) => json!({"type": "string", "enum": values}),
            ParameterKind::Texts => json!({"type": "array", "items": {"type": "string"}}),
            ParameterKind::Map => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        };
        schema["description"] = json!(self.description);
        schema
    }
}

/// In the order they are offered: looking before changing, changing before running.
static TOOLS: [&Tool; 14] = [
    &files::READ,
    &search::LIST,
    &search::FIND,
    &search::GREP,
    &files::WRITE,
    &files::EDIT,
    &files::MOVE,
    &files::DELETE,
    &command::RUN_COMMAND,
    &http::HTTP_REQUEST,
    &git::STATUS,
    &git::DIFF,
    &git::COMMIT,
    &git::PUSH,
];

/// The tools as offered to the model.
pub fn specs() -> Vec<ToolSpec> {
    TOOLS.iter().map(|tool| tool.spec()).collect()
}

/// What a call of this tool needs to be granted at least, known before it is planned; `None` when there is no such
/// tool.
pub fn demands_of(tool_name: &str) -> Option<&'static [Capability]> {
    find(tool_name).map(|tool| tool.capabilities)
}

/// Whether planning a call of this tool starts programs: [`crate::plan()`] then has to be preceded by whatever would
/// refuse it anyway.
pub fn plans_with_programs(tool_name: &str) -> bool {
    [git::COMMIT.name, git::PUSH.name].contains(&tool_name)
}

pub(crate) fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name).copied()
}

pub(crate) fn names() -> String {
    TOOLS.iter().map(|tool| tool.name).collect::<Vec<_>>().join(", ")
}

impl Tool {
    fn spec(&self) -> ToolSpec {
        let properties: Map<String, Value> =
            self.parameters.iter().map(|parameter| (parameter.name.to_owned(), parameter.schema())).collect();
        let required: Vec<&str> = self
            .parameters
            .iter()
            .filter(|parameter| parameter.required)
            .map(|parameter| parameter.name)
            .collect();
        ToolSpec {
            name: self.name.to_owned(),
            description: self.description.to_owned(),
            input_schema: Json(json!({
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": false,
            })),
            capabilities: self.capabilities.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests;
