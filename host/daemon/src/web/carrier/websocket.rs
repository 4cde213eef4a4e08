//! A carrier over a WebSocket (RFC 6455): each binary message is one message of the channel.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt};
use lanyard_transport::noise::{Carrier, CarrierEnd, MAX_CARRIED_BYTES};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{GOODBYE, Opener, PROTOCOL, STOP};
use crate::web::pace::Pace;
use crate::web::pages::plain;
use crate::web::places::Place;

/// Read at once. The libraries' own choice, 128 KiB for each direction, would be most of what a connection costs.
const READ_BUFFER: usize = 8 * 1024;

/// Held of what is written, at most: two of the longest messages, so one can be put in while another leaves.
const WRITE_BUFFER: usize = 2 * (MAX_CARRIED_BYTES + 16);

/// What a connection is, for the task that carries a channel over it.
pub(in crate::web) struct Bearer {
    pub(in crate::web) address: SocketAddr,
    pub(in crate::web) place: Arc<Place>,
    pub(in crate::web) opener: Opener,
    pub(in crate::web) pace: Pace,
    pub(in crate::web) tasks: TaskTracker,
    pub(in crate::web) stop: CancellationToken,
}

/// Waits for the host to stop, and for as long as the channel may then take to say so.
pub(in crate::web) async fn stopped(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP).await;
}

/// Answers the request for a WebSocket; who asks has been checked.
pub(in crate::web) async fn upgrade(mut request: Parts, bearer: Bearer) -> Response<Body> {
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut request, &()).await {
        Ok(upgrade) => upgrade.protocols([PROTOCOL]),
        Err(_) => return plain(StatusCode::UPGRADE_REQUIRED, "Here is only a WebSocket."),
    };
    if upgrade.selected_protocol().is_none() {
        return plain(StatusCode::BAD_REQUEST, "The WebSocket's protocol must be lanyard.v1.");
    }
    // Not after the switch: a stranger's connection must not be taken for a visitor's once it is none.
    bearer.place.carries_a_channel();
    let token = bearer.tasks.token();
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER)
        .max_message_size(MAX_CARRIED_BYTES)
        .max_frame_size(MAX_CARRIED_BYTES)
        .on_upgrade(move |socket| async move {
            let _counted = token;
            let (carrier, end) = Carrier::new(bearer.address);
            (bearer.opener)(carrier);
            tokio::select! {
                () = carry(socket, end, bearer.pace) => {}
                () = bearer.place.given_up() => {}
                () = stopped(&bearer.stop) => {}
            }
        })
}

/// How a carrier ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// It said so, vanished, or has been silent.
    Gone,
    /// The channel takes nothing more; what it has left to say is still to be sent.
    Finished,
    /// The channel has said all it had to say.
    Told,
    /// It sent something that is no message of a channel.
    Broke,
}

async fn carry(socket: WebSocket, end: CarrierEnd, pace: Pace) {
    let CarrierEnd { arrived, departing } = end;
    let (mut sink, mut stream) = socket.split();
    let code = {
        let mut sending = std::pin::pin!(send(&mut sink, departing, pace));
        let left = tokio::select! {
            left = receive(&mut stream, arrived, pace) => left,
            () = &mut sending => Left::Told,
        };
        match left {
            Left::Gone => return,
            Left::Broke => close_code::UNSUPPORTED,
            Left::Told => close_code::NORMAL,
            Left::Finished => {
                // The last words of the channel; it has let go of its queue, so this ends.
                sending.await;
                close_code::NORMAL
            }
        }
    };
    let close = Message::Close(Some(CloseFrame { code, reason: "".into() }));
    if timeout(GOODBYE, sink.send(close)).await.is_ok_and(|sent| sent.is_ok()) {
        // A browser answers a close; to hang up before would look to it like a broken line.
        let _ = timeout(GOODBYE, async { while let Some(Ok(_)) = stream.next().await {} }).await;
    }
}

/// Takes messages until there are none. Nothing is read while the channel has no room.
async fn receive(
    stream: &mut (impl Stream<Item = Result<Message, axum::Error>> + Unpin),
    arrived: mpsc::Sender<Vec<u8>>,
    pace: Pace,
) -> Left {
    loop {
        let Ok(Some(Ok(message))) = timeout(pace.gone, stream.next()).await else { return Left::Gone };
        match message {
            Message::Binary(bytes) => {
                if arrived.send(Vec::from(bytes)).await.is_err() {
                    return Left::Finished;
                }
            }
            // The library answers pings.
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Text(_) => return Left::Broke,
            Message::Close(_) => return Left::Gone,
        }
    }
}

/// Sends what the channel has to say, and pings, until it has nothing more to say or nobody takes it.
async fn send(
    sink: &mut (impl SinkExt<Message, Error = axum::Error> + Unpin),
    mut departing: mpsc::Receiver<Vec<u8>>,
    pace: Pace,
) {
    let mut pings = interval_at(Instant::now() + pace.ping, pace.ping);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            message = departing.recv() => match message {
                Some(message) => Message::Binary(message.into()),
                None => return,
            },
            _ = pings.tick() => Message::Ping(Bytes::new()),
        };
        if !matches!(timeout(pace.gone, sink.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
}
