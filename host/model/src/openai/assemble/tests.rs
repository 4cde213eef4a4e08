//! Deltas as servers really send them.

use lanyard_ports::model::{AskedArguments, AskedCall, ModelAnswer};
use lanyard_protocol::event::Usage;
use lanyard_protocol::limits::MAX_TOOL_ARGUMENT_BYTES;
use serde_json::{Value, json};

use super::{Assembly, MAX_CALLS};
use crate::openai::complaint::Subject;
use crate::retry::Fault;

fn assemble(chunks: &[Value]) -> Result<(String, ModelAnswer), Fault> {
    let mut assembly = Assembly::default();
    let mut told = String::new();
    for chunk in chunks {
        told += &assembly.event("", &chunk.to_string())?;
    }
    Ok((told, assembly.finish()?))
}

fn delta(delta: Value) -> Value {
    json!({"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn end(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn fragments(fragments: &[Value]) -> Vec<AskedCall> {
    let mut chunks: Vec<Value> = fragments.iter().map(|f| delta(json!({"tool_calls": [f]}))).collect();
    chunks.push(end("tool_calls"));
    assemble(&chunks).unwrap().1.calls
}

fn call(id: &str, name: &str, arguments: Value) -> AskedCall {
    AskedCall {
        model_call_id: id.into(),
        tool_name: name.into(),
        arguments: AskedArguments::Object(arguments.into()),
    }
}

#[test]
fn text_usage_and_names() {
    let (told, answer) = assemble(&[
        delta(json!({"role": "assistant", "content": ""})),
        delta(json!({"content": "Hel"})),
        delta(json!({"content": "lo", "refusal": null, "tool_calls": null})),
        end("stop"),
        json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}),
    ])
    .unwrap();
    assert_eq!(told, "Hello");
    assert_eq!(
        answer,
        ModelAnswer {
            text: "Hello".into(),
            calls: vec![],
            finish_reason: "stop".into(),
            usage: Some(Usage { input_tokens: 7, output_tokens: 2 }),
            model: "m".into(),
        }
    );
}

#[test]
fn usage_beside_a_choice_and_other_choices() {
    let (told, answer) = assemble(&[
        json!({"choices": [{"index": 1, "delta": {"content": "not this"}}]}),
        json!({"choices": [{"delta": {"content": "this"}}], "usage": null}),
        end("stop"),
        json!({"choices": [{"index": 0, "delta": {}}], "usage": {"prompt_tokens": 1, "completion_tokens": 3}}),
    ])
    .unwrap();
    assert_eq!(told, "this");
    assert_eq!(answer.usage, Some(Usage { input_tokens: 1, output_tokens: 3 }));
}

#[test]
fn a_call_in_fragments() {
    let calls = fragments(&[
        json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "ReadFile", "arguments": ""}}),
        json!({"index": 0, "function": {"arguments": "{\"pa"}}),
        json!({"index": 0, "function": {"arguments": "th\":\"ü"}}),
        json!({"index": 0, "function": {"arguments": "\"}"}}),
    ]);
    assert_eq!(calls, [call("c1", "ReadFile", json!({"path": "ü"}))]);
}

#[test]
fn several_calls_interleaved() {
    let calls = fragments(&[
        json!({"index": 0, "id": "a", "function": {"name": "ReadFile", "arguments": "{\"path\""}}),
        json!({"index": 1, "id": "b", "function": {"name": "GitStatus", "arguments": "{"}}),
        json!({"index": 0, "function": {"arguments": ":\"x\"}"}}),
        json!({"index": 1, "function": {"arguments": "}"}}),
    ]);
    assert_eq!(calls, [call("a", "ReadFile", json!({"path": "x"})), call("b", "GitStatus", json!({}))]);
}

#[test]
fn id_and_name_in_every_fragment() {
    let calls = fragments(&[
        json!({"index": 0, "id": "a", "function": {"name": "ReadFile", "arguments": "{\"path\""}}),
        json!({"index": 0, "id": "a", "function": {"name": "ReadFile", "arguments": ":\"x\"}"}}),
    ]);
    assert_eq!(calls, [call("a", "ReadFile", json!({"path": "x"}))]);
}

#[test]
fn no_index() {
    let calls = fragments(&[
        json!({"id": "a", "function": {"name": "ReadFile", "arguments": "{\"path\""}}),
        json!({"function": {"arguments": ":\"x\"}"}}),
        json!({"id": "b", "function": {"name": "ReadFile", "arguments": "{\"path\":\"y\"}"}}),
    ]);
    assert_eq!(
        calls,
        [call("a", "ReadFile", json!({"path": "x"})), call("b", "ReadFile", json!({"path": "y"}))]
    );
}

#[test]
fn neither_index_nor_id() {
    let calls = fragments(&[
        json!({"function": {"name": "ReadFile", "arguments": "{\"path\""}}),
        json!({"function": {"name": "ReadFile", "arguments": ":\"x\"}"}}),
        json!({"function": {"name": "ReadFile", "arguments": "{\"path\":\"y\"}"}}),
        json!({"function": {"name": "GitStatus"}}),
    ]);
    let wanted = [
        call("", "ReadFile", json!({"path": "x"})),
        call("", "ReadFile", json!({"path": "y"})),
        call("", "GitStatus", json!({})),
    ];
    assert_eq!(calls, wanted);
}

#[test]
fn every_call_at_index_zero() {
    let calls = fragments(&[
        json!({"index": 0, "id": "a", "function": {"name": "ReadFile", "arguments": "{\"path\":\"x\"}"}}),
        json!({"index": 0, "id": "b", "function": {"name": "ReadFile", "arguments": "{\"path\":"}}),
        json!({"index": 0, "function": {"arguments": "\"y\"}"}}),
    ]);
    assert_eq!(
        calls,
        [call("a", "ReadFile", json!({"path": "x"})), call("b", "ReadFile", json!({"path": "y"}))]
    );
}

#[test]
fn arguments_given_as_json() {
    let calls =
        fragments(&[json!({"index": 0, "id": "a", "function": {"name": "R", "arguments": {"path": "x"}}})]);
    assert_eq!(calls, [call("a", "R", json!({"path": "x"}))]);
}

#[test]
fn arguments_cut_by_the_length_limit_are_malformed() {
    let chunks = [
        delta(
            json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "R", "arguments": "{\"path"}}]}),
        ),
        end("length"),
    ];
    let answer = assemble(&chunks).unwrap().1;
    assert_eq!(answer.finish_reason, "length");
    assert!(matches!(answer.calls[0].arguments, AskedArguments::Malformed { .. }));
}

#[test]
fn a_refusal_is_text_with_a_reason_of_its_own() {
    let (told, answer) = assemble(&[delta(json!({"refusal": "I must not."})), end("stop")]).unwrap();
    assert_eq!((told.as_str(), answer.text.as_str()), ("I must not.", "I must not."));
    assert_eq!(answer.finish_reason, "refusal");
}

#[test]
fn a_stream_must_come_to_its_own_end() {
    assert!(matches!(assemble(&[delta(json!({"content": "half"}))]), Err(Fault::Broken(_))));
    assert!(matches!(assemble(&[]), Err(Fault::Broken(_))));
    let mut nothing = Assembly::default();
    nothing.event("", "[DONE]").unwrap();
    assert!(matches!(nothing.finish(), Err(Fault::Broken(_))));
    let mut unfinished = Assembly::default();
    unfinished.event("", &delta(json!({"content": "x"})).to_string()).unwrap();
    unfinished.event("", "[DONE]").unwrap();
    assert_eq!(unfinished.finish().unwrap().finish_reason, "stop");
    assert_eq!(assemble(&[end("stop")]).unwrap().1.text, "");
}

#[test]
fn errors_inside_the_stream() {
    let subject = |event: &str, data: &str| match Assembly::default().event(event, data) {
        Err(Fault::Complaint { complaint, .. }) => complaint.subject,
        other => panic!("{other:?}"),
    };
    assert_eq!(subject("", r#"{"error":{"message":"m","code":"429"}}"#), Subject::Throttle);
    assert_eq!(subject("", r#"{"choices":[],"error":{"message":"m","code":502}}"#), Subject::Fault);
    assert_eq!(
        subject("error", r#"{"message":"m","code":400,"type":"invalid_request_error"}"#),
        Subject::Request
    );
    assert_eq!(subject("error", "overloaded"), Subject::Fault);
    let filtered = assemble(&[delta(json!({"content": "x"})), end("content_filter")]);
    assert!(
        matches!(filtered, Err(Fault::Complaint { complaint, .. }) if complaint.subject == Subject::Guardrail)
    );
    assert!(assemble(&[json!({"error": null, "choices": []}), end("stop")]).is_ok());
}

#[test]
fn what_is_no_chunk_breaks_the_stream() {
    for data in ["nonsense", "{\"choices\":", "[1]", "7", "\"text\""] {
        assert!(matches!(Assembly::default().event("", data), Err(Fault::Broken(_))), "{data}");
    }
    // Unknown shapes inside a chunk are passed over.
    let odd = [
        json!({"choices": "none"}),
        json!({"choices": [7]}),
        delta(json!({"content": 7, "tool_calls": {"a": 1}})),
        delta(json!({"content": [{"type": "text", "text": "ok"}, {"type": "image"}]})),
        json!({"usage": "n/a"}),
        end("stop"),
    ];
    assert_eq!(assemble(&odd).unwrap().1.text, "ok");
}

#[test]
fn a_reply_that_was_not_streamed() {
    let reply = json!({
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "Reading.",
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "R", "arguments": "{}"}}]
        }}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2}
    });
    let (told, answer) = Assembly::default().whole(&reply).unwrap();
    assert_eq!((told.as_str(), answer.text.as_str()), ("Reading.", "Reading."));
    assert_eq!(answer.calls, [call("a", "R", json!({}))]);
    assert!(matches!(Assembly::default().whole(&json!({"object": "list"})), Err(Fault::Broken(_))));
    assert!(matches!(Assembly::default().whole(&json!({"error": "no"})), Err(Fault::Complaint { .. })));
}

#[test]
fn an_answer_ends() {
    let many: Vec<Value> = (0..=MAX_CALLS).map(|i| json!({"index": i, "function": {"name": "R"}})).collect();
    let error = Assembly::default().event("", &delta(json!({"tool_calls": many})).to_string());
    assert!(matches!(error, Err(Fault::TooLarge(_))));

    let piece = "a".repeat(MAX_TOOL_ARGUMENT_BYTES / 2 + 1);
    let fragment =
        |index: u64| delta(json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}));
    let mut one = Assembly::default();
    one.event("", &fragment(0).to_string()).unwrap();
    assert!(matches!(one.event("", &fragment(0).to_string()), Err(Fault::TooLarge(_))));

    let mut several = Assembly::default();
    for index in 0..3 {
        several.event("", &fragment(index).to_string()).unwrap();
    }
    assert!(matches!(several.event("", &fragment(3).to_string()), Err(Fault::TooLarge(_))));

    let long = "x".repeat(300);
    let named = delta(json!({"tool_calls": [{"index": 0, "function": {"name": long}}]}));
    assert!(matches!(Assembly::default().event("", &named.to_string()), Err(Fault::TooLarge(_))));
}
