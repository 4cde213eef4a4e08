//! Example values from a JSON Schema: one with everything, one with only what is required, and one for each further
//! variant of each member.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Deep enough for every type of the contract, shallow enough to notice a recursive one.
const MAX_DEPTH: usize = 24;

/// Example values of a schema.
pub(crate) fn samples(schema: &Schema, generator: &mut SchemaGenerator) -> Vec<Value> {
    variants(schema.as_value(), generator.definitions(), 0)
}

fn variants(schema: &Value, definitions: &Map<String, Value>, depth: usize) -> Vec<Value> {
    assert!(depth < MAX_DEPTH, "a type of the contract must not be recursive: {schema}");
    if schema == &Value::Bool(true) {
        return vec![json!({ "any": [1, null, "x", { "y": 0.5 }] })];
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next().unwrap();
        return variants(&definitions[name], definitions, depth + 1);
    }
    if let Some(value) = schema.get("const") {
        return vec![value.clone()];
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().filter(|v| !v.is_null()).cloned().collect();
    }
    if schema.get("properties").is_some() && schema.get("oneOf").is_some() {
        return branches(schema, definitions, depth);
    }
    for union in ["oneOf", "anyOf"] {
        if let Some(parts) = schema.get(union).and_then(Value::as_array) {
            let parts = parts.iter().filter(|p| p.get("type") != Some(&json!("null")));
            return parts.flat_map(|p| variants(p, definitions, depth + 1)).collect();
        }
    }
    match type_of(schema).as_str() {
        "string" if schema.get("format") == Some(&json!("date-time")) => {
            vec![json!("2026-02-21T15:04:22.123Z")]
        }
        "string" if schema.get("contentEncoding") == Some(&json!("base64")) => vec![json!("AP8K")],
        "string" => vec![json!("sample")],
        "integer" => vec![json!(7)],
        "number" => vec![json!(0.5)],
        "boolean" => vec![json!(true), json!(false)],
        "array" => {
            // Two are enough here: each item type has its own samples with every variant.
            let items = variants(&schema["items"], definitions, depth + 1);
            vec![Value::Array(items.into_iter().take(2).collect())]
        }
        "object" => objects(schema, definitions, depth),
        other => panic!("a schema of a kind the sampler does not know: {other} in {schema}"),
    }
}

fn type_of(schema: &Value) -> String {
    match &schema["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            let name = names.iter().filter_map(Value::as_str).find(|n| *n != "null");
            name.unwrap_or("null").to_owned()
        }
        _ => panic!("a schema without a type: {schema}"),
    }
}

/// An object whose members depend on one of them: one value a branch, its members in place of the common ones.
fn branches(schema: &Value, definitions: &Map<String, Value>, depth: usize) -> Vec<Value> {
    let mut common = schema.clone();
    let parts = common.as_object_mut().unwrap().remove("oneOf").unwrap();
    let base = objects(&common, definitions, depth).swap_remove(0);
    let one_of_each = |part: &Value| {
        let mut value = base.clone();
        for (name, member) in part["properties"].as_object().unwrap() {
            value[name] = variants(member, definitions, depth + 1).swap_remove(0);
        }
        value
    };
    parts.as_array().unwrap().iter().map(one_of_each).collect()
}

fn objects(schema: &Value, definitions: &Map<String, Value>, depth: usize) -> Vec<Value> {
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let choices: Vec<(&String, Vec<Value>)> =
        properties.iter().map(|(name, s)| (name, variants(s, definitions, depth + 1))).collect();
    let full: Map<String, Value> =
        choices.iter().map(|(name, values)| ((*name).clone(), values.first().unwrap().clone())).collect();
    let least: Map<String, Value> = full
        .iter()
        .filter(|(name, _)| required.contains(&name.as_str()))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    let mut found = vec![Value::Object(full.clone())];
    if least != full {
        found.push(Value::Object(least));
    }
    for (name, values) in choices {
        for value in values.into_iter().skip(1) {
            let mut other = full.clone();
            other.insert(name.clone(), value);
            found.push(Value::Object(other));
        }
    }
    found
}
