//! Traces of a real task, as a receiver of OpenTelemetry reads them: decoded by the project's own package.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use lanyard_protocol::session::TaskOptions;
use lanyard_tests::central::team::{Team, document};
use lanyard_tests::central::{Installation, Records, python, until};
use lanyard_tests::gateway::{Script, call, say};
use serde_json::{Value, json};
use tokio::process::Command;

/// Reads requests, hex, one a line, and prints every span as JSON, one a line.
const DECODE: &str = r#"
import json, sys
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
def plain(attributes):
    return {a.key: MessageToDict(a.value) for a in attributes}
for line in sys.stdin:
    request = ExportTraceServiceRequest()
    request.ParseFromString(bytes.fromhex(line.strip()))
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                print(json.dumps({
                    "resource": plain(resource.resource.attributes), "scope": scope.scope.name,
                    "name": span.name, "kind": span.kind, "trace": span.trace_id.hex(), "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(), "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano, "attributes": plain(span.attributes), "status": span.status.code,
                }))
"#;

type Received = Arc<Mutex<Vec<Vec<u8>>>>;

/// A receiver of OTLP over HTTP on loopback.
async fn receiver() -> Result<(String, Received)> {
    async fn take(
        State(received): State<Received>,
        body: Bytes,
    ) -> ([(&'static str, &'static str); 1], &'static str) {
        received.lock().unwrap_or_else(PoisonError::into_inner).push(body.to_vec());
        ([("content-type", "application/x-protobuf")], "")
    }
    let received = Received::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/v1/traces", post(take)).with_state(received.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((url, received))
}

async fn decode(python: &std::path::Path, received: &Received) -> Result<Vec<Value>> {
    let requests = received.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let lines: Vec<String> = requests.iter().map(|body| data_encoding::HEXLOWER.encode(body)).collect();
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), lines.join("\n"))?;
    let mut command = Command::new(python);
    command.args(["-c", DECODE]).stdin(Stdio::from(std::fs::File::open(file.path())?));
    let output = command.output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

#[tokio::test]
async fn a_receiver_of_opentelemetry_reads_the_spans_of_a_task() -> Result<()> {
    let venv = match python("python-otlp", &["opentelemetry-proto==1.39.1"]).await? {
        Ok(venv) => venv.join("bin/python"),
        Err(why) => {
            println!("skipped: {why}");
            return Ok(());
        }
    };
    let (url, received) = receiver().await?;
    let script = Script::by(|request| match request.tool_results().len() {
        0 => call("ReadFile", json!({"path": "hushed.txt"})),
        _ => say("a hushed answer"),
    });
    let mut central = Installation::prepare(Records::Sqlite)?;
    central.flag(&["--otlp-endpoint", &url]);
    let team = Team::start(central, script).await?;
    let grants = json!([{"name": "LLM.Call", "requiresApproval": false},
        {"name": "File.Read", "allowedPaths": ["${workspace}"], "requiresApproval": false}]);
    team.put_in_force(&document(grants)).await?;
    std::fs::write(team.host.workspace().join("hushed.txt"), "hushed content\n")?;
    let (mut peer, session) = team.session().await?;
    peer.start(&session, "a hushed prompt", TaskOptions::default()).await?;
    peer.until_task_ends().await?;

    let spans = until("the spans arrive", || async {
        let spans = decode(&venv, &received).await?;
        Ok((spans.len() >= 4).then_some(spans))
    })
    .await?;
    let of = |operation: &str| -> Vec<&Value> {
        spans
            .iter()
            .filter(|s| s["attributes"]["gen_ai.operation.name"]["stringValue"] == operation)
            .collect()
    };
    let (agent, chats, tools) = (of("invoke_agent"), of("chat"), of("execute_tool"));
    ensure!((agent.len(), chats.len(), tools.len()) == (1, 2, 1), "{spans:#?}");
    let task = agent[0];
    ensure!(task["resource"]["service.instance.id"]["stringValue"] == team.agent.as_str(), "{task}");
    ensure!(task["parent"] == "" && task["trace"].as_str().is_some_and(|id| id.len() == 32), "{task}");
    for child in chats.iter().chain(&tools) {
        ensure!(
            child["trace"] == task["trace"] && child["parent"] == task["span"],
            "{child} is not of {task}"
        );
        let times = child["start"].as_u64().zip(child["end"].as_u64()).context("no times")?;
        ensure!(times.0 > 0 && times.0 <= times.1, "{child}");
    }
    ensure!(tools[0]["attributes"]["gen_ai.tool.name"]["stringValue"] == "ReadFile", "{}", tools[0]);
    ensure!(
        chats[0]["kind"] == 3 && chats[0]["attributes"]["gen_ai.usage.input_tokens"]["intValue"] == "10",
        "{}",
        chats[0]
    );
    // Nothing of what it was about.
    let all = received.lock().unwrap_or_else(PoisonError::into_inner).concat();
    ensure!(!all.windows(6).any(|part| part.eq_ignore_ascii_case(b"hushed")), "a trace holds content");
    Ok(())
}
