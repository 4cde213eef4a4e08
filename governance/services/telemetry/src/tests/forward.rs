//! Forwarding to a receiver that is there, fails, is slow, refuses, and comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use lanyard_governance_foundation::testing::on_both;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{House, host, span};
use crate::otlp::{Courier, Exported, OtlpError, OtlpSettings, Pace, read, trace_request};
use crate::{MIGRATIONS, Settings};

/// What the receiver does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    Away,
    Slow,
    /// Takes everything but batches with this span.
    Dislikes(u64),
    /// Takes few at a time.
    Small(usize),
}

/// A receiver on loopback.
#[derive(Clone)]
struct Receiver {
    url: String,
    mood: Arc<Mutex<Mood>>,
    /// Ids of the spans of each request that was taken.
    taken: Arc<Mutex<Vec<Vec<String>>>>,
    asked: Arc<Mutex<u32>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mood = Arc::new(Mutex::new(Mood::Well));
        let receiver = Self { url, mood, taken: Arc::default(), asked: Arc::default() };
        let routes =
            Router::new().route("/v1/traces", axum::routing::post(take)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        receiver
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn ids(&self) -> Vec<String> {
        self.taken.lock().unwrap().concat()
    }

    fn distinct(&self) -> BTreeSet<String> {
        self.ids().into_iter().collect()
    }

    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..3_000 {
            if done(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not within half a minute: {what}; {} spans are there", self.ids().len());
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> axum::response::Response {
    *receiver.asked.lock().unwrap() += 1;
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert_eq!(headers["x-key"], "abc");
    let ids: Vec<String> = decoded(&body).into_iter().map(|span| span.id).collect();
    let mood = *receiver.mood.lock().unwrap();
    match mood {
        Mood::Away => return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response(),
        Mood::Dislikes(number) if ids.contains(&format!("{:016x}", number + 1)) => {
            return StatusCode::BAD_REQUEST.into_response();
        }
        Mood::Small(most) if ids.len() > most => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Mood::Well | Mood::Slow | Mood::Dislikes(_) | Mood::Small(_) => {}
    }
    receiver.taken.lock().unwrap().push(ids);
    if mood == Mood::Slow {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // partial_success { rejected_spans: 0 }
    Bytes::from_static(&[0x0a, 0x02, 0x08, 0x00]).into_response()
}

/// A span as it arrived.
#[derive(Debug, Default)]
struct Arrived {
    id: String,
    trace: String,
    parent: String,
    name: String,
    kind: u64,
    start: u64,
    end: u64,
    attributes: BTreeMap<String, String>,
    status: (u64, String),
    resource: BTreeMap<String, String>,
}

fn sub(bytes: &[u8]) -> Vec<(u64, crate::otlp::Part<'_>)> {
    read(bytes).expect("protobuf")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// `KeyValue`, its value as text with its kind before it.
fn pair(bytes: &[u8]) -> (String, String) {
    use crate::otlp::Part::{Bytes, Number};
    let (mut key, mut value) = (String::new(), String::new());
    for field in sub(bytes) {
        match field {
            (1, Bytes(bytes)) => key = text(bytes),
            (2, Bytes(bytes)) => {
                value = match sub(bytes).as_slice() {
                    [(1, Bytes(bytes))] => format!("s:{}", text(bytes)),
                    [(3, Number(number))] => format!("i:{}", number.cast_signed()),
                    [(5, Bytes(list))] => match sub(list).as_slice() {
                        [(1, Bytes(item))] => format!("l:{}", text(sub(item)[0].1.bytes())),
                        other => panic!("{other:?}"),
                    },
                    other => panic!("{other:?}"),
                }
            }
            other => panic!("{other:?}"),
        }
    }
    (key, value)
}

fn decoded(body: &[u8]) -> Vec<Arrived> {
    let mut spans = Vec::new();
    for (number, resource_spans) in sub(body) {
        assert_eq!(number, 1);
        let mut resource = BTreeMap::new();
        for (number, field) in sub(resource_spans.bytes()) {
            match number {
                1 => resource.extend(sub(field.bytes()).into_iter().map(|(_, a)| pair(a.bytes()))),
                2 => {
                    for (number, field) in sub(field.bytes()) {
                        if number == 2 {
                            spans.push(Arrived { resource: resource.clone(), ..one(field.bytes()) });
                        }
                    }
                }
                other => panic!("{other}"),
            }
        }
    }
    spans
}

fn one(bytes: &[u8]) -> Arrived {
    let mut span = Arrived::default();
    for (number, field) in sub(bytes) {
        match number {
            1 => span.trace = hex(field.bytes()),
            2 => span.id = hex(field.bytes()),
            4 => span.parent = hex(field.bytes()),
            5 => span.name = text(field.bytes()),
            6 => span.kind = field.number(),
            7 => span.start = field.number(),
            8 => span.end = field.number(),
            9 => {
                let (key, value) = pair(field.bytes());
                assert_eq!(span.attributes.insert(key, value), None);
            }
            15 => {
                for (number, field) in sub(field.bytes()) {
                    match number {
                        2 => span.status.1 = text(field.bytes()),
                        3 => span.status.0 = field.number(),
                        other => panic!("{other}"),
                    }
                }
            }
            other => panic!("{other}"),
        }
    }
    span
}

pub(crate) fn settings(url: &str) -> OtlpSettings {
    let _ = rustls::crypto::ring::default_provider().install_default();
    OtlpSettings::new(url, &[("x-key".to_owned(), "abc".to_owned())]).unwrap()
}

const PACE: Pace = Pace {
    look: Duration::from_millis(50),
    first: Duration::from_millis(5),
    longest: Duration::from_millis(40),
};

fn courier(house: &House, receiver: &Receiver, stop: &CancellationToken) -> JoinHandle<()> {
    courier_with(Duration::from_secs(30), house, receiver, stop)
}

/// One that waits so long for an answer.
fn courier_with(
    patience: Duration,
    house: &House,
    receiver: &Receiver,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let patient = settings(&receiver.url).with_timeout(patience);
    let courier = Courier::new(house.ground.foundation.clone(), patient, PACE).unwrap();
    let stop = stop.clone();
    tokio::spawn(async move { courier.run(stop).await })
}

fn ids(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|n| format!("{:016x}", n + 1)).collect()
}

/// Waits until what was delivered is noted as that.
async fn emptied(house: &House) {
    for _ in 0..3_000 {
        if house.count("SELECT COUNT(*) AS n FROM telemetry_outgoing").await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("spans go on waiting");
}

#[tokio::test]
async fn a_receiver_that_fails_and_is_slow_has_every_span_in_the_end() {
    on_both(MIGRATIONS, |ground| async move {
        let receiver = Receiver::start().await;
        let house = House::new(ground, Settings { otlp: Some(settings(&receiver.url)) });
        let stop = CancellationToken::new();
        let (agent, start) = (host("t", "agt_1"), house.now());
        let post = async |from: u64, to: u64| {
            let spans: Vec<_> = (from..to).map(|n| span(n, start)).collect();
            assert_eq!(house.spans(&agent, &spans).await.1["accepted"], to - from);
        };
        receiver.set(Mood::Away);
        post(0, 700).await;
        let running = courier(&house, &receiver, &stop);
        receiver.until("some attempts", |r| *r.asked.lock().unwrap() > 3).await;
        assert!(receiver.ids().is_empty());
        receiver.set(Mood::Well);
        receiver.until("the first spans", |r| r.ids().len() == 700).await;
        // In the order in which they came, once each, in batches.
        assert_eq!(receiver.distinct().len(), 700);
        assert!(receiver.taken.lock().unwrap().iter().all(|batch| batch.len() <= 512));
        emptied(&house).await;
        stop.cancel();
        running.await.unwrap();
        // Answers that come too late: the same spans are sent again, and known by their ids.
        let stop = CancellationToken::new();
        let running = courier_with(Duration::from_millis(100), &house, &receiver, &stop);
        receiver.set(Mood::Slow);
        post(700, 800).await;
        receiver.until("a second delivery", |r| r.ids().len() >= 900).await;
        receiver.set(Mood::Well);
        receiver
            .until("the queue's end", |r| r.taken.lock().unwrap().last().is_some_and(|b| b.len() == 100))
            .await;
        emptied(&house).await;
        assert_eq!(receiver.distinct(), ids(0..800).into_iter().collect());
        // Stopped, and started again: what came meanwhile is delivered.
        stop.cancel();
        running.await.unwrap();
        assert_eq!(house.count("SELECT COUNT(*) AS n FROM telemetry_lease").await, 0);
        post(800, 810).await;
        let stop = CancellationToken::new();
        let running = courier(&house, &receiver, &stop);
        receiver.until("the last spans", |r| r.ids().iter().any(|id| *id == ids(809..810)[0])).await;
        stop.cancel();
        running.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn one_span_that_is_refused_holds_up_no_other() {
    on_both(MIGRATIONS, |ground| async move {
        let receiver = Receiver::start().await;
        let house = House::new(ground, Settings { otlp: Some(settings(&receiver.url)) });
        let stop = CancellationToken::new();
        let (agent, start) = (host("t", "agt_1"), house.now());
        receiver.set(Mood::Dislikes(77));
        let spans: Vec<_> = (0..200).map(|n| span(n, start)).collect();
        house.spans(&agent, &spans).await;
        let running = courier(&house, &receiver, &stop);
        receiver.until("all but one", |r| r.ids().len() == 199).await;
        receiver.set(Mood::Small(16));
        let spans: Vec<_> = (200..400).map(|n| span(n, start)).collect();
        house.spans(&agent, &spans).await;
        receiver.until("the rest, in small batches", |r| r.ids().len() == 399).await;
        let mut expected: BTreeSet<String> = ids(0..400).into_iter().collect();
        expected.remove(&ids(77..78)[0]);
        assert_eq!(receiver.distinct(), expected);
        stop.cancel();
        running.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn of_several_replicas_one_delivers() {
    on_both(MIGRATIONS, |ground| async move {
        let receiver = Receiver::start().await;
        let house = House::new(ground, Settings { otlp: Some(settings(&receiver.url)) });
        let (first, others) = (CancellationToken::new(), CancellationToken::new());
        let leading = courier(&house, &receiver, &first);
        let rest: Vec<_> = (0..3).map(|_| courier(&house, &receiver, &others)).collect();
        for round in 0..10_u64 {
            let spans: Vec<_> = (round * 50..round * 50 + 50).map(|n| span(n, house.now())).collect();
            house.spans(&host("t", "agt_1"), &spans).await;
            // Half way the first one ends, and another goes on.
            if round == 5 {
                first.cancel();
            }
        }
        receiver.until("all of them", |r| r.distinct().len() == 500).await;
        leading.await.unwrap();
        others.cancel();
        for courier in rest {
            courier.await.unwrap();
        }
        let found = receiver.ids();
        // Twice only where the first was stopped between delivering and noting it.
        assert!(found.len() <= 500 + 512, "{}", found.len());
    })
    .await;
}

#[test]
fn a_request_says_what_the_conventions_want() {
    let whole = |number: u64| Exported {
        tenant: "tenant_a".parse().unwrap(),
        source: if number == 2 { "service" } else { "agt_1" }.to_owned(),
        span: span(number, lanyard_protocol::Timestamp::from_millis(1_771_686_262_123)),
    };
    let spans = decoded(&trace_request(&[whole(10), whole(2), whole(5), whole(3)]));
    assert_eq!(spans.len(), 4);
    let of = |id: u64| spans.iter().find(|span| span.id == format!("{:016x}", id + 1)).unwrap();
    let chat = of(10);
    assert_eq!(
        (chat.kind, chat.name.as_str(), chat.parent.as_str()),
        (3, "chat model-0", "000000000000270f")
    );
    assert_eq!(chat.trace, format!("{:032x}", 2));
    assert_eq!((chat.start, chat.end), (1_771_686_262_123_000_000, 1_771_686_262_223_000_000));
    let expected = [
        ("error.type", "s:TOOL_EXECUTION_FAILED"),
        ("gen_ai.operation.name", "s:chat"),
        ("gen_ai.request.model", "s:model-0"),
        ("gen_ai.response.finish_reasons", "l:stop"),
        ("gen_ai.usage.input_tokens", "i:10"),
        ("gen_ai.usage.output_tokens", "i:10"),
    ];
    let told: Vec<_> = chat.attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(told, expected);
    assert_eq!(chat.status, (2, "TOOL_EXECUTION_FAILED".to_owned()));
    assert_eq!(chat.resource["service.instance.id"], "s:agt_1");
    assert_eq!(chat.resource["service.name"], "s:lanyard-host");
    assert_eq!(chat.resource["lanyard.tenant.id"], "s:tenant_a");
    let tool = of(5);
    assert_eq!((tool.kind, tool.attributes["gen_ai.tool.name"].as_str()), (1, "s:Tool1"));
    assert_eq!(tool.attributes["gen_ai.operation.name"], "s:execute_tool");
    assert_eq!(of(2).resource["service.name"], "s:lanyard-central");
    let task = of(3);
    assert_eq!(
        (task.attributes["gen_ai.agent.name"].as_str(), &task.status),
        ("s:lanyard", &(0, String::new()))
    );
    assert_eq!(task.parent, "");
    assert!(trace_request(&[]).is_empty());
}

#[test]
fn settings_are_checked_before_anything_is_sent() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for wrong in ["", "collector:4318", "ftp://collector", "http://", "/v1/traces"] {
        assert!(matches!(OtlpSettings::new(wrong, &[]), Err(OtlpError::Endpoint(_))), "{wrong}");
    }
    let header =
        |name: &str, value: &str| OtlpSettings::new("http://c", &[(name.to_owned(), value.to_owned())]);
    assert!(matches!(header("a b", "x"), Err(OtlpError::Header(_))));
    assert!(matches!(header("a", "x\ny"), Err(OtlpError::Header(_))));
    let hidden = format!("{:?}", header("authorization", "Bearer 123").unwrap());
    assert!(!hidden.contains("123"), "{hidden}");
    for endpoint in ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"] {
        assert!(
            format!("{:?}", OtlpSettings::new(endpoint, &[]).unwrap())
                .contains("\"http://c:4318/v1/traces\"")
        );
    }
}
