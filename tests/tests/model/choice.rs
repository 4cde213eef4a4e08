//! Which model is used: gateway, local server, demo.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use lanyard_model::{Endpoint, LocalServer, ModelConfig, Selector, Timings};
use lanyard_tests::gateway::{ScriptedGateway, Turn, models, say};
use tokio_util::sync::CancellationToken;

use crate::rig::{Recorder, TOKEN, ask, install_tls};

fn at(source: &'static str, url: &str) -> LocalServer {
    LocalServer { source, endpoint: Endpoint::parse(url).unwrap() }
}

/// A port nothing listens on: the first one, which belongs to a service of the eighties.
const NOBODY: &str = "http://127.0.0.1:1";

/// Patient, so that a loaded machine does not turn a server into a busy one.
fn selector(config: ModelConfig) -> Selector {
    selector_with(config, Duration::from_secs(60))
}

fn selector_with(config: ModelConfig, probe: Duration) -> Selector {
    install_tls();
    let timings = Timings { probe, ..Timings::default() };
    Selector::with_pace(config, timings, Arc::new(Recorder::default())).unwrap()
}

fn local(servers: Vec<LocalServer>) -> ModelConfig {
    ModelConfig { local_servers: servers, ..ModelConfig::default() }
}

#[tokio::test]
async fn the_first_local_server_that_offers_a_model() {
    let other_thing =
        ScriptedGateway::start_offering(say("x"), Turn::body(200, "text/html", "<html>Jenkins</html>"));
    let empty = ScriptedGateway::start_offering(say("x"), models(&[]));
    let good = ScriptedGateway::start_offering(say("I am local"), models(&["nomic-embed", "llama3:latest"]));
    let later = ScriptedGateway::start_offering(say("x"), models(&["qwen"]));
    let servers = vec![
        at("a", NOBODY),
        at("b", &other_thing.url()),
        at("c", &empty.url()),
        at("d", &good.url()),
        at("e", &later.url()),
    ];
    let chosen = selector(local(servers));
    assert!(chosen.known().info().demo, "nothing is looked for before it is needed");
    let model = chosen.current().await;
    let info = model.info();
    assert_eq!((info.source.as_str(), info.name.as_str(), info.demo), ("d", "llama3:latest", false));
    assert_eq!(info.endpoint, good.url());
    assert_eq!(ask(&*model, &CancellationToken::new()).await.0.unwrap().text, "I am local");
    assert_eq!(chosen.known().info(), info);
}

#[tokio::test]
async fn a_preferred_model_is_found_wherever_it_is() {
    let first = ScriptedGateway::start_offering(say("x"), models(&["llama3"]));
    let second = ScriptedGateway::start_offering(say("x"), models(&["phi", "qwen:latest"]));
    let config = |name: &str| ModelConfig {
        model: Some(name.into()),
        ..local(vec![at("a", &first.url()), at("b", &second.url())])
    };
    let name = async |wanted| selector(config(wanted)).current().await.info().name;
    assert_eq!(name("qwen").await, "qwen:latest");
    assert_eq!(name("phi").await, "phi");
    assert_eq!(name("unheard-of").await, "llama3");
    assert_eq!(name("demo").await, "demo");
}

#[tokio::test]
async fn no_server_is_asked_when_none_shall_be() {
    let server = ScriptedGateway::start(say("x"));
    let servers = vec![at("a", &server.url())];
    let off = ModelConfig { detect: false, ..local(servers.clone()) };
    assert!(selector(off).current().await.info().demo);
    let gateway = ModelConfig { endpoint: Some(NOBODY.into()), model: Some("m".into()), ..local(servers) };
    assert_eq!(selector(gateway).current().await.info().source, "config");
    assert!(server.all_requests().is_empty());
}

#[tokio::test]
async fn a_gateway_without_a_model_name_is_asked_for_one() {
    let gateway = ScriptedGateway::start_offering(say("x"), models(&["first", "second"]));
    let config =
        ModelConfig { endpoint: Some(gateway.url()), token: Some(TOKEN.into()), ..ModelConfig::default() };
    let chosen = selector(config);
    assert_eq!(chosen.known().info().name, "(first model offered)");
    assert_eq!(chosen.current().await.info().name, "first");
    assert_eq!(gateway.all_requests()[0].token(), Some(TOKEN));
}

/// Moves the runtime's clock past the next probe.
async fn later() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
}

/// A server that gives each connection the next of these answers, and after the last takes connections without a
/// word. Returns what it was asked.
fn answers(
    listener: TcpListener,
    answers: Vec<(&'static str, &'static str)>,
) -> JoinHandle<(TcpListener, String)> {
    std::thread::spawn(move || {
        let mut asked = String::new();
        for (status, body) in answers {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let length = connection.read(&mut request).unwrap();
            asked += &String::from_utf8_lossy(&request[..length]);
            let length = body.len();
            write!(
                connection,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
        (listener, asked)
    })
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn probes_are_rare_and_a_server_started_later_is_found() {
    let (listener, url) = listener();
    let server =
        answers(listener, vec![("404 Not Found", ""), ("200 OK", "{\"data\":[{\"id\":\"late-model\"}]}")]);
    let chosen = selector(local(vec![at("late", &url)]));
    assert!(chosen.current().await.info().demo);
    assert!(chosen.current().await.info().demo, "not looked for again at once");
    later().await;
    assert_eq!(chosen.current().await.info().name, "late-model");
    let (_, asked) = server.join().unwrap();
    assert_eq!(asked.matches("GET /v1/models").count(), 2, "{asked}");
    assert!(!asked.to_lowercase().contains("authorization"), "{asked}");
}

#[tokio::test]
async fn a_local_server_that_is_gone_is_replaced() {
    let server = ScriptedGateway::start(say("x"));
    let chosen = selector(local(vec![at("a", &server.url())]));
    assert_eq!(chosen.current().await.info().source, "a");
    drop(server);
    assert_eq!(chosen.current().await.info().source, "a", "not looked after at once");
    later().await;
    assert!(chosen.current().await.info().demo);
}

#[tokio::test]
async fn a_local_server_that_is_busy_is_kept() {
    let (listener, url) = listener();
    let server = answers(listener, vec![("200 OK", "{\"data\":[{\"id\":\"m\"}]}")]);
    let chosen = selector_with(local(vec![at("busy", &url)]), Duration::from_secs(5));
    assert_eq!(chosen.current().await.info().source, "busy");
    // Connections are still taken, by the backlog, and nothing is said.
    let (_still_listening, _) = server.join().unwrap();
    later().await;
    assert_eq!(chosen.current().await.info().source, "busy");
}
