//! Spans as `opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest`. Field numbers are from
//! opentelemetry-proto 1.x (`trace.proto`, `common.proto`, `resource.proto`), which never change; attribute names are the
//! GenAI conventions'.

use std::collections::BTreeMap;

use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::telemetry::{Operation, Span};

use super::proto::Message;

const KIND_INTERNAL: u64 = 1;
const KIND_CLIENT: u64 = 3;
const STATUS_ERROR: u64 = 2;

/// Attributes that are numbers there; here every value is a text.
const NUMBERS: &[&str] = &[
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "lanyard.files_changed",
    "lanyard.steps",
    "lanyard.tool_calls",
    "process.exit.code",
];

/// Attributes that are lists of texts there.
const LISTS: &[&str] = &["gen_ai.response.finish_reasons"];

/// A span and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// Tenant of its host.
    pub tenant: TenantId,
    /// The host, or `service`.
    pub source: String,
    /// The span.
    pub span: Span,
}

/// The body of one request, protobuf. Spans are grouped by host, otherwise in order.
pub fn trace_request(spans: &[Exported]) -> Vec<u8> {
    let mut by_source: BTreeMap<(&str, &str), Vec<&Span>> = BTreeMap::new();
    for exported in spans {
        let whose = (exported.tenant.as_str(), exported.source.as_str());
        by_source.entry(whose).or_default().push(&exported.span);
    }
    let mut request = Message::default();
    for ((tenant, source), spans) in by_source {
        request.message(1, |resource_spans| {
            resource_spans.message(1, |resource| {
                let service = if source == "service" { "lanyard-central" } else { "lanyard-host" };
                for (key, value) in [
                    ("service.namespace", "lanyard"),
                    ("service.name", service),
                    ("service.instance.id", source),
                    ("lanyard.tenant.id", tenant),
                ] {
                    text(resource, 1, key, value);
                }
            });
            resource_spans.message(2, |scope_spans| {
                scope_spans.message(1, |scope| {
                    scope.bytes(1, "lanyard");
                    scope.bytes(2, env!("CARGO_PKG_VERSION"));
                });
                for span in spans {
                    scope_spans.message(2, |message| write(message, span));
                }
            });
        });
    }
    request.into_bytes()
}

fn write(message: &mut Message, span: &Span) {
    message.bytes(1, hex(span.trace_id.as_str()));
    message.bytes(2, hex(span.span_id.as_str()));
    if let Some(parent) = &span.parent_span_id {
        message.bytes(4, hex(parent.as_str()));
    }
    message.bytes(5, &span.name);
    message.varint(6, if span.operation == Operation::Chat { KIND_CLIENT } else { KIND_INTERNAL });
    let start = u64::try_from(span.started_at.as_millis()).unwrap_or_default();
    message.fixed64(7, start.saturating_mul(1_000_000));
    message.fixed64(8, start.saturating_add(span.duration_millis).saturating_mul(1_000_000));
    for (key, value) in attributes(span) {
        if NUMBERS.contains(&key)
            && let Ok(number) = value.parse()
        {
            pair(message, 9, key, |any| any.int64(3, number));
        } else if LISTS.contains(&key) {
            pair(message, 9, key, |any| any.message(5, |list| list.message(1, |item| item.bytes(1, value))));
        } else {
            text(message, 9, key, value);
        }
    }
    if !span.ok {
        message.message(15, |status| {
            if let Some(error) = &span.error {
                status.bytes(2, error);
            }
            status.varint(3, STATUS_ERROR);
        });
    }
}

/// Those of the span, and those that the conventions want and that follow from it.
fn attributes(span: &Span) -> BTreeMap<&str, &str> {
    let mut attributes: BTreeMap<&str, &str> =
        span.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let rest = span.name.split_once(' ').map(|(_, rest)| rest);
    let (operation, named) = match span.operation {
        Operation::InvokeAgent => ("invoke_agent", Some(("gen_ai.agent.name", rest.unwrap_or("lanyard")))),
        Operation::Chat => ("chat", rest.map(|model| ("gen_ai.request.model", model))),
        Operation::ExecuteTool => ("execute_tool", rest.map(|tool| ("gen_ai.tool.name", tool))),
    };
    attributes.insert("gen_ai.operation.name", operation);
    if let Some((key, value)) = named {
        attributes.entry(key).or_insert(value);
    }
    if !span.ok {
        attributes.insert("error.type", span.error.as_deref().unwrap_or("_OTHER"));
    }
    attributes
}

fn pair(message: &mut Message, field: u32, key: &str, value: impl FnOnce(&mut Message)) {
    message.message(field, |pair| {
        pair.bytes(1, key);
        pair.message(2, value);
    });
}

fn text(message: &mut Message, field: u32, key: &str, value: &str) {
    pair(message, field, key, |any| any.bytes(1, value));
}

/// The bytes of an id. Ids were checked when they came; a digit that is none counts as zero.
fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok()).unwrap_or(0);
    text.as_bytes().chunks(2).map(|two| two.iter().fold(0, |sum, byte| sum << 4 | digit(byte))).collect()
}
