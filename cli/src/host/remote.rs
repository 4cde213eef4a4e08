//! The way to a paired host: its remembered addresses and, beside them, what is heard on the network, raced for the one
//! key the host has to prove.
//!
//! A host that presents another key is asked how it follows from the known one. Its answer counts only if the chain of
//! signatures holds ([`Lineage::follow`](lanyard_pairing::identity::Lineage::follow)); nothing is ever accepted by
//! saying yes to it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use lanyard_pairing::PublicIdentity;
use lanyard_transport::close::{CloseCode, Ended};
use lanyard_transport::dial::{Candidate, DialError, Dialer, Source};
use lanyard_transport::discovery::Browser;
use lanyard_transport::join;
use lanyard_transport::peer::Peer;
use lanyard_transport::session::Session;
use tokio::time::Instant;

use crate::exit::Failure;
use crate::known::{HostsFile, KnownHost, device_key};

/// Head start of the remembered addresses: they usually answer within milliseconds, and asking the whole network for
/// nothing would cost every short command.
const HEAD_START: Duration = Duration::from_millis(250);

/// How long the network is listened to. A host answers within a second unless it was asked by others just now
/// (RFC 6762 §6).
const LISTEN: Duration = Duration::from_secs(3);

/// Longest attempt, all addresses together: dead ones are given up by the dialer long before.
const ATTEMPT: Duration = Duration::from_secs(20);

/// Why a paired host cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// It does not answer.
    #[error(
        "{alias} cannot be reached: {reason}. Is it on, and on this network? `lanyard doctor` looks further"
    )]
    Unreachable {
        /// What it is called here.
        alias: String,
        /// What was tried.
        reason: DialError,
    },
    /// It answers and wants nothing from this device.
    #[error("{alias}: {reason}")]
    TurnedAway {
        /// What it is called here.
        alias: String,
        /// How.
        reason: Ended,
    },
    /// It is there, or might be, and cannot be talked to as things are.
    #[error("{alias}: {reason}")]
    Unfit {
        /// What it is called here.
        alias: String,
        /// Versions that do not fit, no socket.
        reason: DialError,
    },
    /// Somebody answers who is not it, and cannot show to have become it.
    #[error(
        "{alias}: identity changed: {address} presents another key than the one this device was paired with ({why}). \
         The host was reinstalled, or an impostor answers. If you know that it was reinstalled, pair again: \
         `lanyard pair` there, `lanyard join` here. Nothing was sent"
    )]
    IdentityChanged {
        /// What it is called here.
        alias: String,
        /// Where.
        address: SocketAddr,
        /// Why it was not followed.
        why: String,
    },
    /// The connection broke and did not come back.
    #[error(
        "the connection to {alias} broke ({reason}); what was acknowledged is kept there. `lanyard hosts` shows whether it can be reached"
    )]
    Gone {
        /// What it is called here.
        alias: String,
        /// How it broke.
        reason: String,
    },
}

impl RemoteError {
    /// Whether trying again later may help.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, RemoteError::Unreachable { .. } | RemoteError::Gone { .. })
    }

    /// Whether the host has ended this device's pairing: a refusal, no fault of the network.
    pub(crate) fn is_revocation(&self) -> bool {
        matches!(self, RemoteError::TurnedAway { reason: Ended::ByPeer(CloseCode::Revoked), .. })
    }
}

/// See the module. Cheap to clone; all clones share one socket.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    host: KnownHost,
    file: HostsFile,
    dialer: Dialer,
    /// How long the network is listened to.
    listen: Duration,
}

/// A host that was found.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) session: Session,
    /// The way, with what was learnt.
    pub(crate) route: Route,
    /// What the person at the terminal should know, in a sentence.
    pub(crate) notice: Option<String>,
}

impl Route {
    /// The way to a host this device is paired with. Needs a tokio runtime.
    ///
    /// # Errors
    /// The device has no key, or no socket can be opened.
    pub(crate) fn new(host: KnownHost, file: HostsFile) -> Result<Self, Failure> {
        let keys = device_key(file.state_dir())?;
        let dialer = Dialer::new(&keys).map_err(|e| Failure::Other(e.to_string()))?;
        Ok(Self { host, file, dialer, listen: LISTEN })
    }

    /// The same way, with less time to listen to the network; none at all for no time.
    pub(crate) fn listening(self, listen: Duration) -> Self {
        Self { listen, ..self }
    }

    /// The same socket for another host.
    pub(crate) fn for_host(&self, host: KnownHost) -> Self {
        Self { host, ..self.clone() }
    }

    /// What the host is called here.
    pub(crate) fn alias(&self) -> &str {
        &self.host.alias
    }

    /// The keys it is known by.
    pub(crate) fn identity(&self) -> &PublicIdentity {
        &self.host.identity
    }

    /// Finds the host. Bounded in time.
    pub(crate) async fn reach(mut self) -> Result<Reached, RemoteError> {
        let mut notice = None;
        let peer = match self.race().await {
            Err(DialError::OtherKey { address }) => match self.follow(address).await {
                Ok(followed) => {
                    notice = Some(followed);
                    self.race().await
                }
                // Somebody else may have the host's old address, and the host another one.
                Err(changed) => match self.heard().await {
                    Some(found) => found,
                    None => return Err(changed),
                },
            },
            raced => raced,
        };
        let peer = peer.map_err(|error| self.failed(error))?;
        self.remember(&peer).await;
        let session = Session::start(peer, self.dialer.clone());
        Ok(Reached { session, route: self, notice })
    }

    fn failed(&self, error: DialError) -> RemoteError {
        let alias = self.host.alias.clone();
        match error {
            // Only these are its last word; that it is busy, stops, or was too slow passes.
            DialError::Refused {
                reason:
                    reason @ Ended::ByPeer(
                        CloseCode::NotPaired | CloseCode::Revoked | CloseCode::Unpaired | CloseCode::Protocol,
                    ),
                ..
            } => RemoteError::TurnedAway { alias, reason },
            reason @ (DialError::Version { .. } | DialError::Socket(_)) => {
                RemoteError::Unfit { alias, reason }
            }
            DialError::OtherKey { address } => {
                let why = "it changed again while it was followed".to_owned();
                RemoteError::IdentityChanged { alias, address, why }
            }
            reason => RemoteError::Unreachable { alias, reason },
        }
    }

    /// Remembered addresses and heard ones. What is heard only adds to them: neither its failure nor a stranger who
    /// answers there counts for anything.
    async fn race(&self) -> Result<Peer, DialError> {
        let candidates: Vec<Candidate> = self
            .host
            .addresses
            .iter()
            .map(|address| Candidate { address: *address, source: Source::LastKnown })
            .collect();
        let key = self.host.identity.signing;
        let direct = self.dialer.session(&candidates, key);
        let heard = self.heard();
        let both = async {
            tokio::pin!(direct, heard);
            tokio::select! {
                result = &mut direct => match result {
                    // Only the right host can refuse; whether another key is its new one is asked at once.
                    Ok(_) | Err(DialError::Refused { .. } | DialError::OtherKey { .. }) => result,
                    Err(error) => match heard.await {
                        Some(found) => found,
                        None => Err(error),
                    },
                },
                found = &mut heard => match found {
                    Some(found) => found,
                    None => direct.await,
                },
            }
        };
        match tokio::time::timeout(ATTEMPT, both).await {
            Ok(result) => result,
            Err(_) => {
                let silent = |candidate: &Candidate| (candidate.address, "no answer in time".to_owned());
                Err(DialError::Unreachable(candidates.iter().map(silent).collect()))
            }
        }
    }

    /// The host at an address heard just now; `None` when it was not heard or is not there.
    async fn heard(&self) -> Option<Result<Peer, DialError>> {
        if self.listen.is_zero() {
            return None;
        }
        let mut tried: BTreeSet<SocketAddr> = self.host.addresses.iter().copied().collect();
        if !tried.is_empty() {
            tokio::time::sleep(HEAD_START).await;
        }
        let mut browser = match Browser::start() {
            Ok(browser) => browser,
            Err(error) => {
                tracing::debug!(%error, "no discovery");
                return None;
            }
        };
        let short = self.host.fingerprint().short();
        let until = Instant::now() + self.listen;
        loop {
            let sighting = tokio::time::timeout_at(until, browser.next()).await.ok()??;
            if sighting.short_id != short {
                continue;
            }
            let new: Vec<Candidate> = sighting
                .addresses
                .into_iter()
                .filter(|address| tried.insert(*address))
                .map(|address| Candidate { address, source: Source::Discovered })
                .collect();
            if new.is_empty() {
                continue;
            }
            match self.dialer.session(&new, self.host.identity.signing).await {
                found @ (Ok(_) | Err(DialError::Refused { .. })) => return Some(found),
                Err(error) => tracing::debug!(%error, "not where it was heard"),
            }
        }
    }

    /// Somebody presents another key: asks how it follows from the known one, and takes it over if it does.
    async fn follow(&mut self, address: SocketAddr) -> Result<String, RemoteError> {
        let alias = self.host.alias.clone();
        let changed = |why: String| RemoteError::IdentityChanged { alias: alias.clone(), address, why };
        let there = [Candidate { address, source: Source::LastKnown }];
        let old = self.host.fingerprint();
        let (lineage, presented) =
            join::lineage(&self.dialer, &there, old).await.map_err(|error| changed(error.to_string()))?;
        let new: PublicIdentity =
            lineage.follow(&self.host.identity, &presented).map_err(|error| changed(error.to_string()))?;
        self.host.identity = new;
        if let Err(error) = self.file.change_aside(move |known| known.follow(old, new)).await {
            // The chain holds whether or not it can be written down; the next command follows it again.
            tracing::warn!(%error, "the host's new keys were not written down");
        }
        Ok(format!(
            "{alias} has new keys, signed by the ones this device knew; its id is now {}.",
            new.fingerprint()
        ))
    }

    /// Where it was found is where it is looked for first the next time.
    async fn remember(&mut self, peer: &Peer) {
        let (of, address) = (self.host.fingerprint(), peer.address());
        if self.host.addresses.first() == Some(&address) {
            return;
        }
        self.host.addresses.retain(|known| *known != address);
        self.host.addresses.insert(0, address);
        if let Err(error) = self.file.change_aside(move |known| known.reached(of, address)).await {
            // A convenience: the command itself goes on.
            tracing::debug!(%error, "the host's address was not written down");
        }
    }
}
