//! Which logs are followed, and how calls and their answers move the cursors.

use std::collections::BTreeMap;

use lanyard_protocol::id::SessionId;
use lanyard_protocol::method::{Request, Response, Subscribe, SubscribeHost};

use crate::cursor::{Cursor, Verdict};

/// Sessions one client follows at once. A person watches a few; a list of all of them is the host log's business.
pub const MAX_SUBSCRIPTIONS: usize = 64;

/// One numbered log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// A session's.
    Session(SessionId),
    /// The host's.
    Host,
}

/// The channel a call follows, when it names it (`CreateSession` learns it from the answer).
pub(crate) fn followed_by(request: &Request) -> Option<Channel> {
    match request {
        Request::Subscribe(call) => Some(Channel::Session(call.session_id.clone())),
        Request::ResumeSession(call) => Some(Channel::Session(call.session_id.clone())),
        Request::SubscribeHost(_) => Some(Channel::Host),
        _ => None,
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    followed: BTreeMap<Channel, Cursor>,
    most: usize,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self { followed: BTreeMap::new(), most: MAX_SUBSCRIPTIONS }
    }
}

impl Subscriptions {
    /// Sessions that may be followed.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    pub(crate) fn set_most(&mut self, sessions: usize) {
        self.most = sessions;
    }

    /// Whether the call would follow one session more than is allowed.
    pub(crate) fn refuses(&self, request: &Request) -> bool {
        let new = match followed_by(request) {
            Some(Channel::Session(id)) => !self.followed.contains_key(&Channel::Session(id)),
            _ => matches!(request, Request::CreateSession(_)),
        };
        new && self.sessions() >= self.most
    }

    fn sessions(&self) -> usize {
        self.followed.keys().filter(|channel| matches!(channel, Channel::Session(_))).count()
    }

    /// Notes what a call of the user is about to change. A call that would follow a known log "from now on" is
    /// given the place already reached, so that nothing between is lost.
    pub(crate) fn about_to_send(&mut self, request: &mut Request) {
        let Some(channel) = followed_by(request) else {
            if let Request::Unsubscribe(call) = request {
                self.followed.remove(&Channel::Session(call.session_id.clone()));
            }
            return;
        };
        let known = self.followed.get(&channel).and_then(Cursor::resume_from);
        let from = match request {
            Request::Subscribe(call) => Some(call.after_seq),
            Request::ResumeSession(call) => {
                call.checkpoint_cursor = call.checkpoint_cursor.or(known);
                call.checkpoint_cursor
            }
            Request::SubscribeHost(call) => {
                call.after_host_seq = call.after_host_seq.or(known);
                call.after_host_seq
            }
            _ => None,
        };
        self.followed.insert(channel, from.map_or_else(Cursor::new_events_only, Cursor::after));
    }

    /// The host answered one of the user's calls, or a replay the client asked for.
    pub(crate) fn answered(&mut self, request: &Request, response: &Response) {
        let (channel, last) = match response {
            Response::CreateSession(opened) => {
                (Some(Channel::Session(opened.session_id.clone())), opened.last_seq)
            }
            Response::ResumeSession(snapshot) => (followed_by(request), snapshot.last_seq),
            Response::Subscribe(subscribed) => (followed_by(request), subscribed.last_seq),
            Response::SubscribeHost(subscribed) => (followed_by(request), subscribed.last_host_seq),
            Response::DeleteSession(_) => {
                if let Request::DeleteSession(call) = request {
                    self.followed.remove(&Channel::Session(call.session_id.clone()));
                }
                return;
            }
            _ => return,
        };
        match channel {
            // An `Unsubscribe` sent meanwhile wins over the answer to an earlier call.
            Some(channel) if !matches!(response, Response::CreateSession(_)) => {
                if let Some(cursor) = self.followed.get_mut(&channel) {
                    cursor.confirmed(last);
                }
            }
            Some(channel) => {
                self.followed.entry(channel).or_insert_with(Cursor::new_events_only).confirmed(last);
            }
            None => {}
        }
    }

    /// No event of this log will come.
    pub(crate) fn remove(&mut self, channel: &Channel) {
        self.followed.remove(channel);
    }

    /// Judges a numbered event. `creating`: a session is being made whose id is not known yet.
    pub(crate) fn offer(&mut self, channel: &Channel, seq: u64, creating: bool) -> Verdict {
        if let Some(cursor) = self.followed.get_mut(channel) {
            return cursor.offer(seq);
        }
        // The first event of a new session may overtake the answer that names it.
        if creating && seq == 1 && *channel != Channel::Host && self.sessions() < self.most {
            self.followed.insert(channel.clone(), Cursor::after(1));
            return Verdict::Deliver { skipped: 0 };
        }
        Verdict::Drop
    }

    /// Whether the log is followed.
    pub(crate) fn follows(&self, channel: &Channel) -> bool {
        self.followed.contains_key(channel)
    }

    pub(crate) fn saw_unreadable(&mut self) {
        self.followed.values_mut().for_each(Cursor::saw_unreadable);
    }

    /// Marks every log as to be asked for again and returns the calls that do so.
    pub(crate) fn ask_again(&mut self) -> Vec<(Channel, Request)> {
        let again = self.followed.iter_mut().map(|(channel, cursor)| {
            cursor.asked_again();
            (channel.clone(), replay(channel, cursor.resume_from()))
        });
        again.collect()
    }

    /// The call that asks for a log from the place reached.
    pub(crate) fn replay(&self, channel: &Channel) -> Request {
        replay(channel, self.followed.get(channel).and_then(Cursor::resume_from))
    }
}

fn replay(channel: &Channel, from: Option<u64>) -> Request {
    match channel {
        Channel::Session(session_id) => Request::Subscribe(Subscribe {
            session_id: session_id.clone(),
            after_seq: from.unwrap_or_default(),
        }),
        Channel::Host => Request::SubscribeHost(SubscribeHost { after_host_seq: from }),
    }
}
