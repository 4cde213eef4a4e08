//! The generated reference: JSON Schema files for other implementations, pages for people.

use std::fmt::Write as _;

use lanyard_protocol::approval::ApprovalRequest;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{EventBody, HostEventBody, SessionEvent};
use lanyard_protocol::method::Method;
use lanyard_protocol::policy::{Capability, PolicyBundle};
use lanyard_protocol::tool::{ToolRequest, ToolResult};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

const NOTE: &str = "<!-- Generated from the types of `protocol/`; `LANYARD_BLESS=1 cargo test -p lanyard-tests --test \
contract` writes it anew. -->\n\n";

/// Every generated file: path from the top of the tree, and text.
pub(crate) fn files() -> Vec<(String, String)> {
    vec![
        schema_file::<SessionEvent>("session_event"),
        schema_file::<ToolRequest>("tool_request"),
        schema_file::<ToolResult>("tool_result"),
        schema_file::<ApprovalRequest>("approval_request"),
        schema_file::<WireError>("error"),
        schema_file::<PolicyBundle>("policy_bundle"),
        ("docs/protocol/jsonrpc_methods.md".into(), methods()),
        ("docs/protocol/event_names.md".into(), events()),
        ("docs/protocol/capabilities.md".into(), capabilities()),
        ("docs/protocol/error_codes.md".into(), errors()),
        ("docs/protocol/central_api.md".into(), crate::central::page()),
    ]
}

fn schema_file<T: JsonSchema>(name: &str) -> (String, String) {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<T>().to_value();
    without_null(&mut schema);
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    (format!("protocol/schemas/{name}.schema.json"), text)
}

/// Absent fields are left out, never null; the schemas must not allow what is never sent.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|t| t != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    members.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(parts)) = members.get_mut("anyOf") {
                parts.retain(|p| p.get("type") != Some(&json!("null")));
                if let [Value::Object(only)] = parts.as_slice() {
                    let only = only.clone();
                    members.remove("anyOf");
                    members.extend(only);
                }
            }
            members.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

fn methods() -> String {
    let mut generator = SchemaGenerator::default();
    let mut page = format!("# Methods\n\n{NOTE}");
    page.push_str("JSON-RPC 2.0 over newline-delimited JSON. Absent members are left out, never `null`. Parameters with unknown members are refused.\n");
    let mut shapes = Vec::new();
    for method in Method::ALL {
        let (params, result) = method.schemas(&mut generator);
        let (params, result) = (shape_name(&params), shape_name(&result));
        let about = method.description().trim().replace("\n ", "\n");
        write!(
            page,
            "\n## {}\n\n{about}\n\nScope `{}`. Parameters [{params}](#{}), result [{result}](#{}).\n",
            method.name(),
            method.scope().as_str(),
            params.to_lowercase(),
            result.to_lowercase()
        )
        .unwrap();
    }
    shapes.extend(generator.definitions().iter().map(|(n, s)| (n.clone(), s.clone())));
    page.push_str("\n# Shapes\n");
    for (name, mut schema) in shapes {
        without_null(&mut schema);
        page.push_str(&shape(&name, &schema));
    }
    page
}

fn shape_name(schema: &Schema) -> String {
    let reference = schema.get("$ref").and_then(Value::as_str).unwrap_or("");
    reference.rsplit('/').next().unwrap_or("").to_owned()
}

fn shape(name: &str, schema: &Value) -> String {
    let mut text = format!("\n### {name}\n\n");
    if let Some(about) = schema.get("description").and_then(Value::as_str) {
        writeln!(text, "{}\n", about.replace('\n', " ")).unwrap();
    }
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if properties.is_empty() {
        writeln!(text, "{}", kind(schema)).unwrap();
        return text;
    }
    text.push_str("| member | type | |\n|---|---|---|\n");
    for (member, part) in properties {
        let about = part.get("description").and_then(Value::as_str).unwrap_or("").replace('\n', " ");
        let optional = if required.contains(&member.as_str()) { "" } else { " (optional)" };
        writeln!(text, "| `{member}` | {}{optional} | {about} |", kind(part)).unwrap();
    }
    text
}

fn kind(schema: &Value) -> String {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next().unwrap_or("");
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    for union in ["oneOf", "anyOf"] {
        if let Some(parts) = schema.get(union).and_then(Value::as_array) {
            return parts.iter().map(kind).collect::<Vec<_>>().join(", ");
        }
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let members: Vec<String> = properties.iter().map(|(n, s)| format!("`{n}`: {}", kind(s))).collect();
        return format!("{{ {} }}", members.join(", "));
    }
    match (schema.get("type").and_then(Value::as_str), schema.get("items"), schema.get("format")) {
        (Some("array"), Some(items), _) => format!("array of {}", kind(items)),
        (Some("string"), _, Some(format)) if format == "date-time" => "time (RFC 3339)".to_owned(),
        (Some(name), _, _) => name.to_owned(),
        (None, _, _) => "any JSON".to_owned(),
    }
}

fn events() -> String {
    let mut generator = SchemaGenerator::default();
    let mut page = format!("# Events\n\n{NOTE}");
    page.push_str("`SessionEvent` notifications; shapes of the payloads are in `protocol/schemas/session_event.schema.json` and below. All but `text_delta` and `tool_output_delta` are durable and carry `seq`.\n");
    for (title, rows) in [
        ("Of a session", EventBody::schemas(&mut generator)),
        ("Of the host (`HostEvent`)", HostEventBody::schemas(&mut generator)),
    ] {
        write!(page, "\n## {title}\n\n| name | | payload |\n|---|---|---|\n").unwrap();
        for (name, about, schema) in rows {
            let payload = shape_name(&schema);
            let about = about.trim().replace('\n', " ");
            writeln!(page, "| `{name}` | {about} | [{payload}](#{}) |", payload.to_lowercase()).unwrap();
        }
    }
    page.push_str("\n# Payloads\n");
    for (name, definition) in generator.definitions().clone() {
        let mut definition = definition;
        without_null(&mut definition);
        page.push_str(&shape(&name, &definition));
    }
    page
}

fn capabilities() -> String {
    let mut page = format!("# Capabilities\n\n{NOTE}| name | |\n|---|---|\n");
    for capability in Capability::ALL {
        writeln!(page, "| `{capability}` | {} |", capability.description().trim()).unwrap();
    }
    page
}

fn errors() -> String {
    let mut page =
        format!("# Error codes\n\n{NOTE}| code | JSON-RPC | repeat may help | |\n|---|---|---|---|\n");
    for code in ErrorCode::ALL {
        let repeat = if code.retryable() { "yes" } else { "no" };
        writeln!(page, "| `{code}` | {} | {repeat} | {} |", code.rpc_number(), code.description().trim())
            .unwrap();
    }
    page
}
