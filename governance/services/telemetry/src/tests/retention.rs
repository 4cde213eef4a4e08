//! Retention on a moved clock.

use lanyard_governance_foundation::testing::on_both;
use serde_json::json;

use super::{House, host, span, viewer};
use crate::{MIGRATIONS, Settings, retention};

const DAY: i64 = 24 * 3_600 * 1_000;

#[tokio::test]
async fn spans_go_after_two_weeks_and_sums_after_a_year() {
    on_both(MIGRATIONS, |ground| async move {
        let otlp = super::forward::settings("http://127.0.0.1:9");
        let house = House::new(ground.clone(), Settings { otlp: Some(otlp) });
        let spans: Vec<_> = (0..2_300).map(|n| span(n, house.now().plus_millis(-60_000))).collect();
        assert_eq!(house.spans(&host("t", "agt_1"), &spans).await.1["accepted"], 2_300);
        let event = json!({ "events": [{ "eventId": "tel_1", "eventType": "x", "timestamp": "2026-02-21T15:09:00Z", "tenantId": "u",
            "userId": "usr_1", "workspaceId": "ws_1", "sessionId": "sess_1", "component": "LocalAgentHost",
            "boundedContext": "AgentExecution", "severity": "info", "payload": {} }] });
        assert_eq!(house.post(&host("u", "agt_u"), "/telemetry/events", &event).await.0, 202);
        assert_eq!(house.count("SELECT COUNT(*) AS n FROM telemetry_outgoing").await, 2_300);
        ground.clock.set(13 * DAY);
        assert_eq!(retention::sweep(&ground.foundation).await.unwrap(), 0);
        ground.clock.set(15 * DAY);
        assert_eq!(retention::sweep(&ground.foundation).await.unwrap(), 2 * 2_300 + 1);
        for table in [
            "SELECT COUNT(*) AS n FROM telemetry_outgoing",
            "SELECT COUNT(*) AS n FROM telemetry_spans",
            "SELECT COUNT(*) AS n FROM telemetry_events",
        ] {
            assert_eq!(house.count(table).await, 0, "{table}");
        }
        let (_, told) = house.get(&viewer("t"), "/telemetry/summary?hours=2160").await;
        let tasks: u64 = told["buckets"].as_array().unwrap().iter().map(|b| b["tasks"].as_u64().unwrap()).sum();
        assert_eq!(tasks, 767);
        ground.clock.set(402 * DAY);
        assert!(retention::sweep(&ground.foundation).await.unwrap() > 0);
        let left = "SELECT (SELECT COUNT(*) FROM telemetry_hours) + (SELECT COUNT(*) FROM telemetry_names) AS n";
        assert_eq!(house.count(left).await, 0);
    })
    .await;
}
