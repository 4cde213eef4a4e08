//! Devices that have proven the code or the link and wait for a person.

use std::net::SocketAddr;
use std::time::Duration;

use lanyard_pairing::host::{Confirmed, Provisional};
use lanyard_pairing::message::{Sid, ToDevice, ToHost};
use lanyard_pairing::{Abort, Channel};
use lanyard_ports::journal::Write;
use lanyard_protocol::device::{PairingEnd, PairingMethod, PendingPairing};
use lanyard_protocol::event::{HostEventBody, PairingRequested, PairingSettled};
use lanyard_protocol::id::{DeviceId, PairingId};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::{Tick, Timestamp};
use tokio::sync::watch;

use super::actor::{Actor, host_event, window_changed};
use super::passes::device_of;
use super::{Place, Verdict};
use crate::network::devices::device_id;
use crate::network::tally::Counted;

/// Devices that wait, and those that were answered and may come back to hear it. One person does not answer more.
const MAX_PENDING: usize = 32;

/// How long a question waits, and how long its end is remembered: a phone that sleeps wakes within this.
const PENDING: Duration = Duration::from_secs(10 * 60);

/// Wrong digits after which the device is denied: three typing errors are plenty, three guesses at six digits nothing.
pub(super) const DIGIT_TRIES: u32 = 3;

/// One device and its question.
pub(super) struct Pending {
    pub(super) id: PairingId,
    pub(super) device: DeviceId,
    pub(super) confirmed: Confirmed,
    /// Whose link it came by.
    pub(super) made_by: Option<DeviceId>,
    from: SocketAddr,
    asked_at: Timestamp,
    expires_at: Timestamp,
    /// When the question runs out; once it has ended, when that is forgotten.
    due: Tick,
    pub(super) digit_tries: u32,
    /// How the question ended.
    ended: Option<Abort>,
    pub(super) verdict: watch::Sender<Verdict>,
}

/// All of them, oldest first.
#[derive(Default)]
pub(super) struct Waiters(Vec<Pending>);

impl Waiters {
    /// Whether one more may wait. Those that were answered make room.
    pub(super) fn has_room(&self) -> bool {
        self.waiting().count() < MAX_PENDING
    }

    fn waiting(&self) -> impl Iterator<Item = &Pending> {
        self.0.iter().filter(|pending| pending.ended.is_none())
    }

    pub(super) fn next_due(&self) -> Option<Tick> {
        self.0.iter().map(|pending| pending.due).min()
    }

    /// A question that waits.
    pub(super) fn find(&mut self, id: &PairingId) -> Option<&mut Pending> {
        self.0.iter_mut().find(|pending| pending.ended.is_none() && pending.id == *id)
    }

    /// Takes a question out for good.
    pub(super) fn remove(&mut self, id: &PairingId) {
        self.0.retain(|pending| pending.id != *id);
    }

    fn push(&mut self, pending: Pending) {
        if self.0.len() >= MAX_PENDING {
            let answered = self.0.iter().position(|pending| pending.ended.is_some());
            if let Some(answered) = answered {
                self.0.remove(answered);
            }
        }
        self.0.push(pending);
    }
}

impl Pending {
    /// Ends the question; the device is told, now or when it comes back.
    pub(super) fn end(&mut self, why: Abort, now: Tick) {
        self.ended = Some(why);
        self.due = now.plus(PENDING);
        self.verdict.send_replace(Verdict::Ended(why));
    }

    /// Whether somebody with these rights may see it and answer.
    pub(super) fn may_be_answered_by(&self, by: &Principal) -> bool {
        by.holds(Scope::Admin)
            || self.made_by.as_ref().is_some_and(|maker| device_of(by).as_ref() == Some(maker))
    }

    fn place(&self) -> Place {
        Place { sid: self.confirmed.sid(), verdict: self.verdict.subscribe() }
    }
}

/// The end of a question, for the host log.
pub(super) fn settled(pairing_id: PairingId, end: PairingEnd) -> Write {
    host_event(HostEventBody::PairingSettled(PairingSettled { pairing_id, end }))
}

impl Actor {
    /// Puts a device's question before people; `made_by` made the link that it came by.
    pub(super) async fn enter(
        &mut self,
        confirmed: Confirmed,
        from: SocketAddr,
        made_by: Option<DeviceId>,
    ) -> Result<Place, Abort> {
        let internal = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "a device that asks to be paired could not be recorded");
            Abort::Internal
        };
        let used = if made_by.is_none() { self.window_used() } else { None };
        let mut batch: Vec<Write> = used.into_iter().collect();
        let has_room = self.has_room();
        let device = device_id(confirmed.device()).map_err(|e| internal(&e))?;
        let id = PairingId::new(self.parts.ids.fresh("pair")).map_err(|e| internal(&e))?;
        let (now, at) = (self.tick(), self.parts.clock.now());
        // A device asks one question at a time: the older one is of an attempt that it has given up.
        for older in self.waiters.0.iter_mut().filter(|p| p.ended.is_none() && p.device == device) {
            older.end(Abort::Unknown, now);
            batch.push(settled(older.id.clone(), PairingEnd::Expired));
        }
        if has_room {
            batch.push(host_event(HostEventBody::PairingRequested(PairingRequested {
                pairing_id: id.clone(),
            })));
        }
        if let Err(error) = self.parts.journal.commit(batch).await {
            return Err(internal(&error));
        }
        if !has_room {
            return Err(Abort::Full);
        }
        let wait = i64::try_from(PENDING.as_millis()).unwrap_or(i64::MAX);
        let pending = Pending {
            id,
            device,
            confirmed,
            made_by,
            from,
            asked_at: at,
            expires_at: at.plus_millis(wait),
            due: now.plus(PENDING),
            digit_tries: DIGIT_TRIES,
            ended: None,
            verdict: watch::Sender::new(Verdict::Waiting),
        };
        tracing::info!(device = %pending.device, "a device asks to be paired");
        let place = pending.place();
        self.waiters.push(pending);
        Ok(place)
    }

    /// What somebody may see: without `admin` only who came by a link of theirs.
    pub(super) fn shown_waiters(&self, by: &Principal) -> Vec<PendingPairing> {
        let shown = |pending: &Pending| {
            let confirmed = &pending.confirmed;
            let method = confirmed.method();
            let requested = match &pending.made_by {
                Some(maker) => self.rights_of(maker),
                None => confirmed.requested_scopes().to_vec(),
            };
            PendingPairing {
                pairing_id: pending.id.clone(),
                device_id: pending.device.clone(),
                name: confirmed.name().to_owned(),
                platform: confirmed.platform().to_owned(),
                address: pending.from.to_string(),
                requested_scopes: requested,
                method,
                // After a typed code they have to come from the device's screen: whoever only looks here must not be
                // able to say yes.
                digits: (method == PairingMethod::Link).then(|| confirmed.digits().to_string()),
                known: !self.table.holders(confirmed.device()).is_empty(),
                made_by: pending.made_by.clone(),
                asked_at: pending.asked_at,
                expires_at: pending.expires_at,
            }
        };
        self.waiters.waiting().filter(|pending| pending.may_be_answered_by(by)).map(shown).collect()
    }

    /// Ends the questions that came by a device's link; what tells of it is to be written.
    pub(super) fn end_questions_of(&mut self, maker: &DeviceId) -> Vec<Write> {
        let now = self.tick();
        let of_maker =
            |pending: &&mut Pending| pending.ended.is_none() && pending.made_by.as_ref() == Some(maker);
        let ended = self.waiters.0.iter_mut().filter(of_maker).map(|pending| {
            pending.end(Abort::Unknown, now);
            settled(pending.id.clone(), PairingEnd::Expired)
        });
        ended.collect()
    }

    /// A device that lost its connection is back: it waits on, or hears what was decided meanwhile.
    pub(super) fn resume(
        &mut self,
        message: &ToHost,
        channel: &Channel,
        from: SocketAddr,
    ) -> Result<(Place, ToDevice), Abort> {
        let ToHost::Resume(resume) = message else { return Err(Abort::OutOfOrder) };
        let held = self.waiters.0.iter_mut().find(|pending| {
            pending.confirmed.sid() == resume.sid && pending.confirmed.is_resumed_by(message, channel)
        });
        if let Some(pending) = held {
            if let Some(why) = pending.ended {
                return Err(why);
            }
            pending.from = from;
            let older = std::mem::replace(&mut pending.verdict, watch::Sender::new(Verdict::Waiting));
            older.send_replace(Verdict::Superseded);
            return Ok((pending.place(), ToDevice::Waiting));
        }
        let (device, provisional) = self.granted(resume.sid).ok_or(Abort::Unknown)?;
        if !provisional.is_resumed_by(message, channel) {
            return Err(Abort::Unknown);
        }
        let grant = provisional.grant();
        let verdict = Verdict::Granted(device, Box::new(grant.clone()));
        Ok((Place { sid: resume.sid, verdict: watch::channel(verdict).1 }, grant))
    }

    /// A device that was approved under this attempt and has not shown yet that it knows.
    fn granted(&self, sid: Sid) -> Option<(DeviceId, Provisional)> {
        let now = self.parts.clock.now();
        self.table.provisional().find_map(|entry| {
            let held = entry.record.provisional.as_ref().filter(|held| now < held.until)?;
            let provisional = Provisional::from_bytes(&held.state)?;
            (provisional.sid() == sid).then(|| (entry.record.device_id.clone(), provisional))
        })
    }

    /// The device has written its grant down.
    pub(super) async fn acknowledge(&mut self, device: &DeviceId, message: &ToHost) -> Result<(), Abort> {
        // Promoted already by a session, or revoked meanwhile: nothing is left to do.
        let Some(entry) = self.table.get(device).cloned() else { return Ok(()) };
        let Some(held) = &entry.record.provisional else { return Ok(()) };
        let provisional = Provisional::from_bytes(&held.state).ok_or(Abort::Unknown)?;
        if !provisional.is_acknowledged_by(message) {
            return Err(Abort::BadProof);
        }
        self.promote((*entry).clone(), Vec::new()).await;
        Ok(())
    }

    /// The device gives up.
    pub(super) async fn give_up(&mut self, sid: Sid) {
        let now = self.tick();
        let held = self.waiters.0.iter_mut().find(|p| p.ended.is_none() && p.confirmed.sid() == sid);
        if let Some(pending) = held {
            pending.end(Abort::Unknown, now);
            let id = pending.id.clone();
            self.note(vec![settled(id, PairingEnd::Expired)]).await;
        }
    }

    /// Ends questions nobody answered, and forgets those that ended long ago.
    pub(super) async fn expire_pending(&mut self) {
        let now = self.tick();
        self.waiters.0.retain(|pending| pending.ended.is_none() || now < pending.due);
        let mut batch = Vec::new();
        for pending in self.waiters.0.iter_mut().filter(|pending| pending.due <= now) {
            pending.end(Abort::Unanswered, now);
            self.parts.tally.add(Counted::Aborted(Abort::Unanswered.word()));
            batch.push(settled(pending.id.clone(), PairingEnd::Expired));
        }
        if !batch.is_empty() {
            self.note(batch).await;
        }
    }

    /// Closes the window and ends every question; what tells of it is to be written.
    pub(super) fn drop_pairings(&mut self, reason: &str) -> Vec<Write> {
        let now = self.tick();
        self.entrance.window.close();
        self.withdraw_passes();
        let open = std::mem::take(&mut self.window_open);
        let mut batch: Vec<Write> = open.then(|| window_changed(false, reason)).into_iter().collect();
        for pending in self.waiters.0.iter_mut().filter(|pending| pending.ended.is_none()) {
            pending.end(Abort::Unknown, now);
            batch.push(settled(pending.id.clone(), PairingEnd::Expired));
        }
        batch
    }
}
