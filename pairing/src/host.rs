//! The host's side: [`greet`] → `AwaitShare` → `Consume` → `AwaitConfirm` → `Confirmed`, then a person's answer.
//!
//! The ways in (the window with its code, link and attempts; passes) are shared by all conversations of a host; whoever
//! owns them lends them to the transitions that need them. After a pass nobody is asked: the answer was given when it was
//! made, and whoever owns the ways in says it.

use lanyard_protocol::Tick;
use lanyard_protocol::device::PairingMethod;
use lanyard_protocol::principal::Scope;
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use x25519_dalek::{EphemeralSecret, PublicKey};
use zeroize::Zeroize;

use crate::abort::Abort;
use crate::channel::{Channel, ChannelKey};
use crate::digits::Digits;
use crate::entrance::{Claim, Entrance, PassId};
use crate::grant::{Grant, Seal};
use crate::identity::{IdentityKeys, PublicIdentity};
use crate::message::{
    ConfirmA, ConfirmB, Hello, Offer, SealedGrant, ShareB, Sid, ToDevice, ToHost, VERSIONS, to_bytes,
};
use crate::proof::{Role, prove, verify};
use crate::request;
use crate::resumption;
use crate::schedule::Schedule;
use crate::spake::{Exchange, Terms};
use crate::transcript::{Said, Transcript, commitment, equal};

/// Answers the first message. `name` is what the host calls itself: 1–64 bytes that a screen shows as they are.
///
/// # Errors
/// See [`Abort`]; nothing was consumed. [`Abort::Internal`] when `name` cannot be used.
pub fn greet(
    keys: &IdentityKeys,
    name: &str,
    channel: Channel,
    message: ToHost,
    entrance: &Entrance,
    now: Tick,
    rng: &mut impl CryptoRngCore,
) -> Result<(AwaitShare, ToDevice), Abort> {
    let hello = match message {
        ToHost::Hello(hello) => hello,
        other => return Err(unexpected(&other)),
    };
    let version = VERSIONS.iter().find(|ours| hello.versions.contains(ours)).ok_or(Abort::Version)?;
    let host = keys.public();
    let claim = entrance.claim(&hello, &channel.binding, now);
    // Why nobody may come at all is said first, what is wrong with this device then, a wrong secret last.
    if let Err(why) = &claim
        && *why != Abort::WrongSecret
    {
        return Err(*why);
    }
    check(&hello, &channel, &host)?;
    let claim = claim?;
    if !request::is_name(name) {
        return Err(Abort::Internal);
    }
    let (mut sid, mut nonce) = (Sid([0; 16]), [0; 32]);
    rng.fill_bytes(&mut sid.0);
    rng.fill_bytes(&mut nonce);
    let terms =
        Terms { version: *version, binding: &channel.binding, sid: &sid, device: &hello.device, host: &host };
    let exchange = Exchange::start(Role::Host, &claim.shared, &terms, rng);
    let ephemeral = EphemeralSecret::random_from_rng(rng);
    let offer = Offer {
        version: *version,
        sid,
        host,
        ephemeral: PublicKey::from(&ephemeral).to_bytes(),
        name: name.to_owned(),
        commitment: commitment(&sid, &nonce, exchange.share()),
    };
    let message = ToDevice::Offer(offer.clone());
    let keys = keys.clone();
    Ok((AwaitShare { keys, hello, offer, claim, channel, ephemeral, nonce, exchange }, message))
}

fn check(hello: &Hello, channel: &Channel, host: &PublicIdentity) -> Result<(), Abort> {
    // A device with our own key is ourselves, reflected.
    if !channel.peer.belongs_to(&hello.device) || hello.device == *host {
        return Err(Abort::KeyMismatch);
    }
    if !hello.device.is_sound() {
        return Err(Abort::BadProof);
    }
    request::check(hello)
}

/// The offer is sent.
#[must_use]
pub struct AwaitShare {
    keys: IdentityKeys,
    hello: Hello,
    offer: Offer,
    claim: Claim,
    channel: Channel,
    ephemeral: EphemeralSecret,
    nonce: [u8; 32],
    exchange: Exchange,
}

impl AwaitShare {
    /// The pass whose secret the device has shown that it knows.
    pub fn pass(&self) -> Option<PassId> {
        self.claim.pass.as_ref().map(|pass| pass.id)
    }

    /// Takes the device's share and, after a typed code, the one attempt slot.
    ///
    /// # Errors
    /// [`Abort::Busy`] while another attempt has the slot. After any error nothing was consumed.
    pub fn handle(self, message: ToHost, entrance: &mut Entrance, now: Tick) -> Result<Consume, Abort> {
        let theirs = match message {
            ToHost::ShareA(share) => share,
            other => return Err(unexpected(&other)),
        };
        let ours = ShareB { share: self.exchange.share().to_vec() };
        // A share that no honest device sends is no guess: it is refused before anything is consumed.
        let exchanged = self.exchange.finish(&theirs.share)?;
        entrance.begin(&self.offer.sid, &self.claim, now)?;
        let transcript = Transcript::of(&Said {
            binding: &self.channel.binding,
            hello: &self.hello,
            offer: &self.offer,
            share_a: &theirs,
            share_b: &ours,
        });
        let schedule = Schedule::derive(&transcript, &exchanged);
        let next = AwaitConfirm {
            keys: self.keys,
            hello: self.hello,
            offer: self.offer,
            claim: self.claim,
            channel: self.channel,
            ephemeral: self.ephemeral,
            nonce: self.nonce,
            device_nonce: theirs.nonce,
            transcript,
            schedule,
        };
        Ok(Consume { next, share: ours })
    }
}

/// An attempt that has to be on disk before the host's share may leave.
#[must_use]
pub struct Consume {
    next: AwaitConfirm,
    share: ShareB,
}

impl Consume {
    /// How the device shows that it is meant. Only typed codes count against the limits.
    pub fn method(&self) -> PairingMethod {
        self.next.claim.shared.method()
    }

    /// The caller has written the attempt down.
    pub fn recorded(self) -> (AwaitConfirm, ToDevice) {
        (self.next, ToDevice::ShareB(self.share))
    }

    /// The attempt could not be written down: frees the slot. The attempt stays consumed.
    pub fn abandon(self, entrance: &mut Entrance, now: Tick) {
        self.next.abandon(entrance, now);
    }
}

/// The host's share is sent; the device must prove.
#[must_use]
pub struct AwaitConfirm {
    keys: IdentityKeys,
    hello: Hello,
    offer: Offer,
    claim: Claim,
    channel: Channel,
    ephemeral: EphemeralSecret,
    nonce: [u8; 32],
    device_nonce: [u8; 32],
    transcript: Transcript,
    schedule: Schedule,
}

impl AwaitConfirm {
    /// The pass whose secret the device has shown that it knows.
    pub fn pass(&self) -> Option<PassId> {
        self.claim.pass.as_ref().map(|pass| pass.id)
    }

    /// The key the channel has proven.
    pub fn peer(&self) -> ChannelKey {
        self.channel.peer
    }

    /// Takes the device's proofs. On success the window, or the pass, is used up; on failure the slot is free and the attempt stays
    /// consumed (which may burn the code, see [`Window::settle`]).
    ///
    /// # Errors
    /// See [`Abort`]. [`Abort::Timeout`] when another attempt has taken the slot over, whatever the proofs are.
    pub fn handle(
        self,
        message: ToHost,
        entrance: &mut Entrance,
        now: Tick,
    ) -> Result<(Confirmed, ToDevice), Abort> {
        let sid = self.offer.sid;
        let claim = self.claim.clone();
        let outcome = match message {
            ToHost::ConfirmA(confirm) => {
                entrance.may_succeed(&sid, &claim, now).and_then(|()| self.verify(&confirm))
            }
            other => Err(unexpected(&other)),
        };
        match outcome {
            Ok(_) => entrance.succeed(&claim),
            Err(_) => entrance.release(&sid, &claim),
        }
        outcome
    }

    fn verify(self, confirm: &ConfirmA) -> Result<(Confirmed, ToDevice), Abort> {
        let Self { keys, hello, offer, claim, channel, ephemeral, nonce, transcript, schedule, .. } = self;
        if !equal(&schedule.confirmation(Role::Device, &transcript), &confirm.confirmation) {
            return Err(Abort::WrongSecret);
        }
        verify(&confirm.proof, &hello.device, &channel.peer, ephemeral, Role::Device, &transcript)?;
        let message = ToDevice::ConfirmB(ConfirmB {
            confirmation: schedule.confirmation(Role::Host, &transcript),
            proof: prove(&keys, &channel.peer, &hello.ephemeral, Role::Host, &transcript)?,
            nonce,
        });
        let confirmed = Confirmed {
            sid: offer.sid,
            host: offer.host,
            method: claim.shared.method(),
            pass: claim.pass.map(|pass| pass.id),
            digits: schedule.digits(&nonce, &self.device_nonce),
            hello,
            schedule,
        };
        Ok((confirmed, message))
    }

    /// The connection is gone, or the time is up: frees the slot. The attempt stays consumed.
    pub fn abandon(self, entrance: &mut Entrance, _now: Tick) {
        entrance.release(&self.offer.sid, &self.claim);
    }
}

/// A device may give up, for a reason that a device can have; anything else that is not awaited is out of order.
fn unexpected(message: &ToHost) -> Abort {
    let ToHost::Abort(why) = message else { return Abort::OutOfOrder };
    match why {
        Abort::Version
        | Abort::WrongSecret
        | Abort::Malformed
        | Abort::OutOfOrder
        | Abort::KeyMismatch
        | Abort::WrongHost
        | Abort::BadShare
        | Abort::BadProof
        | Abort::BadCommitment
        | Abort::Timeout => *why,
        // Only a host can know these: they must not pass for ours in its log.
        Abort::NotOpen
        | Abort::Expired
        | Abort::Used
        | Abort::Burnt
        | Abort::Busy
        | Abort::TooMany
        | Abort::BadRequest
        | Abort::Denied
        | Abort::Unanswered
        | Abort::Unknown
        | Abort::Full
        | Abort::Internal
        | Abort::Elsewhere => Abort::Malformed,
    }
}

/// Both sides have proven; a person decides.
pub struct Confirmed {
    sid: Sid,
    host: PublicIdentity,
    method: PairingMethod,
    pass: Option<PassId>,
    digits: Digits,
    hello: Hello,
    schedule: Schedule,
}

impl Confirmed {
    /// Names the attempt.
    pub fn sid(&self) -> Sid {
        self.sid
    }

    /// The device, proven.
    pub fn device(&self) -> &PublicIdentity {
        &self.hello.device
    }

    /// What it calls itself.
    pub fn name(&self) -> &str {
        &self.hello.name
    }

    /// What it says it runs on.
    pub fn platform(&self) -> &str {
        &self.hello.platform
    }

    /// Rights it asks for, sorted and unique.
    pub fn requested_scopes(&self) -> &[Scope] {
        &self.hello.scopes
    }

    /// How it showed that it is meant.
    pub fn method(&self) -> PairingMethod {
        self.method
    }

    /// The pass it came by: then nobody is to be asked.
    pub fn pass(&self) -> Option<PassId> {
        self.pass
    }

    /// The comparison string.
    pub fn digits(&self) -> Digits {
        self.digits
    }

    /// Whether a message on a new channel comes from this device: [`ToHost::Resume`], for this sid, in a channel that
    /// proves the device's key.
    pub fn is_resumed_by(&self, message: &ToHost, channel: &Channel) -> bool {
        resumption::is_from(&self.schedule.resume, &self.sid, &self.hello.device, message, channel)
    }

    /// Seals a person's yes. What it returns is to be on disk, as the device's provisional entry, before
    /// [`Provisional::grant`] may leave.
    pub fn approve(&self, grant: &Grant, rng: &mut impl CryptoRngCore) -> Provisional {
        let seal = Seal { sid: &self.sid, device: &self.hello.device, host: &self.host };
        Provisional {
            sid: self.sid,
            device: self.hello.device,
            resume_key: self.schedule.resume,
            sealed: seal.close(&self.schedule.grant, grant, rng),
        }
    }
}

/// An approved device that has not yet shown that it knows. Kept with its row until then, so that a lost grant can be
/// sent again, after a restart too. Secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisional {
    sid: Sid,
    device: PublicIdentity,
    resume_key: [u8; 32],
    sealed: SealedGrant,
}

/// Version of [`Provisional::to_bytes`].
const RECORD: u8 = 1;

impl Provisional {
    /// Names the attempt.
    pub fn sid(&self) -> Sid {
        self.sid
    }

    /// The message that tells the device.
    pub fn grant(&self) -> ToDevice {
        ToDevice::Grant(self.sealed.clone())
    }

    /// As [`Confirmed::is_resumed_by`].
    pub fn is_resumed_by(&self, message: &ToHost, channel: &Channel) -> bool {
        resumption::is_from(&self.resume_key, &self.sid, &self.device, message, channel)
    }

    /// Whether a message is this device's acknowledgement.
    pub fn is_acknowledged_by(&self, message: &ToHost) -> bool {
        let ToHost::Ack(mac) = message else { return false };
        equal(&resumption::acknowledgement(&self.resume_key, &self.sid), mac)
    }

    /// For the device's row in the store.
    pub fn to_bytes(&self) -> Vec<u8> {
        [vec![RECORD], to_bytes(self)].concat()
    }

    /// From the row; `None` when it was written by another version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&RECORD, record) = bytes.split_first()? else { return None };
        match postcard::take_from_bytes(record) {
            Ok((provisional, [])) => Some(provisional),
            Ok(_) | Err(_) => None,
        }
    }
}

impl Drop for Provisional {
    fn drop(&mut self) {
        self.resume_key.zeroize();
    }
}

macro_rules! closed_debug {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

closed_debug!(AwaitShare, Consume, AwaitConfirm, Confirmed);

impl std::fmt::Debug for Provisional {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provisional").field("device", &self.device.fingerprint()).finish_non_exhaustive()
    }
}
