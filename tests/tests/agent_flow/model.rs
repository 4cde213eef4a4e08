//! The gateway between host and model: throttling, broken streams, and threads too long for the window.

use anyhow::{Context, Result};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::event::{EventBody, SessionEvent};
use lanyard_protocol::id::StreamId;
use lanyard_tests::gateway::{Script, Turn, call, say, shapes};
use lanyard_tests::look;
use lanyard_tests::stage::Stage;
use serde_json::json;

fn retries(events: &[SessionEvent]) -> Vec<(u32, ErrorCode, StreamId)> {
    events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::LlmRetry(retry) => Some((retry.attempt, retry.error.code, retry.stream_id.clone())),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn a_throttled_request_is_repeated_and_the_wait_is_told() -> Result<()> {
    let mut stage = Stage::with([shapes::throttled("1"), say("here you are")]).await?;
    let events = stage.run("go").await?;
    assert_eq!(look::answer(&events), "here you are");
    let retries = retries(&events);
    assert_eq!((retries.len(), retries[0].0, retries[0].1), (1, 1, ErrorCode::RateLimited));
    let requests = stage.gateway.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].body, requests[1].body, "the same request");
    assert_eq!(requests[0].token(), Some("test-token"));
    Ok(())
}

#[tokio::test]
async fn of_a_broken_stream_nothing_stays() -> Result<()> {
    for broken in [
        Turn::stream().text("half a lie ").cut(),
        Turn::stream().text("half a lie "),
        shapes::error_inside(503, "overloaded_error", "overloaded"),
        Turn::stream().text("half a lie ").call_in("WriteFile", &["{\"path\": \"a\", "]).cut(),
    ] {
        let mut stage = Stage::with([broken, say("the whole truth")]).await?;
        let events = stage.run("go").await?;
        assert_eq!(look::answer(&events), "the whole truth", "{:?}", look::failure(&events));
        let retries = retries(&events);
        assert_eq!(retries.len(), 1, "{:?}", look::names(&events));
        let completed = events.iter().find_map(|event| match &event.body {
            EventBody::LlmRequestCompleted(completed) => Some(completed.clone()),
            _ => None,
        });
        let completed = completed.context("no completed request")?;
        assert_eq!(completed.text, "the whole truth");
        assert_ne!(completed.stream_id, retries[0].2, "the broken stream is named as void");
        let whole: String = events
            .iter()
            .filter_map(|event| match &event.body {
                EventBody::TextDelta(delta) if delta.stream_id == completed.stream_id => {
                    Some(delta.text.as_str())
                }
                _ => None,
            })
            .collect();
        assert_eq!(whole, "the whole truth");
        let requests = stage.gateway.requests();
        assert_eq!(requests[0].body, requests[1].body, "the partial answer is not in the thread");
    }
    Ok(())
}

#[tokio::test]
async fn a_thread_near_the_window_is_compacted_and_history_keeps_everything() -> Result<()> {
    const FILES: usize = 6;
    let mut number = 0;
    let script = Script::by(move |request| {
        if request.tools().is_empty() {
            return say("they looked at several files");
        }
        number += 1;
        match number {
            1..=FILES => call("ReadFile", json!({"path": format!("file-{number}")})),
            _ => say("all read"),
        }
    });
    let mut stage = Stage::under(script, &[("LANYARD_CONTEXT_WINDOW", "16000")]).await?;
    for number in 1..=FILES {
        let line = format!("this is a line of file {number}\n");
        stage.file(&format!("file-{number}"), &line.repeat(500))?;
    }
    let events = stage.run("read them all").await?;
    assert_eq!(look::answer(&events), "all read", "{:?}", look::failure(&events));
    let compacted: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::ContextCompacted(compacted) => Some(compacted),
            _ => None,
        })
        .collect();
    assert!(!compacted.is_empty(), "{:?}", look::names(&events));
    for one in compacted {
        assert!(
            one.tokens_after < one.tokens_before && one.outputs_masked + one.messages_summarised > 0,
            "{one:?}"
        );
    }
    let requests = stage.gateway.requests();
    let last = requests.last().context("no request")?;
    let sent: usize = last.messages().iter().map(|message| message.to_string().len()).sum();
    assert!(sent / 4 < 16_000, "{sent} bytes do not fit the window");
    assert!(
        last.messages().iter().any(|message| message.to_string().contains("read them all")),
        "the prompt stays"
    );
    let kept = look::completed(&stage.history().await?).len();
    assert_eq!(kept, FILES);
    let history = stage.history().await?;
    let whole = look::completed(&history)[0].result.output_text.clone().unwrap_or_default();
    assert!(whole.matches("line of file 1").count() == 500, "history is not shortened");
    Ok(())
}
