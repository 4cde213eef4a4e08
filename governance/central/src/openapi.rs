//! The OpenAPI document, made from the one table of endpoints.

use std::collections::BTreeMap;

use lanyard_governance_api::endpoint::{AgentScope, Body, ENDPOINTS, Endpoint};
use lanyard_governance_api::limits::MAX_ARTIFACT_BYTES;
use lanyard_protocol::WireError;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Statuses that any endpoint may answer with, and why.
const FAULTS: &[(&str, &str)] = &[
    ("400", "The request cannot be understood."),
    ("401", "The caller is not known."),
    ("403", "The caller may not do this."),
    ("404", "There is no such thing that the caller may know of."),
    ("409", "The thing is in another state than the request needs."),
    ("413", "The body is too long."),
    ("422", "Understood, and not possible."),
    ("429", "Too many requests."),
    ("500", "A defect; the server's log has the detail."),
    ("503", "Something that is needed does not answer; try again."),
];

/// The document (OpenAPI 3.1).
pub(crate) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
    });
    let mut generator = settings.into_generator();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let error = generator.subschema_for::<WireError>();
    for endpoint in ENDPOINTS {
        let operation = operation(endpoint, &mut generator);
        let method = endpoint.method.as_str().to_lowercase();
        paths.entry(endpoint.path).or_default().insert(method, operation);
    }
    let faults: Map<String, Value> = FAULTS
        .iter()
        .map(|(status, why)| {
            let body = json!({"description": why, "content": {"application/json": {"schema": error}}});
            (format!("E{status}"), body)
        })
        .collect();
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lanyard central services",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Governance of agent hosts: sessions, policy, approvals, artifacts, audit, telemetry, \
                            enrolment and jobs. Every error has the shape of WireError.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": faults,
            "securitySchemes": {
                "person": {"type": "http", "scheme": "bearer", "description": "A sign-in of a person."},
                "agent": {"type": "http", "scheme": "bearer", "description": "An access token of a host; over TLS its client certificate."},
                "heartbeat": {"type": "http", "scheme": "bearer", "description": "The service token of a host: heartbeats only."},
                "service": {"type": "http", "scheme": "bearer", "description": "Another service of the installation."},
            },
        },
    })
}

fn operation(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    let success = endpoint.success.to_string();
    responses.insert(success, answer(endpoint, generator));
    for (status, _) in FAULTS {
        responses.insert((*status).to_owned(), json!({"$ref": format!("#/components/responses/E{status}")}));
    }
    let mut operation = json!({
        "operationId": endpoint.id,
        "summary": endpoint.summary.trim(),
        "tags": [endpoint.service.as_str()],
        "security": security(endpoint),
        "parameters": parameters(endpoint, generator),
        "responses": responses,
    });
    let body = match endpoint.request {
        Body::Json => {
            let schema = (endpoint.request_schema)(generator);
            Some(json!({"required": true, "content": {"application/json": {"schema": schema}}}))
        }
        Body::Bytes => Some(json!({"required": true, "content": {"application/octet-stream": {
            "schema": {"type": "string", "format": "binary", "maxLength": MAX_ARTIFACT_BYTES}}}})),
        Body::Empty | Body::JsonLines | Body::Events | Body::Redirect => None,
    };
    if let (Some(body), Value::Object(members)) = (body, &mut operation) {
        members.insert("requestBody".to_owned(), body);
    }
    operation
}

fn answer(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let content = match endpoint.response {
        Body::Json => {
            let schema = (endpoint.response_schema)(generator);
            json!({"application/json": {"schema": schema}})
        }
        Body::Bytes => json!({"application/octet-stream": {}, "application/pem-certificate-chain": {}}),
        Body::JsonLines => json!({"application/x-ndjson": {}}),
        Body::Events => json!({"text/event-stream": {}}),
        Body::Empty | Body::Redirect => return json!({"description": endpoint.summary.trim()}),
    };
    json!({"description": endpoint.summary.trim(), "content": content})
}

fn security(endpoint: &Endpoint) -> Value {
    let access = endpoint.access;
    let mut schemes = Vec::new();
    if access.public {
        schemes.push(json!({}));
    }
    if access.person.is_some() || access.operator {
        schemes.push(json!({"person": []}));
    }
    match access.agent {
        Some(AgentScope::Heartbeat) => {
            schemes.push(json!({"heartbeat": []}));
            schemes.push(json!({"agent": []}));
        }
        Some(AgentScope::Agent) => schemes.push(json!({"agent": []})),
        None => {}
    }
    if access.service {
        schemes.push(json!({"service": []}));
    }
    Value::Array(schemes)
}

/// Parameters of path and query. Ids have a grammar; numbers of versions are numbers.
fn parameters(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Vec<Value> {
    let mut parameters = Vec::new();
    for part in endpoint.path.split('/') {
        let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else { continue };
        let schema = match name {
            "version" => json!({"type": "integer", "minimum": 1}),
            _ => json!({"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"}),
        };
        parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
    }
    let query = (endpoint.query_schema)(generator);
    let resolved = resolved(query.as_value(), generator);
    let required: Vec<&str> = resolved
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    for (name, schema) in resolved.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let required = required.contains(&name.as_str());
        parameters
            .push(json!({"name": name, "in": "query", "required": required, "schema": present(schema)}));
    }
    parameters
}

/// The definition a schema refers to.
fn resolved(schema: &Value, generator: &SchemaGenerator) -> Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    name.and_then(|name| generator.definitions().get(name).cloned()).unwrap_or_else(|| schema.clone())
}

/// In a query a value is there or not; there is no null.
fn present(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(types) = schema.get_mut("type").filter(|types| types.is_array()) {
        let kept = types.as_array().and_then(|all| all.iter().find(|t| *t != "null")).cloned();
        if let Some(kept) = kept {
            *types = kept;
        }
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let real: Vec<&Value> = choices.iter().filter(|c| c.get("type") != Some(&json!("null"))).collect();
        if let [only] = real.as_slice() {
            return (*only).clone();
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_in_the_document_and_every_reference_leads_somewhere() {
        let document = document();
        let paths = document["paths"]
            .as_object()
            .map_or(0, |paths| paths.values().map(|methods| methods.as_object().map_or(0, Map::len)).sum());
        assert_eq!(paths, ENDPOINTS.len());
        let text = document.to_string();
        for part in text.split("\"$ref\":\"").skip(1) {
            let reference = part.split('"').next().unwrap_or_default();
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }
}
