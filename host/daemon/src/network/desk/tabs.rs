//! Tabs of the owner on this machine: paired by a link that the owner made there, known in memory alone.
//!
//! A tab is gone a while after its last connection has ended, and when the host stops: its key was in the page's memory
//! and nobody can come back with it. What the owner began in it goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use lanyard_protocol::Tick;
use lanyard_protocol::id::DeviceId;
use lanyard_transport::close::CloseCode;

use super::actor::Actor;
use crate::network::devices::Entry;

/// Tabs at once: more are not looked at by one person, and each holds every right.
const MAX_TABS: usize = 8;

/// How long a tab without a connection is kept: a page that sleeps, or changes its carrier, is back within this; a tab
/// that was closed is not.
const ABSENCE: Duration = Duration::from_secs(60);

/// All of them, and since when they are without a connection: until when they are kept.
#[derive(Debug, Default)]
pub(super) struct Tabs(BTreeMap<DeviceId, Option<Tick>>);

impl Tabs {
    /// Whether there may be another one, or this one again.
    pub(super) fn has_room_for(&self, device: &DeviceId) -> bool {
        self.0.len() < MAX_TABS || self.0.contains_key(device)
    }

    /// It was let in and may connect.
    pub(super) fn add(&mut self, device: DeviceId, now: Tick) {
        self.0.insert(device, Some(now.plus(ABSENCE)));
    }

    /// It is connected.
    pub(super) fn arrived(&mut self, device: &DeviceId) {
        if let Some(due) = self.0.get_mut(device) {
            *due = None;
        }
    }

    /// It is connected no more.
    fn left(&mut self, device: &DeviceId, now: Tick) {
        if let Some(due) = self.0.get_mut(device) {
            *due = Some(now.plus(ABSENCE));
        }
    }

    /// It was sent away.
    pub(super) fn forget(&mut self, device: &DeviceId) {
        self.0.remove(device);
    }

    /// When the next one is forgotten.
    pub(super) fn next_due(&self) -> Option<Tick> {
        self.0.values().flatten().min().copied()
    }

    fn take_due(&mut self, now: Tick) -> Vec<DeviceId> {
        let due = |until: &Option<Tick>| until.is_some_and(|until| until <= now);
        let gone: Vec<DeviceId> =
            self.0.iter().filter(|(_, until)| due(until)).map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|id| self.forget(id));
        gone
    }
}

impl Actor {
    /// A connection of a tab has ended.
    pub(super) fn tab_left(&mut self, entry: Entry) {
        if entry.connections == 0 {
            let now = self.tick();
            self.tabs.left(&entry.record.device_id, now);
        }
        self.publish_entry(entry);
    }

    /// Forgets tabs that have been away for too long.
    pub(super) fn expire_tabs(&mut self) {
        let now = self.tick();
        for id in self.tabs.take_due(now) {
            tracing::info!("a tab of the owner is gone");
            self.publish(|table| drop(table.remove(&id)));
            self.connections.cut(&id, CloseCode::NotPaired);
        }
    }
}
