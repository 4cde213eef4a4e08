//! A carrier of requests, for browsers that refuse a WebSocket to a host whose certificate they were told to accept.
//!
//! ```text
//! POST /carrier      message 1                       → its name, 32 hexadecimal digits
//! GET  /carrier      Lanyard-Carrier: NAME           → every message to the page, streamed
//! POST /carrier/N    Lanyard-Carrier: NAME, messages → 204 once the channel has taken them; N = 0, 1, 2 …
//! ```
//! Messages are framed by their length, four bytes, most significant first. In the stream, a length of 0 says only that
//! the host is there.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use bytes::{BufMut, Bytes, BytesMut};
use hyper::body::Frame;
use lanyard_transport::noise::{Carrier, MAX_CARRIED_BYTES};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::table::{CarrierId, Entry, Table};
use super::websocket::{Bearer, stopped};
use crate::web::pace::Pace;
use crate::web::pages::plain;
use crate::web::places::Place;

/// The header that names a carrier. It is not one that a page of another origin may set without asking first.
const HEADER: &str = "lanyard-carrier";

/// Longest first message, in bytes: one of the handshake and a byte of kind, with room for what comes after.
const MAX_OPENING: usize = 1024;

/// Longest body of a post, in bytes: several of the longest messages.
const MAX_POST: usize = 256 * 1024;

const LENGTH: usize = 4;

/// Opens a carrier.
pub(in crate::web) async fn open(body: Body, table: &Table, bearer: Bearer) -> Response<Body> {
    let first = match read(body, MAX_OPENING, bearer.pace).await {
        Ok(first) if first.is_empty() => {
            return plain(StatusCode::BAD_REQUEST, "The first message is missing.");
        }
        Ok(first) => first,
        Err(refused) => return refused,
    };
    let Ok(id) = CarrierId::random() else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "The system gives no random numbers.");
    };
    let (carrier, end) = Carrier::new(bearer.address);
    // The queue is empty: there is room.
    if end.arrived.try_send(first.into()).is_err() {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "The first message was not taken.");
    }
    let channel = end.arrived.clone();
    let Some(entry) = table.enter(id, end) else {
        return plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many others are connected in this way; try again.",
        );
    };
    (bearer.opener)(carrier);
    let (table, pace) = (table.clone(), bearer.pace);
    let stop = bearer.stop;
    bearer.tasks.spawn(async move {
        tokio::select! {
            () = entry.watch(channel, pace.gone) => {}
            () = stopped(&stop) => entry.end(),
        }
        table.forget(&entry);
    });
    let mut opened = Response::new(Body::from(id.text()));
    opened.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    opened
}

/// Streams what the host has to say. The carrier is over when this ends: what was on its way cannot be sent again.
pub(in crate::web) fn stream(
    headers: &HeaderMap,
    table: &Table,
    place: &Arc<Place>,
    pace: Pace,
) -> Response<Body> {
    let Some(entry) = named(headers).and_then(|id| table.find(id)) else { return unknown() };
    let Some(departing) = entry.outward() else {
        return plain(StatusCode::CONFLICT, "This carrier is streamed already; it has one stream.");
    };
    place.carries_a_channel();
    let mut alive = interval_at(Instant::now() + pace.ping, pace.ping);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut response = Response::new(Body::new(Outward { entry, departing, alive, place: place.clone() }));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Takes the messages of post number `number`.
pub(in crate::web) async fn post(
    number: &str,
    headers: &HeaderMap,
    body: Body,
    table: &Table,
    pace: Pace,
) -> Response<Body> {
    // Before any of the body is read: strangers have none that is.
    let Some(entry) = named(headers).and_then(|id| table.find(id)) else { return unknown() };
    let Some(turn) = parse_number(number).and_then(|number| entry.turn(number)) else {
        entry.over.cancel();
        return plain(
            StatusCode::CONFLICT,
            "This post is not the next one, so messages are missing: the carrier is over.",
        );
    };
    let body = match read(body, MAX_POST, pace).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let Some(messages) = messages(&body) else {
        return plain(StatusCode::BAD_REQUEST, "These are not messages: the carrier is over.");
    };
    for message in messages {
        if !turn.give(message.to_vec()).await {
            return plain(StatusCode::GONE, "The channel has ended.");
        }
    }
    turn.done();
    let mut taken = Response::new(Body::empty());
    *taken.status_mut() = StatusCode::NO_CONTENT;
    taken
}

fn unknown() -> Response<Body> {
    plain(StatusCode::GONE, "There is no such carrier, or it is over.")
}

fn named(headers: &HeaderMap) -> Option<CarrierId> {
    CarrierId::parse(headers.get(HEADER)?.to_str().ok()?)
}

/// A number as it is written once and in no other way.
fn parse_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

async fn read(body: Body, most: usize, pace: Pace) -> Result<Bytes, Response<Body>> {
    if body.size_hint().lower() > most as u64 {
        return Err(plain(StatusCode::PAYLOAD_TOO_LARGE, &format!("At most {most} bytes.")));
    }
    match timeout(pace.body, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => {
            Err(plain(StatusCode::PAYLOAD_TOO_LARGE, &format!("At most {most} bytes, and all of them.")))
        }
        Err(_) => Err(plain(StatusCode::REQUEST_TIMEOUT, "The body took too long.")),
    }
}

/// The messages of a body; `None` when it is not made of at least one whole message.
fn messages(mut body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = body.split_first_chunk::<LENGTH>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        if length == 0 || length > MAX_CARRIED_BYTES {
            return None;
        }
        let (message, rest) = rest.split_at_checked(length)?;
        messages.push(message);
        body = rest;
    }
    (body.is_empty() && !messages.is_empty()).then_some(messages)
}

/// The stream to the page.
struct Outward {
    entry: Arc<Entry>,
    departing: mpsc::Receiver<Vec<u8>>,
    alive: Interval,
    place: Arc<Place>,
}

impl HttpBody for Outward {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let outward = self.get_mut();
        let message = match outward.departing.poll_recv(cx) {
            Poll::Ready(Some(message)) => message,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => match outward.alive.poll_tick(cx) {
                Poll::Ready(_) => Vec::new(),
                Poll::Pending => return Poll::Pending,
            },
        };
        // Asked for more: what was given before has left.
        outward.entry.touch();
        Poll::Ready(Some(Ok(Frame::data(framed(&message)))))
    }
}

impl Drop for Outward {
    fn drop(&mut self) {
        self.place.carries_nothing();
        self.entry.over.cancel();
    }
}

fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(LENGTH + message.len());
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_made_of_whole_messages() {
        let two = [&framed(b"one")[..], &framed(b"second")[..]].concat();
        assert_eq!(messages(&two).unwrap(), [&b"one"[..], b"second"]);
        assert_eq!(messages(&framed(&[7; MAX_CARRIED_BYTES])).unwrap().len(), 1);
        let too_long = framed(&[7; MAX_CARRIED_BYTES + 1]);
        for bad in
            [&b""[..], b"\0\0\0", b"\0\0\0\0", b"\0\0\0\x02x", b"\xff\xff\xff\xffx", &two[..6], &too_long]
        {
            assert!(messages(bad).is_none(), "{:?}", &bad[..bad.len().min(8)]);
        }
    }

    #[test]
    fn a_number_is_written_in_one_way() {
        assert_eq!(parse_number("0"), Some(0));
        assert_eq!(parse_number("18446744073709551615"), Some(u64::MAX));
        for bad in ["", "00", "+1", "-1", "1 ", "01", "1.0", "18446744073709551616", "x"] {
            assert_eq!(parse_number(bad), None, "{bad}");
        }
    }
}
