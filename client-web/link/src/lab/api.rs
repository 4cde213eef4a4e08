//! What a host of the lab does with calls: a log of events, commands that take effect once, and nothing more.

use std::collections::{BTreeMap, BTreeSet};

use lanyard_protocol::codec::{Codec, PostcardCodec, ServerFrame};
use lanyard_protocol::event::{EventBody, PolicyExpired, SessionEvent};
use lanyard_protocol::id::{EventId, HostId, PrincipalId, SessionId, TaskId, WorkspaceId};
use lanyard_protocol::method::{Done, Identity, Request, Response, SessionPage, Subscribed, TaskAccepted};
use lanyard_protocol::principal::Principal;
use lanyard_protocol::session::SessionState;
use lanyard_protocol::version::PROTOCOL_VERSION;
use lanyard_protocol::{ErrorCode, Timestamp, WireError};

/// The one session of the lab.
pub(crate) fn session() -> SessionId {
    SessionId::new("s").unwrap()
}

/// What a call leads to.
pub(crate) struct Outcome {
    pub(crate) frames: Vec<Vec<u8>>,
    /// Events follow on the same stream.
    pub(crate) follows: bool,
}

/// See the module. Survives connections, as a host does.
#[derive(Debug)]
pub(crate) struct Api {
    log: Vec<SessionEvent>,
    keys: BTreeSet<String>,
    /// Commands that took effect, by method name.
    pub(crate) effects: BTreeMap<&'static str, u32>,
    /// What it says it speaks.
    pub(crate) version: u16,
    /// Bytes of padding in each event.
    pub(crate) padding: usize,
    /// Whether anything is answered but `Identify`.
    pub(crate) frozen: bool,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            log: Vec::new(),
            keys: BTreeSet::new(),
            effects: BTreeMap::new(),
            version: PROTOCOL_VERSION,
            padding: 0,
            frozen: false,
        }
    }
}

impl Api {
    pub(crate) fn len(&self) -> u64 {
        self.log.len() as u64
    }

    /// Writes an event; gives it as a frame for those who follow.
    pub(crate) fn write(&mut self) -> Vec<u8> {
        let seq = self.len() + 1;
        let body = EventBody::PolicyExpired(PolicyExpired { expired_at: Timestamp::from_millis(0) });
        self.log.push(SessionEvent {
            event_id: EventId::new(format!("e{seq}-{}", "x".repeat(self.padding))).unwrap(),
            seq: Some(seq),
            workspace_id: WorkspaceId::new("w").unwrap(),
            session_id: session(),
            task_id: None,
            step_id: None,
            timestamp: Timestamp::from_millis(0),
            body,
        });
        self.frame(seq)
    }

    fn frame(&self, seq: u64) -> Vec<u8> {
        let event = self.log[usize::try_from(seq).unwrap() - 1].clone();
        PostcardCodec.encode_server(&ServerFrame::SessionEvent(Box::new(event))).unwrap()
    }

    /// Carries a call out.
    pub(crate) fn take(&mut self, frame: &[u8]) -> Option<Outcome> {
        let call = PostcardCodec.decode_call(frame).unwrap();
        if self.frozen && !matches!(call.request, Request::Identify(_)) {
            return None;
        }
        let after = match &call.request {
            Request::Subscribe(from) => Some(from.after_seq),
            _ => None,
        };
        let answer = self.answer(call.request);
        let mut frames = vec![PostcardCodec.encode_server(&ServerFrame::Reply(call.id, answer)).unwrap()];
        frames.extend((after.unwrap_or(self.len())..self.len()).map(|at| self.frame(at + 1)));
        Some(Outcome { frames, follows: after.is_some() })
    }

    fn count(&mut self, method: &'static str, key: Option<&str>) {
        if key.is_none_or(|key| self.keys.insert(key.to_owned())) {
            *self.effects.entry(method).or_default() += 1;
        }
    }

    fn answer(&mut self, request: Request) -> Result<Response, WireError> {
        match request {
            Request::Identify(_) => Ok(Response::Identify(Identity {
                host_id: HostId::new("h").unwrap(),
                host_name: "workstation".into(),
                version: "0".into(),
                protocol_version: self.version,
                principal: Principal {
                    id: PrincipalId::new("p").unwrap(),
                    name: "phone".into(),
                    scopes: Vec::new(),
                    local: false,
                },
            })),
            Request::Subscribe(_) => Ok(Response::Subscribe(Subscribed { last_seq: self.len() })),
            Request::ListSessions(_) => {
                Ok(Response::ListSessions(SessionPage { sessions: Vec::new(), next_cursor: None }))
            }
            Request::StartTask(call) => {
                let task_id: TaskId = call.task_id.unwrap();
                self.count("StartTask", Some(task_id.as_str()));
                let state = SessionState::SessionRunning;
                let (session_id, last_seq) = (call.session_id, self.len());
                Ok(Response::StartTask(TaskAccepted { session_id, task_id, state, last_seq }))
            }
            Request::RevokeRule(_) => {
                self.count("RevokeRule", None);
                Ok(Response::RevokeRule(Done {}))
            }
            Request::ReportPage(_) => {
                self.count("ReportPage", None);
                Ok(Response::ReportPage(Done {}))
            }
            Request::Unpair(_) => {
                self.count("Unpair", None);
                Ok(Response::Unpair(Done {}))
            }
            // Any answer to a probe is a sign of life.
            _ => Err(WireError::new(ErrorCode::InvalidRequest, "not in the lab")),
        }
    }
}
