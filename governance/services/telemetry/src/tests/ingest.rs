//! Taking spans and events.

use std::collections::BTreeSet;
use std::time::Duration;

use lanyard_governance_api::telemetry::Span;
use lanyard_governance_foundation::Caller;
use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::Timestamp;
use serde_json::{Value, json};

use super::{House, host, span, viewer};
use crate::{MIGRATIONS, Settings};

/// Tasks, tool calls, model calls and tokens of a day, as the summary tells them.
async fn totals(house: &House, tenant: &str, query: &str) -> [u64; 4] {
    let (status, summary) = house.get(&viewer(tenant), &format!("/telemetry/summary?{query}")).await;
    assert_eq!(status, 200, "{summary}");
    let buckets = summary["buckets"].as_array().unwrap();
    ["tasks", "toolCalls", "modelCalls", "tokens"]
        .map(|name| buckets.iter().map(|b| b[name].as_u64().unwrap()).sum())
}

/// What the totals of some spans must be.
fn expected<'a>(spans: impl IntoIterator<Item = &'a Span>) -> [u64; 4] {
    let mut totals = [0; 4];
    for span in spans {
        match span.name.split(' ').next().unwrap() {
            "invoke_agent" => totals[0] += 1,
            "execute_tool" => totals[1] += 1,
            _ => {
                totals[2] += 1;
                let tokens = |key: &str| span.attributes[key].parse::<u64>().unwrap();
                totals[3] += tokens("gen_ai.usage.input_tokens") + tokens("gen_ai.usage.output_tokens");
            }
        }
    }
    totals
}

#[tokio::test]
async fn spans_repeated_overlapping_and_reordered_are_counted_once() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground, Settings::default());
        let start = house.now().plus_millis(-3_600_000);
        let all: Vec<Span> = (0..400).map(|n| span(n, start)).collect();
        let (mut stored, mut dice) = (BTreeSet::new(), 12_345_u64);
        for _ in 0..60 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let from = usize::try_from(dice >> 33).unwrap() % all.len();
            let to = (from + 1 + usize::try_from(dice >> 40).unwrap() % 50).min(all.len());
            let mut batch = all[from..to].to_vec();
            batch.reverse();
            batch.push(batch[0].clone());
            let (status, answer) = house.spans(&host("t", "agt_1"), &batch).await;
            let fresh = (from..to).filter(|n| stored.insert(*n)).count();
            assert_eq!((status, answer["accepted"].as_u64()), (202, Some(fresh as u64)), "{answer}");
            assert_eq!(answer["duplicates"].as_u64(), Some((batch.len() - fresh) as u64));
        }
        assert_eq!(totals(&house, "t", "").await, expected(stored.iter().map(|n| &all[*n])));
        // Ids are a source's own: nobody suppresses another's spans.
        let (_, other) = house.spans(&host("t", "agt_2"), &all).await;
        assert_eq!(other["accepted"], 400);
        assert_eq!(totals(&house, "t", "agentId=agt_2").await, expected(&all));
        assert_eq!(house.spans(&Caller::Service { tenant: Some("t".parse().unwrap()) }, &all[..1]).await.1["accepted"], 1);
        assert_eq!(totals(&house, "u", "").await, [0; 4]);
    })
    .await;
}

#[tokio::test]
async fn sixteen_at_once_and_requests_broken_off_count_once() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground, Settings::default());
        let start = house.now().plus_millis(-3_600_000);
        let all: Vec<Span> = (0..600).map(|n| span(n, start)).collect();
        let posts = (0..16).map(|_| {
            let (house, part) = (house.clone(), all[..100].to_vec());
            tokio::spawn(async move { house.spans(&host("t", "agt_1"), &part).await })
        });
        let mut accepted = 0;
        for post in posts.collect::<Vec<_>>() {
            let (status, answer) = post.await.unwrap();
            assert_eq!(status, 202, "{answer}");
            accepted += answer["accepted"].as_u64().unwrap();
        }
        assert_eq!(accepted, 100);
        let mut broken = 0;
        for (number, part) in (0_u64..).zip(all[100..].chunks(20)) {
            let patience = Duration::from_micros(number * 250);
            broken += u32::from(
                tokio::time::timeout(patience, house.spans(&host("t", "agt_1"), part)).await.is_err(),
            );
            assert_eq!(house.spans(&host("t", "agt_1"), part).await.0, 202);
        }
        assert!(broken > 0, "nothing was broken off: the patience is too long for this machine");
        assert_eq!(totals(&house, "t", "").await, expected(&all));
        assert_eq!(house.count("SELECT COUNT(*) AS n FROM telemetry_spans").await, 600);
    })
    .await;
}

#[tokio::test]
async fn content_is_refused_and_the_key_is_named() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground, Settings::default());
        let good = serde_json::to_value(span(1, Timestamp::now())).unwrap();
        let with = |member: &str, value: Value| {
            let mut span = good.clone();
            span[member] = value;
            json!({ "spans": [good, span] })
        };
        let agent = host("t", "agt_1");
        for (body, key) in [
            (with("attributes", json!({ "gen_ai.prompt": "write me a poem" })), Some("gen_ai.prompt")),
            (with("attributes", json!({ "fileContent": "x" })), Some("fileContent")),
            (with("attributes", json!({ "note": "two\nlines" })), Some("note")),
            (with("attributes", json!({ "note": "x".repeat(257) })), Some("note")),
            (with("name", json!("x".repeat(257))), Some("name")),
            (with("error", json!("cannot open /home/user/secret.txt")), Some("error")),
            (with("attributes", json!({ "a": { "b": 1 } })), None),
            (with("spanId", json!("00000000000000")), None),
            (with("spanId", json!("0000000000000000")), None),
            (with("spanId", json!("000000000000000G")), None),
            (with("traceId", json!("12")), None),
            (with("parentSpanId", json!("12")), None),
            (with("durationMillis", json!(u64::MAX)), None),
            (with("durationMillis", json!(-1)), None),
            (with("name", json!("")), None),
            (with("more", json!(1)), None),
            (with("operation", json!("think")), None),
        ] {
            let (status, answer) = house.post(&agent, "/telemetry/traces", &body).await;
            assert_eq!(status, 400, "{body}: {answer}");
            if let Some(key) = key {
                assert_eq!(answer["details"]["key"], key, "{answer}");
                assert!(answer["message"].as_str().unwrap().contains(key));
            }
        }
        let many: Value =
            (0..33).map(|n| (format!("k{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into();
        assert_eq!(house.post(&agent, "/telemetry/traces", &with("attributes", many)).await.0, 400);
        let too_many: Vec<Span> = (0..5_001).map(|n| span(n, Timestamp::now())).collect();
        assert_eq!(house.spans(&agent, &too_many).await.0, 413);
        assert_eq!(house.count("SELECT COUNT(*) AS n FROM telemetry_spans").await, 0);
        assert_eq!(house.spans(&agent, &[]).await, (202, json!({ "accepted": 0, "duplicates": 0 })));
        assert_eq!(house.spans(&viewer("t"), &too_many[..1]).await.0, 403);
        assert_eq!(house.get(&agent, "/telemetry/summary").await.0, 403);
    })
    .await;
}

#[tokio::test]
async fn events_are_stored_once_and_without_content() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground, Settings::default());
        let event = |number: u64, payload: Value| {
            json!({ "eventId": format!("tel_{number}"), "eventType": "session_resumed", "timestamp": "2026-02-21T15:09:00Z",
                "tenantId": "t", "userId": "usr_1", "workspaceId": "ws_1", "sessionId": "sess_1", "component": "LocalAgentHost",
                "boundedContext": "AgentExecution", "severity": "warning", "payload": payload })
        };
        let batch = |numbers: std::ops::Range<u64>| {
            json!({ "events": numbers.map(|n| event(n, json!({ "attempts": n, "cached": true }))).collect::<Vec<_>>() })
        };
        let agent = host("t", "agt_1");
        let post = async |caller: &Caller, body: &Value| house.post(caller, "/telemetry/events", body).await;
        assert_eq!(post(&agent, &batch(0..10)).await, (202, json!({ "accepted": 10, "duplicates": 0 })));
        assert_eq!(post(&agent, &batch(5..15)).await, (202, json!({ "accepted": 5, "duplicates": 5 })));
        let twice = json!({ "events": [event(50, json!({})), event(50, json!({}))] });
        assert_eq!(post(&agent, &twice).await, (202, json!({ "accepted": 1, "duplicates": 1 })));
        let (status, answer) = post(&agent, &json!({ "events": [event(60, json!({ "steps": [{ "toolOutput": "x" }] }))] })).await;
        assert_eq!((status, &answer["details"]["key"]), (400, &json!("toolOutput")));
        assert_eq!(post(&agent, &json!({ "events": [event(60, json!(7))] })).await.0, 400);
        assert_eq!(post(&host("u", "agt_1"), &batch(70..71)).await.0, 403);
        assert_eq!(post(&viewer("t"), &batch(70..71)).await.0, 403);
        let rows = "SELECT COUNT(*) AS n FROM telemetry_events WHERE component = 'LocalAgentHost' AND severity = 'warning'";
        assert_eq!(house.count(rows).await, 16);
    })
    .await;
}
