//! Passes: links that do not need the pairing window.
//!
//! * The owner at the machine makes one for a tab of its own on this machine. Whoever comes with it is the owner there
//!   ([`super::tabs`]), and nobody is asked; it has to come through the browser's channel from this very machine.
//! * A paired device makes one for its own page at another address of this host. The page there is not checked by
//!   anybody, so that the link may be read by somebody else: whoever comes with it waits for an answer, as after the QR
//!   code's link, and the maker answers, who sees both screens. It gets at most the rights that the maker has at that
//!   moment, and goes when the maker goes.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lanyard_pairing::entrance::{PASS, PassId};
use lanyard_pairing::host::Confirmed;
use lanyard_pairing::{Abort, ChannelKey, Grant, PublicIdentity};
use lanyard_ports::journal::Write;
use lanyard_protocol::device::PairingEnd;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{HostEventBody, PairingRequested};
use lanyard_protocol::id::{DeviceId, PairingId};
use lanyard_protocol::limits::{MAX_DEVICE_NAME_BYTES, MAX_DEVICES};
use lanyard_protocol::method::LinkCreated;
use lanyard_protocol::principal::{Principal, Scope};
use rand_core::OsRng;
use tokio::sync::watch;

use super::actor::{Actor, Surface, host_event};
use super::decide::Newcomer;
use super::links::{normal, own_origin};
use super::pending::settled;
use super::window::switched_off;
use super::{DeskError, Place};
use crate::ids::invalid;
use crate::network::devices::{device_id, normal as normal_rights};
use crate::principals::is_in_a_tab;

/// Passes of the owner at once; the oldest goes for another one. Half of all there may be, so that devices leave the
/// owner room.
const OWN: usize = 4;

/// Passes of devices at once, one of each; the older one of a device goes for its newer one.
const OF_DEVICES: usize = 4;

/// Devices that one device has let in, at once: a page by name and by address, on two machines.
pub(super) const MAX_LET_IN: usize = 4;

/// Who made a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Maker {
    /// For a tab on this machine.
    Owner,
    /// For its page elsewhere.
    Device(DeviceId),
}

/// Who made which, oldest first. May name passes that are used up or have run out.
#[derive(Debug, Default)]
pub(super) struct Makers(BTreeMap<PassId, Maker>);

impl Makers {
    /// Whether a pass is for a tab of the owner.
    pub(super) fn is_owners(&self, pass: PassId) -> bool {
        self.0.get(&pass) == Some(&Maker::Owner)
    }
}

impl Actor {
    pub(super) async fn create_link(
        &mut self,
        by: &Principal,
        origin: Option<String>,
    ) -> Result<LinkCreated, DeskError> {
        let Some(surface) = &self.parts.surface else { return Err(switched_off().into()) };
        let (maker, origin) = match origin {
            None => (Maker::Owner, owners_origin(surface, by)?),
            Some(origin) => (self.transferring(by)?, one_of(&self.origins(), &origin)?),
        };
        let secret = self.issue(maker.clone())?;
        if let Maker::Device(device) = &maker {
            // One link, one question: what its page shows belongs to the link beside it.
            let ended = self.end_questions_of(device);
            self.note(ended).await;
        }
        let Some(surface) = &self.parts.surface else { return Err(switched_off().into()) };
        let link = self.link(surface, secret, &origin);
        let lasts = i64::try_from(PASS.as_millis()).unwrap_or(i64::MAX);
        Ok(LinkCreated { link, expires_at: self.parts.clock.now().plus_millis(lasts) })
    }

    /// The device that asks for a link to its page elsewhere.
    fn transferring(&self, by: &Principal) -> Result<Maker, WireError> {
        if by.local {
            return Err(invalid(
                "origin: the owner at the machine lets another page in by pairing it: use `lanyard pair`, or \"Pair \
                 a device\" on the page",
            ));
        }
        let maker = device_of(&self.standing(by)?).ok_or_else(|| unauthorized(NOT_PAIRED))?;
        self.expect_room(&maker, None)?;
        Ok(Maker::Device(maker))
    }

    /// Fails where a device may let in no other one, or no other one but `again`.
    fn expect_room(&self, maker: &DeviceId, again: Option<&DeviceId>) -> Result<(), WireError> {
        let now = self.parts.clock.now();
        let entry = self.table.valid(maker, now).filter(|entry| !entry.temporary);
        let entry = entry.ok_or_else(|| unauthorized(NOT_PAIRED))?;
        if entry.record.made_by.is_some() {
            let text = "this device came by another device's link and lets no further one in: make the link on that \
                        device, or pair by QR code";
            return Err(unauthorized(text));
        }
        let made = self.table.entries().filter(|entry| entry.record.made_by.as_ref() == Some(maker));
        let living = made.filter(|entry| entry.is_valid(now) && Some(&entry.record.device_id) != again);
        if living.count() >= MAX_LET_IN {
            return Err(invalid(format!(
                "{MAX_LET_IN} devices came by this device's links already: unpair one of them, or pair the next one by \
                 QR code"
            )));
        }
        Ok(())
    }

    /// Fails unless whoever has these keys may be let in by a device.
    pub(super) fn may_let_in(&self, maker: &DeviceId, keys: &PublicIdentity) -> Result<(), WireError> {
        let holders = self.table.holders(keys);
        if holders.contains(maker) {
            return Err(unauthorized("a device lets in another one, not itself"));
        }
        // One that comes once more takes no place.
        self.expect_room(maker, holders.first())
    }

    /// The rights that a device holds now: what it may give to a page of its own.
    pub(super) fn rights_of(&self, maker: &DeviceId) -> Vec<Scope> {
        let entry = self.table.valid(maker, self.parts.clock.now()).filter(|entry| !entry.temporary);
        entry.and_then(|entry| normal_rights(entry.record.scopes.clone())).unwrap_or_default()
    }

    /// What a page that a device lets in is called: as before, or as the maker, numbered.
    pub(super) fn name_beside(&self, maker: &DeviceId, device: &DeviceId) -> Option<String> {
        let held = |id: &DeviceId| self.table.get(id).filter(|entry| !entry.temporary);
        if let Some(again) = held(device) {
            return Some(again.record.name.clone());
        }
        let taken = |name: &str| self.table.entries().any(|entry| entry.record.name == name);
        held(maker).map(|maker| numbered(&maker.record.name, taken))
    }

    fn issue(&mut self, maker: Maker) -> Result<lanyard_pairing::LinkSecret, WireError> {
        let now = self.tick();
        let Self { entrance, makers: Makers(makers), .. } = self;
        let passes = &mut entrance.passes;
        passes.forget(now);
        makers.retain(|pass, _| passes.holds(*pass));
        let limit = if maker == Maker::Owner { OWN } else { 1 };
        let own: Vec<PassId> = makers.iter().filter(|(_, by)| **by == maker).map(|(id, _)| *id).collect();
        // The newest is the one that somebody looks at.
        for old in own.iter().rev().skip(limit - 1) {
            passes.withdraw(*old);
            makers.remove(old);
        }
        let of_devices = makers.values().filter(|by| **by != Maker::Owner).count();
        let full = maker != Maker::Owner && of_devices >= OF_DEVICES;
        let Some((id, secret)) = (if full { None } else { passes.issue(now, &mut OsRng) }) else {
            let text =
                "other devices are being moved to other addresses at this moment; try again in two minutes";
            return Err(WireError::new(ErrorCode::RateLimited, text));
        };
        makers.insert(id, maker);
        Ok(secret)
    }

    /// Whether a pass may be used by whoever proves it here. One that is carried to another place than its own is known
    /// to somebody it was not made for: it is withdrawn.
    pub(super) fn check_pass(
        &mut self,
        pass: PassId,
        peer: ChannelKey,
        from: SocketAddr,
    ) -> Result<(), Abort> {
        let here = matches!(peer, ChannelKey::Agreement(_)) && from.ip().is_loopback();
        if self.makers.0.get(&pass) == Some(&Maker::Owner) && !here {
            tracing::warn!(%from, "a link for a tab of the owner was used elsewhere and is withdrawn");
            self.entrance.passes.withdraw(pass);
            return Err(Abort::Elsewhere);
        }
        Ok(())
    }

    /// Somebody has proven a pass: a tab of the owner is let in, and who came by a device's link waits for its answer.
    pub(super) async fn come_by(
        &mut self,
        confirmed: Confirmed,
        pass: PassId,
        from: SocketAddr,
    ) -> Result<Place, Abort> {
        match self.makers.0.remove(&pass).ok_or(Abort::Used)? {
            Maker::Owner => self.admit(confirmed).await,
            Maker::Device(maker) => {
                self.may_let_in(&maker, confirmed.device()).map_err(|why| {
                    tracing::warn!(%why, %from, "who came by a device's link is not let in");
                    Abort::Denied
                })?;
                self.enter(confirmed, from, Some(maker)).await
            }
        }
    }

    /// Lets in a tab of the owner. As when a person says yes, it is on disk before anybody hears of it.
    async fn admit(&mut self, confirmed: Confirmed) -> Result<Place, Abort> {
        let internal = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "a tab of the owner could not be let in");
            Abort::Internal
        };
        let device = device_id(confirmed.device()).map_err(|error| internal(&error))?;
        let id = PairingId::new(self.parts.ids.fresh("pair")).map_err(|error| internal(&error))?;
        let (scopes, device_name) = self.as_the_owner(&confirmed, &device)?;
        let grant = Grant { scopes, device_name, granted_at: self.parts.clock.now() };
        let mut newcomer = Newcomer::new(&confirmed, device.clone(), grant, &self.table, &self.connections);
        newcomer.entry.temporary = true;
        let asked = PairingRequested { pairing_id: id.clone() };
        let mut batch = vec![host_event(HostEventBody::PairingRequested(asked))];
        batch.extend(newcomer.rows());
        batch.push(settled(id, PairingEnd::Approved));
        self.parts.journal.commit(batch).await.map_err(|error| internal(&error))?;
        let now = self.tick();
        self.tabs.add(device, now);
        tracing::info!("a tab of the owner is let in");
        let verdict = watch::channel(self.let_in(newcomer)).1;
        Ok(Place { sid: confirmed.sid(), verdict })
    }

    fn as_the_owner(&self, confirmed: &Confirmed, device: &DeviceId) -> Result<(Vec<Scope>, String), Abort> {
        if !self.tabs.has_room_for(device) {
            return Err(Abort::Full);
        }
        // A paired device that became a tab would be forgotten with it.
        let lasting = |id: &DeviceId| self.table.get(id).is_some_and(|entry| !entry.temporary);
        if lasting(device) || self.table.holders(confirmed.device()).iter().any(lasting) {
            return Err(Abort::Elsewhere);
        }
        let every = vec![Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin];
        Ok((every, confirmed.name().to_owned()))
    }

    /// Takes back every pass.
    pub(super) fn withdraw_passes(&mut self) {
        for (pass, _) in std::mem::take(&mut self.makers.0) {
            self.entrance.passes.withdraw(pass);
        }
    }

    /// Takes back a device's pass and ends the question that came by it; what tells of it is to be written.
    pub(super) fn withdraw_pass_of(&mut self, device: &DeviceId) -> Vec<Write> {
        let Self { entrance, makers: Makers(makers), .. } = self;
        makers.retain(|pass, maker| {
            let stays = !matches!(maker, Maker::Device(id) if id == device);
            if !stays {
                entrance.passes.withdraw(*pass);
            }
            stays
        });
        self.end_questions_of(device)
    }

    /// The same by the device's own wish. Whether there was anything.
    pub(super) async fn withdraw(&mut self, device: &DeviceId) -> Result<bool, DeskError> {
        let now = self.tick();
        self.entrance.passes.forget(now);
        let of_device = |maker: &Maker| matches!(maker, Maker::Device(id) if id == device);
        let held =
            self.makers.0.iter().any(|(pass, maker)| of_device(maker) && self.entrance.passes.holds(*pass));
        let ended = self.withdraw_pass_of(device);
        let any = held || !ended.is_empty();
        if !ended.is_empty() {
            self.parts.journal.commit(ended).await?;
        }
        Ok(any)
    }
}

const NOT_PAIRED: &str = "this device is not paired with the host any more";

fn unauthorized(text: &str) -> WireError {
    WireError::new(ErrorCode::Unauthorized, text)
}

/// The paired device that asks; none for the owner, in a tab or not.
pub(super) fn device_of(by: &Principal) -> Option<DeviceId> {
    if by.local { None } else { DeviceId::new(by.id.as_str()).ok() }
}

/// Where the owner's page is: on this machine's own loopback address, which needs no certificate.
fn owners_origin(surface: &Surface, by: &Principal) -> Result<String, WireError> {
    if !by.local || is_in_a_tab(by) {
        let text = "only the owner at the machine itself makes a link for a tab of its own: run `lanyard open` there";
        return Err(WireError::new(ErrorCode::Unauthorized, text));
    }
    let bound = surface.endpoint.local_address();
    if !bound.ip().is_unspecified() && !bound.ip().is_loopback() {
        let text = format!(
            "the owner's page is served on this machine's loopback address, which host.listen = \"{bound}\" leaves \
             out: set it to \"[::]:{}\", restart the host, and open the page again",
            bound.port()
        );
        return Err(invalid(text));
    }
    Ok(own_origin(bound))
}

/// The origin that is meant, as it is listed.
fn one_of(known: &[String], origin: &str) -> Result<String, WireError> {
    let wanted = normal(origin);
    if known.contains(&wanted) {
        return Ok(wanted);
    }
    Err(invalid(format!("origin: not an address of this host's page; it has {}", known.join(", "))))
}

/// The first of `name (2)`, `name (3)`, … that nobody has.
fn numbered(name: &str, taken: impl Fn(&str) -> bool) -> String {
    let base = match name.rsplit_once(" (") {
        Some((base, number)) if number.strip_suffix(')').is_some_and(|n| n.parse::<u32>().is_ok()) => base,
        _ => name,
    };
    // More than there may be devices, so that one is free.
    let names = (2..=MAX_DEVICES + 3).map(|number| {
        let suffix = format!(" ({number})");
        let mut end = base.len().min(MAX_DEVICE_NAME_BYTES.saturating_sub(suffix.len()));
        while !base.is_char_boundary(end) {
            end -= 1;
        }
        format!("{}{suffix}", base.get(..end).unwrap_or_default().trim_end())
    });
    let mut last = name.to_owned();
    for candidate in names {
        last = candidate;
        if !taken(&last) {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::{numbered, one_of};
    use lanyard_protocol::limits::MAX_DEVICE_NAME_BYTES;

    #[test]
    fn a_name_is_numbered_from_two_and_fits() {
        assert_eq!(numbered("Pixel", |_| false), "Pixel (2)");
        assert_eq!(numbered("Pixel (2)", |name| name == "Pixel (2)"), "Pixel (3)");
        assert_eq!(numbered("Pixel (work)", |_| false), "Pixel (work) (2)");
        let long = "ü".repeat(MAX_DEVICE_NAME_BYTES / 2);
        let fitted = numbered(&long, |_| false);
        assert!(fitted.len() <= MAX_DEVICE_NAME_BYTES && fitted.ends_with("ü (2)"), "{fitted}");
    }

    #[test]
    fn only_an_origin_of_this_host_is_taken() {
        let known = ["https://192.168.1.7:7717".to_owned(), "https://lanyard-x.local:7717".to_owned()];
        assert_eq!(one_of(&known, "https://LANYARD-x.local:7717/").unwrap(), known[1]);
        for other in [
            "http://192.168.1.7:7717",
            "https://192.168.1.7",
            "https://192.168.1.7:7717/x",
            "https://192.168.1.7:7717@evil.example",
            "https://evil.example",
            "",
        ] {
            assert!(one_of(&known, other).unwrap_err().message.contains(&known[0]), "{other}");
        }
    }
}
