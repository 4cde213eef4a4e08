//! Following a timeline: server-sent events, from any number on.
//!
//! A stream looks at its credential each time before it sends, and at least every few seconds; it ends when the
//! sign-in ended, and after an hour. The browser comes back by itself, with the number of the last event it got.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue};
use lanyard_governance_api::endpoint::StreamEvents;
use lanyard_governance_foundation::caller::Person;
use lanyard_governance_foundation::permits::Permit;
use lanyard_governance_foundation::signals::Waiter;
use lanyard_governance_foundation::{Caller, Fault, Foundation, RawAsk, credentials};
use lanyard_protocol::id::SessionId;
use tokio::time::Instant;

use crate::events::{self, Extent, Kept, topic};
use crate::{State, store};

/// How often a stream looks although nobody woke it; a sign-in that ended is noticed by then.
const LOOK: Duration = Duration::from_secs(5);

/// How often something is sent when nothing happens: proxies close connections that are silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Longest life of one stream. A proxy's buffers and a replica's share of streams are evened out by then.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Read at once, and held until whoever follows has taken it: small, because many may follow and not read.
const PAGE: Extent = Extent { rows: 16, bytes: 128 << 10 };

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

struct Follow {
    foundation: Foundation,
    person: Person,
    session: SessionId,
    after: u64,
    ready: VecDeque<Kept>,
    waiter: Waiter,
    until: Instant,
    /// Given back when the stream ends.
    _place: Permit,
}

/// `GET /sessions/{id}/stream`.
pub(crate) async fn follow(state: State, ask: RawAsk<StreamEvents>) -> Result<Response, Fault> {
    let person = ask.caller.person()?.clone();
    let session: SessionId = ask.path.get("session_id")?;
    let after = match last_event_id(&ask.headers)? {
        Some(last) => last,
        None => ask.query.after.unwrap_or(0),
    };
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    store::seen(&mut tx, &ask.caller, &session).await?;
    drop(tx);
    let place = state.streams.take(&person.tenant, Duration::ZERO).await?;
    let waiter = state.foundation.signals.listen(&topic(&person.tenant, &session));
    let follow = Follow {
        foundation: state.foundation,
        person,
        session,
        after,
        ready: VecDeque::new(),
        waiter,
        until: Instant::now() + LONGEST,
        _place: place,
    };
    let events = futures_util::stream::unfold(follow, Follow::next);
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // nginx holds answers back otherwise.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// What a browser sends when it comes back.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    match value.to_str().ok().and_then(|text| text.trim().parse().ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(Fault::invalid("Last-Event-ID is not the number of an event")),
    }
}

impl Follow {
    /// The next event, or the end.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.after = event.seq;
                let sent = Event::default().event("event").id(event.seq.to_string()).data(event.json);
                return Some((Ok(sent), self));
            }
            if Instant::now() >= self.until {
                return None;
            }
            match self.look().await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(fault) => {
                    tracing::warn!(%fault, session = %self.session, "a followed timeline ends early");
                    return None;
                }
            }
            if self.ready.is_empty() {
                let left = self.until.saturating_duration_since(Instant::now());
                self.waiter.wait(LOOK.min(left)).await;
            }
        }
    }

    /// Reads what is there; `false` when whoever follows may not any more.
    async fn look(&mut self) -> Result<bool, Fault> {
        let now = self.foundation.clock.now();
        let caller =
            credentials::authenticate(&self.foundation.database, self.person.credential, now).await?;
        let same = matches!(&caller, Caller::Person(person)
            if person.tenant == self.person.tenant && person.user == self.person.user);
        if !same {
            return Ok(false);
        }
        let mut tx = self.foundation.database.read(&caller).await?;
        self.ready = events::after(&mut tx, &self.session, self.after, PAGE).await?.into();
        Ok(true)
    }
}
