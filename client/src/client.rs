//! The client itself: one state machine over the parts beside it.

use std::collections::VecDeque;

use lanyard_protocol::codec::{Codec, IncomingReply, ServerFrame};
use lanyard_protocol::event::{EventBody, HostEvent, SessionEvent};
use lanyard_protocol::limits::MAX_FRAME_BYTES;
use lanyard_protocol::method::{Call, Health, Method, Request, Response};
use lanyard_protocol::rpc::RequestId;
use lanyard_protocol::{ErrorCode, WireError};

use crate::cursor::{MAX_REPLAYS, Verdict};
use crate::deltas::{Fit, Streams};
use crate::heartbeat::{Beat, Heartbeat};
use crate::idempotency::{RandomSource, add_key, repeatable};
use crate::incoming::{FeedError, Incoming, unreadable_answer};
use crate::pending::{MAX_CALLS, Origin, Pending, PendingCall};
use crate::subscriptions::{Channel, MAX_SUBSCRIPTIONS, Subscriptions, followed_by};
use lanyard_protocol::Tick;

/// Why a call was not even sent. The client is unchanged by it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SendError {
    /// Too many calls wait for answers.
    #[error("{MAX_CALLS} calls wait for answers already; wait for some of them")]
    TooManyInFlight,
    /// The call would follow one session too many.
    #[error("{0} sessions are followed already; unsubscribe from one first")]
    TooManySubscriptions(usize),
    /// The host would refuse a message of that size.
    #[error("the message has {0} bytes, a host takes at most {MAX_FRAME_BYTES}: shorten the prompt")]
    TooLarge(usize),
    /// The message cannot be expressed in the codec.
    #[error(transparent)]
    Encoding(#[from] WireError),
}

/// See the crate's documentation. Starts without a connection; calls made before [`Client::on_connected`] are sent
/// then.
#[derive(Debug)]
pub struct Client<C, R> {
    codec: C,
    random: R,
    pending: Pending,
    outbox: VecDeque<(i64, Vec<u8>)>,
    subscriptions: Subscriptions,
    streams: Streams,
    connected: bool,
    /// Whether silence is looked into; see [`Client::without_probes`].
    probes: bool,
    /// Present while connected, where silence is looked into.
    heartbeat: Option<Heartbeat>,
}

impl<C: Codec, R: RandomSource> Client<C, R> {
    /// A client without a connection.
    pub fn new(codec: C, random: R) -> Self {
        Self {
            codec,
            random,
            pending: Pending::default(),
            outbox: VecDeque::new(),
            subscriptions: Subscriptions::default(),
            streams: Streams::default(),
            connected: false,
            probes: true,
            heartbeat: None,
        }
    }

    /// A client that never asks a silent host for a sign of life, for transports that do so themselves (QUIC): a
    /// second probe would only keep radios awake.
    #[must_use]
    pub fn without_probes(self) -> Self {
        Self { probes: false, ..self }
    }

    /// A client that follows at most so many sessions, [`MAX_SUBSCRIPTIONS`] being the most, for transports on which
    /// each holds a stream.
    #[must_use]
    pub fn following_at_most(mut self, sessions: usize) -> Self {
        self.subscriptions.set_most(sessions.min(MAX_SUBSCRIPTIONS));
        self
    }

    /// Queues a call. Mutating calls are given a key, so that they may be repeated after a broken connection.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was queued then.
    pub fn call(&mut self, call: impl Call) -> Result<RequestId, SendError> {
        self.request(call.into_request())
    }

    /// [`Client::call`] for a call whose type is known at run time only.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was queued then.
    pub fn request(&mut self, mut request: Request) -> Result<RequestId, SendError> {
        if self.pending.is_full() {
            return Err(SendError::TooManyInFlight);
        }
        if self.subscriptions.refuses(&request) {
            return Err(SendError::TooManySubscriptions(self.subscriptions.most()));
        }
        add_key(&mut request, &mut self.random);
        // Measured before anything is changed; a number is at most as long as this one.
        let frame = self.codec.encode_call(&RequestId::Number(i64::MAX), &request)?;
        if frame.len() > MAX_FRAME_BYTES {
            return Err(SendError::TooLarge(frame.len()));
        }
        self.subscriptions.about_to_send(&mut request);
        let number = self.pending.add(request, Origin::Caller);
        if self.connected {
            self.queue(number)?;
        }
        Ok(RequestId::Number(number))
    }

    /// The method of the frame that [`Client::poll_transmit`] gives next, for drivers to whom it matters.
    pub fn next_method(&mut self) -> Option<Method> {
        while let Some((number, _)) = self.outbox.front() {
            match self.pending.get_mut(*number) {
                Some(call) => return Some(call.request.method()),
                // A probe in whose place there is a newer one.
                None => self.outbox.pop_front(),
            };
        }
        None
    }

    /// The next frame to write, framing excluded. Once returned it counts as sent.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.next_method()?;
        let (number, frame) = self.outbox.pop_front()?;
        if let Some(call) = self.pending.get_mut(number) {
            call.sent = true;
        }
        Some(frame)
    }

    /// Takes one frame from the host.
    ///
    /// # Errors
    /// The frame could not be read and belongs to no call.
    pub fn feed(&mut self, frame: &[u8], now: Tick) -> Result<Vec<Incoming>, FeedError> {
        self.heard(now);
        let pending = &self.pending;
        match self.codec.decode_server(frame, &|id| pending.method_of(id)) {
            Ok(IncomingReply::Frame(ServerFrame::Reply(Some(id), answer))) => Ok(self.reply(id, answer)),
            Ok(IncomingReply::Frame(ServerFrame::Reply(None, Err(error)))) => {
                Ok(vec![Incoming::Complaint(error)])
            }
            Ok(IncomingReply::Frame(ServerFrame::Reply(None, Ok(_)))) => {
                Err(FeedError { message: "the host sent a result that answers no call".into() })
            }
            Ok(IncomingReply::Frame(ServerFrame::SessionEvent(event))) => Ok(self.session_event(event)),
            Ok(IncomingReply::Frame(ServerFrame::HostEvent(event))) => Ok(self.host_event(event)),
            Ok(IncomingReply::Unknown(name)) => Ok(vec![Incoming::Unknown(name)]),
            Err(error) => match error.id {
                // Answers that come twice, or after the caller lost interest, find no call any more.
                Some(id) => Ok(self.reply(id, Err(unreadable_answer(error.message)))),
                None => {
                    self.subscriptions.saw_unreadable();
                    Err(FeedError { message: error.message })
                }
            },
        }
    }

    /// A connection is there. Follows every log again from where it stood, then sends again what has no answer;
    /// what may not be repeated is returned as [`Incoming::Unanswered`].
    pub fn on_connected(&mut self, now: Tick) -> Vec<Incoming> {
        self.outbox.clear();
        self.connected = true;
        self.heartbeat = self.probes.then(|| Heartbeat::started(now));
        let lost = self
            .pending
            .drop_where(|call| call.origin != Origin::Caller || (call.sent && !repeatable(&call.request)));
        let asked: Vec<Channel> =
            self.pending.iter().filter_map(|(_, call)| followed_by(&call.request)).collect();
        let mut incoming: Vec<_> =
            lost.into_iter().map(|(id, method)| Incoming::Unanswered { id, method }).collect();
        let calls: Vec<i64> = self.pending.iter().map(|(number, _)| number).collect();
        for (channel, request) in self.subscriptions.ask_again() {
            if !asked.contains(&channel) {
                incoming.extend(self.replay(channel, request));
            }
        }
        for number in calls {
            if let Err(error) = self.queue(number) {
                incoming.extend(self.reply(RequestId::Number(number), Err(error)));
            }
        }
        incoming
    }

    /// The connection is gone. Nothing is lost by it but pieces of streams.
    pub fn on_disconnected(&mut self) {
        self.outbox.clear();
        self.connected = false;
        self.heartbeat = None;
    }

    /// Probes a silent host. Returns [`Incoming::Dead`] when it has been silent too long.
    pub fn handle_timeout(&mut self, now: Tick) -> Vec<Incoming> {
        match self.heartbeat.as_mut().map_or(Beat::Wait, |heartbeat| heartbeat.beat(now)) {
            Beat::Wait => Vec::new(),
            Beat::Dead => vec![Incoming::Dead],
            Beat::Probe => self.probe(),
        }
    }

    /// Asks the host for a sign of life at once: a driver that has slept cannot know whether the connection still
    /// lives. Does nothing while there is none.
    pub fn probe(&mut self) -> Vec<Incoming> {
        if !self.connected {
            return Vec::new();
        }
        // One probe is enough for the host to answer; more would only pile up.
        self.pending.drop_where(|call| call.origin == Origin::Probe);
        let number = self.pending.add(Request::Health(Health {}), Origin::Probe);
        match self.queue(number) {
            Ok(()) => Vec::new(),
            Err(error) => vec![Incoming::Complaint(error)],
        }
    }

    /// A part of a frame has arrived, which is as good a sign of life as a whole one.
    pub fn heard(&mut self, now: Tick) {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.heard(now);
        }
    }

    /// When [`Client::handle_timeout`] has something to do next; none while there is no connection, and never
    /// [without probes](Client::without_probes).
    pub fn next_timeout(&self) -> Option<Tick> {
        self.heartbeat.as_ref().map(Heartbeat::due)
    }

    /// The source of chance, for the driver's own needs (waits between attempts to connect).
    pub fn random(&mut self) -> &mut R {
        &mut self.random
    }

    fn queue(&mut self, number: i64) -> Result<(), WireError> {
        let Some(call) = self.pending.get_mut(number) else { return Ok(()) };
        let frame = self.codec.encode_call(&RequestId::Number(number), &call.request)?;
        self.outbox.push_back((number, frame));
        Ok(())
    }

    fn replay(&mut self, channel: Channel, request: Request) -> Option<Incoming> {
        let number = self.pending.add(request, Origin::Replay(channel.clone()));
        let error = self.queue(number).err()?;
        self.subscriptions.remove(&channel);
        Some(Incoming::Ended { channel, error })
    }

    fn reply(&mut self, id: RequestId, answer: Result<Response, WireError>) -> Vec<Incoming> {
        let Some(PendingCall { request, origin, .. }) = self.pending.take(&id) else { return Vec::new() };
        let method = request.method();
        let answer = answer.and_then(|response| match response.method() == method {
            true => Ok(response),
            false => {
                Err(unreadable_answer(format!("the host answered {} with another method", method.name())))
            }
        });
        match (&answer, &origin) {
            (Ok(response), _) => self.subscriptions.answered(&request, response),
            (Err(_), Origin::Caller) => {
                if let Some(channel) = followed_by(&request) {
                    self.subscriptions.remove(&channel);
                }
            }
            (Err(_), _) => {}
        }
        match (origin, answer) {
            (Origin::Caller, answer) => vec![Incoming::Reply { id, method, answer: answer.map(Box::new) }],
            (Origin::Replay(channel), Err(error)) => {
                self.subscriptions.remove(&channel);
                vec![Incoming::Ended { channel, error }]
            }
            // Any answer to a probe is a sign of life.
            (Origin::Replay(_), Ok(_)) | (Origin::Probe, _) => Vec::new(),
        }
    }

    fn session_event(&mut self, event: Box<SessionEvent>) -> Vec<Incoming> {
        let channel = Channel::Session(event.session_id.clone());
        match event.seq {
            Some(seq) => {
                let incoming = self.numbered(channel, seq, Incoming::Event(event));
                if let Some(Incoming::Event(event)) = incoming.last() {
                    self.streams.completed_by(&event.session_id, &event.body);
                }
                incoming
            }
            None if self.subscriptions.follows(&channel) => self.delta(event).into_iter().collect(),
            None => Vec::new(),
        }
    }

    fn delta(&mut self, mut event: Box<SessionEvent>) -> Option<Incoming> {
        let session = &event.session_id;
        let (offset, text, fit) = match &mut event.body {
            EventBody::TextDelta(delta) => {
                let fit = self.streams.offer(session, &delta.stream_id, None, delta.offset, &delta.text);
                (&mut delta.offset, &mut delta.text, fit)
            }
            EventBody::ToolOutputDelta(delta) => {
                let call = Some(&delta.tool_call_id);
                let fit = self.streams.offer(session, &delta.stream_id, call, delta.offset, &delta.text);
                (&mut delta.offset, &mut delta.text, fit)
            }
            // A durable event without its number can be placed nowhere.
            _ => return None,
        };
        let Fit::New { from, missing } = fit else { return None };
        *offset = offset.saturating_add(u64::try_from(from).unwrap_or(u64::MAX));
        text.drain(..from);
        Some(Incoming::Delta { event, missing })
    }

    fn host_event(&mut self, event: Box<HostEvent>) -> Vec<Incoming> {
        self.numbered(Channel::Host, event.host_seq, Incoming::HostEvent(event))
    }

    fn numbered(&mut self, channel: Channel, seq: u64, event: Incoming) -> Vec<Incoming> {
        let creating = self.pending.iter().any(|(_, call)| call.request.method() == Method::CreateSession);
        match self.subscriptions.offer(&channel, seq, creating) {
            Verdict::Deliver { skipped: 0 } => vec![event],
            Verdict::Deliver { skipped } => vec![Incoming::Skipped { channel, count: skipped }, event],
            Verdict::Drop => Vec::new(),
            Verdict::Replay => {
                let request = self.subscriptions.replay(&channel);
                self.replay(channel, request).into_iter().collect()
            }
            Verdict::GiveUp => {
                self.subscriptions.remove(&channel);
                let message = format!("the host left out events in {MAX_REPLAYS} replays: restart the host");
                let error = WireError::new(ErrorCode::InternalError, message);
                vec![Incoming::Ended { channel, error }]
            }
        }
    }
}
