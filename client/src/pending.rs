//! Calls that wait for their answers.

use std::collections::BTreeMap;

use lanyard_protocol::limits::MAX_IN_FLIGHT;
use lanyard_protocol::method::{Method, Request};
use lanyard_protocol::rpc::RequestId;

use crate::subscriptions::{Channel, MAX_SUBSCRIPTIONS};

/// Calls a user may have waiting: what the host allows, less what the client itself may need at the worst moment
/// (every session and the host's log asked for again, and one probe).
pub(crate) const MAX_CALLS: usize = MAX_IN_FLIGHT - MAX_SUBSCRIPTIONS - 2;

/// On whose behalf a call was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The user's; the answer is handed on.
    Caller,
    /// The client's own, to follow a log again.
    Replay(Channel),
    /// The client's own, to see whether the host is alive.
    Probe,
}

#[derive(Debug)]
pub(crate) struct PendingCall {
    pub(crate) request: Request,
    pub(crate) origin: Origin,
    /// Whether it was handed to the driver on any connection.
    pub(crate) sent: bool,
}

/// Pending calls by number, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    last: i64,
    calls: BTreeMap<i64, PendingCall>,
}

impl Pending {
    pub(crate) fn is_full(&self) -> bool {
        self.calls.values().filter(|call| call.origin == Origin::Caller).count() >= MAX_CALLS
    }

    pub(crate) fn add(&mut self, request: Request, origin: Origin) -> i64 {
        self.last += 1;
        self.calls.insert(self.last, PendingCall { request, origin, sent: false });
        self.last
    }

    pub(crate) fn get_mut(&mut self, number: i64) -> Option<&mut PendingCall> {
        self.calls.get_mut(&number)
    }

    pub(crate) fn method_of(&self, id: &RequestId) -> Option<Method> {
        self.calls.get(&number_of(id)?).map(|call| call.request.method())
    }

    pub(crate) fn take(&mut self, id: &RequestId) -> Option<PendingCall> {
        self.calls.remove(&number_of(id)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &PendingCall)> {
        self.calls.iter().map(|(number, call)| (*number, call))
    }

    /// Removes the calls for which `leaves` holds and returns the user's among them.
    pub(crate) fn drop_where(&mut self, leaves: impl Fn(&PendingCall) -> bool) -> Vec<(RequestId, Method)> {
        let mut lost = Vec::new();
        self.calls.retain(|number, call| {
            let gone = leaves(call);
            if gone && call.origin == Origin::Caller {
                lost.push((RequestId::Number(*number), call.request.method()));
            }
            !gone
        });
        lost
    }
}

/// The client numbers its calls; any other id is not one of them.
fn number_of(id: &RequestId) -> Option<i64> {
    match id {
        RequestId::Number(number) => Some(*number),
        RequestId::Text(_) => None,
    }
}
