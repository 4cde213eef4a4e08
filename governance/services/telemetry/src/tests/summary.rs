//! What charts are drawn from.

use std::collections::BTreeMap;

use lanyard_governance_api::telemetry::{Operation, Span};
use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::Timestamp;
use serde_json::{Value, json};

use super::{House, host, span, viewer};
use crate::{MIGRATIONS, Settings};

const HOUR: i64 = 3_600_000;

async fn summary(house: &House, query: &str) -> Value {
    let (status, summary) = house.get(&viewer("t"), &format!("/telemetry/summary?{query}")).await;
    assert_eq!(status, 200, "{summary}");
    summary
}

/// A model call that ended at an instant.
fn call(number: u64, ended: Timestamp, millis: u64) -> Span {
    Span {
        operation: Operation::Chat,
        name: "chat gpt-x".to_owned(),
        started_at: ended.plus_millis(-i64::try_from(millis).unwrap()),
        duration_millis: millis,
        ok: true,
        error: None,
        attributes: BTreeMap::from([("gen_ai.usage.input_tokens".to_owned(), "99999999999999".to_owned())]),
        ..span(number, ended)
    }
}

#[tokio::test]
async fn buckets_have_no_holes_and_hold_what_ended_in_them() {
    on_both(MIGRATIONS, |ground| async move {
        // At noon: no day ends while this runs.
        let of_day = ground.foundation.clock.now().as_millis().rem_euclid(24 * HOUR);
        ground.clock.set(12 * HOUR - of_day);
        let house = House::new(ground, Settings::default());
        let (agent, now) = (host("t", "agt_1"), house.now());
        for (hours, seconds, buckets) in [
            (1, 3_600, 1),
            (24, 3_600, 24),
            (72, 3_600, 72),
            (73, 21_600, 13),
            (336, 21_600, 56),
            (337, 86_400, 15),
            (2_160, 86_400, 90),
        ] {
            let told = summary(&house, &format!("hours={hours}")).await;
            let rows = told["buckets"].as_array().unwrap();
            assert_eq!((&told["bucketSeconds"], rows.len()), (&json!(seconds), buckets), "{hours} hours");
            let starts: Vec<Timestamp> =
                rows.iter().map(|b| b["from"].as_str().unwrap().parse().unwrap()).collect();
            assert!(starts.windows(2).all(|two| two[1].millis_since(two[0]) == seconds * 1_000));
            let last = starts.last().unwrap();
            assert!(*last <= house.now() && house.now().millis_since(*last) <= seconds * 1_000 + 60_000);
            assert!(rows.iter().all(|b| b["modelCalls"] == 0 && b["modelP50Millis"] == 0));
        }
        // Over 80 days, one call a day, each longer than the one before; and one of a clock a day ahead.
        let mut spans: Vec<Span> = (0..80_u64)
            .map(|day| {
                call(day, now.plus_millis(-i64::try_from(day).unwrap() * 24 * HOUR), 80_000 - day * 1_000)
            })
            .collect();
        spans.push(call(100, now.plus_millis(24 * HOUR), 1_000));
        assert_eq!(house.spans(&agent, &spans).await.1["accepted"], 81);
        let told = summary(&house, "hours=2160").await;
        let rows = told["buckets"].as_array().unwrap();
        assert_eq!(rows.iter().map(|b| b["modelCalls"].as_u64().unwrap()).sum::<u64>(), 81);
        assert_eq!(rows.last().unwrap()["modelCalls"], 2, "what ended in the future counts as now");
        assert_eq!(rows[87]["modelCalls"], 1);
        let p50 = rows[87]["modelP50Millis"].as_u64().unwrap();
        assert!((60_000..=78_000).contains(&p50), "{p50}");
        // What nobody can have used is not believed.
        assert_eq!(rows[87]["tokens"], 1_000_000_000_u64);
        assert_eq!(told["models"], json!([{ "name": "gpt-x", "count": 81, "failed": 0 }]));
        assert_eq!(summary(&house, "hours=24").await["buckets"].as_array().unwrap().len(), 24);
        for (query, status) in
            [("hours=0", 400), ("hours=2161", 400), ("hours=x", 400), ("x=1", 400), ("agentId=a%20b", 400)]
        {
            assert_eq!(
                house.get(&viewer("t"), &format!("/telemetry/summary?{query}")).await.0,
                status,
                "{query}"
            );
        }
        assert_eq!(summary(&house, "agentId=agt_9").await["models"], json!([]));
        let (_, foreign) = house.get(&viewer("u"), "/telemetry/summary?hours=2160").await;
        assert_eq!(foreign["models"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn percentiles_and_failures_add_up_over_hosts() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground, Settings::default());
        let now = house.now();
        for agent in 0..4_u64 {
            let calls: Vec<Span> = (0..250).map(|n| call(n, now, n * 4 + agent)).collect();
            assert_eq!(house.spans(&host("t", &format!("agt_{agent}")), &calls).await.0, 202);
        }
        let told = summary(&house, "hours=2").await;
        let row = told["buckets"].as_array().unwrap().iter().find(|b| b["modelCalls"] != 0).unwrap();
        assert_eq!(row["modelCalls"], 1_000);
        let (p50, p95) = (row["modelP50Millis"].as_u64().unwrap(), row["modelP95Millis"].as_u64().unwrap());
        assert!((490..=510).contains(&p50) && (940..=960).contains(&p95), "{p50} {p95}");
        let spans: Vec<Span> = (1_000..1_030).map(|n| span(n, now.plus_millis(-20_000))).collect();
        house.spans(&host("t", "agt_9"), &spans).await;
        let told = summary(&house, "agentId=agt_9").await;
        let sum = |name: &str| {
            told["buckets"].as_array().unwrap().iter().map(|b| b[name].as_u64().unwrap()).sum::<u64>()
        };
        assert_eq!(
            [sum("tasks"), sum("tasksFailed"), sum("toolCalls"), sum("toolCallsFailed")],
            [10, 2, 10, 2]
        );
    })
    .await;
}

#[tokio::test]
async fn names_are_few_whatever_a_model_calls() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground, Settings::default());
        let (agent, now) = (host("t", "agt_1"), house.now());
        let tool = |number: u64, name: String| Span {
            operation: Operation::ExecuteTool,
            name: "execute_tool".to_owned(),
            attributes: BTreeMap::from([("gen_ai.tool.name".to_owned(), name)]),
            ok: !number.is_multiple_of(2),
            error: None,
            // All end at one instant, so in one hour.
            duration_millis: 0,
            ..span(number, now.plus_millis(-1_000_000))
        };
        let known: Vec<Span> = (0..60).map(|n| tool(n, "ReadFile".to_owned())).collect();
        house.spans(&agent, &known).await;
        for round in 0..3 {
            let made_up: Vec<Span> =
                (100..400).map(|n| tool(round * 1_000 + n, format!("{round}x{n}"))).collect();
            house.spans(&agent, &made_up).await;
        }
        house.spans(&agent, &[tool(9_001, "ReadFile".to_owned())]).await;
        let told = summary(&house, "hours=3").await;
        let tools = told["tools"].as_array().unwrap();
        assert_eq!(tools.len(), 20);
        // All but a hundred names, of which one is known, are one.
        assert_eq!(tools[0], json!({ "name": "(other)", "count": 801, "failed": tools[0]["failed"] }));
        assert_eq!(tools[1], json!({ "name": "ReadFile", "count": 61, "failed": 30 }));
        assert_eq!(house.count("SELECT COUNT(*) AS n FROM telemetry_names").await, 101);
    })
    .await;
}
