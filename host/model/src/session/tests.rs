//! A played gateway that accepts some tokens, and a played authority that gives them out.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use lanyard_protocol::error::{ErrorCode, WireError};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What the gateway has seen and accepts.
#[derive(Default)]
struct Served {
    accepted: Mutex<BTreeSet<String>>,
    /// Bearer and model of each call, path of each request.
    calls: Mutex<Vec<(String, String)>>,
    lists: bool,
}

impl Served {
    fn calls(&self) -> Vec<(String, String)> {
        self.calls.lock().unwrap().clone()
    }
}

/// Starts it; its base address.
async fn serve(served: Arc<Served>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, served.clone()));
        }
    });
    address
}

/// One request a connection.
async fn answer(mut stream: TcpStream, served: Arc<Served>) {
    let mut bytes = Vec::new();
    let text = loop {
        let mut chunk = [0; 4096];
        let Ok(read @ 1..) = stream.read(&mut chunk).await else { return };
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = |line: &str| line.strip_prefix("content-length: ")?.parse().ok();
        if body.len() >= head.to_lowercase().lines().find_map(length).unwrap_or(0) {
            break text;
        }
    };
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let bearer =
        head.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap_or_default();
    let known = served.accepted.lock().unwrap().contains(bearer);
    let (status, kind, reply) = if !known {
        let text = json!({"error": {"message": format!("{bearer} is not valid")}}).to_string();
        ("401 Unauthorized", "application/json", text)
    } else if head.starts_with("GET") {
        let listed = json!({"data": [{"id": "embed-1"}, {"id": "m-small"}, {"id": "m-large"}]}).to_string();
        if served.lists {
            ("200 OK", "application/json", listed)
        } else {
            ("404 Not Found", "application/json", "{}".to_owned())
        }
    } else {
        let asked: serde_json::Value = serde_json::from_str(body).unwrap();
        let model = asked["model"].as_str().unwrap().to_owned();
        served.calls.lock().unwrap().push((bearer.to_owned(), model));
        let delta = json!({"choices": [{"delta": {"content": "hello"}, "finish_reason": "stop"}]});
        ("200 OK", "text/event-stream", format!("data: {delta}\n\ndata: [DONE]\n\n"))
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        reply.len()
    );
    let _ = stream.write_all(format!("{head}{reply}").as_bytes()).await;
}

/// Gives out what a test says.
struct Authority {
    granted: Mutex<Option<SessionGateway>>,
    next: Mutex<Option<SessionGateway>>,
    renewals: AtomicU64,
}

impl Authority {
    fn new(granted: SessionGateway) -> Arc<Self> {
        let (granted, next) = (Mutex::new(Some(granted)), Mutex::default());
        Arc::new(Self { granted, next, renewals: AtomicU64::new(0) })
    }

    fn grant(&self, granted: SessionGateway) {
        *self.granted.lock().unwrap() = Some(granted);
    }

    fn would_grant(&self, next: SessionGateway) {
        *self.next.lock().unwrap() = Some(next);
    }
}

#[async_trait::async_trait]
impl TokenSource for Authority {
    fn gateway(&self) -> Option<SessionGateway> {
        self.granted.lock().unwrap().clone()
    }

    async fn renew(&self, refused: &str) -> Result<SessionGateway, WireError> {
        self.renewals.fetch_add(1, Ordering::SeqCst);
        let next = self.next.lock().unwrap().clone().filter(|next| next.token != refused);
        let next = next.ok_or_else(|| WireError::new(ErrorCode::CentralUnavailable, "nobody answers"))?;
        self.grant(next.clone());
        Ok(next)
    }
}

fn granted(endpoint: &str, token: &str, model: Option<&str>) -> SessionGateway {
    SessionGateway {
        endpoint: endpoint.to_owned(),
        token: token.to_owned(),
        model: model.map(str::to_owned),
        expires_at: None,
    }
}

fn request() -> ModelRequest {
    ModelRequest {
        session_id: "s".parse().unwrap(),
        messages: Vec::new(),
        tools: Vec::new(),
        max_output_tokens: 100,
        pictures: Vec::new(),
    }
}

async fn ask(model: &dyn Model) -> Result<ModelAnswer, ModelError> {
    // Whoever is first installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (progress, mut told) = mpsc::channel(8);
    tokio::spawn(async move { while told.recv().await.is_some() {} });
    model.answer(&request(), &progress, &CancellationToken::new()).await
}

fn allowed(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn rig(lists: bool, accepted: &[&str]) -> (Arc<Served>, String) {
    let accepted = Mutex::new(accepted.iter().map(|token| (*token).to_owned()).collect());
    let served = Arc::new(Served { accepted, lists, ..Served::default() });
    let address = serve(served.clone()).await;
    (served, address)
}

fn call(token: &str, model: &str) -> (String, String) {
    (token.to_owned(), model.to_owned())
}

#[tokio::test]
async fn a_refused_token_is_renewed_and_the_call_goes_through() {
    let (served, at) = rig(false, &["fresh"]).await;
    let authority = Authority::new(granted(&at, "stale", Some("m1")));
    authority.would_grant(granted(&at, "fresh", Some("m1")));
    let model = SessionModel::new(authority.clone(), vec![]).unwrap();
    assert_eq!((model.info().source.as_str(), model.info().name.as_str()), ("central", "m1"));
    assert_eq!(ask(&model).await.unwrap().text, "hello");
    assert_eq!(served.calls(), [call("fresh", "m1")]);
    assert_eq!(ask(&model).await.unwrap().text, "hello");
    assert_eq!(authority.renewals.load(Ordering::SeqCst), 1, "the fresh token is kept");
}

#[tokio::test]
async fn a_token_is_renewed_once_a_call_and_never_told() {
    let (_, at) = rig(false, &[]).await;
    let authority = Authority::new(granted(&at, "stale-secret", Some("m1")));
    authority.would_grant(granted(&at, "fresh-secret", Some("m1")));
    let model = SessionModel::new(authority.clone(), vec![]).unwrap();
    let error = ask(&model).await.unwrap_err();
    assert_eq!(authority.renewals.load(Ordering::SeqCst), 1);
    assert!(matches!(error, ModelError::Refused(_)), "{error:?}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(!format!("{model:?} {:?}", model.current()).contains("secret"));
    // Nothing else is to be had: the next call says so.
    let error = ask(&model).await.unwrap_err();
    assert!(matches!(&error, ModelError::Unavailable(text) if text.contains("nobody answers")), "{error:?}");
}

#[tokio::test]
async fn a_token_that_was_renewed_meanwhile_is_taken_over() {
    let (served, at) = rig(false, &["two"]).await;
    let authority = Authority::new(granted(&at, "one", Some("m1")));
    let model = SessionModel::new(authority.clone(), vec![]).unwrap();
    let held = model.held().unwrap();
    authority.grant(granted(&at, "two", Some("m1")));
    ask(&*held).await.unwrap();
    assert_eq!(served.calls(), [call("two", "m1")]);
    assert_eq!(authority.renewals.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_token_goes_to_the_gateway_it_was_granted_for_and_nowhere_else() {
    let (first, at) = rig(false, &["one", "two"]).await;
    let (second, elsewhere) = rig(false, &["one", "two"]).await;
    let authority = Authority::new(granted(&at, "one", Some("m1")));
    let model = SessionModel::new(authority.clone(), vec![]).unwrap();
    let held = model.held().unwrap();
    authority.grant(granted(&elsewhere, "two", Some("m2")));
    let error = ask(&*held).await.unwrap_err();
    assert!(matches!(&error, ModelError::Refused(text) if text.contains("moved")), "{error:?}");
    assert_eq!((first.calls(), second.calls()), (vec![], vec![]));
    // The next task begins at the new one.
    ask(&*model.held().unwrap()).await.unwrap();
    assert_eq!((first.calls(), second.calls()), (vec![], vec![call("two", "m2")]));
}

#[tokio::test]
async fn without_a_named_model_the_first_allowed_one_that_is_offered_answers() {
    for (lists, names, expected) in [
        (true, &["m-huge", "m-large", "m-small"][..], Some("m-large")),
        (true, &["m-huge", "*"], Some("m-small")),
        (true, &["m-huge"], None),
        (false, &["*", "m-huge"], Some("m-huge")),
        (false, &["*"], None),
    ] {
        let (served, at) = rig(lists, &["one"]).await;
        let model = SessionModel::new(Authority::new(granted(&at, "one", None)), allowed(names)).unwrap();
        let answered = ask(&model).await;
        match expected {
            Some(name) => assert_eq!(served.calls(), [call("one", name)], "{names:?}: {answered:?}"),
            None => assert!(matches!(answered, Err(ModelError::Unavailable(_))), "{names:?}: {answered:?}"),
        }
    }
}

#[tokio::test]
async fn a_model_that_a_task_names_has_the_same_token() {
    let (served, at) = rig(false, &["fresh"]).await;
    let authority = Authority::new(granted(&at, "stale", Some("m1")));
    authority.would_grant(granted(&at, "fresh", Some("m1")));
    let model = SessionModel::new(authority, vec![]).unwrap();
    let named = model.named("m9").unwrap();
    assert_eq!(named.info().source, lanyard_ports::model::NAMED_BY_TASK);
    ask(&*named).await.unwrap();
    assert_eq!(served.calls(), [call("fresh", "m9")]);
}

#[test]
fn what_cannot_be_used_is_no_model() {
    let none = Authority::new(granted("http://gw", "t", None));
    *none.granted.lock().unwrap() = None;
    assert_eq!(SessionModel::new(none, vec![]).err(), Some(SessionModelError::NotGranted));
    for (endpoint, token) in [("gateway", "t"), ("http://gw", ""), ("http://me:pw@gw", "t")] {
        let error = SessionModel::new(Authority::new(granted(endpoint, token, None)), vec![]).err().unwrap();
        assert!(!error.to_string().contains("pw"), "{error}");
    }
}
