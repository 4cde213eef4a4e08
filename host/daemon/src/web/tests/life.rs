//! Beginning and end: ports, places, shutdown, and what is told about it.

use std::time::Instant;

use futures_util::StreamExt;
use lanyard_pairing::IdentityKeys;
use lanyard_protocol::health::{DiscoveryState, HealthStatus};
use lanyard_transport::host::BindError;
use rand_core::OsRng;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::web::{Bound, bind};

#[tokio::test]
async fn one_number_for_both_ports() {
    let keys = IdentityKeys::generate(&mut OsRng);
    for listen in ["127.0.0.1:0", "[::]:0"] {
        let Bound { endpoint, page } = bind(listen.parse().unwrap(), false, &keys).unwrap();
        let page = page.unwrap();
        assert_eq!(page.local_addr().unwrap().port(), endpoint.local_address().port());
        std::net::TcpStream::connect(("127.0.0.1", endpoint.local_address().port())).unwrap();
    }
}

/// A TCP port whose UDP twin no other test has.
fn half_taken() -> std::net::TcpListener {
    loop {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        if std::net::UdpSocket::bind(holder.local_addr().unwrap()).is_ok() {
            return holder;
        }
    }
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_holder() {
    let keys = IdentityKeys::generate(&mut OsRng);
    let holder = half_taken();
    let taken = holder.local_addr().unwrap();
    let error = bind(taken, false, &keys).unwrap_err();
    assert!(matches!(error, BindError::Taken { .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("TCP port {} of 127.0.0.1 is taken by ", taken.port())), "{text}");
    assert!(
        text.contains(&format!("(process {})", std::process::id())) && text.contains("--listen"),
        "{text}"
    );
    // Where nobody chose the address, devices that need no page still get in.
    let holder = half_taken();
    let taken = holder.local_addr().unwrap();
    let Bound { endpoint, page } = bind(taken, true, &keys).unwrap();
    assert_eq!(endpoint.local_address(), taken);
    let notice = page.unwrap_err();
    assert!(notice.starts_with("Browsers cannot open the page: TCP port"), "{notice}");
}

#[tokio::test]
async fn everything_ends_soon_after_the_host_stops() {
    let mut page = Page::start();
    // One that does nothing, one in the middle of a handshake, one that is answered and idle.
    let silent = page.plain().await;
    let mut hello = page.plain().await;
    hello.write_all(&[0x16, 3]).await.unwrap();
    let mut idle = page.plain().await;
    let host = format!("localhost:{}", page.port());
    idle.write_all(&request("GET /sw.js", &host, &[], b"")).await.unwrap();
    // A carrier of requests whose stream is read, and whose channel does not end by itself.
    let name = page.post("/carrier", &[], b"first").await.text();
    let held = page.carrier().await;
    let mut stream = page.tls().await;
    let headers = [("lanyard-carrier", name.trim()), ("sec-fetch-site", "same-origin")];
    let own = format!("{}:{}", page.name(), page.port());
    stream.write_all(&request("GET /carrier", &own, &headers, b"")).await.unwrap();
    // And a WebSocket that is told so by its channel.
    let origin = page.origin();
    let mut asking = tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(format!(
        "wss://{own}/channel"
    ))
    .unwrap();
    asking.headers_mut().insert("origin", origin.parse().unwrap());
    asking.headers_mut().insert("sec-websocket-protocol", "lanyard.v1".parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::client_async(asking, page.tls().await).await.unwrap();
    let told = page.carrier().await;

    let address = page.address;
    let since = Instant::now();
    let channel = async {
        told.outgoing.send(b"stopping".to_vec()).await.unwrap();
        drop(told);
        let mut last = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            last.push(message);
        }
        last
    };
    let (_, last) = tokio::join!(page.stop(), channel);
    assert!(since.elapsed() < SOON / 2, "{:?}", since.elapsed());
    assert_eq!(last[0].clone().into_data(), &b"stopping"[..], "the last words came through");
    assert!(idle_ended(&mut idle).await);
    drop((silent, hello, stream, held));
    // A program that another test is starting shares the socket until it has begun.
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(SOON, refused).await.unwrap();
}

async fn idle_ended(idle: &mut TcpStream) -> bool {
    rest(idle).await.ends_with(b"worker")
}

#[tokio::test]
async fn told_where_the_page_is() {
    let page = Page::start();
    let by_address = format!("https://127.0.0.1:{}", page.port());
    for state in [DiscoveryState::Off, DiscoveryState::Starting, DiscoveryState::Failed] {
        assert_eq!(page.web.origins(state), std::slice::from_ref(&by_address));
    }
    assert_eq!(page.web.origins(DiscoveryState::Advertising), [page.origin(), by_address]);
    page.tls().await;
    let health = page.web.health(DiscoveryState::Advertising);
    assert_eq!((health.name.as_str(), health.status), ("web", HealthStatus::Ok));
    assert!(health.message.contains(&page.origin()), "{health:?}");
    page.stop().await;
}

#[test]
fn addresses_that_no_url_can_hold_are_no_origins() {
    let (_, host_id) = watch::channel(id(1));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let web = Web::new(WebParts {
        listener: Ok(Some(listener)),
        reachable: |_| {
            ["192.168.1.5:1", "[2001:db8::5]:1", "[fe80::5%2]:1"].map(|at| at.parse().unwrap()).to_vec()
        },
        state_dir: std::path::Path::new("/nonexistent"),
        clock: Arc::new(Hand::default()),
        host_id,
        host_name: "host".to_owned(),
    });
    assert_eq!(web.origins(DiscoveryState::Off), ["https://192.168.1.5:1", "https://[2001:db8::5]:1"]);
}

#[test]
fn links_lead_to_this_machine_where_no_other_reaches_it() {
    let bound_to = |address: &str, reachable| {
        let (_, host_id) = watch::channel(id(1));
        Web::new(WebParts {
            listener: Ok(Some(std::net::TcpListener::bind(address).unwrap())),
            reachable,
            state_dir: std::path::Path::new("/nonexistent"),
            clock: Arc::new(Hand::default()),
            host_id,
            host_name: "host".to_owned(),
        })
    };
    let alone = bound_to("0.0.0.0:0", |_| Vec::new());
    let port = alone.listening.unwrap().port();
    assert_eq!(alone.linked(DiscoveryState::Off), [format!("https://127.0.0.1:{port}")]);
    assert_eq!(alone.origins(DiscoveryState::Off), [""; 0], "others are told the truth");
    let reached = bound_to("127.0.0.1:0", |bound| vec![bound]);
    assert_eq!(reached.linked(DiscoveryState::Advertising), reached.origins(DiscoveryState::Advertising));
    // What is bound to one address is at no other.
    assert_eq!(bound_to("127.0.0.1:0", |_| Vec::new()).linked(DiscoveryState::Off), [""; 0]);
}

#[test]
fn a_page_that_is_off_or_cannot_be_is_told_apart() {
    let told = |listener| {
        let (_, host_id) = watch::channel(id(1));
        Web::new(WebParts {
            listener,
            reachable: |_| Vec::new(),
            state_dir: std::path::Path::new("/nonexistent"),
            clock: Arc::new(Hand::default()),
            host_id,
            host_name: "host".to_owned(),
        })
    };
    let off = told(Ok(None));
    assert_eq!(off.health(DiscoveryState::Off).status, HealthStatus::Ok);
    assert!(off.origins(DiscoveryState::Advertising).is_empty() && off.trouble().is_none());
    let taken = told(Err("Browsers cannot open the page: TCP port 7717 is taken".to_owned()));
    let health = taken.health(DiscoveryState::Off);
    assert_eq!(health.status, HealthStatus::Degraded);
    assert!(health.message.contains("taken") && health.action.is_some());
    assert!(taken.trouble().is_some() && taken.linked(DiscoveryState::Advertising).is_empty());
}
