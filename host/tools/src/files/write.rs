//! WriteFile.

use lanyard_protocol::json::Json;
use lanyard_protocol::limits::MAX_TOOL_ARGUMENT_BYTES;
use lanyard_protocol::policy::Capability;
use serde::Deserialize;

use super::{change, locate, refuse_unchangeable};
use crate::arguments;
use crate::catalog::{Parameter, ParameterKind, Tool};
use crate::ground::LastLink;
use crate::plan::{Draft, PlanError, Planning};

const NAME: &str = "WriteFile";

pub(crate) static WRITE: Tool = Tool {
    name: NAME,
    description: "Writes a whole file of the workspace: creates it, with missing directories, or replaces its content. \
                  To change part of a file use EditFile.",
    capabilities: &[Capability::FileWrite],
    parameters: &[
        Parameter::required(
            "path",
            ParameterKind::Text,
            "The file, relative to the workspace or absolute within it.",
        ),
        Parameter::required("content", ParameterKind::Text, "The whole content, written exactly as given."),
    ],
    plan,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Arguments {
    path: String,
    content: String,
}

fn plan(planning: &Planning<'_>, json: &Json) -> Result<Draft, PlanError> {
    let Arguments { path, content } = arguments::read(NAME, json)?;
    arguments::at_most(NAME, "content", &content, MAX_TOOL_ARGUMENT_BYTES)?;
    if path.ends_with('/') {
        return Err(PlanError::argument(NAME, "path", "it names a directory: name a file"));
    }
    let found = locate(planning, NAME, "path", &path, LastLink::Follow)?;
    refuse_unchangeable(NAME, &found)?;
    let before = change::before(planning, NAME, &found)?;
    Ok(change::plan(planning, &found, before, content))
}
