//! The wire contract: every type in both encodings, its snapshots, and the generated reference.
//!
//! Samples are made from the types' own schemas, every enum variant and every absent option included, so that a new
//! type or field is covered without being named here. After an intended change run
//! `LANYARD_BLESS=1 cargo test -p lanyard-tests --test contract` and look at the difference.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this file is a test")]

mod central;
mod reference;
mod sampler;

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use lanyard_protocol::approval::{ApprovalRecord, ApprovalRequest, RememberedRule};
use lanyard_protocol::codec::{from_json, from_postcard, to_json_value, to_postcard};
use lanyard_protocol::envelope::EventEnvelope;
use lanyard_protocol::error::WireError;
use lanyard_protocol::event::{EventBody, HostEvent, HostEventBody, SessionEvent};
use lanyard_protocol::health::HealthReport;
use lanyard_protocol::message::ConversationMessage;
use lanyard_protocol::method::{Method, Request, Response};
use lanyard_protocol::policy::PolicyBundle;
use lanyard_protocol::principal::Principal;
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolSpec};
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares a generated file with the one in the tree, or writes it when asked to.
fn same_as_in_tree(path: &str, generated: &str) {
    let file = top().join(path);
    if std::env::var_os("LANYARD_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, generated).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == generated,
        "{path} differs from what the types say; if the change is meant, run LANYARD_BLESS=1 cargo test -p \
         lanyard-tests --test contract and review the difference"
    );
}

/// Both encodings give the value back; returns the postcard bytes in hex.
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> String {
    let binary = to_postcard(value).unwrap();
    assert_eq!(&from_postcard::<T>(&binary).unwrap(), value, "postcard round trip");
    let mut longer = binary.clone();
    longer.push(0);
    assert!(from_postcard::<T>(&longer).is_err(), "trailing bytes must be refused");
    binary.iter().map(|b| format!("{b:02x}")).collect()
}

fn samples_of<T: JsonSchema>() -> Vec<Value> {
    let mut generator = SchemaGenerator::default();
    let schema = generator.subschema_for::<T>();
    sampler::samples(&schema, &mut generator)
}

/// Samples of one shape whose bytes are kept: with everything, with the least, and a few variants. All are tested.
const KEPT: usize = 6;

fn line(name: &str, sample: &Value, hex: &str) -> String {
    format!("{name} {sample}\n  {hex}\n")
}

fn check_type<T>(name: &str, snapshot: &mut String)
where
    T: JsonSchema + Serialize + DeserializeOwned + PartialEq + Debug,
{
    for sample in samples_of::<T>() {
        let value: T = from_json(&sample.to_string()).unwrap_or_else(|e| panic!("{name} {sample}: {e}"));
        let encoded = to_json_value(&value).unwrap();
        assert!(contained(&sample, &encoded), "{name}: {sample} became {encoded}");
        snapshot.push_str(&line(name, &sample, &round_trip(&value)));
    }
}

/// Whether everything given is in the encoding; the encoding may hold members that the type fills in by default.
fn contained(given: &Value, encoded: &Value) -> bool {
    match (given, encoded) {
        (Value::Object(given), Value::Object(encoded)) => {
            given.iter().all(|(name, value)| encoded.get(name).is_some_and(|e| contained(value, e)))
        }
        (Value::Array(given), Value::Array(encoded)) => {
            given.len() == encoded.len() && given.iter().zip(encoded).all(|(g, e)| contained(g, e))
        }
        _ => given == encoded,
    }
}

#[test]
fn plain_types_round_trip_and_keep_their_snapshots() {
    let mut snapshot = String::new();
    check_type::<WireError>("WireError", &mut snapshot);
    check_type::<Principal>("Principal", &mut snapshot);
    check_type::<ToolSpec>("ToolSpec", &mut snapshot);
    check_type::<ToolRequest>("ToolRequest", &mut snapshot);
    check_type::<ToolResult>("ToolResult", &mut snapshot);
    check_type::<ConversationMessage>("ConversationMessage", &mut snapshot);
    check_type::<ApprovalRequest>("ApprovalRequest", &mut snapshot);
    check_type::<ApprovalRecord>("ApprovalRecord", &mut snapshot);
    check_type::<RememberedRule>("RememberedRule", &mut snapshot);
    check_type::<PolicyBundle>("PolicyBundle", &mut snapshot);
    check_type::<EventEnvelope>("EventEnvelope", &mut snapshot);
    check_type::<HealthReport>("HealthReport", &mut snapshot);
    same_as_in_tree("protocol/snapshots/types.txt", &snapshot);
}

#[test]
fn methods_round_trip_and_keep_their_snapshots() {
    let mut snapshot = String::new();
    for method in Method::ALL {
        let mut generator = SchemaGenerator::default();
        let (params, result) = method.schemas(&mut generator);
        for (n, sample) in sampler::samples(&params, &mut generator).into_iter().enumerate() {
            let request =
                Request::from_json(*method, sample.clone()).unwrap_or_else(|e| panic!("{sample}: {e}"));
            assert_eq!(Request::from_json(*method, request.params_json().unwrap()).unwrap(), request);
            let bytes = round_trip(&request);
            if n < KEPT {
                snapshot.push_str(&line(&format!("{}.params", method.name()), &sample, &bytes));
            }
        }
        for (n, sample) in sampler::samples(&result, &mut generator).into_iter().enumerate() {
            let response =
                Response::from_json(*method, sample.clone()).unwrap_or_else(|e| panic!("{sample}: {e}"));
            assert_eq!(Response::from_json(*method, response.result_json().unwrap()).unwrap(), response);
            let bytes = round_trip(&response);
            if n < KEPT {
                snapshot.push_str(&line(&format!("{}.result", method.name()), &sample, &bytes));
            }
        }
    }
    same_as_in_tree("protocol/snapshots/methods.txt", &snapshot);
}

#[test]
fn events_round_trip_and_keep_their_snapshots() {
    let mut snapshot = String::new();
    let mut generator = SchemaGenerator::default();
    for (name, _, schema) in EventBody::schemas(&mut generator) {
        for payload in sampler::samples(&schema, &mut generator) {
            let full = json!({
                "eventId": "evt_1", "seq": 7, "workspaceId": "ws_1", "sessionId": "sess_1", "taskId": "task_1",
                "stepId": "step_1", "eventType": name, "timestamp": "2026-02-21T15:04:22Z", "payload": payload,
            });
            let event: SessionEvent = from_json(&full.to_string()).unwrap_or_else(|e| panic!("{full}: {e}"));
            assert_eq!(event.body.name(), name);
            let mut bare = event.clone();
            (bare.seq, bare.task_id, bare.step_id) = (None, None, None);
            let text = to_json_value(&bare).unwrap().to_string();
            assert!(
                !text.contains("null") || payload.to_string().contains("null"),
                "absent fields are left out: {text}"
            );
            assert_eq!(from_json::<SessionEvent>(&text).unwrap(), bare);
            round_trip(&bare);
            snapshot.push_str(&line(name, &payload, &round_trip(&event)));
        }
    }
    for (name, _, schema) in HostEventBody::schemas(&mut generator) {
        for payload in sampler::samples(&schema, &mut generator) {
            let full = json!({
                "hostSeq": 7, "eventType": name, "timestamp": "2026-02-21T15:04:22Z", "payload": payload,
            });
            let event: HostEvent = from_json(&full.to_string()).unwrap_or_else(|e| panic!("{full}: {e}"));
            assert_eq!(from_json::<HostEvent>(&to_json_value(&event).unwrap().to_string()).unwrap(), event);
            snapshot.push_str(&line(name, &payload, &round_trip(&event)));
        }
    }
    same_as_in_tree("protocol/snapshots/events.txt", &snapshot);
}

#[test]
fn unknown_events_and_members_are_refused() {
    let unknown = json!({
        "eventId": "e", "workspaceId": "w", "sessionId": "s", "eventType": "task_exploded",
        "timestamp": "2026-02-21T15:04:22Z", "payload": {},
    });
    let error = from_json::<SessionEvent>(&unknown.to_string()).unwrap_err().to_string();
    assert!(error.contains("task_exploded"), "{error}");
    for sample in samples_of::<PolicyBundle>() {
        let mut bundle = sample;
        bundle["allowEverything"] = json!(true);
        let error = from_json::<PolicyBundle>(&bundle.to_string()).unwrap_err().to_string();
        assert!(error.contains("allowEverything"), "{error}");
    }
}

#[test]
fn the_reference_in_the_tree_is_what_the_types_say() {
    for (path, text) in reference::files() {
        same_as_in_tree(&path, &text);
    }
}
