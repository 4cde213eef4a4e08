//! A person's answer to a device that asks to be paired.

use lanyard_pairing::{Abort, Grant};
use lanyard_ports::journal::{DeviceRecord, ProvisionalDevice, Write};
use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::Decision;
use lanyard_protocol::device::{PairingEnd, PairingMethod};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::PairingId;
use lanyard_protocol::method::{DecidePairing, PairingDecided, Response};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_transport::close::CloseCode;
use rand_core::OsRng;

use super::actor::Actor;
use super::paired::{changed, grantable, removed, usable_name};
use super::pending::{Pending, settled};
use super::{Decided, DeskError, Verdict};
use crate::command::NewCommand;
use crate::network::devices::Entry;
use crate::network::tally::Counted;

/// How long an approved device may take to show that it knows, in milliseconds.
pub(super) const PROVISIONAL: i64 = 10 * 60 * 1000;

impl Actor {
    pub(super) async fn decide(&mut self, decided: Decided) -> Result<PairingDecided, DeskError> {
        let Decided { by, answer, command } = decided;
        let by = self.still_admin(&by)?;
        if self.waiters.find(&answer.pairing_id).is_none() {
            return Err(not_found(&answer.pairing_id).into());
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
        let scopes = scopes.unwrap_or_else(|| pending.confirmed.requested_scopes().to_vec());
        let scopes = grantable(by, scopes)?;
        let name = usable_name(&name.unwrap_or_else(|| pending.confirmed.name().to_owned()))?;
        if let Err(wrong) = check_digits(pending, digits.as_deref()) {
            if pending.digit_tries == 0 {
                tracing::warn!(pairing = %id, "a device was denied after wrong digits");
                self.deny(id, None).await?;
            }
            return Err(wrong.into());
        }
        self.grant(id, scopes, name, command).await
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
        let provisional = pending.confirmed.approve(&grant, &mut OsRng);
        let held = self.table.get(&pending.device).cloned();
        // A device that kept the key it connects with and changed the other one is the same device.
        let holder = self.table.holder(&pending.confirmed.device().signing);
        let former = holder.filter(|holder| **holder != pending.device).cloned();
        let state = provisional.to_bytes();
        let record = record(pending, grant, state, at, held.as_deref());
        let device = record.device_id.clone();
        let connections = self.connections.count_of(&device);
        let other_rights = held.is_some_and(|held| held.record.scopes != record.scopes);
        let entry = Entry { record: record.clone(), connections };
        let outcome =
            PairingDecided { pairing_id: id.clone(), end: PairingEnd::Approved, device: Some(entry.shown()) };
        let mut batch = former.as_ref().map(removed).map(Vec::from).unwrap_or_default();
        batch.extend([
            Write::Device(Box::new(record)),
            changed(&device),
            settled(id.clone(), PairingEnd::Approved),
        ]);
        batch.extend(command.remember(&Response::DecidePairing(outcome.clone())));
        self.parts.journal.commit(batch).await?;
        lanyard_ports::fault::point("pairing.provisional");
        self.parts.tally.add(Counted::Paired);
        self.publish(|table| {
            former.iter().for_each(|former| drop(table.remove(former)));
            table.put(entry);
        });
        if let Some(former) = former {
            self.connections.cut(&former, CloseCode::Revoked);
        }
        if other_rights {
            self.connections.cut(&device, CloseCode::ScopesChanged);
        }
        if let Some(pending) = self.waiters.find(&id) {
            let grant = Box::new(provisional.grant());
            pending.verdict.send_replace(Verdict::Granted(device, grant));
        }
        self.waiters.remove(&id);
        Ok(outcome)
    }
}

fn record(
    pending: &Pending,
    grant: Grant,
    state: Vec<u8>,
    at: Timestamp,
    held: Option<&Entry>,
) -> DeviceRecord {
    let keys = pending.confirmed.device();
    DeviceRecord {
        device_id: pending.device.clone(),
        name: grant.device_name,
        platform: pending.confirmed.platform().to_owned(),
        signing_key: keys.signing,
        agreement_key: keys.agreement,
        scopes: grant.scopes,
        paired_at: at,
        last_seen: held.and_then(|held| held.record.last_seen.clone()),
        provisional: Some(ProvisionalDevice { until: at.plus_millis(PROVISIONAL), state }),
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
