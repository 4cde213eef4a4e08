//! Telemetry Service: events and spans without content, and what charts are drawn from.
//!
//! Attribute names follow the OpenTelemetry GenAI conventions: `invoke_agent` (task), `chat` (model call),
//! `execute_tool` (tool call). Prompts, code and file contents are refused by name and by size.

use std::collections::BTreeMap;

use lanyard_protocol::Timestamp;
use lanyard_protocol::envelope::EventEnvelope;
use serde::{Deserialize, Serialize};

use crate::id::{AgentId, SpanId, TraceId};

/// Body of `POST /telemetry/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TelemetryBatch {
    /// The events; deduped by id.
    pub events: Vec<EventEnvelope>,
}

/// Body of `POST /telemetry/traces`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TraceBatch {
    /// The spans; deduped by span id.
    pub spans: Vec<Span>,
}

/// One span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Span {
    /// 16 hex digits, derived from what it measures, so that a repeated span is the same span.
    pub span_id: SpanId,
    /// 32 hex digits; one trace a task.
    pub trace_id: TraceId,
    /// The span it is part of.
    pub parent_span_id: Option<SpanId>,
    /// What.
    pub operation: Operation,
    /// For people: `invoke_agent`, `chat gpt-5`, `execute_tool ReadFile`.
    pub name: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Milliseconds it took.
    pub duration_millis: u64,
    /// It succeeded.
    pub ok: bool,
    /// Error code, where it did not.
    pub error: Option<String>,
    /// Short, content-free attributes; at most 32, 256 bytes each.
    pub attributes: BTreeMap<String, String>,
}

/// What a span measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A task.
    InvokeAgent,
    /// A model call.
    Chat,
    /// A tool call.
    ExecuteTool,
}

/// Answer to both (202).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TelemetryAccepted {
    /// Taken now.
    pub accepted: u64,
    /// There already.
    pub duplicates: u64,
}

/// Query of `GET /telemetry/summary`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SummaryQuery {
    /// Of one host.
    pub agent_id: Option<AgentId>,
    /// Hours back from now, 1–2,160.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 2_160)))]
    pub hours: Option<u32>,
}

/// What charts are drawn from: buckets, oldest first, without holes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TelemetrySummary {
    /// Length of a bucket, in seconds.
    pub bucket_seconds: u32,
    /// The buckets.
    pub buckets: Vec<Bucket>,
    /// Tools by calls, most first, at most twenty.
    pub tools: Vec<NamedCount>,
    /// Models by calls, most first, at most twenty.
    pub models: Vec<NamedCount>,
}

/// One stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    /// Where it begins.
    pub from: Timestamp,
    /// Tasks that ended.
    pub tasks: u64,
    /// Of these, failed.
    pub tasks_failed: u64,
    /// Tool calls.
    pub tool_calls: u64,
    /// Of these, failed or denied.
    pub tool_calls_failed: u64,
    /// Model calls.
    pub model_calls: u64,
    /// Tokens in and out.
    pub tokens: u64,
    /// Median length of a model call, milliseconds.
    pub model_p50_millis: u64,
    /// 95th percentile of it.
    pub model_p95_millis: u64,
}

/// A name and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct NamedCount {
    /// The name.
    pub name: String,
    /// How often.
    pub count: u64,
    /// Of these, failed.
    pub failed: u64,
}
