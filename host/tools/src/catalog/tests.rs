//! What is offered fits what is read.

use serde_json::json;

use super::*;
use crate::testing::Bench;

#[test]
fn the_fourteen_tools_are_offered() {
    let mut names: Vec<String> = specs().into_iter().map(|spec| spec.name).collect();
    names.sort();
    let wanted = [
        "DeleteFile",
        "EditFile",
        "FindFiles",
        "GitCommit",
        "GitDiff",
        "GitPush",
        "GitStatus",
        "GrepFiles",
        "HttpRequest",
        "ListDirectory",
        "MoveFile",
        "ReadFile",
        "RunCommand",
        "WriteFile",
    ];
    assert_eq!(names, wanted);
}

#[test]
fn every_schema_is_strict_and_described() {
    for spec in specs() {
        let schema = &spec.input_schema.0;
        assert_eq!(schema["type"], "object", "{}", spec.name);
        assert_eq!(schema["additionalProperties"], false, "{}", spec.name);
        for (name, property) in schema["properties"].as_object().unwrap() {
            assert!(
                property["description"].as_str().is_some_and(|text| text.len() > 8),
                "{}.{name}",
                spec.name
            );
        }
        assert!(!spec.capabilities.is_empty() && spec.description.len() > 40, "{}", spec.name);
        assert!(!spec.description.contains("  "), "{}", spec.name);
    }
}

/// A value of the right type, harmless where it can be.
fn sample(name: &str, property: &Value) -> Value {
    match property["type"].as_str().unwrap() {
        "boolean" => json!(false),
        "integer" => json!(1),
        "array" => json!(["a"]),
        "object" => json!({}),
        _ if name == "method" => json!("GET"),
        _ => json!("a"),
    }
}

#[test]
fn what_the_schema_says_is_what_the_tool_reads() {
    let bench = Bench::new();
    for spec in specs() {
        let schema = &spec.input_schema.0;
        let properties = schema["properties"].as_object().unwrap();
        let full: Map<String, Value> =
            properties.iter().map(|(name, property)| (name.clone(), sample(name, property))).collect();
        let fault = |arguments: &Map<String, Value>| {
            let error = bench.plan(&spec.name, Value::Object(arguments.clone())).err();
            error.map(|error| error.to_string()).unwrap_or_default()
        };
        let refused = |text: &str| text.contains("unknown field") || text.contains("missing field");
        assert!(!refused(&fault(&full)), "{}: {}", spec.name, fault(&full));
        let mut extra = full.clone();
        extra.insert("surplus".to_owned(), json!(1));
        assert!(fault(&extra).contains("`surplus`"), "{}: {}", spec.name, fault(&extra));
        for (name, _) in properties {
            let required = schema["required"].as_array().unwrap().contains(&json!(name));
            let mut without = full.clone();
            without.remove(name);
            let text = fault(&without);
            assert_eq!(
                text.contains(&format!("missing field `{name}`")),
                required,
                "{}.{name}: {text}",
                spec.name
            );
            let mut wrong = full.clone();
            wrong.insert(name.clone(), json!([[1]]));
            let text = fault(&wrong);
            assert!(
                text.contains(&format!("`{name}")) && text.contains("invalid type"),
                "{}.{name}: {text}",
                spec.name
            );
        }
    }
}

#[test]
fn an_unknown_tool_is_named_with_the_known_ones() {
    let error = Bench::new().plan("Format\u{1b}Disk", json!({})).unwrap_err();
    assert_eq!(error.code(), lanyard_protocol::error::ErrorCode::ToolNotFound);
    let text = error.to_string();
    assert!(text.contains("ReadFile") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn what_a_call_needs_is_known_before_it_is_planned() {
    for spec in specs() {
        assert_eq!(demands_of(&spec.name).map(<[Capability]>::to_vec), Some(spec.capabilities));
    }
    assert_eq!(demands_of("NoSuchTool"), None);
    let starting: Vec<String> =
        specs().into_iter().map(|spec| spec.name).filter(|name| plans_with_programs(name)).collect();
    assert_eq!(starting, ["GitCommit", "GitPush"]);
}
