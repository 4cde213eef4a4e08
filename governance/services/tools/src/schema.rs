//! Checking arguments against a tool's schema: the part of JSON Schema that tools' arguments are made of.
//!
//! Checked: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`, `minLength`, `maxLength`,
//! `minItems`, `maxItems`, `minimum`, `maximum`. Not checked, and left to the tool: everything else, `pattern`, `format`,
//! `$ref`, `allOf`, `anyOf`, `oneOf`, `not`, `if` among it. Both sides come from a JSON reader that bounds their depth.

use lanyard_governance_foundation::Fault;
use serde_json::{Map, Value};

/// Longest schema, in bytes of JSON.
const MAX_SCHEMA_BYTES: usize = 64 << 10;

/// Checks a schema of arguments, and closes it: arguments that it does not name are refused.
pub(crate) fn closed(schema: &Value) -> Result<Value, Fault> {
    let Value::Object(members) = schema else {
        return Err(Fault::invalid("inputSchema is an object schema"));
    };
    if members.get("type") != Some(&Value::from("object")) {
        return Err(Fault::invalid("inputSchema has the type \"object\""));
    }
    if members.get("additionalProperties").is_some_and(|other| *other != Value::Bool(false)) {
        return Err(Fault::invalid(
            "inputSchema allows other arguments than those it names; additionalProperties is false",
        ));
    }
    if schema.to_string().len() > MAX_SCHEMA_BYTES {
        return Err(Fault::invalid(format!("inputSchema has at most {MAX_SCHEMA_BYTES} bytes")));
    }
    let mut pointer = String::from("/inputSchema");
    well_formed(schema, &mut pointer)?;
    let mut members = members.clone();
    members.insert("additionalProperties".to_owned(), Value::Bool(false));
    Ok(Value::Object(members))
}

/// Checks that what [`check`] reads is what it should be: a restriction that cannot be read must not be skipped.
fn well_formed(schema: &Value, pointer: &mut String) -> Result<(), Fault> {
    let members = match schema {
        Value::Bool(_) => return Ok(()),
        Value::Object(members) => members,
        _ => return Err(Fault::invalid(format!("{pointer} is no schema"))),
    };
    for (name, value) in members {
        let fits = match name.as_str() {
            "type" => types(value).is_some_and(|types| types.iter().all(|name| TYPES.contains(name))),
            "enum" => value.is_array(),
            "required" => value.as_array().is_some_and(|names| names.iter().all(Value::is_string)),
            "minLength" | "maxLength" | "minItems" | "maxItems" => value.is_u64(),
            "minimum" | "maximum" => value.is_number(),
            "properties" => value.is_object(),
            _ => true,
        };
        if !fits {
            return Err(Fault::invalid(format!("{pointer}/{name} is not what JSON Schema has there")));
        }
        let before = pointer.len();
        pointer.push('/');
        pointer.push_str(name);
        match (name.as_str(), value) {
            ("items" | "additionalProperties", inner) => well_formed(inner, pointer)?,
            ("properties", Value::Object(inner)) => {
                let here = pointer.len();
                for (name, inner) in inner {
                    pointer.push('/');
                    pointer.push_str(name);
                    well_formed(inner, pointer)?;
                    pointer.truncate(here);
                }
            }
            _ => {}
        }
        pointer.truncate(before);
    }
    Ok(())
}

const TYPES: &[&str] = &["null", "boolean", "object", "array", "number", "integer", "string"];

fn types(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(one) => Some(vec![one]),
        Value::Array(several) => several.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// Checks arguments against a schema that [`closed`] has let through.
pub(crate) fn check(schema: &Value, arguments: &Value) -> Result<(), Fault> {
    fits(schema, arguments, &mut String::from("/arguments"))
}

fn fits(schema: &Value, value: &Value, pointer: &mut String) -> Result<(), Fault> {
    let wrong = |what: &str| Err(Fault::invalid(format!("{pointer} {what}")));
    let members = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Object(members) => members,
        _ => return wrong("is not allowed here"),
    };
    if let Some(wanted) = members.get("type").and_then(types)
        && !wanted.iter().any(|name| is_of(value, name))
    {
        return wrong(&format!("is not of the type {}", wanted.join(" or ")));
    }
    if let Some(Value::Array(allowed)) = members.get("enum")
        && !allowed.contains(value)
    {
        return wrong("is none of the values allowed");
    }
    if members.get("const").is_some_and(|only| only != value) {
        return wrong("is not the value allowed");
    }
    let bound = |name: &str| members.get(name).and_then(Value::as_u64);
    match value {
        Value::String(text) => {
            within(text.chars().count(), bound("minLength"), bound("maxLength"), "characters", pointer)
        }
        Value::Number(number) => {
            let (number, bound) = (number.as_f64(), |name: &str| members.get(name).and_then(Value::as_f64));
            let below = number.zip(bound("minimum")).is_some_and(|(number, least)| number < least);
            let above = number.zip(bound("maximum")).is_some_and(|(number, most)| number > most);
            if below || above { wrong("is out of bounds") } else { Ok(()) }
        }
        Value::Array(items) => {
            within(items.len(), bound("minItems"), bound("maxItems"), "items", pointer)?;
            let Some(schema) = members.get("items") else { return Ok(()) };
            each(items.iter().enumerate().map(|(n, item)| (n.to_string(), schema, item)), pointer)
        }
        Value::Object(given) => object(members, given, pointer),
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "number" => value.is_number(),
        // JSON Schema counts 1.0 as an integer.
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        "string" => value.is_string(),
        _ => false,
    }
}

fn within(
    count: usize,
    least: Option<u64>,
    most: Option<u64>,
    what: &str,
    pointer: &str,
) -> Result<(), Fault> {
    let count = count as u64;
    if let Some(least) = least.filter(|least| count < *least) {
        return Err(Fault::invalid(format!("{pointer} has fewer than {least} {what}")));
    }
    if let Some(most) = most.filter(|most| count > *most) {
        return Err(Fault::invalid(format!("{pointer} has more than {most} {what}")));
    }
    Ok(())
}

fn object(
    schema: &Map<String, Value>,
    given: &Map<String, Value>,
    pointer: &mut String,
) -> Result<(), Fault> {
    let required =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for name in required {
        if !given.contains_key(name) {
            return Err(Fault::invalid(format!("{pointer} lacks {name}")));
        }
    }
    let known = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties").unwrap_or(&Value::Bool(true));
    let members = given.iter().map(|(name, value)| {
        let schema = known.and_then(|known| known.get(name)).unwrap_or(others);
        (name.clone(), schema, value)
    });
    each(members, pointer)
}

fn each<'a>(
    values: impl Iterator<Item = (String, &'a Value, &'a Value)>,
    pointer: &mut String,
) -> Result<(), Fault> {
    let here = pointer.len();
    for (name, schema, value) in values {
        pointer.push('/');
        pointer.push_str(&name);
        fits(schema, value, pointer)?;
        pointer.truncate(here);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        closed(&json!({
            "type": "object",
            "required": ["query"],
            "properties": {
                "query": {"type": "string", "minLength": 1, "maxLength": 5},
                "limit": {"type": ["integer", "null"], "minimum": 1, "maximum": 10},
                "order": {"enum": ["up", "down", 3]},
                "fixed": {"const": true},
                "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
                "nested": {"type": "object", "additionalProperties": {"type": "number"}},
                "free": {"pattern": "^a"},
                "never": false
            }
        }))
        .unwrap()
    }

    #[test]
    fn arguments_that_fit_pass_and_others_are_named() {
        let schema = schema();
        for good in [
            json!({"query": "äöüßé"}),
            json!({"query": "x", "limit": 10, "order": 3, "fixed": true, "tags": ["a"], "nested": {"n": 1.5}}),
            json!({"query": "x", "limit": null}),
            json!({"query": "x", "limit": 2.0}),
            // Not checked here.
            json!({"query": "x", "free": "b"}),
        ] {
            check(&schema, &good).unwrap();
        }
        for (bad, named) in [
            (json!([]), "/arguments is not of the type object"),
            (json!({}), "lacks query"),
            (json!({"query": ""}), "/arguments/query has fewer"),
            (json!({"query": "123456"}), "/arguments/query has more than 5"),
            (json!({"query": 1}), "/arguments/query is not of the type string"),
            (json!({"query": "x", "limit": 0}), "/arguments/limit is out of bounds"),
            (json!({"query": "x", "limit": 10.5}), "/arguments/limit is not of the type integer or null"),
            (json!({"query": "x", "order": "sideways"}), "/arguments/order"),
            (json!({"query": "x", "fixed": false}), "/arguments/fixed"),
            (json!({"query": "x", "tags": []}), "fewer than 1 items"),
            (json!({"query": "x", "tags": ["a", 1]}), "/arguments/tags/1"),
            (json!({"query": "x", "nested": {"n": "1"}}), "/arguments/nested/n"),
            (json!({"query": "x", "never": 1}), "/arguments/never is not allowed"),
            (json!({"query": "x", "colour": "red"}), "/arguments/colour is not allowed"),
        ] {
            let refused = check(&schema, &bad).unwrap_err().to_string();
            assert!(refused.contains(named), "{bad}: {refused}");
        }
    }

    #[test]
    fn schemas_that_are_none_or_could_not_be_kept_are_refused() {
        for bad in [
            json!(true),
            json!({}),
            json!({"type": "array"}),
            json!({"type": ["object"]}),
            json!({"type": "object", "additionalProperties": true}),
            json!({"type": "object", "additionalProperties": {}}),
            json!({"type": "object", "required": "query"}),
            json!({"type": "object", "properties": []}),
            json!({"type": "object", "properties": {"a": 1}}),
            json!({"type": "object", "properties": {"a": {"type": "text"}}}),
            json!({"type": "object", "properties": {"a": {"maxLength": -1}}}),
            json!({"type": "object", "properties": {"a": {"items": {"enum": 1}}}}),
            json!({"type": "object", "description": "x".repeat(70_000)}),
        ] {
            assert!(closed(&bad).is_err(), "{bad}");
        }
    }
}
