//! The conversation thread (seed 004 §8a) with tool calls and provenance added.

use serde::{Deserialize, Serialize};

use crate::id::{MessageId, SessionId, StepId, TaskId, ToolCallId};
use crate::json::Json;
use crate::timestamp::Timestamp;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions of the host.
    System,
    /// The person's prompt.
    User,
    /// The model.
    Assistant,
    /// A tool's result.
    Tool,
}

/// How far a piece of text may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Written by the host or typed by a principal.
    Trusted,
    /// Chosen by the owner as instructions (`AGENTS.md` of a workspace).
    Workspace,
    /// Anything read from files, tools, the network or MCP: data, never instructions.
    Untrusted,
}

/// Where a message's content came from (seed 004 §16, source provenance tagging).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// What produced it: `user`, `file:src/a.rs`, `tool:RunCommand`, `http:example.com`, …
    pub source: String,
    /// How far it may be believed.
    pub trust: Trust,
}

/// One tool call asked for by the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MessageToolCall {
    /// The host's id for the call.
    pub tool_call_id: ToolCallId,
    /// The tool's name as the model gave it.
    pub tool_name: String,
    /// The arguments as the model gave them; an object when they parsed, else the raw text as a JSON string.
    pub arguments: Json,
}

/// One message of the thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConversationMessage {
    /// Unique within the session.
    pub message_id: MessageId,
    /// The session.
    pub session_id: SessionId,
    /// The task that produced it; absent for the session's own.
    pub task_id: Option<TaskId>,
    /// The step that produced it.
    pub step_id: Option<StepId>,
    /// Who speaks.
    pub role: Role,
    /// The text.
    pub content: String,
    /// Calls the model asked for (assistant messages).
    #[serde(default)]
    pub tool_calls: Vec<MessageToolCall>,
    /// The call this message answers (tool messages).
    pub tool_call_id: Option<ToolCallId>,
    /// Estimated or reported size in tokens.
    pub token_count: Option<u32>,
    /// Where the content came from.
    pub provenance: Option<Provenance>,
    /// When it was added.
    pub timestamp: Timestamp,
}
