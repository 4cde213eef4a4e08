//! A host and a link that misbehave on command, for tests of the client without sockets or clocks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lanyard_protocol::codec::{Codec, ServerFrame};
use lanyard_protocol::event::{
    EventBody, HostEvent, HostEventBody, PolicyExpired, SessionDeleted, SessionEvent, TextDelta,
};
use lanyard_protocol::id::{EventId, SessionId, StreamId, TaskId, WorkspaceId};
use lanyard_protocol::method::{
    Done, HostSubscribed, Request, Response, SessionOpened, SessionSnapshot, Subscribed, TaskAccepted,
};
use lanyard_protocol::session::{CompatibilityStatus, ModelInfo, PolicySummary, SessionState};
use lanyard_protocol::{ErrorCode, Timestamp, WireError};

use crate::{Client, Incoming, RandomSource, Tick};

/// Keys 1, 2, 3, …
#[derive(Debug, Default)]
pub(crate) struct Counting(u128);

impl RandomSource for Counting {
    fn next_u128(&mut self) -> u128 {
        self.0 += 1;
        self.0
    }
}

pub(crate) fn session(n: u8) -> SessionId {
    SessionId::new(format!("s{n}")).unwrap()
}

fn event(session: &SessionId, seq: Option<u64>, body: EventBody) -> SessionEvent {
    SessionEvent {
        event_id: EventId::new(format!("e-{session}-{}", seq.unwrap_or_default())).unwrap(),
        seq,
        workspace_id: WorkspaceId::new("w").unwrap(),
        session_id: session.clone(),
        task_id: None,
        step_id: None,
        timestamp: Timestamp::from_millis(0),
        body,
    }
}

fn piece(session: &SessionId, offset: usize, text: String) -> ServerFrame {
    let delta = TextDelta { stream_id: StreamId::new("t").unwrap(), offset: offset as u64, text };
    ServerFrame::SessionEvent(Box::new(event(session, None, EventBody::TextDelta(delta))))
}

fn model() -> ModelInfo {
    ModelInfo { name: "m".into(), endpoint: String::new(), demo: true, source: "demo".into() }
}

/// A host that keeps logs, follows cursors and recognises repeated commands. It does one thing at a time.
#[derive(Debug)]
pub(crate) struct FakeHost<C> {
    codec: C,
    pub(crate) logs: BTreeMap<SessionId, Vec<SessionEvent>>,
    pub(crate) host_log: Vec<HostEvent>,
    /// The text being streamed in each session.
    pub(crate) streamed: BTreeMap<SessionId, String>,
    /// Keys of commands carried out.
    done: BTreeSet<String>,
    /// Commands that took effect, by method name.
    pub(crate) effects: BTreeMap<&'static str, u32>,
    following: BTreeSet<SessionId>,
    following_host: bool,
    /// Frames on their way to the client; whether each is an event.
    down: VecDeque<(bool, Vec<u8>)>,
}

impl<C: Codec> FakeHost<C> {
    pub(crate) fn new(codec: C) -> Self {
        Self {
            codec,
            logs: BTreeMap::new(),
            host_log: Vec::new(),
            streamed: BTreeMap::new(),
            done: BTreeSet::new(),
            effects: BTreeMap::new(),
            following: BTreeSet::new(),
            following_host: false,
            down: VecDeque::new(),
        }
    }

    fn send(&mut self, frame: &ServerFrame) {
        let is_event = !matches!(frame, ServerFrame::Reply(..));
        self.down.push_back((is_event, self.codec.encode_server(frame).unwrap()));
    }

    /// Writes a durable event.
    pub(crate) fn write(&mut self, session: &SessionId) {
        let log = self.logs.entry(session.clone()).or_default();
        let seq = Some(log.len() as u64 + 1);
        let body = EventBody::PolicyExpired(PolicyExpired { expired_at: Timestamp::from_millis(0) });
        let event = event(session, seq, body);
        log.push(event.clone());
        if self.following.contains(session) {
            self.send(&ServerFrame::SessionEvent(Box::new(event)));
        }
    }

    /// Writes an event of the host's log.
    pub(crate) fn write_host(&mut self) {
        let event = HostEvent {
            host_seq: self.host_log.len() as u64 + 1,
            timestamp: Timestamp::from_millis(0),
            body: HostEventBody::SessionDeleted(SessionDeleted { session_id: session(0) }),
        };
        self.host_log.push(event.clone());
        if self.following_host {
            self.send(&ServerFrame::HostEvent(Box::new(event)));
        }
    }

    /// Streams a piece of text that says where in the stream it stands.
    pub(crate) fn stream(&mut self, session: &SessionId) {
        let text = self.streamed.entry(session.clone()).or_default();
        let offset = text.len();
        let new = format!("<{offset}>");
        text.push_str(&new);
        if self.following.contains(session) {
            self.send(&piece(session, offset, new));
        }
    }

    /// The connection is gone with everything on its way.
    pub(crate) fn disconnect(&mut self) {
        self.down.clear();
        self.following.clear();
        self.following_host = false;
    }

    fn last(&self, session: &SessionId) -> u64 {
        self.logs.get(session).map_or(0, |log| log.len() as u64)
    }

    fn once(&mut self, method: &'static str, key: Option<&str>) {
        if key.is_none_or(|key| self.done.insert(key.to_owned())) {
            *self.effects.entry(method).or_default() += 1;
        }
    }

    fn follow(&mut self, session: &SessionId, after: u64) {
        self.following.insert(session.clone());
        let missed: Vec<_> =
            self.logs.get(session).into_iter().flatten().filter(|e| e.seq > Some(after)).cloned().collect();
        for event in missed {
            self.send(&ServerFrame::SessionEvent(Box::new(event)));
        }
        let so_far = self.streamed.get(session).cloned().unwrap_or_default();
        self.send(&piece(session, 0, so_far));
    }

    /// Carries out one call, as the real host does: the answer first, then what it makes flow.
    pub(crate) fn take(&mut self, frame: &[u8]) {
        let call = self.codec.decode_call(frame).unwrap();
        let (answer, follow) = self.answer(&call.request);
        self.send(&ServerFrame::Reply(call.id, answer));
        if let Some((session, after)) = follow {
            self.follow(&session, after);
        }
        if let Request::SubscribeHost(p) = &call.request {
            self.following_host = true;
            let after = p.after_host_seq.unwrap_or(self.host_log.len() as u64);
            for event in self.host_log.clone().into_iter().filter(|e| e.host_seq > after) {
                self.send(&ServerFrame::HostEvent(Box::new(event)));
            }
        }
    }

    fn answer(&mut self, request: &Request) -> (Result<Response, WireError>, Option<(SessionId, u64)>) {
        match request {
            Request::CreateSession(p) => {
                let key = p.command_id.as_ref().map(|id| id.as_str().to_owned());
                self.once("CreateSession", key.as_deref());
                // One session for each key.
                let id = SessionId::new(format!("new-{}", key.unwrap_or_default())).unwrap();
                if self.last(&id) == 0 {
                    self.write(&id);
                }
                (Ok(Response::CreateSession(opened(&id, self.last(&id)))), Some((id, 0)))
            }
            Request::StartTask(p) => {
                let task_id = p.task_id.clone().unwrap();
                self.once("StartTask", Some(task_id.as_str()));
                let last_seq = self.last(&p.session_id);
                let state = SessionState::SessionRunning;
                let accepted = TaskAccepted { session_id: p.session_id.clone(), task_id, state, last_seq };
                (Ok(Response::StartTask(accepted)), None)
            }
            Request::Subscribe(p) => {
                let last_seq = self.last(&p.session_id);
                let follow = (p.session_id.clone(), p.after_seq);
                (Ok(Response::Subscribe(Subscribed { last_seq })), Some(follow))
            }
            Request::ResumeSession(p) => {
                let last = self.last(&p.session_id);
                let follow = (p.session_id.clone(), p.checkpoint_cursor.unwrap_or(last));
                (Ok(Response::ResumeSession(snapshot(&p.session_id, last))), Some(follow))
            }
            Request::SubscribeHost(_) => {
                let last_host_seq = self.host_log.len() as u64;
                (Ok(Response::SubscribeHost(HostSubscribed { last_host_seq })), None)
            }
            Request::RevokeRule(_) => {
                self.once("RevokeRule", None);
                (Ok(Response::RevokeRule(Done {})), None)
            }
            Request::Unsubscribe(p) => {
                self.following.remove(&p.session_id);
                (Ok(Response::Unsubscribe(Done {})), None)
            }
            _ => (Err(WireError::new(ErrorCode::InvalidRequest, "not in the lab")), None),
        }
    }
}

fn opened(id: &SessionId, last_seq: u64) -> SessionOpened {
    SessionOpened {
        session_id: id.clone(),
        workspace_id: WorkspaceId::new("w").unwrap(),
        workspace_roots: Vec::new(),
        compatibility_status: CompatibilityStatus::Compatible,
        incompatibility_reason: None,
        model: model(),
        policy: PolicySummary {
            policy_bundle_version: "1".into(),
            expires_at: Timestamp::from_millis(0),
            free: Vec::new(),
            asks: Vec::new(),
        },
        state: SessionState::SessionCreated,
        last_seq,
    }
}

fn snapshot(id: &SessionId, last_seq: u64) -> SessionSnapshot {
    SessionSnapshot {
        session_id: id.clone(),
        workspace_id: WorkspaceId::new("w").unwrap(),
        workspace_roots: Vec::new(),
        name: String::new(),
        state: SessionState::SessionRunning,
        task_id: Some(TaskId::new("t").unwrap()),
        step_id: None,
        step_count: 0,
        last_task: None,
        last_seq,
        pending_approvals: Vec::new(),
        tokens_used: 0,
        model: model(),
    }
}

/// What the link does with the next frame to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    ArrivesTwice,
    /// Events only: an answer that never comes without the link breaking is no fault of a stream.
    IsLost,
}

/// A client and a host with a link between them.
#[derive(Debug)]
pub(crate) struct Lab<C: Codec> {
    pub(crate) client: Client<C, Counting>,
    pub(crate) host: FakeHost<C>,
    up: VecDeque<Vec<u8>>,
    pub(crate) connected: bool,
    pub(crate) seen: Vec<Incoming>,
}

impl<C: Codec> Lab<C> {
    pub(crate) fn new(codec: C) -> Self {
        let client = Client::new(codec.clone(), Counting::default());
        Self { client, host: FakeHost::new(codec), up: VecDeque::new(), connected: false, seen: Vec::new() }
    }

    pub(crate) fn connect(&mut self) {
        if !self.connected {
            self.connected = true;
            self.seen.extend(self.client.on_connected(Tick::default()));
        }
    }

    /// Frames on their way in either direction are lost.
    pub(crate) fn disconnect(&mut self) {
        self.connected = false;
        self.up.clear();
        self.host.disconnect();
        self.client.on_disconnected();
    }

    /// The host takes one frame.
    pub(crate) fn step_up(&mut self) -> bool {
        while self.connected
            && let Some(frame) = self.client.poll_transmit()
        {
            self.up.push_back(frame);
        }
        let Some(frame) = self.up.pop_front() else { return false };
        self.host.take(&frame);
        true
    }

    /// The client takes one frame.
    pub(crate) fn step_down(&mut self, fate: Fate) -> bool {
        let Some((is_event, frame)) = self.host.down.pop_front() else { return false };
        let times = match fate {
            Fate::IsLost if is_event => 0,
            Fate::Arrives | Fate::IsLost => 1,
            Fate::ArrivesTwice => 2,
        };
        for _ in 0..times {
            self.seen.extend(self.client.feed(&frame, Tick::default()).unwrap());
        }
        true
    }

    /// Everything on its way arrives.
    pub(crate) fn settle(&mut self) {
        while self.step_up() || self.step_down(Fate::Arrives) {}
    }

    /// Numbers of the durable events the client handed on, in order.
    pub(crate) fn numbers(&self, session: &SessionId) -> Vec<u64> {
        let of = |incoming: &Incoming| match incoming {
            Incoming::Event(event) if event.session_id == *session => event.seq,
            _ => None,
        };
        self.seen.iter().filter_map(of).collect()
    }

    pub(crate) fn host_numbers(&self) -> Vec<u64> {
        let of = |incoming: &Incoming| match incoming {
            Incoming::HostEvent(event) => Some(event.host_seq),
            _ => None,
        };
        self.seen.iter().filter_map(of).collect()
    }
}
