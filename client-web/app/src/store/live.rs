//! What the link tells, handed to the part that cares.

use lanyard_client::{Channel, Incoming};
use lanyard_protocol::Timestamp;
use lanyard_protocol::event::{HostEvent, HostEventBody};
use lanyard_protocol::method::{Identify, SubscribeHost};
use lanyard_web_link::{Ending, LinkEvent, Status};
use lanyard_web_state::approvals::Want;
use leptos::prelude::*;
use std::rc::Rc;
use wasm_bindgen_futures::spawn_local;

use super::Store;

impl Store {
    /// Everything the link tells arrives here, in order.
    pub(super) fn receive(self, event: LinkEvent) {
        match event {
            LinkEvent::Status(status) => self.stands(status),
            LinkEvent::Incoming(incoming) => self.incoming(&incoming),
        }
    }

    fn stands(self, status: Status) {
        let was_connected = self.status.with_untracked(|status| matches!(status, Status::Connected { .. }));
        let is_connected = matches!(status, Status::Connected { .. });
        match &status {
            Status::Ended(Ending::Unpaired) => self.forget_quietly(),
            Status::Ended(_)
            | Status::Connecting
            | Status::Connected { .. }
            | Status::Reconnecting { .. } => {}
        }
        self.status.set(status);
        if is_connected && !was_connected {
            self.connections.update(|count| *count += 1);
            let now = Timestamp::from_millis(js_sys::Date::now() as i64);
            self.approvals.update(|approvals| approvals.connected(now));
            spawn_local(self.arrived());
        }
    }

    /// A connection is there: who are we, and what has happened.
    async fn arrived(self) {
        match self.call(Identify {}).await {
            Ok(me) => self.me.set(Some(me)),
            Err(failed) => return self.warn(failed.said),
        }
        if !self.followed.get_value() {
            // The log first: what happens between it and the lists is then in both, never in neither.
            match self.call(SubscribeHost::default()).await {
                Ok(_) => {
                    self.followed.set_value(true);
                    self.list_all();
                }
                Err(failed) => self.warn(failed.said),
            }
        } else {
            // The log goes on from its cursor; questions are asked for again because a stale one is worse than none.
            self.want_approvals(Want::All);
        }
    }

    fn list_all(self) {
        self.list_sessions();
        self.want_approvals(Want::All);
    }

    fn incoming(self, incoming: &Incoming) {
        match incoming {
            Incoming::HostEvent(event) => self.host_event(event),
            Incoming::Event(event) => self.approvals.update(|approvals| approvals.session_event(event)),
            Incoming::Skipped { channel: Channel::Host, .. } => self.list_all(),
            Incoming::Ended { channel: Channel::Host, .. } => {
                // The log does not reach back that far: everything is asked for anew.
                self.followed.set_value(false);
                spawn_local(self.arrived());
            }
            Incoming::Complaint(error) => leptos::logging::warn!("host: {error}"),
            Incoming::Unknown(name) => leptos::logging::warn!("host: unknown notification {name}"),
            Incoming::Delta { .. }
            | Incoming::Skipped { .. }
            | Incoming::Ended { .. }
            | Incoming::Reply { .. }
            | Incoming::Unanswered { .. }
            | Incoming::Dead => {}
        }
        // Listeners may come and go while they are called.
        let listeners: Vec<_> =
            self.listeners.with_value(|all| all.iter().map(|(_, one)| Rc::clone(one)).collect());
        for listener in listeners {
            listener(incoming);
        }
    }

    fn host_event(self, event: &HostEvent) {
        self.hear_of_session(event);
        let now = Timestamp::from_millis(js_sys::Date::now() as i64);
        let want = self.approvals.try_update(|approvals| {
            approvals.heard_at(event.timestamp, now);
            approvals.host_event(event)
        });
        if let Some(want) = want.flatten() {
            self.want_approvals(want);
        }
        match &event.body {
            HostEventBody::PairingRequested(_)
            | HostEventBody::PairingSettled(_)
            | HostEventBody::PairingWindowChanged(_)
            | HostEventBody::DeviceChanged(_)
            | HostEventBody::DeviceRemoved(_) => self.devices_changed.update(|count| *count += 1),
            HostEventBody::SessionChanged(_)
            | HostEventBody::SessionDeleted(_)
            | HostEventBody::ApprovalPending(_)
            | HostEventBody::ApprovalSettled(_)
            | HostEventBody::HostKeyChanged(_)
            | HostEventBody::CentralChanged(_)
            | HostEventBody::HostStopping(_) => {}
        }
    }

    /// Asks for questions, and for what their list leaves open.
    pub(crate) fn want_approvals(self, want: Want) {
        spawn_local(async move {
            let mut next = Some(want);
            while let Some(want) = next.take() {
                let ticket = self.approvals.with_untracked(|approvals| approvals.ticket());
                match self.call(want.call()).await {
                    Ok(page) => {
                        next = self
                            .approvals
                            .try_update(|approvals| approvals.listed(&want, ticket, page.approvals))
                            .flatten();
                    }
                    Err(failed) => self.warn(failed.said),
                }
            }
        });
    }
}
