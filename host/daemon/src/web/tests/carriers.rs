//! Carriers over a WebSocket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use lanyard_transport::noise::MAX_CARRIED_BYTES;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::*;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

async fn open(page: &Page) -> Socket {
    open_with(page, "lanyard.v1").await.unwrap()
}

async fn open_with(page: &Page, protocol: &str) -> Result<Socket, Error> {
    let origin = page.origin();
    let mut request = format!("{}/channel", origin.replace("https", "wss")).into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("origin", origin.parse().unwrap());
    headers.insert("sec-websocket-protocol", protocol.parse().unwrap());
    let (socket, answer) = client_async(request, page.tls().await).await?;
    assert_eq!(answer.headers()["sec-websocket-protocol"], "lanyard.v1");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    Ok(socket)
}

/// The next message that is one.
async fn next(socket: &mut Socket) -> Option<Message> {
    loop {
        match tokio::time::timeout(SOON, socket.next()).await.expect("something comes") {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(message)) => return Some(message),
            Some(Err(_)) | None => return None,
        }
    }
}

fn code(message: Option<Message>) -> CloseCode {
    match message {
        Some(Message::Close(Some(frame))) => frame.code,
        other => panic!("not a close: {other:?}"),
    }
}

#[tokio::test]
async fn messages_go_both_ways_whole_and_in_order() {
    let mut page = Page::start();
    let mut socket = open(&page).await;
    let mut carrier = page.carrier().await;
    assert_eq!(carrier.address.ip(), page.address.ip());
    let sent: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n; 1 + usize::from(n) * 3_000]).collect();
    let (mut sink, mut stream) = socket.split();
    let sending = async {
        for message in &sent {
            sink.send(Message::Binary(message.clone().into())).await.unwrap();
        }
    };
    let echoing = async {
        for _ in 0..sent.len() {
            let message = carrier.incoming.recv().await.unwrap();
            carrier.outgoing.send(message).await.unwrap();
        }
    };
    let receiving = async {
        let mut received = Vec::new();
        while received.len() < sent.len() {
            if let Message::Binary(message) = stream.next().await.unwrap().unwrap() {
                received.push(Vec::from(message));
            }
        }
        received
    };
    let ((), (), received) = tokio::join!(sending, echoing, receiving);
    assert_eq!(received, sent);
    socket = sink.reunite(stream).unwrap();
    // The longest there is.
    socket.send(Message::Binary(vec![1; MAX_CARRIED_BYTES].into())).await.unwrap();
    assert_eq!(carrier.incoming.recv().await.unwrap().len(), MAX_CARRIED_BYTES);
    // The device leaves.
    socket.close(None).await.unwrap();
    assert!(tokio::time::timeout(SOON, carrier.incoming.recv()).await.unwrap().is_none());
    page.stop().await;
}

#[tokio::test]
async fn the_last_words_arrive_before_the_end() {
    let mut page = Page::start();
    let mut socket = open(&page).await;
    let carrier = page.carrier().await;
    carrier.outgoing.send(vec![1]).await.unwrap();
    carrier.outgoing.send(vec![2]).await.unwrap();
    drop(carrier);
    assert_eq!(next(&mut socket).await, Some(Message::Binary(vec![1].into())));
    assert_eq!(next(&mut socket).await, Some(Message::Binary(vec![2].into())));
    assert_eq!(code(next(&mut socket).await), CloseCode::Normal);
    page.stop().await;
}

#[tokio::test]
async fn what_is_no_message_of_a_channel_ends_it() {
    let mut page = Page::start();
    let mut socket = open(&page).await;
    let mut carrier = page.carrier().await;
    socket.send(Message::Text("hello".into())).await.unwrap();
    assert_eq!(code(next(&mut socket).await), CloseCode::Unsupported);
    assert!(carrier.incoming.recv().await.is_none());

    // Too long, in one frame and in two.
    let mut socket = open(&page).await;
    let mut carrier = page.carrier().await;
    drop(socket.send(Message::Binary(vec![0; MAX_CARRIED_BYTES + 1].into())).await);
    assert!(tokio::time::timeout(SOON, carrier.incoming.recv()).await.unwrap().is_none());
    page.stop().await;
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let mut page = Page::start();
    for protocol in ["lanyard.v2", "chat"] {
        assert!(
            matches!(open_with(&page, protocol).await, Err(Error::Http(answer)) if answer.status() == 400)
        );
    }
    let origin = page.origin();
    let answer = page.ask("GET /channel", &[("origin", &origin)]).await;
    assert_eq!(answer.status, 426, "no WebSocket: {answer:?}");
    assert!(page.opened.try_recv().is_err());
    page.stop().await;
}

#[tokio::test]
async fn nothing_is_read_while_the_channel_has_no_room() {
    let mut page = Page::start();
    let mut socket = open(&page).await;
    let mut carrier = page.carrier().await;
    let message = vec![0; MAX_CARRIED_BYTES];
    // What the sockets' buffers hold is the system's business; it is not without bound.
    let mut sent = 0_u32;
    while tokio::time::timeout(
        Duration::from_millis(500),
        socket.send(Message::Binary(message.clone().into())),
    )
    .await
    .is_ok_and(|sent| sent.is_ok())
    {
        sent += 1;
        assert!(sent < 1_000, "64 MB were taken that nobody reads");
    }
    assert!(carrier.incoming.recv().await.is_some(), "and it goes on");
    page.stop().await;
}

#[tokio::test]
async fn who_answers_pings_stays_and_who_is_silent_is_gone() {
    let (ping, gone) = (Duration::from_millis(100), Duration::from_secs(2));
    let mut page = Page::at_pace(Pace { ping, gone, ..Pace::default() });
    let mut socket = open(&page).await;
    let mut carrier = page.carrier().await;
    // Answers, because it is read.
    let reading = tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            assert!(matches!(message, Message::Ping(_)));
        }
    });
    tokio::time::sleep(2 * gone).await;
    assert!(!reading.is_finished());
    assert!(carrier.incoming.try_recv().is_err() && !carrier.outgoing.is_closed());
    drop(carrier);
    drop(tokio::time::timeout(SOON, reading).await);

    // Before it is opened: its time begins somewhere in between.
    let since = std::time::Instant::now();
    let silent = open(&page).await;
    carrier = page.carrier().await;
    assert!(tokio::time::timeout(SOON, carrier.incoming.recv()).await.unwrap().is_none());
    assert!(since.elapsed() >= gone / 2 && since.elapsed() < SOON / 2);
    drop(silent);
    page.stop().await;
}
