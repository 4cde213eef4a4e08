//! HttpRequest against a server on the loopback, named by its address as policy allows it only then.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;

use lanyard_policy::decide::{Limits, Verdict};
use lanyard_policy::demand::Demand;
use lanyard_ports::router::Lane;
use lanyard_protocol::approval::ApprovalDetail;
use lanyard_protocol::error::ErrorCode;
use lanyard_protocol::tool::ToolStatus;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::client::public;
use crate::execute::{Bounds, Outcome, carry_out};
use crate::testing::{Bench, runtime};
use crate::{OutputSink, Plan};

/// Answers every connection with the same bytes and hands over what it was asked.
struct Server {
    address: SocketAddr,
    requests: mpsc::Receiver<String>,
}

impl Server {
    fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::channel();
        let answer = answer.into();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut request = Vec::new();
                let mut piece = [0; 4096];
                while !is_whole(&request) {
                    match stream.read(&mut piece) {
                        Ok(0) | Err(_) => break,
                        Ok(read) => request.extend_from_slice(&piece[..read]),
                    }
                }
                // The other side may have had enough.
                let _ = stream.write_all(&answer);
                if sender.send(String::from_utf8_lossy(&request).into_owned()).is_err() {
                    break;
                }
            }
        });
        Self { address, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// A request with its whole body, by its `content-length`.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    body.len() >= length
}

fn bounds() -> Bounds {
    Bounds { cancel: CancellationToken::new(), limits: Limits::default() }
}

fn send(bench: &Bench, plan: Plan, bounds: &Bounds) -> Outcome {
    let silent = OutputSink::silent();
    runtime().block_on(carry_out(&bench.workspace, plan.prepared, &silent, bounds))
}

fn request(arguments: Value) -> Outcome {
    let bench = Bench::new();
    let plan = bench.plan("HttpRequest", arguments).unwrap();
    send(&bench, plan, &bounds())
}

#[test]
fn a_request_is_sent_as_shown_and_answered_as_text() {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nset-cookie: a=b\r\ncontent-length: 6\r\n\r\nh\u{e9}llo",
    );
    let bench = Bench::new();
    let arguments = json!({
        "method": "POST", "url": server.url("/x?y=1#part"), "headers": {"X-Key": "v", "Authorization": "Bearer t"}, "body": "data",
    });
    let plan = bench.plan("HttpRequest", arguments).unwrap();
    assert_eq!(plan.call.demands(), [Demand::Http { method: "POST".to_owned(), url: server.url("/x?y=1") }]);
    assert_eq!(plan.lane, Lane::Barrier);
    let ApprovalDetail::Http(detail) = &plan.detail else { panic!() };
    assert_eq!(detail.headers, ["Authorization: Bearer t", "X-Key: v"]);
    assert_eq!((detail.url.clone(), detail.body.as_deref()), (server.url("/x?y=1"), Some("data")));
    let outcome = send(&bench, plan, &bounds());
    assert_eq!(outcome.status, ToolStatus::Succeeded, "{:?}", outcome.error);
    assert_eq!(outcome.output, "HTTP/1.1 200 OK\ncontent-length: 6\ncontent-type: text/plain\n\nh\u{e9}llo");
    assert_eq!(outcome.source, "http:127.0.0.1");
    let seen = server.requests.recv().unwrap();
    assert!(seen.starts_with("POST /x?y=1 HTTP/1.1\r\n") && seen.ends_with("\r\n\r\ndata"), "{seen}");
    for header in ["x-key: v", "authorization: Bearer t", "user-agent: lanyard/"] {
        assert!(seen.contains(header), "{seen}");
    }
}

#[test]
fn item_25_redirects_are_reported_and_not_followed() {
    let target = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let answer =
        format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", target.url("/secret"));
    let server = Server::answering(answer);
    let outcome = request(json!({"method": "GET", "url": server.url("/")}));
    assert!(outcome.output.contains(&format!("location: {}", target.url("/secret"))), "{}", outcome.output);
    assert!(outcome.output.contains("redirects are not followed"));
    assert!(target.requests.try_recv().is_err());
}

#[test]
fn item_25_names_that_lead_to_private_addresses_are_refused_when_connecting() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let url = format!("http://localhost:{}/", server.address.port());
    let outcome = request(json!({"method": "GET", "url": url}));
    let error = outcome.error.unwrap();
    assert_eq!(error.code, ErrorCode::CapabilityDenied, "{error}");
    assert!(error.message.contains("localhost leads to a private address"), "{error}");
    assert!(server.requests.try_recv().is_err());
}

#[test]
fn item_25_one_private_address_among_public_ones_spoils_the_name() {
    let address = |text: &str| -> SocketAddr { text.parse().unwrap() };
    let public_only = [address("93.184.215.14:0"), address("[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:0")];
    assert_eq!(public("x", public_only.into_iter()).unwrap(), public_only);
    for private in ["10.0.0.1:0", "169.254.169.254:0", "[::1]:0", "[::ffff:127.0.0.1]:0", "[fd00::1]:0"] {
        assert!(public("x", [public_only[0], address(private)].into_iter()).is_err(), "{private}");
    }
    assert!(public("x", std::iter::empty()).is_err());
}

#[test]
fn item_25_private_addresses_are_denied_by_policy_before_that() {
    let bench = Bench::new();
    for url in
        ["http://127.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "http://10.0.0.1/"]
    {
        let plan = bench.plan("HttpRequest", json!({"method": "GET", "url": url})).unwrap();
        assert!(matches!(bench.decide(plan).0, Verdict::Denied(_)), "{url}");
    }
}

#[test]
fn item_25_addresses_with_more_than_one_reading_are_refused() {
    let bench = Bench::new();
    for url in [
        "http://0177.0.0.1/",
        "http://2130706433/",
        "http://127.1/",
        "http://a\u{0}b/",
        "http://user@host/",
        "http:///host/",
        "http://ho%73t/",
        "file:///etc/passwd",
        "ftp://host/",
        "host",
        "http://",
        "gopher://x/",
        "http://evil.example\\@good.example/",
    ] {
        let error = bench.plan("HttpRequest", json!({"method": "GET", "url": url})).unwrap_err();
        assert!(error.to_string().contains("`url`"), "{url}: {error}");
    }
}

#[test]
fn what_belongs_to_the_connection_is_not_the_callers() {
    let bench = Bench::new();
    for (name, value) in [
        ("Host", "other"),
        ("content-length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "upgrade"),
        ("Proxy-Authorization", "x"),
        ("X-Fine", "a\r\nHost: other"),
        ("Bad Name", "x"),
        ("X-Long", "x".repeat(9000).as_str()),
    ] {
        let arguments = json!({"method": "GET", "url": "https://example.org/", "headers": {name: value}});
        assert!(
            bench.plan("HttpRequest", arguments).unwrap_err().to_string().contains("`headers`"),
            "{name}"
        );
    }
    for method in ["get", "CONNECT", "TRACE", "", "GET /"] {
        let arguments = json!({"method": method, "url": "https://example.org/"});
        assert!(
            bench.plan("HttpRequest", arguments).unwrap_err().to_string().contains("`method`"),
            "{method}"
        );
    }
}

#[test]
fn a_task_without_network_sends_nothing() {
    let mut bench = Bench::new();
    bench.terms.allow_network = false;
    let error =
        bench.plan("HttpRequest", json!({"method": "GET", "url": "https://example.org/"})).unwrap_err();
    assert_eq!(error.code(), ErrorCode::CapabilityDenied);
}

#[test]
fn data_and_endless_answers_are_bounded() {
    let server = Server::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\0\x01\x02\x03".to_vec());
    let outcome = request(json!({"method": "GET", "url": server.url("/")}));
    assert!(outcome.output.ends_with("\n[not text: 4 bytes of data]\n"), "{}", outcome.output);
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.resize(8 << 20, b'x');
    let server = Server::answering(endless);
    let outcome = request(json!({"method": "GET", "url": server.url("/")}));
    assert!(outcome.output.contains("the answer goes on") && outcome.output.len() < 6 << 20);
}

#[test]
fn a_server_that_says_nothing_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let bench = Bench::new();
    let plan = || bench.plan("HttpRequest", json!({"method": "GET", "url": url})).unwrap();
    let limits = Limits { max_execution_time_seconds: Some(1), ..Limits::default() };
    let outcome = send(&bench, plan(), &Bounds { limits, ..bounds() });
    assert_eq!(outcome.error.unwrap().message, "the request took too long: operation timed out");

    let bounds = bounds();
    let cancel = bounds.cancel.clone();
    let canceller = std::thread::spawn(move || {
        // Accepted means sent: the request is under way.
        let accepted = listener.accept();
        cancel.cancel();
        drop(accepted);
    });
    assert_eq!(send(&bench, plan(), &bounds).status, ToolStatus::Cancelled);
    canceller.join().unwrap();
}

#[test]
fn a_failure_says_why_and_repeats_no_secret() {
    // Bound, and nobody listens. A listener that was dropped may be shared with a child that has not begun yet.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/?token=hunter2", held.local_addr().unwrap());
    let outcome = request(json!({"method": "GET", "url": url}));
    let message = outcome.error.unwrap().message;
    assert!(message.starts_with("no connection") && message.contains("refused"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}
