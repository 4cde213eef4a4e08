//! A person's answer to a device that asks to be paired.

use std::collections::BTreeSet;

use lanyard_pairing::host::Confirmed;
use lanyard_pairing::message::ToDevice;
use lanyard_pairing::{Abort, Grant, PublicIdentity};
use lanyard_ports::journal::{DeviceRecord, ProvisionalDevice, Write};
use lanyard_protocol::approval::Decision;
use lanyard_protocol::device::{PairingEnd, PairingMethod};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{DeviceId, PairingId};
use lanyard_protocol::method::{DecidePairing, PairingDecided, Response};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_transport::close::CloseCode;
use rand_core::OsRng;

use super::actor::Actor;
use super::connections::Connections;
use super::paired::{changed, grantable, removed, usable_name, with_descendants};
use super::pending::{Pending, settled};
use super::{Decided, DeskError, Verdict};
use crate::command::NewCommand;
use crate::network::devices::{Entry, Table};
use crate::network::tally::Counted;

/// How long an approved device may take to show that it knows, in milliseconds.
pub(super) const PROVISIONAL: i64 = 10 * 60 * 1000;

impl Actor {
    pub(super) async fn decide(&mut self, decided: Decided) -> Result<PairingDecided, DeskError> {
        let Decided { by, answer, command } = decided;
        let by = self.standing(&by)?;
        let Some(pending) = self.waiters.find(&answer.pairing_id) else {
            return Err(not_found(&answer.pairing_id).into());
        };
        // Without `admin` a device answers those that came by its own link, and no others.
        if !pending.may_be_answered_by(&by) {
            self.still_admin(&by)?;
        }
        match answer.decision {
            Decision::Denied => self.deny(answer.pairing_id, Some(command)).await,
            Decision::Approved => self.approve(&by, answer, command).await,
        }
    }

    async fn deny(
        &mut self,
        id: PairingId,
        command: Option<NewCommand>,
    ) -> Result<PairingDecided, DeskError> {
        let outcome = PairingDecided { pairing_id: id.clone(), end: PairingEnd::Denied, device: None };
        let mut batch = vec![settled(id.clone(), PairingEnd::Denied)];
        batch.extend(command.and_then(|c| c.remember(&Response::DecidePairing(outcome.clone()))));
        self.parts.journal.commit(batch).await?;
        let now = self.tick();
        self.parts.tally.add(Counted::Aborted(Abort::Denied.word()));
        if let Some(pending) = self.waiters.find(&id) {
            pending.end(Abort::Denied, now);
        }
        Ok(outcome)
    }

    async fn approve(
        &mut self,
        by: &Principal,
        answer: DecidePairing,
        command: NewCommand,
    ) -> Result<PairingDecided, DeskError> {
        let DecidePairing { pairing_id: id, digits, scopes, name, .. } = answer;
        let Some(pending) = self.waiters.find(&id) else { return Err(not_found(&id).into()) };
        // What cannot be granted is said before a try at the digits is spent.
        let (keys, device) = (*pending.confirmed.device(), pending.device.clone());
        let maker = pending.made_by.clone();
        let mut asked_for = pending.confirmed.requested_scopes().to_vec();
        let mut called = pending.confirmed.name().to_owned();
        if let Some(maker) = &maker {
            self.may_let_in(maker, &keys)?;
            self.expect_own(by, maker, &keys)?;
            asked_for = self.rights_of(maker);
            called = self.name_beside(maker, &device).unwrap_or(called);
        }
        let scopes = grantable(by, scopes.unwrap_or_else(|| asked_for.clone()))?;
        if let Some(beyond) = scopes.iter().find(|scope| maker.is_some() && !asked_for.contains(scope)) {
            let text = format!(
                "the device whose link this is does not hold {:?}, so nobody gets it by that link; leave it out",
                beyond.as_str()
            );
            return Err(WireError::new(ErrorCode::Unauthorized, text).with("scope", beyond.as_str()).into());
        }
        let name = usable_name(&name.unwrap_or(called))?;
        let Some(pending) = self.waiters.find(&id) else { return Err(not_found(&id).into()) };
        if let Err(wrong) = check_digits(pending, digits.as_deref()) {
            if pending.digit_tries == 0 {
                tracing::warn!(pairing = %id, "a device was denied after wrong digits");
                self.deny(id, None).await?;
            }
            return Err(wrong.into());
        }
        self.grant(id, scopes, name, command).await
    }

    /// Fails where a device without `admin` would put another one's entry in place of what a person gave it.
    fn expect_own(&self, by: &Principal, maker: &DeviceId, keys: &PublicIdentity) -> Result<(), WireError> {
        let holders = self.table.holders(keys);
        let own = |id| self.table.get(id).is_some_and(|held| held.record.made_by.as_ref() == Some(maker));
        if by.holds(Scope::Admin) || holders.iter().all(own) {
            return Ok(());
        }
        let text = "that page is paired already, and not by a link of this device: unpair it there first, or answer on a \
                    device that holds \"admin\"";
        Err(WireError::new(ErrorCode::Unauthorized, text).with("scope", Scope::Admin.as_str()))
    }

    /// The approved device is on disk before it, or anybody, hears of it: a host that is killed in between has the
    /// grant still, and the device comes back for it.
    async fn grant(
        &mut self,
        id: PairingId,
        scopes: Vec<Scope>,
        name: String,
        command: NewCommand,
    ) -> Result<PairingDecided, DeskError> {
        let at = self.parts.clock.now();
        let Some(pending) = self.waiters.find(&id) else { return Err(not_found(&id).into()) };
        let grant = Grant { scopes, device_name: name, granted_at: at };
        let device = pending.device.clone();
        let mut newcomer = Newcomer::new(&pending.confirmed, device, grant, &self.table, &self.connections);
        newcomer.entry.record.made_by = pending.made_by.clone();
        let outcome = PairingDecided {
            pairing_id: id.clone(),
            end: PairingEnd::Approved,
            device: Some(newcomer.entry.shown()),
        };
        let mut batch = newcomer.rows();
        batch.push(settled(id.clone(), PairingEnd::Approved));
        batch.extend(command.remember(&Response::DecidePairing(outcome.clone())));
        self.parts.journal.commit(batch).await?;
        let verdict = self.let_in(newcomer);
        if let Some(pending) = self.waiters.find(&id) {
            pending.verdict.send_replace(verdict);
        }
        self.waiters.remove(&id);
        Ok(outcome)
    }

    /// A device that was approved, and is on disk, is one from now on. What it is told.
    pub(super) fn let_in(&mut self, newcomer: Newcomer) -> Verdict {
        let Newcomer { entry, former, other_rights, grant } = newcomer;
        lanyard_ports::fault::point("pairing.provisional");
        let device = entry.record.device_id.clone();
        self.parts.tally.add(Counted::Paired);
        self.publish(|table| {
            former.iter().for_each(|former| drop(table.remove(former)));
            table.put(entry);
        });
        former.iter().for_each(|former| self.connections.cut(former, CloseCode::Revoked));
        if other_rights {
            self.connections.cut(&device, CloseCode::ScopesChanged);
        }
        Verdict::Granted(device, Box::new(grant))
    }
}

/// A device that is approved: what is to be on disk before it, or anybody, hears of it, and what follows then.
pub(super) struct Newcomer {
    pub(super) entry: Entry,
    /// Other ids under which it was paired, and who came by their links.
    former: BTreeSet<DeviceId>,
    /// It was paired already, with others.
    other_rights: bool,
    /// What it is told.
    grant: ToDevice,
}

impl Newcomer {
    /// From what it has proven and what it is granted.
    pub(super) fn new(
        confirmed: &Confirmed,
        device: DeviceId,
        grant: Grant,
        table: &Table,
        connections: &Connections,
    ) -> Self {
        let provisional = confirmed.approve(&grant, &mut OsRng);
        let held = table.get(&device);
        let keys = confirmed.device();
        // A device that kept the key it connects with and changed the other one is the same device.
        // What it had let in under its former name goes with that.
        let former: BTreeSet<DeviceId> = table
            .holders(keys)
            .iter()
            .filter(|holder| **holder != device)
            .flat_map(|holder| with_descendants(table, holder))
            .filter(|former| *former != device)
            .collect();
        let connections = connections.count_of(&device);
        let Grant { scopes, device_name: name, granted_at: paired_at } = grant;
        let record = DeviceRecord {
            device_id: device,
            name,
            platform: confirmed.platform().to_owned(),
            signing_key: keys.signing,
            agreement_key: keys.agreement,
            scopes,
            paired_at,
            last_seen: held.and_then(|held| held.record.last_seen.clone()),
            provisional: Some(ProvisionalDevice {
                until: paired_at.plus_millis(PROVISIONAL),
                state: provisional.to_bytes(),
            }),
            made_by: None,
        };
        let other_rights = held.is_some_and(|held| held.record.scopes != record.scopes);
        let entry = Entry { record, connections, temporary: false, page: None };
        Self { entry, former, other_rights, grant: provisional.grant() }
    }

    /// What is written of it; nothing of a temporary one.
    pub(super) fn rows(&self) -> Vec<Write> {
        if self.entry.temporary {
            return Vec::new();
        }
        let mut rows = Vec::from_iter(self.former.iter().flat_map(removed));
        rows.push(Write::Device(Box::new(self.entry.record.clone())));
        rows.push(changed(&self.entry.record.device_id));
        rows
    }
}

/// After a typed code the digits are needed; after a link they need not be given, and if they are they must be right.
fn check_digits(pending: &mut Pending, typed: Option<&str>) -> Result<(), WireError> {
    let Some(typed) = typed else {
        return match pending.confirmed.method() {
            PairingMethod::Link => Ok(()),
            // Nothing was guessed, so no try is spent.
            PairingMethod::Code => Err(digits_wrong(
                "type the six digits that the device shows: after a typed code they are needed".to_owned(),
                pending.digit_tries,
            )),
        };
    };
    if pending.digit_tries > 0 && pending.confirmed.digits().matches(typed) {
        return Ok(());
    }
    pending.digit_tries = pending.digit_tries.saturating_sub(1);
    let text = match pending.digit_tries {
        0 => "these are not the digits that the device shows; it was denied, because somebody may be between the two \
              machines: pair again, with the QR code if you can"
            .to_owned(),
        1 => "these are not the digits that the device shows; look again, one try is left".to_owned(),
        left => format!("these are not the digits that the device shows; look again, {left} tries are left"),
    };
    Err(digits_wrong(text, pending.digit_tries))
}

fn digits_wrong(text: String, tries_left: u32) -> WireError {
    WireError::new(ErrorCode::PairingDigitsWrong, text).with("triesLeft", tries_left)
}

fn not_found(id: &PairingId) -> WireError {
    let text = format!(
        "no device asks under {id}: it was answered already, gave up, or waited too long; `lanyard pairings` lists those that wait"
    );
    WireError::new(ErrorCode::PairingNotFound, text)
}
