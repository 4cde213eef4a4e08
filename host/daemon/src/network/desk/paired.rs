//! Paired devices: renamed, given other rights, promoted, forgotten.

use std::sync::Arc;
use std::time::Duration;

use lanyard_ports::journal::Write;
use lanyard_protocol::device::{Device, PageReport};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{DeviceChanged, DeviceRemoved, HostEventBody};
use lanyard_protocol::id::DeviceId;
use lanyard_protocol::limits::MAX_DEVICE_NAME_BYTES;
use lanyard_protocol::method::{Done, Response};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::visible::is_invisible;
use lanyard_transport::close::CloseCode;

use super::actor::{Actor, host_event, tell};
use super::{Change, DeskError, Removal};
use crate::ids::invalid;
use crate::network::devices::{Entry, Table, normal};

/// How long requests of a revoked device that are under way may take to be done before the answer goes out without them.
const LEAVING: Duration = Duration::from_secs(2);

/// How long the connections of a device that ends its own pairing stay: its answer goes out on one of them. It has no
/// rights any more meanwhile.
const FAREWELL: Duration = Duration::from_millis(250);

impl Actor {
    /// Whoever asks, with the rights held now: since the request was let in, a device may have been revoked, and what
    /// it still had on the way must not bring in another one.
    pub(super) fn still_admin(&self, by: &Principal) -> Result<Principal, WireError> {
        let held =
            self.standing(by).ok().filter(|principal| principal.local || principal.holds(Scope::Admin));
        held.ok_or_else(|| {
            let text = format!("{} does not hold the scope \"admin\" any more", by.name);
            WireError::new(ErrorCode::Unauthorized, text).with("scope", Scope::Admin.as_str())
        })
    }

    /// Whoever asks, with the rights held now, whatever they are.
    pub(super) fn standing(&self, by: &Principal) -> Result<Principal, WireError> {
        if by.local {
            return Ok(by.clone());
        }
        let held = self.table.principal(&by.id, self.parts.clock.now());
        let held = held.or_else(|| self.parts.others.standing(&by.id));
        held.ok_or_else(|| {
            WireError::new(ErrorCode::Unauthorized, "this device is not paired with the host any more")
        })
    }

    /// Keeps what a device's page says of itself.
    pub(super) fn page(&mut self, id: &DeviceId, page: PageReport) -> Result<(), DeskError> {
        let entry = self.table.get(id).ok_or_else(|| not_found(id))?;
        if entry.page.as_ref() != Some(&page) {
            self.publish_entry(Entry { page: Some(page), ..Entry::clone(entry) });
        }
        Ok(())
    }

    pub(super) async fn change(
        &mut self,
        id: &DeviceId,
        change: Change,
        by: &Principal,
    ) -> Result<Device, DeskError> {
        let by = &self.still_admin(by)?;
        let mut entry = self.table.get(id).map(|entry| (**entry).clone()).ok_or_else(|| not_found(id))?;
        let other_rights = match change {
            Change::Name(name) => {
                entry.record.name = usable_name(&name)?;
                false
            }
            Change::Scopes(scopes) => {
                let scopes = changeable(by, scopes, &entry.record.scopes)?;
                std::mem::replace(&mut entry.record.scopes, scopes) != entry.record.scopes
            }
        };
        if !entry.temporary {
            let batch = vec![Write::Device(Box::new(entry.record.clone())), changed(id)];
            self.parts.journal.commit(batch).await?;
        }
        let shown = entry.shown();
        self.publish_entry(entry);
        if other_rights {
            self.connections.cut(id, CloseCode::ScopesChanged);
        }
        Ok(shown)
    }

    /// The device has shown that it knows: its entry stays. With what else is to be written.
    pub(super) async fn promote(&mut self, mut entry: Entry, mut batch: Vec<Write>) {
        entry.record.provisional = None;
        if entry.temporary {
            return self.publish_entry(entry);
        }
        batch.push(Write::Device(Box::new(entry.record.clone())));
        batch.push(changed(&entry.record.device_id));
        match self.parts.journal.commit(batch).await {
            Ok(()) => self.publish_entry(entry),
            // It stays provisional, and shows that it knows once more when it connects.
            Err(error) => tracing::error!(%error, "a paired device could not be recorded as such"),
        }
    }

    /// Out of the table first, so that no request is carried out from here on; then cut, written, and cleaned up after.
    pub(super) async fn remove(&mut self, removal: Removal) {
        let Removal { device, by, code, command, aftermath, reply } = removal;
        let farewell = code == CloseCode::Unpaired;
        if !farewell && let Err(error) = self.still_admin(&by) {
            return tell(reply, Err(error.into()));
        }
        // A removal that could not be written down has left its rows in the store only, and may be repeated.
        let stored = || self.parts.journal.devices().map(Table::new);
        let known = match self.table.get(&device) {
            Some(_) => Ok(self.table.clone()),
            None => stored().map(Arc::new),
        };
        let gone = match known {
            Ok(table) if table.get(&device).is_some() => with_descendants(&table, &device),
            Ok(_) => return tell(reply, Err(not_found(&device).into())),
            Err(error) => return tell(reply, Err(error.into())),
        };
        let temporary = self.table.get(&device).is_some_and(|entry| entry.temporary);
        self.publish(|table| gone.iter().for_each(|id| drop(table.remove(id))));
        self.tabs.forget(&device);
        let cuts = self.connections.cuts_of(&device);
        if !farewell {
            cuts.iter().for_each(|cut| cut.cut(code));
        }
        let mut others = Vec::new();
        let mut batch = Vec::new();
        for id in &gone {
            batch.extend(self.withdraw_pass_of(id));
            if *id != device {
                others.extend(self.connections.cuts_of(id));
            }
            if !temporary {
                batch.extend(removed(id));
            }
        }
        // They did not ask for it: nothing of theirs has to arrive.
        others.iter().for_each(|cut| cut.cut(CloseCode::Revoked));
        batch.extend(command.and_then(|command| command.remember(&Response::RevokeDevice(Done {}))));
        let written = self.parts.journal.commit(batch).await.map_err(|error| {
            tracing::error!(%error, %device, "the end of a pairing could not be recorded");
            DeskError::from(error)
        });
        tracing::info!(%device, why = code.word(), with = gone.len() - 1, "a pairing was ended");
        // Sessions are opened and tasks stopped for this; the desk has others to serve meanwhile.
        self.parts.tasks.spawn(async move {
            let leaving = cuts.iter().filter(|_| !farewell).chain(&others);
            let left = async {
                for cut in leaving {
                    cut.gone.cancelled().await;
                }
            };
            if tokio::time::timeout(LEAVING, left).await.is_err() {
                tracing::warn!("a request of a revoked device was still under way when that was answered");
            }
            aftermath(gone).await;
            tell(reply, written);
            if farewell {
                tokio::time::sleep(FAREWELL).await;
                cuts.iter().for_each(|cut| cut.cut(code));
            }
        });
    }

    /// Forgets devices that were approved and have not shown in time that they know. One that was paired and connected
    /// before it was paired once more is known to have its key: it stays.
    pub(super) async fn expire_provisional(&mut self) {
        let now = self.parts.clock.now();
        let is_due = |entry: &Entry| {
            !entry.temporary && entry.record.provisional.as_ref().is_some_and(|held| held.until <= now)
        };
        let due: Vec<Entry> =
            self.table.provisional().filter(|entry| is_due(entry)).map(|entry| (**entry).clone()).collect();
        for entry in due {
            if entry.record.last_seen.is_some() {
                self.promote(entry, Vec::new()).await;
                continue;
            }
            let id = entry.record.device_id;
            match self.parts.journal.commit(removed(&id).into()).await {
                Ok(()) => self.publish(|table| drop(table.remove(&id))),
                // It counts for nobody any more (`Devices`), and the next look tries again.
                Err(error) => {
                    tracing::error!(%error, device = %id, "an expired pairing could not be removed")
                }
            }
        }
    }
}

/// A device and those that came by its links, and by theirs. The device itself first.
pub(super) fn with_descendants(table: &Table, device: &DeviceId) -> Vec<DeviceId> {
    let mut found = vec![device.clone()];
    let mut looked_at = 0;
    // Each is found once, so that this ends whatever is in the table.
    while let Some(maker) = found.get(looked_at).cloned() {
        looked_at += 1;
        let made = table.entries().filter(|entry| entry.record.made_by.as_ref() == Some(&maker));
        let new: Vec<DeviceId> =
            made.map(|entry| entry.record.device_id.clone()).filter(|id| !found.contains(id)).collect();
        found.extend(new);
    }
    found
}

/// News of a device.
pub(super) fn changed(id: &DeviceId) -> Write {
    host_event(HostEventBody::DeviceChanged(DeviceChanged { device_id: id.clone() }))
}

/// The end of a device, and the news of it.
pub(super) fn removed(id: &DeviceId) -> [Write; 2] {
    let news = HostEventBody::DeviceRemoved(DeviceRemoved { device_id: id.clone() });
    [Write::RemoveDevice(id.clone()), host_event(news)]
}

/// Rights that `by` may hand out: with `observe`, and none that it does not hold itself.
pub(super) fn grantable(by: &Principal, scopes: Vec<Scope>) -> Result<Vec<Scope>, WireError> {
    changeable(by, scopes, &[])
}

/// As [`grantable`]; rights that the device holds already may stay.
fn changeable(by: &Principal, scopes: Vec<Scope>, held: &[Scope]) -> Result<Vec<Scope>, WireError> {
    let scopes = normal(scopes)
        .ok_or_else(|| invalid("scopes: \"observe\" must be among them; to give none, end the pairing"))?;
    let beyond = |scope: &&Scope| !by.local && !by.holds(**scope) && !held.contains(*scope);
    match scopes.iter().find(beyond) {
        None => Ok(scopes),
        Some(scope) => {
            let text = format!(
                "{} does not hold {:?} and so cannot give it to another device; leave it out, or answer at the host itself",
                by.name,
                scope.as_str()
            );
            Err(WireError::new(ErrorCode::Unauthorized, text).with("scope", scope.as_str()))
        }
    }
}

/// A name people can read: not empty, not long, nothing in it that does not show.
pub(super) fn usable_name(name: &str) -> Result<String, WireError> {
    let name = name.trim();
    if name.is_empty() || name.len() > MAX_DEVICE_NAME_BYTES {
        return Err(invalid(format!("name: 1 to {MAX_DEVICE_NAME_BYTES} bytes")));
    }
    if name.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err(invalid("name: control characters and characters that do not show are not allowed"));
    }
    Ok(name.to_owned())
}

pub(super) fn not_found(id: &DeviceId) -> WireError {
    let text = format!("no device {id} is paired with this host; `lanyard devices` lists those that are");
    WireError::new(ErrorCode::DeviceNotFound, text)
}
