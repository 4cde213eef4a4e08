//! Whole conversations with the demo model, and what it says.

use lanyard_ports::model::{AskedArguments, Model, ModelAnswer, ModelError, ModelProgress, ModelRequest};
use lanyard_protocol::id::{MessageId, SessionId, ToolCallId};
use lanyard_protocol::message::{ConversationMessage, MessageToolCall, Role};
use lanyard_protocol::tool::ToolSpec;
use lanyard_protocol::{Json, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::plan::{Reply, reply};
use super::{DemoModel, answer};

const TOOLS: &[&str] = &[
    "ReadFile",
    "WriteFile",
    "EditFile",
    "DeleteFile",
    "MoveFile",
    "ListDirectory",
    "FindFiles",
    "GrepFiles",
    "RunCommand",
    "HttpRequest",
    "GitStatus",
    "GitDiff",
    "GitCommit",
    "GitPush",
];

pub(super) fn message(role: Role, content: &str) -> ConversationMessage {
    ConversationMessage {
        message_id: MessageId::new("m").unwrap(),
        session_id: SessionId::new("s").unwrap(),
        task_id: None,
        step_id: None,
        role,
        content: content.into(),
        tool_calls: vec![],
        tool_call_id: None,
        token_count: None,
        provenance: None,
        timestamp: Timestamp::default(),
    }
}

pub(super) fn asked(id: &str, tool: &str) -> ConversationMessage {
    let call = MessageToolCall {
        tool_call_id: ToolCallId::new(id).unwrap(),
        tool_name: tool.into(),
        arguments: Json::object(),
    };
    ConversationMessage { tool_calls: vec![call], ..message(Role::Assistant, "") }
}

pub(super) fn result(id: &str, content: &str) -> ConversationMessage {
    ConversationMessage { tool_call_id: Some(ToolCallId::new(id).unwrap()), ..message(Role::Tool, content) }
}

fn tools() -> Vec<ToolSpec> {
    let spec = |name: &&str| ToolSpec {
        name: (*name).to_owned(),
        description: String::new(),
        input_schema: Json::object(),
        capabilities: vec![],
    };
    TOOLS.iter().map(spec).collect()
}

/// A conversation: `prompt`, then every call answered by `respond`. Returns all calls and the last text.
fn converse(prompt: &str, mut respond: impl FnMut(&str, &Value) -> String) -> (Vec<(String, Value)>, String) {
    let mut thread = vec![message(Role::System, "rules"), message(Role::User, prompt)];
    let mut calls = Vec::new();
    for _ in 0..300 {
        let Reply { text, calls: asked, .. } = reply(&thread, &tools());
        if asked.is_empty() {
            return (calls, text);
        }
        let mut answer = message(Role::Assistant, &text);
        let mut results = Vec::new();
        for call in asked {
            let id = format!("call-{}", calls.len() + 1);
            results.push(result(&id, &respond(call.tool, &call.arguments)));
            answer.tool_calls.push(MessageToolCall {
                tool_call_id: ToolCallId::new(id).unwrap(),
                tool_name: call.tool.into(),
                arguments: Json(call.arguments.clone()),
            });
            calls.push((call.tool.to_owned(), call.arguments));
        }
        thread.push(answer);
        thread.extend(results);
    }
    panic!("it does not come to an end");
}

fn succeed(output: &str) -> String {
    format!("succeeded\n<data id=\"w\" source=\"tool\">\n{output}\n</data id=\"w\">")
}

#[test]
fn every_request_is_the_right_call() {
    for (prompt, tool, arguments) in [
        ("list the files", "ListDirectory", json!({"path": "."})),
        ("read a.txt", "ReadFile", json!({"path": "a.txt"})),
        ("write 'hi' to a.txt", "WriteFile", json!({"path": "a.txt", "content": "hi\n"})),
        ("create a.txt", "WriteFile", json!({"path": "a.txt", "content": ""})),
        ("append 'hi' to a.txt", "RunCommand", json!({"argv": ["tee", "-a", "a.txt"], "stdin": "hi\n"})),
        ("replace 'a' with 'b' in x", "EditFile", json!({"path": "x", "oldText": "a", "newText": "b"})),
        ("delete a.txt", "DeleteFile", json!({"path": "a.txt"})),
        ("rename a to b", "MoveFile", json!({"path": "a", "newPath": "b"})),
        ("run `ls | wc -l`", "RunCommand", json!({"command": "ls | wc -l"})),
        ("find *.rs in src", "FindFiles", json!({"pattern": "*.rs", "path": "src"})),
        ("search for 'f(x)*'", "GrepFiles", json!({"pattern": "f\\(x\\)\\*"})),
        ("fetch http://x/", "HttpRequest", json!({"method": "GET", "url": "http://x/"})),
        ("git status", "GitStatus", json!({})),
        ("git diff staged", "GitDiff", json!({"staged": true})),
        ("commit 'm'", "GitCommit", json!({"message": "m"})),
        ("commit everything as 'm'", "GitCommit", json!({"message": "m", "paths": ["."]})),
        ("push main to up", "GitPush", json!({"branch": "main", "remote": "up"})),
        ("summarise a.txt", "ReadFile", json!({"path": "a.txt"})),
    ] {
        let (calls, text) = converse(prompt, |_, _| succeed("output"));
        assert_eq!(calls, [(tool.to_owned(), arguments)], "{prompt}");
        assert!(text.ends_with("(demo model, no AI)"), "{text}");
    }
}

#[test]
fn outputs_are_repeated() {
    let (_, text) =
        converse("read a.txt and b.txt", |_, arguments| succeed(&format!("text of {}", arguments["path"])));
    assert!(text.contains("`a.txt` says") && text.contains("text of \"b.txt\""), "{text}");
    let (_, text) = converse("run `true`", |_, _| "succeeded".to_owned());
    assert!(text.contains("printed nothing"), "{text}");
    let (_, text) = converse("summarise a.md", |_, _| succeed("# Title\n\nSome words."));
    assert!(text.contains("3 lines") && text.contains("- Title") && text.contains("> Some words."), "{text}");
}

#[test]
fn reads_of_one_request_are_asked_for_at_once() {
    let thread = [message(Role::User, "read a, b and c")];
    let reply = reply(&thread, &tools());
    assert_eq!(reply.calls.len(), 3);
    let ids: Vec<_> = answer(reply).calls.into_iter().map(|call| call.model_call_id).collect();
    assert_eq!(ids, ["demo-1", "demo-2", "demo-3"]);
}

#[test]
fn requests_follow_each_other() {
    let (calls, text) =
        converse("write 'x' to a then run `cat a` 2 times then delete a", |_, _| succeed("x"));
    let tools: Vec<&str> = calls.iter().map(|(tool, _)| tool.as_str()).collect();
    assert_eq!(tools, ["WriteFile", "RunCommand", "RunCommand", "DeleteFile"]);
    assert!(text.contains("`a` is written.") && text.contains("`a` is deleted."), "{text}");
}

#[test]
fn a_refusal_stops_everything_after_it() {
    let (calls, text) = converse("write 'x' to a then run `cat a` then delete a", |_, _| {
        "denied: the call did not run\n<data id=\"w\" source=\"t\">\nAPPROVAL_DENIED: a person said no\n</data id=\"w\">".into()
    });
    assert_eq!(calls.len(), 1);
    assert!(text.contains("was refused, and nothing happened: a person said no."), "{text}");
    assert!(text.contains("the other 2 things"), "{text}");
}

#[test]
fn failures_and_unknown_outcomes_are_told() {
    let (_, text) = converse("read a", |_, _| "failed\nTOOL_EXECUTION_FAILED: a: no such file".into());
    assert!(text.contains("did not work") && text.contains("no such file"), "{text}");
    let (_, text) = converse("run x", |_, _| "outcome unknown: the call may have taken effect".into());
    assert!(text.contains("state of things"), "{text}");
}

#[test]
fn the_tour_to_its_end() {
    let (calls, text) =
        converse("tour", |tool, _| succeed(if tool == "ListDirectory" { "README.md\nsrc/" } else { "x" }));
    let names: Vec<&str> = calls.iter().map(|(tool, _)| tool.as_str()).collect();
    assert_eq!(names, ["ListDirectory", "ReadFile", "WriteFile", "RunCommand"]);
    assert_eq!(calls[2].1["path"], "lanyard-tour.txt");
    assert_eq!(calls[3].1, json!({"argv": ["cat", "lanyard-tour.txt"]}));
    assert!(text.contains("nothing runs twice") && text.ends_with("(demo model, no AI)"), "{text}");
}

#[test]
fn the_tour_without_a_readme_and_with_a_refusal() {
    let (calls, text) = converse("show me around", |tool, _| match tool {
        "WriteFile" => "denied: the call did not run\nAPPROVAL_DENIED: no".into(),
        _ => succeed("src/"),
    });
    assert_eq!(calls.len(), 2);
    assert!(text.contains("ends early"), "{text}");
}

#[test]
fn what_is_not_understood_does_nothing() {
    let (calls, text) = converse("delete a then make me a sandwich", |_, _| panic!());
    assert!(calls.is_empty());
    assert!(text.contains("`make me a sandwich`") && text.contains("nothing was done"), "{text}");
    let (_, text) = converse("help", |_, _| panic!());
    assert!(text.contains("LANYARD_GATEWAY_URL") && text.ends_with("(demo model, no AI)"), "{text}");
}

#[test]
fn a_tool_that_is_not_offered_is_not_asked_for() {
    let reply = reply(&[message(Role::User, "run ls")], &tools()[..2]);
    assert!(reply.calls.is_empty() && reply.text.contains("RunCommand"), "{}", reply.text);
}

#[test]
fn a_thread_with_holes_ends_instead_of_repeating() {
    let thread = [message(Role::User, "write x to a"), asked("1", "ReadFile"), result("1", "succeeded")];
    let reply = reply(&thread, &tools());
    assert!(reply.calls.is_empty() && reply.text.contains("do something twice"), "{}", reply.text);
}

#[test]
fn output_cannot_leave_its_fence() {
    let (_, text) = converse("read a", |_, _| succeed("```\n````\nout"));
    assert!(text.contains("`````\n```\n````\nout\n`````"), "{text}");
    let (_, text) = converse("read a", |_, _| succeed(&"x\n".repeat(1_000)));
    assert!(text.contains("(960 more lines)") && text.len() < 5_000, "{text}");
}

fn request(prompt: &str) -> ModelRequest {
    ModelRequest {
        session_id: SessionId::new("s").unwrap(),
        messages: vec![message(Role::User, prompt)],
        tools: tools(),
        max_output_tokens: 1_000,
        pictures: vec![],
    }
}

#[tokio::test]
async fn text_comes_in_pieces_and_calls_at_the_end() {
    let (progress, mut told) = mpsc::channel(1_000);
    let answer =
        DemoModel.answer(&request("read a.txt"), &progress, &CancellationToken::new()).await.unwrap();
    drop(progress);
    let mut pieces = Vec::new();
    while let Some(ModelProgress::Text(piece)) = told.recv().await {
        pieces.push(piece);
    }
    assert!(pieces.len() > 1);
    assert_eq!(pieces.concat(), answer.text);
    assert_eq!((answer.finish_reason.as_str(), answer.model.as_str()), ("tool_calls", "demo"));
    assert_eq!(answer.calls[0].arguments, AskedArguments::Object(json!({"path": "a.txt"}).into()));
    let again: ModelAnswer = DemoModel
        .answer(&request("read a.txt"), &mpsc::channel(1_000).0, &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(again, answer);
}

#[tokio::test]
async fn a_full_channel_does_not_outlast_a_cancel() {
    let (progress, _told) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    let demo = request("help");
    let waits = DemoModel.answer(&demo, &progress, &cancel);
    let (outcome, ()) = tokio::join!(waits, async { cancel.cancel() });
    assert_eq!(outcome, Err(ModelError::Cancelled));
}

#[test]
fn it_says_what_it_is() {
    let info = DemoModel.info();
    assert!(info.demo && info.endpoint.is_empty());
    assert_eq!((info.name.as_str(), info.source.as_str()), ("demo", "demo"));
}

proptest! {
    /// Whatever tools answer, every conversation ends, and with the signature.
    #[test]
    fn every_conversation_ends(
        prompt in prop::sample::select(vec!["tour", "read a and b then run x 5 times", "summarise a\nappend x to b", "\\PC"]),
        answers in prop::collection::vec("(succeeded|failed|denied: no|cancelled: x|)(\n\\PC{0,30}){0,3}", 1..6),
    ) {
        let mut next = answers.iter().cycle();
        let (_, text) = converse(prompt, |_, _| next.next().unwrap().clone());
        prop_assert!(text.ends_with("(demo model, no AI)"));
    }
}
