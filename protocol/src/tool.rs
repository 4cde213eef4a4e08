//! Tool calls: spec, request, result (seed 004 §12.2, §12.3, with call ids and full errors added).

use serde::{Deserialize, Serialize};

use crate::error::WireError;
use crate::id::{ArtifactId, SessionId, StepId, TaskId, ToolCallId, WorkspaceId};
use crate::json::Json;
use crate::policy::Capability;

/// What a tool is and takes, as offered to the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ToolSpec {
    /// Unique name within the session.
    pub name: String,
    /// One paragraph for the model.
    pub description: String,
    /// JSON Schema of the arguments; an object schema that allows no other members.
    pub input_schema: Json,
    /// Every capability a call may need.
    pub capabilities: Vec<Capability>,
}

/// One call, as the loop hands it to the router.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolRequest {
    /// The tool.
    pub tool_name: String,
    /// Its arguments; an object.
    pub arguments: Json,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The session.
    pub session_id: SessionId,
    /// The task.
    pub task_id: TaskId,
    /// The step.
    pub step_id: StepId,
    /// The call.
    pub tool_call_id: ToolCallId,
    /// The capability the call needs most, once known.
    pub capability: Option<Capability>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ToolStatus {
    /// It did what was asked.
    Succeeded,
    /// It ran and failed; `error` says why.
    Failed,
    /// Policy or a person refused it; it never ran.
    Denied,
    /// It was cancelled before or while it ran.
    Cancelled,
    /// It started and the host stopped before it could know the outcome. Never re-run by itself.
    Indeterminate,
}

/// The outcome of a call, to the model and to every client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolResult {
    /// The tool.
    pub tool_name: String,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The session.
    pub session_id: SessionId,
    /// The task.
    pub task_id: TaskId,
    /// The step.
    pub step_id: StepId,
    /// The call.
    pub tool_call_id: ToolCallId,
    /// How it ended.
    pub status: ToolStatus,
    /// Output for the model, at most [`crate::limits::MAX_TOOL_OUTPUT_BYTES`] bytes.
    pub output_text: Option<String>,
    /// Where the whole output is kept: `artifact:` and an [`ArtifactId`].
    #[serde(default)]
    pub artifact_uris: Vec<String>,
    /// Why it did not succeed.
    pub error: Option<WireError>,
}

impl ToolResult {
    /// A result without output for a request, in a given state.
    pub fn of(request: &ToolRequest, status: ToolStatus) -> Self {
        Self {
            tool_name: request.tool_name.clone(),
            workspace_id: request.workspace_id.clone(),
            session_id: request.session_id.clone(),
            task_id: request.task_id.clone(),
            step_id: request.step_id.clone(),
            tool_call_id: request.tool_call_id.clone(),
            status,
            output_text: None,
            artifact_uris: Vec::new(),
            error: None,
        }
    }

    /// The same result with an error.
    pub fn with_error(mut self, error: WireError) -> Self {
        self.error = Some(error);
        self
    }
}

/// The URI under which results name an artifact.
pub fn artifact_uri(id: &ArtifactId) -> String {
    format!("artifact:{id}")
}
