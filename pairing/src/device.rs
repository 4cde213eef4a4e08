//! The device's side: [`start`] → `AwaitOffer` → `AwaitShare` → `AwaitConfirm` → [`PendingJoin`], then the answer.

use lanyard_protocol::principal::Scope;
use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use x25519_dalek::{EphemeralSecret, PublicKey};
use zeroize::Zeroize;

use crate::abort::Abort;
use crate::channel::Channel;
use crate::code::PairingCode;
use crate::digits::Digits;
use crate::grant::{Grant, Seal};
use crate::identity::{Fingerprint, IdentityKeys, PublicIdentity};
use crate::link::LinkSecret;
use crate::message::{ConfirmA, Hello, Offer, Resume, ShareA, Sid, ToDevice, ToHost, VERSIONS};
use crate::proof::{Role, prove, verify};
use crate::request;
use crate::resumption;
use crate::schedule::Schedule;
use crate::spake::{Exchange, Shared, Terms};
use crate::transcript::{Said, Transcript, commitment, equal, link_mac};

/// What the device knows that only the host's owner can have told it.
#[derive(Debug, Clone)]
pub enum Secret {
    /// Typed.
    Code(PairingCode),
    /// Scanned, with the hash of the keys the host must have.
    Link(LinkSecret, Fingerprint),
}

/// What the device says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Name for people.
    pub name: String,
    /// What it runs on.
    pub platform: String,
    /// Rights it asks for.
    pub scopes: Vec<Scope>,
}

/// Begins a pairing in a channel.
///
/// # Errors
/// [`Abort::BadRequest`] when `about` cannot be used.
pub fn start(
    keys: &IdentityKeys,
    about: &About,
    secret: Secret,
    channel: Channel,
    rng: &mut impl CryptoRngCore,
) -> Result<(AwaitOffer, ToHost), Abort> {
    let ephemeral = EphemeralSecret::random_from_rng(&mut *rng);
    let mut scopes = about.scopes.clone();
    scopes.sort();
    scopes.dedup();
    let mut hello = Hello {
        versions: VERSIONS.to_vec(),
        name: about.name.clone(),
        platform: about.platform.clone(),
        device: keys.public(),
        ephemeral: PublicKey::from(&ephemeral).to_bytes(),
        scopes,
        link_mac: None,
    };
    request::check(&hello)?;
    let (shared, expected) = match secret {
        Secret::Code(code) => (Shared::Code(code), None),
        Secret::Link(secret, host) => {
            hello.link_mac = Some(link_mac(&secret, &channel.binding, &hello));
            (Shared::Link(secret), Some(host))
        }
    };
    let message = ToHost::Hello(hello.clone());
    Ok((AwaitOffer { keys: keys.clone(), hello, shared, expected, channel, ephemeral }, message))
}

/// `Hello` is sent.
#[must_use]
pub struct AwaitOffer {
    keys: IdentityKeys,
    hello: Hello,
    shared: Shared,
    expected: Option<Fingerprint>,
    channel: Channel,
    ephemeral: EphemeralSecret,
}

impl AwaitOffer {
    /// Takes the offer, sends the share.
    ///
    /// # Errors
    /// See [`Abort`].
    pub fn handle(
        self,
        message: ToDevice,
        rng: &mut impl CryptoRngCore,
    ) -> Result<(AwaitShare, ToHost), Abort> {
        let offer = match message {
            ToDevice::Offer(offer) => offer,
            other => return Err(unexpected(&other)),
        };
        self.check(&offer)?;
        let terms = Terms {
            version: offer.version,
            binding: &self.channel.binding,
            sid: &offer.sid,
            device: &self.hello.device,
            host: &offer.host,
        };
        let exchange = Exchange::start(Role::Device, &self.shared, &terms, rng);
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let share = ShareA { share: exchange.share().to_vec(), nonce };
        let message = ToHost::ShareA(share.clone());
        let Self { keys, hello, channel, ephemeral, .. } = self;
        Ok((AwaitShare { keys, hello, channel, ephemeral, offer, share, exchange }, message))
    }

    fn check(&self, offer: &Offer) -> Result<(), Abort> {
        if !self.hello.versions.contains(&offer.version) {
            return Err(Abort::Version);
        }
        // A host with our own key is ourselves, reflected.
        if !self.channel.peer.belongs_to(&offer.host) || offer.host == self.hello.device {
            return Err(Abort::KeyMismatch);
        }
        if self.expected.is_some_and(|expected| expected != offer.host.fingerprint()) {
            return Err(Abort::WrongHost);
        }
        if !offer.host.is_sound() {
            return Err(Abort::BadProof);
        }
        if request::is_name(&offer.name) { Ok(()) } else { Err(Abort::Malformed) }
    }
}

/// The share is sent.
#[must_use]
pub struct AwaitShare {
    keys: IdentityKeys,
    hello: Hello,
    channel: Channel,
    ephemeral: EphemeralSecret,
    offer: Offer,
    share: ShareA,
    exchange: Exchange,
}

impl AwaitShare {
    /// Takes the host's share, proves.
    ///
    /// # Errors
    /// See [`Abort`].
    pub fn handle(self, message: ToDevice) -> Result<(AwaitConfirm, ToHost), Abort> {
        let theirs = match message {
            ToDevice::ShareB(share) => share,
            other => return Err(unexpected(&other)),
        };
        let exchanged = self.exchange.finish(&theirs.share)?;
        let transcript = Transcript::of(&Said {
            binding: &self.channel.binding,
            hello: &self.hello,
            offer: &self.offer,
            share_a: &self.share,
            share_b: &theirs,
        });
        let schedule = Schedule::derive(&transcript, &exchanged);
        let message = ToHost::ConfirmA(ConfirmA {
            confirmation: schedule.confirmation(Role::Device, &transcript),
            proof: prove(&self.keys, &self.channel.peer, &self.offer.ephemeral, Role::Device, &transcript)?,
        });
        let next = AwaitConfirm {
            device: self.hello.device,
            channel: self.channel,
            ephemeral: self.ephemeral,
            offer: self.offer,
            nonce: self.share.nonce,
            host_share: theirs.share,
            transcript,
            schedule,
        };
        Ok((next, message))
    }
}

/// The device has proven; the host must now.
#[must_use]
pub struct AwaitConfirm {
    device: PublicIdentity,
    channel: Channel,
    ephemeral: EphemeralSecret,
    offer: Offer,
    nonce: [u8; 32],
    host_share: Vec<u8>,
    transcript: Transcript,
    schedule: Schedule,
}

impl AwaitConfirm {
    /// Takes the host's proofs. What it returns is to be written down before anything is shown: with it the wait for a
    /// person's answer survives a broken connection and a killed process.
    ///
    /// # Errors
    /// See [`Abort`].
    pub fn handle(self, message: ToDevice) -> Result<PendingJoin, Abort> {
        let confirm = match message {
            ToDevice::ConfirmB(confirm) => confirm,
            other => return Err(unexpected(&other)),
        };
        let Self { device, channel, ephemeral, offer, transcript, schedule, .. } = self;
        if !equal(&schedule.confirmation(Role::Host, &transcript), &confirm.confirmation) {
            return Err(Abort::WrongSecret);
        }
        verify(&confirm.proof, &offer.host, &channel.peer, ephemeral, Role::Host, &transcript)?;
        if !equal(&commitment(&offer.sid, &confirm.nonce, &self.host_share), &offer.commitment) {
            return Err(Abort::BadCommitment);
        }
        Ok(PendingJoin {
            sid: offer.sid,
            host: offer.host,
            host_name: offer.name,
            device,
            digits: schedule.digits(&confirm.nonce, &self.nonce).number(),
            resume_key: schedule.resume,
            grant_key: schedule.grant,
        })
    }
}

/// The host may end a pairing at any time and says why; anything else that is not awaited is out of order.
fn unexpected(message: &ToDevice) -> Abort {
    match message {
        ToDevice::Abort(why) => *why,
        ToDevice::Offer(_)
        | ToDevice::ShareB(_)
        | ToDevice::ConfirmB(_)
        | ToDevice::Waiting
        | ToDevice::Grant(_)
        | ToDevice::Lineage(_) => Abort::OutOfOrder,
    }
}

/// A pairing that both machines have agreed on and a person has not answered yet. Secret: keep it in a file of mode
/// 0600.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingJoin {
    sid: Sid,
    host: PublicIdentity,
    host_name: String,
    device: PublicIdentity,
    digits: u32,
    resume_key: [u8; 32],
    grant_key: [u8; 32],
}

/// What the host says while the device waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nobody has answered yet.
    Waiting,
    /// To be written down, then acknowledged with [`PendingJoin::acknowledge`].
    Granted(Grant),
}

impl PendingJoin {
    /// The host, proven.
    pub fn host(&self) -> &PublicIdentity {
        &self.host
    }

    /// What it calls itself.
    pub fn host_name(&self) -> &str {
        &self.host_name
    }

    /// The comparison string.
    pub fn digits(&self) -> Digits {
        Digits::from_number(self.digits)
    }

    /// The first message on a new channel to the same host.
    ///
    /// # Errors
    /// [`Abort::WrongHost`] when the channel leads to somebody else.
    pub fn resume(&self, channel: &Channel) -> Result<ToHost, Abort> {
        if !channel.peer.belongs_to(&self.host) {
            return Err(Abort::WrongHost);
        }
        let mac = resumption::mac(&self.resume_key, &self.sid, channel, &self.device);
        Ok(ToHost::Resume(Resume { sid: self.sid, mac }))
    }

    /// Reads an answer. `Err` ends the pairing: the record is to be deleted. What is granted comes from a host that has
    /// proven itself and is taken as it is.
    ///
    /// # Errors
    /// The host's reason, or what is wrong with its message; see [`Abort`].
    pub fn answer(&self, message: ToDevice) -> Result<Answer, Abort> {
        match message {
            ToDevice::Waiting => Ok(Answer::Waiting),
            ToDevice::Grant(sealed) => {
                let seal = Seal { sid: &self.sid, device: &self.device, host: &self.host };
                seal.open(&self.grant_key, &sealed).map(Answer::Granted)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Says that the grant is written down.
    pub fn acknowledge(&self) -> ToHost {
        ToHost::Ack(resumption::acknowledgement(&self.resume_key, &self.sid))
    }
}

impl Drop for PendingJoin {
    fn drop(&mut self) {
        self.resume_key.zeroize();
        self.grant_key.zeroize();
        self.digits.zeroize();
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

closed_debug!(AwaitOffer, AwaitShare, AwaitConfirm);

impl std::fmt::Debug for PendingJoin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingJoin").field("host", &self.host.fingerprint()).finish_non_exhaustive()
    }
}
