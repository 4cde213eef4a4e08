//! Search and export.

use std::collections::BTreeSet;

use axum::body::Body;
use futures_util::StreamExt as _;
use http::Request;
use lanyard_governance_api::audit::AuditQuery;
use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::Timestamp;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{House, event, filled, host, links, person, tenant};
use crate::MIGRATIONS;
use crate::chain::Digest;
use crate::scan::Scan;

/// Every record of a search, page by page, and the number of pages.
async fn everything(house: &House, query: &str) -> (Vec<Value>, usize) {
    let viewer = person("t", Role::Viewer);
    let (mut items, mut pages, mut token) = (Vec::new(), 0, None::<String>);
    loop {
        let next = token.map(|token| format!("&nextToken={token}")).unwrap_or_default();
        let (status, page) = house.get(&viewer, &format!("/audit/events?{query}{next}")).await;
        assert_eq!(status, 200, "{page}");
        pages += 1;
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["nextToken"].as_str() {
            Some(next) => token = Some(next.to_owned()),
            None => return (items, pages),
        }
    }
}

fn places(items: &[Value]) -> Vec<(String, u64)> {
    items.iter().map(|i| (i["source"].as_str().unwrap().to_owned(), i["seq"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn every_filter_finds_what_it_says_on_every_page_size() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        filled(&house, "agt_1", 700).await;
        filled(&house, "agt_2", 900).await;
        let all: Vec<u64> = (1..=700).chain(1..=900).collect();
        let hits = |wanted: &dyn Fn(u64) -> bool| all.iter().filter(|n| wanted(**n)).count();
        for (query, found) in [
            ("x=", usize::MAX),
            ("limit=500", 1_600),
            ("source=agt_2&limit=77", 900),
            ("source=agt_3", 0),
            ("sessionId=sess_3&limit=500", hits(&|n| n % 7 == 3)),
            ("sessionId=sess_3&source=agt_1&limit=9", (1..=700_u64).filter(|n| n % 7 == 3).count()),
            ("taskId=task_3&limit=50", hits(&|n| n % 6 == 3)),
            ("workspaceId=ws_1&limit=400", 1_600),
            ("workspaceId=ws_2", 0),
            ("eventType=tool_started&limit=300", hits(&|n| n % 2 == 0)),
            ("userId=usr_2&limit=500", hits(&|n| n % 4 == 2)),
            ("severity=warning&limit=500", hits(&|n| n % 5 == 0)),
            ("severity=error", 0),
            ("text=%22n%22:8%2C", 2),
            ("text=%C3%A4rger&limit=500", 1_600),
            ("text=SHELL.exec&userId=usr_1&limit=400", hits(&|n| n % 4 == 1)),
            // In the payload only, not in the rest of the event.
            ("text=LocalToolRuntime", 0),
            ("from=2020-01-01T00:00:00Z&limit=500", 1_600),
            ("to=2020-01-01T00:00:00Z", 0),
            ("source=agt_1&to=2020-01-01T00:00:00Z", 0),
            ("source=agt_1&from=2999-01-01T00:00:00Z", 0),
        ] {
            if query == "x=" {
                assert_eq!(house.get(&person("t", Role::Viewer), "/audit/events?x=").await.0, 400);
                continue;
            }
            let (items, _) = everything(&house, query).await;
            assert_eq!(items.len(), found, "{query}");
            let places = places(&items);
            assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), items.len(), "{query}: twice");
            let mut newest_first = items.clone();
            newest_first.sort_by_key(|i| {
                std::cmp::Reverse((
                    // As an instant: its text leaves out zeros at its end, and does not sort.
                    i["receivedAt"].as_str().unwrap().parse::<Timestamp>().unwrap(),
                    i["source"].as_str().unwrap().to_owned(),
                    i["seq"].as_u64().unwrap(),
                ))
            });
            assert_eq!(newest_first, items, "{query}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_search_for_what_is_rare_walks_a_bounded_number_of_records_a_page() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let chain = links(None, (1..=25_000).map(event));
        for part in chain.chunks(5_000) {
            assert_eq!(house.post(&host("t", "agt_1"), part).await.0, 202);
        }
        let (items, pages) = everything(&house, "text=%22n%22:3%2C").await;
        assert_eq!((places(&items), pages), (vec![("agt_1".to_owned(), 3)], 2));
        let viewer = person("t", Role::Viewer);
        let (_, first) = house.get(&viewer, "/audit/events?text=%22n%22:3%2C").await;
        assert_eq!(first["items"].as_array().unwrap().len(), 0);
        assert!(first["nextToken"].is_string());
    })
    .await;
}

#[tokio::test]
async fn tokens_are_good_for_their_search_and_their_tenant_only() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        filled(&house, "agt_1", 30).await;
        let viewer = person("t", Role::Viewer);
        let (_, page) = house.get(&viewer, "/audit/events?limit=10&userId=usr_1").await;
        assert!(page["nextToken"].is_null());
        let (_, page) = house.get(&viewer, "/audit/events?limit=10&eventType=tool_started").await;
        let token = page["nextToken"].as_str().unwrap().to_owned();
        for (query, status) in [
            (format!("limit=5&eventType=tool_started&nextToken={token}"), 200),
            (format!("limit=10&nextToken={token}"), 400),
            (format!("eventType=tool_completed&nextToken={token}"), 400),
            (format!("eventType=tool_started&nextToken={}x", token), 400),
            ("nextToken=".to_owned(), 400),
            ("nextToken=AAAA".to_owned(), 400),
            ("nextToken=%00".to_owned(), 400),
            ("limit=0".to_owned(), 400),
            ("limit=501".to_owned(), 400),
            ("format=json_lines".to_owned(), 400),
            ("text=%00".to_owned(), 400),
            (format!("text={}", "x".repeat(3_000)), 400),
            ("from=yesterday".to_owned(), 400),
        ] {
            let (answered, body) = house.get(&viewer, &format!("/audit/events?{query}")).await;
            assert_eq!(answered, status, "{query}: {body}");
        }
        let other = person("u", Role::Admin);
        let (status, page) =
            house.get(&other, &format!("/audit/events?eventType=tool_started&nextToken={token}")).await;
        assert_eq!((status, page["items"].as_array().unwrap().len()), (200, 0));
        for path in ["/audit/events?source=agt_1", "/audit/events?sessionId=sess_1", "/audit/events"] {
            assert_eq!(house.get(&other, path).await.1["items"].as_array().unwrap().len(), 0, "{path}");
        }
        let (_, export) = house.raw(&other, "GET", "/audit/export", String::new()).await;
        assert!(export.is_empty());
        assert_eq!(house.get(&person("t", Role::Approver), "/audit/export").await.0, 403);
        assert_eq!(house.get(&host("t", "agt_1"), "/audit/events").await.0, 403);
        assert_eq!(house.get(&host("u", "agt_1"), "/audit/head").await.1["lastSeq"], 0);
    })
    .await;
}

#[tokio::test]
async fn an_export_proves_itself_and_stops_when_nobody_reads() {
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let chain = filled(&house, "agt_1", 1_300).await;
        let admin = person("t", Role::Admin);
        let (status, bytes) =
            house.raw(&admin, "GET", "/audit/export?format=json_lines", String::new()).await;
        assert_eq!(status.as_u16(), 200);
        let lines: Vec<&str> = std::str::from_utf8(&bytes).unwrap().lines().collect();
        assert_eq!(lines.len(), 1_300);
        let mut hash = Digest::START;
        for (line, link) in lines.iter().zip(&chain) {
            // The event's text as it stands in the line is what was hashed.
            let text = line.split_once("\"event\":").unwrap().1.strip_suffix('}').unwrap();
            hash = hash.then(link.seq, text);
            assert_eq!(hash, link.hash);
            let record: Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (record["seq"].as_u64(), record["hash"].as_str()),
                (Some(link.seq), Some(hash.hex().as_str()))
            );
        }
        let (_, bytes) = house
            .raw(&admin, "GET", "/audit/export?format=cloud_events&severity=warning", String::new())
            .await;
        let events: Vec<Value> =
            std::str::from_utf8(&bytes).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(events.len(), 260);
        for event in &events {
            let members = event.as_object().unwrap();
            assert!(members.keys().all(|k| k.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())));
            assert_eq!(
                (event["specversion"].as_str(), event["source"].as_str()),
                (Some("1.0"), Some("/agents/agt_1"))
            );
            assert_eq!(event["id"], event["data"]["eventId"]);
            assert_eq!(event["type"], event["data"]["eventType"]);
            assert_eq!(event["time"], event["data"]["timestamp"]);
        }
        for query in ["limit=1", "nextToken=x", "format=csv"] {
            assert_eq!(house.get(&admin, &format!("/audit/export?{query}")).await.0, 400, "{query}");
        }
        // A caller that goes after the first lines: nothing holds the database afterwards.
        for _ in 0..40 {
            let request = Request::get("/audit/export").extension(admin.clone()).body(Body::empty()).unwrap();
            let response = house.router.clone().oneshot(request).await.unwrap();
            let mut body = response.into_body().into_data_stream();
            let first = body.next().await.unwrap().unwrap();
            assert!(first.len() < bytes.len() * 4);
            drop(body);
        }
        assert_eq!(house.verify(&admin).await["whole"], true);
        assert_eq!(house.post(&host("t", "agt_1"), &links(chain.last(), [event(1_301)])).await.0, 202);
    })
    .await;
}

#[tokio::test]
async fn long_records_are_read_a_few_at_a_time() {
    const MEGABYTE: usize = 1 << 20;
    on_both(MIGRATIONS, |ground| async move {
        let house = House::new(ground);
        let long = |number| {
            let mut event = event(number);
            event.payload = serde_json::json!({ "text": "x".repeat(MEGABYTE) }).into();
            event
        };
        for part in links(None, (1..=12).map(long)).chunks(6) {
            assert_eq!(house.post(&host("t", "agt_1"), part).await.0, 202);
        }
        let mut tx = house.ground.foundation.database.read_of(&tenant("t")).await.unwrap();
        let scan = Scan::new(&AuditQuery::default(), true);
        let (mut after, mut found, mut last) = (None, 0, false);
        while !last {
            let chunk = scan.chunk(&mut tx, after.as_ref(), 500).await.unwrap();
            let held: usize = chunk.seen.iter().filter_map(|seen| seen.text.as_ref()).map(String::len).sum();
            assert!(held < 6 * MEGABYTE, "{held} bytes at once");
            found += chunk.seen.len();
            last = chunk.last;
            after = chunk.seen.into_iter().last().map(|seen| seen.position);
        }
        drop(tx);
        assert_eq!(found, 12);
        assert_eq!(everything(&house, "limit=500").await.0.len(), 12);
        let (_, export) = house.raw(&person("t", Role::Admin), "GET", "/audit/export", String::new()).await;
        assert_eq!(export.iter().filter(|byte| **byte == b'\n').count(), 12);
    })
    .await;
}
