//! Order and bounds of what subscribers get.

use std::sync::Arc;

use lanyard_ports::sink::{CommitObserver, DeltaSink};
use lanyard_protocol::codec::from_json;
use lanyard_protocol::event::SessionEvent;
use serde_json::{Value, json};

use super::{Hub, TAIL_BYTES};

fn event(seq: Option<u64>, step: &str, name: &str, payload: Value) -> SessionEvent {
    let mut event = json!({
        "eventId": "e", "workspaceId": "w", "sessionId": "s", "taskId": "t", "stepId": step, "eventType": name,
        "timestamp": "2026-02-21T15:04:22Z", "payload": payload,
    });
    if let Some(seq) = seq {
        event["seq"] = json!(seq);
    }
    from_json(&event.to_string()).unwrap()
}

fn asked(seq: u64, step: &str) -> Arc<SessionEvent> {
    let payload = json!({ "model": "m", "demo": false, "messageCount": 1, "estimatedTokens": 1 });
    Arc::new(event(Some(seq), step, "llm_request_started", payload))
}

fn text(step: &str, offset: usize, text: &str) -> SessionEvent {
    event(
        None,
        step,
        "text_delta",
        json!({ "streamId": format!("st-{step}"), "offset": offset, "text": text }),
    )
}

fn names(live: &mut tokio::sync::broadcast::Receiver<Arc<super::Published>>) -> Vec<(String, String)> {
    let mut seen = Vec::new();
    while let Ok(published) = live.try_recv() {
        let event = published.event();
        seen.push((event.step_id.clone().unwrap().to_string(), event.body.name().to_owned()));
    }
    seen
}

#[test]
fn text_of_a_step_never_comes_before_its_beginning() {
    let hub = Hub::default();
    hub.committed(&[asked(1, "one")], &[]);
    let (_, mut live) = hub.watch(&"s".parse().unwrap());
    hub.delta(text("one", 0, "a"));
    hub.delta(text("two", 0, "early"));
    assert_eq!(names(&mut live), [("one".into(), "text_delta".into())]);
    hub.committed(&[asked(2, "two")], &[]);
    hub.delta(text("two", 5, "b"));
    let two = |name: &str| ("two".to_owned(), name.to_owned());
    assert_eq!(names(&mut live), [two("llm_request_started"), two("text_delta"), two("text_delta")]);
}

#[test]
fn a_late_subscriber_gets_the_bounded_tail_of_what_is_half_streamed() {
    let hub = Hub::default();
    let piece = "x".repeat(1024);
    for n in 0..200 {
        hub.delta(text("one", n * 1024, &piece));
    }
    let (tail, _live) = hub.watch(&"s".parse().unwrap());
    assert!(tail.len() * 1024 <= TAIL_BYTES && tail.len() > 10, "{}", tail.len());
    for n in 0..5_000 {
        hub.delta(text("one", 200 * 1024 + n, "y"));
    }
    let (tail, _live) = hub.watch(&"s".parse().unwrap());
    assert!(tail.len() <= super::TAIL_PIECES, "{}", tail.len());
    let done = json!({ "model": "m", "finishReason": "stop", "text": "", "streamId": "st-one", "toolCalls": 0,
        "usage": { "inputTokens": 0, "outputTokens": 0 }, "durationMs": 1 });
    hub.committed(&[Arc::new(event(Some(3), "one", "llm_request_completed", done))], &[]);
    let (tail, _live) = hub.watch(&"s".parse().unwrap());
    assert!(tail.is_empty(), "a completed stream is in the log, not in the tail");
}

#[test]
fn a_feed_nobody_watches_is_dropped_at_the_end_of_the_task() {
    let hub = Hub::default();
    hub.committed(&[asked(1, "one")], &[]);
    hub.delta(text("one", 0, "a"));
    let end = json!({ "text": "", "steps": 1, "usage": { "inputTokens": 0, "outputTokens": 0 } });
    hub.committed(&[Arc::new(event(Some(2), "one", "task_completed", end))], &[]);
    assert!(hub.feeds().is_empty());
}
