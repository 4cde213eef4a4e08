//! What is wrong with a document is told where it is, in words.

use serde_json::{Value, json};

use super::*;
use crate::first_document;

fn first() -> Value {
    serde_json::to_value(first_document().unwrap()).unwrap()
}

/// The problems of the first document with one place changed.
fn with(pointer: &str, value: Value) -> Vec<PolicyProblem> {
    let mut document = first();
    *document.pointer_mut(pointer).unwrap_or_else(|| panic!("there is no {pointer}")) = value;
    text(&document)
}

fn at<'p>(problems: &'p [PolicyProblem], pointer: &str) -> &'p PolicyProblem {
    let found = problems.iter().find(|problem| problem.pointer == pointer);
    found.unwrap_or_else(|| panic!("nothing at {pointer}: {problems:#?}"))
}

#[test]
fn the_first_document_has_neither_problem_nor_advice() {
    assert_eq!(text(&first()), []);
    must_hold(&first_document().unwrap()).unwrap();
}

#[test]
fn every_member_of_a_wrong_shape_is_told_with_its_place() {
    let mut document = first();
    document["bundleSeconds"] = json!("long");
    document["capabilities"][1]["name"] = json!("File.Wrote");
    document["capabilities"][1]["allowedPaths"] = json!(["/a", 1]);
    document["capabilities"][1]["maxFileSizeBytes"] = json!(-1);
    document["capabilities"][3]["allowedPath"] = json!([]);
    document["approvalRules"][0]["approver"] = json!("everybody");
    document["featureFlags"] = json!({"a/b": 1});
    document["extra~"] = json!(1);
    document.as_object_mut().unwrap().remove("timeline");
    document["capabilities"][4].as_object_mut().unwrap().remove("requiresApproval");
    let problems = text(&document);
    for pointer in [
        "/bundleSeconds",
        "/capabilities/1/name",
        "/capabilities/1/allowedPaths/1",
        "/capabilities/1/maxFileSizeBytes",
        "/capabilities/3/allowedPath",
        "/approvalRules/0/approver",
        "/featureFlags/a~1b",
        "/extra~0",
        "/capabilities/4",
    ] {
        let problem = at(&problems, pointer);
        assert!(problem.fatal && problem.message.ends_with('.'), "{problem:?}");
    }
    assert!(at(&problems, "/capabilities/4").message.contains("requiresApproval"));
    assert!(at(&problems, "").message.contains("timeline"));
    assert_eq!(problems.len(), 10, "{problems:#?}");
}

#[test]
fn what_is_no_object_at_all_is_told_too() {
    for document in [json!(null), json!([]), json!("x"), json!({})] {
        let problems = text(&document);
        assert!(problems.iter().all(|problem| problem.fatal) && !problems.is_empty(), "{document}");
    }
}

#[test]
fn entries_that_hosts_would_refuse_are_fatal_where_they_stand() {
    let cases = [
        ("/capabilities/0/allowedPaths", json!(["src"]), "/capabilities/0/allowedPaths/0"),
        ("/capabilities/0/allowedPaths", json!(["/a/${workspace}"]), "/capabilities/0/allowedPaths/0"),
        ("/capabilities/0/allowedPaths", json!(["${workspace}src"]), "/capabilities/0/allowedPaths/0"),
        ("/capabilities/0/allowedPaths", json!(["${workspace}/../etc"]), "/capabilities/0/allowedPaths/0"),
        (
            "/capabilities/0/allowedPaths",
            json!(["${workspace}/${workspace}"]),
            "/capabilities/0/allowedPaths/0",
        ),
        (
            "/capabilities/0/blockedPaths",
            json!(["${workspace}", "C:\\Users"]),
            "/capabilities/0/blockedPaths/1",
        ),
        (
            "/capabilities/3/allowedCommands",
            json!(["cargo test", "rm *"]),
            "/capabilities/3/allowedCommands/1",
        ),
        ("/capabilities/3/allowedCommands", json!(["cargo  test"]), "/capabilities/3/allowedCommands/0"),
        ("/capabilities/3/allowedCommands", json!(["${workspace}/run"]), "/capabilities/3/allowedCommands/0"),
        ("/capabilities/4/allowedDomains", json!(["https://a.example/"]), "/capabilities/4/allowedDomains/0"),
        ("/capabilities/4/blockedDomains", json!(["a.*.example"]), "/capabilities/4/blockedDomains/0"),
        ("/capabilities/7/allowedBranches", json!(["main", "-f"]), "/capabilities/7/allowedBranches/1"),
        ("/capabilities/8/allowedRemotes", json!(["--upload-pack=x"]), "/capabilities/8/allowedRemotes/0"),
        ("/capabilities/8/allowedRemotes", json!(["${workspace}/r"]), "/capabilities/8/allowedRemotes/0"),
        ("/capabilities/1/approvalRuleId", json!("nobody"), "/capabilities/1/approvalRuleId"),
        ("/approvalRules/1/approvalRuleId", json!("write"), "/approvalRules/1/approvalRuleId"),
        ("/approvalRules/0/title", json!(" "), "/approvalRules/0/title"),
        ("/llmPolicy/allowedModels", json!([]), "/llmPolicy/allowedModels"),
        ("/llmPolicy/allowedModels", json!(["a", ""]), "/llmPolicy/allowedModels/1"),
        ("/llmPolicy/maxOutputTokens", json!(0), "/llmPolicy/maxOutputTokens"),
        ("/redactionRules/0/pattern", json!("("), "/redactionRules/0/pattern"),
        ("/redactionRules/0/pattern", json!("a*"), "/redactionRules/0/pattern"),
        ("/bundleSeconds", json!(59), "/bundleSeconds"),
        ("/bundleSeconds", json!(86_401), "/bundleSeconds"),
        ("/minHostVersion", json!("1.0"), "/minHostVersion"),
        ("/requiredTools", json!([""]), "/requiredTools/0"),
        ("/mcpServers", json!([{"name": "a", "command": []}]), "/mcpServers/0/command"),
    ];
    for (place, value, pointer) in cases {
        let problems = with(place, value.clone());
        assert!(at(&problems, pointer).fatal, "{place} = {value}: {problems:#?}");
    }
}

#[test]
fn what_only_looks_wrong_is_advice() {
    let cases = [
        ("/capabilities/0/allowedPaths", json!([]), "/capabilities/0/allowedPaths"),
        ("/capabilities/0/allowedPaths", json!(null), "/capabilities/0/allowedPaths"),
        ("/capabilities/3/allowedCommands", json!([]), "/capabilities/3/allowedCommands"),
        ("/capabilities/0/allowedDomains", json!(["a.example"]), "/capabilities/0/allowedDomains"),
        ("/capabilities/4/allowedDomains", json!(["a.example"]), "/capabilities/4"),
        ("/capabilities/1/approvalRuleId", json!(null), "/capabilities/1/approvalRuleId"),
        ("/capabilities/1/requiresApproval", json!(false), "/capabilities/1/requiresApproval"),
        ("/capabilities/7/allowedBranches", json!(["a*b"]), "/capabilities/7/allowedBranches/0"),
        ("/capabilities/1/maxFileSizeBytes", json!(0), "/capabilities/1/maxFileSizeBytes"),
        ("/capabilities/9/name", json!("Git.Diff"), "/capabilities"),
        ("/capabilities/9/requiresApproval", json!(true), "/capabilities/9/requiresApproval"),
        ("/approvalRules/0/mustAsk", json!(true), "/approvalRules/0/maxRemember"),
        ("/offlineGraceSeconds", json!(1_000_000), "/offlineGraceSeconds"),
    ];
    for (place, value, pointer) in cases {
        let problems = with(place, value.clone());
        assert!(!at(&problems, pointer).fatal, "{place} = {value}");
        assert!(problems.iter().all(|problem| !problem.fatal), "{place} = {value}: {problems:#?}");
    }
}

#[test]
fn a_rule_that_must_ask_is_not_referred_to_by_a_grant_that_does_not() {
    let mut document = first();
    document["approvalRules"][0]["mustAsk"] = json!(true);
    document["capabilities"][1]["requiresApproval"] = json!(false);
    assert!(at(&text(&document), "/capabilities/1/requiresApproval").fatal);
}

#[test]
fn lists_that_grow_too_long_with_directories_are_found_by_the_hosts_own_code() {
    // A thousand entries are the most; each becomes sixteen in a session of so many directories.
    let many: Vec<String> = (0..100).map(|n| format!("${{workspace}}/{n}")).collect();
    let problems = with("/capabilities/0/blockedPaths", json!(many));
    assert!(at(&problems, "").message.contains("blockedPaths"), "{problems:#?}");
    let few: Vec<String> = (0..60).map(|n| format!("${{workspace}}/{n}")).collect();
    assert_eq!(with("/capabilities/0/blockedPaths", json!(few)), []);
}

#[test]
fn whoever_puts_a_wrong_document_in_force_is_told_where() {
    let mut document = first_document().unwrap();
    document.bundle_seconds = 1;
    let fault = must_hold(&document).unwrap_err();
    assert_eq!(fault.wire.code, ErrorCode::PolicyBundleInvalid);
    assert!(fault.wire.message.contains("/bundleSeconds"), "{fault}");
    assert_eq!(fault.wire.details.0["problems"][0]["pointer"], "/bundleSeconds");
}

#[test]
fn a_list_that_is_too_long_is_told_and_not_looked_through() {
    // Looked through, these take the better part of an hour.
    let many: Vec<String> = (0..40_000).map(|n| format!("${{workspace}}/{n}")).collect();
    let problems = with("/capabilities/0/blockedPaths", json!(many));
    assert!(at(&problems, "/capabilities/0/blockedPaths").message.contains("40000"), "{problems:#?}");
    assert_eq!(problems.len(), 1);
    let rule = first()["redactionRules"][0].clone();
    let problems = with("/redactionRules", json!(vec![rule.clone(); 1_001]));
    assert!(at(&problems, "/redactionRules").fatal && problems.len() == 1, "{problems:#?}");
    let most =
        with("/redactionRules", json!(vec![json!({"name": "a", "pattern": "b", "replacement": "c"}); 1_000]));
    assert!(most.iter().all(|problem| !problem.fatal), "{most:#?}");
}
