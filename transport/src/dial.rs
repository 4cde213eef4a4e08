//! The way to a host: candidate addresses, raced on one UDP socket.

mod race;
mod rank;

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lanyard_pairing::IdentityKeys;
use lanyard_protocol::version::PROTOCOL_VERSION;
use quinn::{EndpointConfig, TokioRuntime};
use rustls::sign::CertifiedKey;

use crate::close::{CloseCode, Ended};
use crate::peer::Peer;
use crate::{ALPN_PAIRING, ALPN_SESSION, limits, peer, socket, tls, welcome};
use race::{Failure, race};

pub use race::{GRACE, MAX_CANDIDATES, RACE, STAGGER};
pub use rank::rank;

/// Where a host may be. Sorted by [`rank`] before they are raced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Address and port; link-local IPv6 with its scope.
    pub address: SocketAddr,
    /// How it is known.
    pub source: Source,
}

/// How an address is known, likeliest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A person typed it.
    Given,
    /// It worked last time.
    LastKnown,
    /// From the pairing link.
    Link,
    /// Heard on the network just now.
    Discovered,
}

/// Whom the dialer expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Exactly this Ed25519 key, checked within the handshake.
    Key([u8; 32]),
    /// Anybody: for pairing only, where the protocol finds out who it is.
    Anybody,
}

/// Why no connection came about.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DialError {
    /// There is no address to try.
    #[error(
        "no address of the host is known: pass --address IP:PORT, or bring both machines onto one network"
    )]
    NoCandidates,
    /// Somebody answers with another key.
    #[error("{address} presents another key than the host's")]
    OtherKey {
        /// Where.
        address: SocketAddr,
    },
    /// The host turned the device away.
    #[error("{reason}")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// How.
        reason: Ended,
    },
    /// The host speaks another version of the contract.
    #[error("the host at {address} speaks version {host} of the protocol and this program version {PROTOCOL_VERSION}: update {}", older(*host))]
    Version {
        /// Where.
        address: SocketAddr,
        /// The host's version.
        host: u16,
    },
    /// Nobody answers; one line an address.
    #[error("the host does not answer at {}", .0.iter().map(|(address, why)| format!("{address} ({why})")).collect::<Vec<_>>().join(", "))]
    Unreachable(Vec<(SocketAddr, String)>),
    /// The socket cannot be opened.
    #[error("no UDP socket can be opened: {0}")]
    Socket(String),
}

fn older(host: u16) -> &'static str {
    if host < PROTOCOL_VERSION { "the host" } else { "this program" }
}

/// The device's endpoint: one UDP socket, used for every host. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dialer {
    endpoint: quinn::Endpoint,
    key: Arc<CertifiedKey>,
    /// How often the socket was moved.
    moves: Arc<AtomicU64>,
}

impl Dialer {
    /// Opens the socket. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`DialError::Socket`].
    pub fn new(keys: &IdentityKeys) -> Result<Self, DialError> {
        let key = tls::certified(keys).map_err(|error| DialError::Socket(error.to_string()))?;
        let socket = any_socket()?;
        let endpoint = quinn::Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))
            .map_err(|error| DialError::Socket(error.to_string()))?;
        Ok(Self { endpoint, key, moves: Arc::default() })
    }

    /// A session with a paired host: tries the candidates with a short stagger; the first that works wins, the others
    /// are given up. A wrong key or a refusal at one address does not end the race. When it returns, the host has
    /// accepted the device (a refused one is told so, not left to fail on first use).
    ///
    /// # Errors
    /// See [`DialError`]: a refusal by the right host first, then another key, then silence.
    pub async fn session(&self, candidates: &[Candidate], key: [u8; 32]) -> Result<Peer, DialError> {
        race(rank(candidates.to_vec()), |address| {
            let dialer = self.clone();
            async move {
                let (connection, host) = dialer.connect(address, ALPN_SESSION, Expect::Key(key)).await?;
                match welcome::hear(&connection).await {
                    Ok(PROTOCOL_VERSION) => Ok(Peer::new(connection, host)),
                    Ok(version) => {
                        peer::close(&connection, CloseCode::Protocol);
                        Err(Failure::Version(version))
                    }
                    Err(reason @ Ended::ByPeer(_)) => Err(Failure::Refused(reason)),
                    Err(reason) => Err(Failure::Silent(reason.to_string())),
                }
            }
        })
        .await
    }

    /// A connection on the pairing ALPN, raced the same way.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn pairing(&self, candidates: &[Candidate], expect: Expect) -> Result<Peer, DialError> {
        race(rank(candidates.to_vec()), |address| {
            let dialer = self.clone();
            async move {
                let (connection, host) = dialer.connect(address, ALPN_PAIRING, expect).await?;
                Ok(Peer::new(connection, host))
            }
        })
        .await
    }

    /// Moves the socket, after this machine's own address changed. Connections migrate.
    ///
    /// # Errors
    /// [`DialError::Socket`].
    pub fn rebind(&self) -> Result<(), DialError> {
        self.endpoint.rebind(any_socket()?).map_err(|error| DialError::Socket(error.to_string()))?;
        self.moves.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// How often the socket was moved: whoever has seen the number change need not move it too.
    pub(crate) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Acquire)
    }

    async fn connect(
        &self,
        address: SocketAddr,
        alpn: &[u8],
        expect: Expect,
    ) -> Result<(quinn::Connection, [u8; 32]), Failure> {
        let silent = |why: String| Failure::Silent(why);
        // Asks the routing table, so that an address without a way is told at once and not by silence.
        socket::source_for(address).map_err(|error| silent(error.to_string()))?;
        let (config, other) =
            tls::device(&self.key, alpn, expect).map_err(|error| silent(error.to_string()))?;
        let connecting = self
            .endpoint
            .connect_with(limits::device(config), address, tls::NO_NAME)
            .map_err(|error| silent(error.to_string()))?;
        let connection = match connecting.await {
            Ok(connection) => connection,
            Err(_) if other.was_presented() => return Err(Failure::OtherKey),
            Err(error) => return Err(silent(Ended::from(error).to_string())),
        };
        match tls::peer_key(&connection) {
            Some(key) => Ok((connection, key)),
            None => Err(silent("it has proven no key".to_owned())),
        }
    }
}

fn any_socket() -> Result<std::net::UdpSocket, DialError> {
    socket::bind((Ipv6Addr::UNSPECIFIED, 0).into()).map_err(|error| DialError::Socket(error.to_string()))
}

#[cfg(test)]
mod tests;
