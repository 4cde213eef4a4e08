//! The timeline: taken in order, read in pages, followed live.

use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt as _;
use http::{Request, StatusCode};
use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::Statement;
use lanyard_governance_foundation::credentials::{self, Holder};
use lanyard_governance_foundation::testing::on_both;
use lanyard_protocol::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Stage, agent, host, offer, person, request, settings};
use crate::{MIGRATIONS, Settings};

const PATH: &str = "/sessions/ses_1/events";

fn event(seq: u64) -> Value {
    event_saying(seq, "something was paused")
}

fn event_saying(seq: u64, reason: &str) -> Value {
    json!({"eventId": format!("evt_{seq}"), "seq": seq, "workspaceId": "wsp_h", "sessionId": "ses_1",
        "eventType": "session_paused", "timestamp": "2026-01-01T00:00:00Z", "payload": {"reason": reason}})
}

fn batch(seqs: impl IntoIterator<Item = u64>) -> Option<Value> {
    Some(json!({"events": seqs.into_iter().map(event).collect::<Vec<_>>()}))
}

fn numbers(page: &Value) -> Vec<u64> {
    page["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_kept_in_order_without_gaps_and_once() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.begin("ses_1").await;
        let last = |answer: Value| answer["lastSeq"].as_u64().unwrap();
        assert_eq!(last(stage.ok(&host(), "POST", PATH, batch([])).await), 0);
        assert_eq!(last(stage.ok(&host(), "POST", PATH, batch(1..=3)).await), 3);
        assert_eq!(last(stage.ok(&host(), "POST", PATH, batch(2..=5)).await), 5);
        assert_eq!(last(stage.ok(&host(), "POST", PATH, batch(1..=2)).await), 5);
        let (status, error) = stage.call(&host(), "POST", PATH, batch(7..=8)).await;
        assert_eq!((status.as_u16(), &error["code"]), (409, &json!("CONFLICT")));
        assert_eq!(error["details"]["lastSeq"], 5);
        let foreign = {
            let mut one = event(6);
            one["sessionId"] = json!("ses_2");
            one
        };
        let mut unnumbered = event(6);
        unnumbered.as_object_mut().unwrap().remove("seq");
        for wrong in [
            json!([event(6), event(8)]),
            json!([event(6), event(6)]),
            json!([event(0)]),
            json!([foreign]),
            json!([unnumbered]),
        ] {
            assert_eq!(
                stage.call(&host(), "POST", PATH, Some(json!({"events": wrong}))).await.0,
                400,
                "{wrong}"
            );
        }
        let page = stage.ok(&person("acme", Role::Viewer), "GET", PATH, None).await;
        assert_eq!((numbers(&page), &page["lastSeq"]), (vec![1, 2, 3, 4, 5], &json!(5)));
        assert_eq!(page["events"][0]["payload"]["reason"], "something was paused");
        let page = stage.ok(&host(), "GET", &format!("{PATH}?after=2&limit=2"), None).await;
        assert_eq!(numbers(&page), [3, 4]);
        let page = stage.ok(&host(), "GET", &format!("{PATH}?after={}", u64::MAX), None).await;
        assert_eq!(numbers(&page), Vec::<u64>::new());
        assert_eq!(stage.call(&host(), "GET", &format!("{PATH}?limit=0"), None).await.0, 400);
        assert_eq!(stage.ok(&host(), "GET", "/sessions/ses_1", None).await["lastSeq"], 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_events_sent_at_once_are_kept_once() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.begin("ses_1").await;
        let own = host();
        let all = (0..10).map(|_| stage.call(&own, "POST", PATH, batch(1..=40)));
        for (status, answer) in futures_util::future::join_all(all).await {
            assert_eq!((status, &answer["lastSeq"]), (StatusCode::OK, &json!(40)));
        }
        assert_eq!(stage.count("session_events").await, 40);
        let odd = event_saying(41, "nul \u{0} bell \u{7} ä \u{2028} \" \\ \r\n end");
        stage.ok(&host(), "POST", PATH, Some(json!({"events": [odd.clone()]}))).await;
        let page = stage.ok(&host(), "GET", &format!("{PATH}?after=40"), None).await;
        assert_eq!(page["events"][0]["payload"], odd["payload"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_tenant_does_not_want_it_nothing_is_kept() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.world(|world| world.timeline = false);
        stage.begin("ses_1").await;
        let (status, error) = stage.call(&host(), "POST", PATH, batch(1..=1)).await;
        // A host would try UNAUTHORIZED again with another credential.
        assert_eq!((status.as_u16(), &error["code"]), (403, &json!("CAPABILITY_DENIED")));
        assert!(error["message"].as_str().unwrap().contains("timeline"), "{error}");
        // It counts what was said at the last handshake.
        stage.world(|world| world.timeline = true);
        assert_eq!(stage.call(&host(), "POST", PATH, batch(1..=1)).await.0, 403);
        stage.ok(&host(), "POST", "/sessions/ses_1/resume", Some(offer())).await;
        stage.ok(&host(), "POST", PATH, batch(1..=1)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_records_were_set_back_does_not_go_on() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        stage.begin("ses_1").await;
        stage.ok(&host(), "POST", PATH, batch(1..=5)).await;
        let resume = async |cursor: Option<u64>| {
            let mut body = offer();
            body["checkpointCursor"] = json!(cursor);
            stage.call(&host(), "POST", "/sessions/ses_1/resume", Some(body)).await
        };
        // As far as was told, further, or a host that does not say.
        for cursor in [Some(5), Some(9), None] {
            assert_eq!(resume(cursor).await.0, 200, "{cursor:?}");
        }
        let recorded = stage.count("trail").await;
        for cursor in [4, 0] {
            let (status, error) = resume(Some(cursor)).await;
            assert_eq!((status.as_u16(), &error["code"]), (409, &json!("CONFLICT")), "{cursor}");
            assert_eq!(error["details"]["lastSeq"], 5);
            assert!(error["message"].as_str().unwrap().contains("start a new session"), "{error}");
        }
        assert_eq!(stage.count("trail").await, recorded + 1, "recorded once");
        assert!(stage.state("ses_1").await.1.unwrap().contains("set back"));
        // Where the tenant wants no timeline, the number of the last state says it.
        let standing = json!({"state": "SESSION_RUNNING", "reason": null, "seq": 12});
        stage.ok(&host(), "POST", "/sessions/ses_1/state", Some(standing)).await;
        assert_eq!(resume(Some(11)).await.0, 409);
        assert_eq!(resume(Some(12)).await.0, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_is_bounded_and_so_is_a_page_of_it() {
    on_both(MIGRATIONS, |ground| async move {
        let bounds = Settings { max_events: 60, max_event_bytes: 40 << 20, ..settings() };
        let stage = Stage::with(ground, bounds);
        stage.begin("ses_1").await;
        let long = "x".repeat(700_000);
        for first in (1..=50).step_by(10) {
            let events: Vec<Value> = (first..first + 10).map(|seq| event_saying(seq, &long)).collect();
            stage.ok(&host(), "POST", PATH, Some(json!({"events": events}))).await;
        }
        // Five fit into a page; one is always there.
        let page = stage.ok(&host(), "GET", &format!("{PATH}?limit=500"), None).await;
        assert_eq!((numbers(&page), &page["lastSeq"]), (vec![1, 2, 3, 4, 5], &json!(50)));
        let events: Vec<Value> = (51..=60).map(|seq| event_saying(seq, &long)).collect();
        let refused = stage.refused(&host(), "POST", PATH, Some(json!({"events": events}))).await;
        assert_eq!(refused, (413, "PAYLOAD_TOO_LARGE".to_owned()));
        stage.ok(&host(), "POST", PATH, batch(51..=60)).await;
        assert_eq!(stage.refused(&host(), "POST", PATH, batch(61..=61)).await.0, 413);
    })
    .await;
}

/// A stream of events as they come.
struct Stream {
    body: BodyDataStream,
    text: String,
}

impl Stream {
    async fn open(stage: &Stage, query: &str, last: Option<&str>) -> (StatusCode, Self) {
        let mut builder = Request::builder().uri(format!("/sessions/ses_1/stream{query}"));
        if let Some(last) = last {
            builder = builder.header("last-event-id", last);
        }
        let request = builder.extension(person("acme", Role::Viewer)).body(Body::empty()).unwrap();
        let response = stage.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        (status, Self { body: response.into_body().into_data_stream(), text: String::new() })
    }

    /// The next event: its number, and the event itself; nothing at the end.
    async fn next(&mut self) -> Option<(u64, Value)> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let frame = frame.to_owned();
                self.text = rest.to_owned();
                let field =
                    |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let Some(data) = field("data:") else { continue };
                assert_eq!(field("event:"), Some("event"));
                return Some((field("id:").unwrap().parse().unwrap(), serde_json::from_str(data).unwrap()));
            }
            let more = tokio::time::timeout(Duration::from_secs(60), self.body.next()).await;
            let more = more.expect("nothing comes")?.unwrap();
            self.text.push_str(std::str::from_utf8(&more).unwrap());
        }
    }
}

async fn sign_in(stage: &Stage) {
    let holder = Holder::Person {
        tenant: "acme".parse().unwrap(),
        user: "usr_ada".parse().unwrap(),
        name: "Ada".into(),
        role: Role::Viewer,
        operator: false,
    };
    let mut tx = stage.ground.foundation.database.across_write().await.unwrap();
    let now = Timestamp::now();
    credentials::add(&mut tx, [7; 32], &holder, now, now.plus_millis(3_600_000)).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_is_followed_live_and_taken_up_where_it_broke_off() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        sign_in(&stage).await;
        stage.begin("ses_1").await;
        stage.ok(&host(), "POST", PATH, batch(1..=2)).await;
        let (status, mut stream) = Stream::open(&stage, "", None).await;
        assert_eq!(status, 200);
        let (number, first) = stream.next().await.unwrap();
        assert_eq!(
            (number, &first["eventId"], &first["payload"]),
            (1, &json!("evt_1"), &event(1)["payload"])
        );
        assert_eq!(stream.next().await.unwrap().0, 2);
        // Long before anybody would look by themselves: the fastest of three, on a machine that does much else.
        let mut fastest = Duration::MAX;
        for expected in 3..=5 {
            let waits = tokio::spawn(async move {
                let number = stream.next().await.unwrap().0;
                (number, Instant::now(), stream)
            });
            tokio::time::sleep(Duration::from_millis(300)).await;
            let written = Instant::now();
            stage.ok(&host(), "POST", PATH, batch(expected..=expected)).await;
            let (number, heard, same) = waits.await.unwrap();
            assert_eq!(number, expected);
            (stream, fastest) = (same, fastest.min(heard.duration_since(written)));
        }
        assert!(fastest < Duration::from_secs(3), "nobody woke the stream: {fastest:?}");
        drop(stream);
        stage.ok(&host(), "POST", PATH, batch(6..=250)).await;
        let (_, mut stream) = Stream::open(&stage, "?after=1", Some("3")).await;
        for expected in 4..=250 {
            assert_eq!(stream.next().await.unwrap().0, expected);
        }
        let (_, mut stream) = Stream::open(&stage, "?after=249", None).await;
        assert_eq!(stream.next().await.unwrap().0, 250);
        assert_eq!(Stream::open(&stage, "", Some("x")).await.0, 400);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_sign_in_that_opened_it() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::new(ground);
        sign_in(&stage).await;
        stage.begin("ses_1").await;
        stage.ok(&host(), "POST", PATH, batch(1..=1)).await;
        let (_, mut stream) = Stream::open(&stage, "", None).await;
        assert_eq!(stream.next().await.unwrap().0, 1);
        let mut tx = stage.ground.foundation.database.across_write().await.unwrap();
        credentials::remove(&mut tx, &[7; 32]).await.unwrap();
        tx.commit().await.unwrap();
        stage.ok(&host(), "POST", PATH, batch(2..=2)).await;
        assert_eq!(stream.next().await, None);
        // A sign-in that works in another tenant now does not go on to show that tenant's session of the same id.
        sign_in(&stage).await;
        let (_, mut stream) = Stream::open(&stage, "?after=1", None).await;
        assert_eq!(stream.next().await.unwrap().0, 2);
        let theirs = agent("other", "agt_a");
        stage.ok(&theirs, "POST", "/sessions", request("ses_1")).await;
        stage.ok(&theirs, "POST", PATH, batch(1..=3)).await;
        let mut tx = stage.ground.foundation.database.across_write().await.unwrap();
        tx.run(Statement::new("UPDATE credentials SET tenant_id = 'other'")).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(stream.next().await, None);
        let mut tx = stage.ground.foundation.database.across_write().await.unwrap();
        credentials::remove(&mut tx, &[7; 32]).await.unwrap();
        tx.commit().await.unwrap();
        // Whoever is not known any more sees nothing to begin with.
        let (_, mut stream) = Stream::open(&stage, "", None).await;
        assert_eq!(stream.next().await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_streams_and_no_more() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::with(ground, Settings { max_streams: 2, ..settings() });
        sign_in(&stage).await;
        stage.ok(&host(), "POST", "/sessions", request("ses_1")).await;
        let one = Stream::open(&stage, "", None).await;
        let two = Stream::open(&stage, "", None).await;
        assert_eq!((one.0.as_u16(), two.0.as_u16()), (200, 200));
        assert_eq!(Stream::open(&stage, "", None).await.0, 429);
        drop(one);
        assert_eq!(Stream::open(&stage, "", None).await.0, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_its_share_of_the_streams() {
    on_both(MIGRATIONS, |ground| async move {
        let stage = Stage::with(ground, Settings { max_tenant_streams: 1, ..settings() });
        sign_in(&stage).await;
        stage.ok(&host(), "POST", "/sessions", request("ses_1")).await;
        let one = Stream::open(&stage, "", None).await;
        assert_eq!((one.0.as_u16(), Stream::open(&stage, "", None).await.0.as_u16()), (200, 429));
        drop(one);
        assert_eq!(Stream::open(&stage, "", None).await.0, 200);
    })
    .await;
}
