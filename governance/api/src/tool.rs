//! Backend Tool Service: tools that run behind the centre, not on the host.

use std::collections::BTreeMap;

use lanyard_protocol::tool::{ToolRequest, ToolSpec};
use serde::{Deserialize, Serialize};

/// Body of `PUT /tools/{name}`: a tool behind an HTTP address of the tenant's own.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolDefinition {
    /// For the model.
    pub description: String,
    /// JSON Schema of the arguments; an object schema.
    pub input_schema: lanyard_protocol::Json,
    /// Where calls are posted: the body is the arguments, the answer's text is the output.
    pub url: String,
    /// Sent as `Authorization`; never shown again. Absent on an update: the old one stays.
    pub authorization: Option<String>,
    /// Longest run, seconds, 1–300.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 300)))]
    pub timeout_seconds: u32,
}

impl std::fmt::Debug for ToolDefinition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolDefinition").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Answer of `GET /tools`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ToolList {
    /// By name.
    pub tools: Vec<ToolSpec>,
    /// What names exactly the present definition of each tool, by the tool's name: another text once its description,
    /// arguments, address or time is another.
    #[serde(default)]
    pub definitions: BTreeMap<String, String>,
}

/// Body of `POST /tools/{name}/invoke`. The grant is verified again: session, caller, bundle in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InvokeRequest {
    /// The call. A repeated `toolCallId` gets the first one's result; it does not run twice.
    pub request: ToolRequest,
    /// The definition that was offered and agreed to, as the list names it. Refused with `CONFLICT` when the tool has another
    /// one by now. Absent: whatever it is.
    #[serde(default)]
    pub definition: Option<String>,
}

/// Body of `POST /tools/{name}/settle`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettleRequest {
    /// The call, exactly as it was or would have been made.
    pub request: ToolRequest,
}
