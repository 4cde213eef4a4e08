//! Hands events from the store's writer and the running tasks to the subscriptions.
//!
//! Each watched session has a feed: one broadcast of what happens now, and the tail of text that is still being
//! streamed. The log in the store stays the one source: a subscriber that lags loses nothing durable, it reads on
//! from its cursor (`api::subscription`).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::central::Bells;
use lanyard_ports::sink::{CommitObserver, DeltaSink};
use lanyard_protocol::codec::{Codec, JsonRpcCodec, PostcardCodec, ServerFrame};
use lanyard_protocol::event::{EventBody, HostEvent, HostEventBody, SessionEvent};
use lanyard_protocol::id::{SessionId, StepId, StreamId};
use tokio::sync::broadcast;

/// Events one subscriber may be behind before it has to read from the log. A burst of deltas fits; a sleeping
/// client does not hold more than this.
const FEED_CAPACITY: usize = 512;

/// Bytes of still-streaming text a late subscriber is given.
const TAIL_BYTES: usize = 64 * 1024;

/// Pieces of it: a program that writes byte by byte must not cost a frame a byte.
const TAIL_PIECES: usize = 1024;

/// An event on its way to subscribers. Each encoding is made at most once, whatever number of clients want it.
#[derive(Debug)]
pub(crate) struct Published {
    event: Arc<SessionEvent>,
    json: OnceLock<Option<Arc<[u8]>>>,
    postcard: OnceLock<Option<Arc<[u8]>>>,
}

impl Published {
    /// Wraps an event.
    pub(crate) fn new(event: Arc<SessionEvent>) -> Self {
        Self { event, json: OnceLock::new(), postcard: OnceLock::new() }
    }

    /// The event.
    pub(crate) fn event(&self) -> &Arc<SessionEvent> {
        &self.event
    }

    /// The JSON-RPC notification; `None` if it could not be encoded, which is logged.
    pub(crate) fn json(&self) -> Option<Arc<[u8]>> {
        self.json.get_or_init(|| self.encode(&JsonRpcCodec)).clone()
    }

    /// The same as postcard.
    pub(crate) fn postcard(&self) -> Option<Arc<[u8]>> {
        self.postcard.get_or_init(|| self.encode(&PostcardCodec)).clone()
    }

    fn encode(&self, codec: &impl Codec) -> Option<Arc<[u8]>> {
        match codec.encode_server(&ServerFrame::SessionEvent(Box::new((*self.event).clone()))) {
            Ok(bytes) => Some(Arc::from(bytes)),
            Err(e) => {
                tracing::error!(error = %e, event = %self.event.event_id, "an event could not be encoded");
                None
            }
        }
    }
}

/// Text that is being streamed and not yet complete.
#[derive(Debug, Default)]
struct Tail {
    deltas: VecDeque<(StreamId, Arc<Published>, usize)>,
    bytes: usize,
}

impl Tail {
    fn push(&mut self, stream: StreamId, published: Arc<Published>, bytes: usize) {
        self.deltas.push_back((stream, published, bytes));
        self.bytes += bytes;
        while self.deltas.len() > TAIL_PIECES || (self.bytes > TAIL_BYTES && self.deltas.len() > 1) {
            let Some((_, _, oldest)) = self.deltas.pop_front() else { return };
            self.bytes -= oldest;
        }
    }

    fn forget(&mut self, stream: impl Fn(&SessionEvent) -> bool) {
        self.deltas.retain(|(_, published, _)| !stream(published.event()));
        self.bytes = self.deltas.iter().map(|(_, _, bytes)| bytes).sum();
    }
}

#[derive(Debug)]
struct Feed {
    live: broadcast::Sender<Arc<Published>>,
    tail: Tail,
    /// The step last seen on disk.
    step: Option<StepId>,
    /// Text of a later step, held back for the few milliseconds until that step is on disk, so that clients never
    /// see the text of a step before its beginning. Bounded like the tail, whose pieces these are.
    early: Vec<Arc<Published>>,
}

impl Default for Feed {
    fn default() -> Self {
        let live = broadcast::channel(FEED_CAPACITY).0;
        Self { live, tail: Tail::default(), step: None, early: Vec::new() }
    }
}

impl Feed {
    fn send(&self, published: Arc<Published>) {
        // An error says that nobody listens just now; log and tail keep what whoever comes later needs.
        let _ = self.live.send(published);
    }

    /// Whether a piece of text comes before its step is known to be on disk. A feed that has seen no step lets
    /// everything pass: it was opened in the middle of one.
    fn is_early(&self, event: &SessionEvent) -> bool {
        let text = matches!(event.body, EventBody::TextDelta(_));
        text && self.step.is_some() && self.step != event.step_id && self.early.len() < FEED_CAPACITY
    }

    /// A numbered event: what it completes is no longer half-streamed, and what waited for it may go.
    fn committed(&mut self, event: &Arc<SessionEvent>) {
        match &event.body {
            EventBody::LlmRequestCompleted(done) => self.tail.forget(|e| is_text_of(e, &done.stream_id)),
            EventBody::LlmRetry(retry) => self.tail.forget(|e| is_text_of(e, &retry.stream_id)),
            EventBody::ToolCompleted(done) => self.tail.forget(
                |e| matches!(&e.body, EventBody::ToolOutputDelta(d) if d.tool_call_id == done.result.tool_call_id),
            ),
            body if body.ends_task() => self.tail.forget(|e| e.task_id == event.task_id),
            _ => {}
        }
        self.send(Arc::new(Published::new(event.clone())));
        // Text belongs after `llm_request_started`, which follows `step_started` at once.
        if event.step_id.is_none() || matches!(event.body, EventBody::StepStarted(_)) {
            return;
        }
        self.step.clone_from(&event.step_id);
        for piece in std::mem::take(&mut self.early) {
            self.send(piece);
        }
    }

    /// Nobody listens and nothing is half-streamed.
    fn is_idle(&self) -> bool {
        self.live.receiver_count() == 0 && self.tail.deltas.is_empty()
    }
}

/// The exchange between one writer and many subscribers.
#[derive(Debug)]
pub(crate) struct Hub {
    feeds: Mutex<HashMap<SessionId, Feed>>,
    host: broadcast::Sender<Arc<HostEvent>>,
    /// For whoever sends on what is on disk.
    bells: Bells,
}

impl Default for Hub {
    fn default() -> Self {
        Self { feeds: Mutex::default(), host: broadcast::channel(FEED_CAPACITY).0, bells: Bells::default() }
    }
}

impl Hub {
    fn feeds(&self) -> MutexGuard<'_, HashMap<SessionId, Feed>> {
        // The map is consistent between any two statements, so a panic elsewhere does not spoil it.
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens in a session from now on, and the text that is half-streamed at this moment.
    pub(crate) fn watch(
        &self,
        session: &SessionId,
    ) -> (Vec<Arc<Published>>, broadcast::Receiver<Arc<Published>>) {
        let mut feeds = self.feeds();
        let feed = feeds.entry(session.clone()).or_default();
        (feed.tail.deltas.iter().map(|(_, published, _)| published.clone()).collect(), feed.live.subscribe())
    }

    /// Rung after each commit with events.
    pub(crate) fn bells(&self) -> Bells {
        self.bells.clone()
    }

    /// What happens on the host from now on.
    pub(crate) fn watch_host(&self) -> broadcast::Receiver<Arc<HostEvent>> {
        self.host.subscribe()
    }

    /// Drops the feed of a session nobody watches.
    pub(crate) fn release(&self, session: &SessionId) {
        let mut feeds = self.feeds();
        if feeds.get(session).is_some_and(Feed::is_idle) {
            feeds.remove(session);
        }
    }
}

impl DeltaSink for Hub {
    fn delta(&self, event: SessionEvent) {
        let (stream, bytes) = match &event.body {
            EventBody::TextDelta(delta) => (delta.stream_id.clone(), delta.text.len()),
            EventBody::ToolOutputDelta(delta) => (delta.stream_id.clone(), delta.text.len()),
            other => {
                tracing::error!(event = other.name(), "a durable event was sent as an ephemeral one");
                return;
            }
        };
        let session = event.session_id.clone();
        let published = Arc::new(Published::new(Arc::new(event)));
        let mut feeds = self.feeds();
        let feed = feeds.entry(session).or_default();
        feed.tail.push(stream, published.clone(), bytes);
        if feed.is_early(published.event()) {
            feed.early.push(published);
        } else {
            feed.send(published);
        }
    }
}

impl CommitObserver for Hub {
    fn committed(&self, events: &[Arc<SessionEvent>], host_events: &[Arc<HostEvent>]) {
        let mut feeds = self.feeds();
        for event in events {
            let begins_step = matches!(event.body, EventBody::LlmRequestStarted(_));
            let feed = match feeds.get_mut(&event.session_id) {
                Some(feed) => feed,
                None if begins_step => feeds.entry(event.session_id.clone()).or_default(),
                None => continue,
            };
            feed.committed(event);
            if event.body.ends_task() && feed.is_idle() {
                feeds.remove(&event.session_id);
            }
        }
        for event in host_events {
            if let HostEventBody::SessionDeleted(deleted) = &event.body {
                // Ends its subscriptions.
                feeds.remove(&deleted.session_id);
            }
        }
        drop(feeds);
        if !events.is_empty() || !host_events.is_empty() {
            self.bells.ring();
        }
        for event in host_events {
            // An error says that nobody listens.
            let _ = self.host.send(event.clone());
        }
    }
}

fn is_text_of(event: &SessionEvent, stream: &StreamId) -> bool {
    matches!(&event.body, EventBody::TextDelta(delta) if delta.stream_id == *stream)
}

#[cfg(test)]
mod tests;
