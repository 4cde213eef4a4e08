//! The host's endpoint: binds, accepts, checks ALPN and key before any stream.
//!
//! Who comes is a stranger until its handshake is over: it may have few streams and small windows, there is room for
//! [`MAX_HANDSHAKES`](crate::limits::MAX_HANDSHAKES) of its kind, and when many come, each has to show that its address
//! is its own before anything is kept of it. Strangers who pair are bounded apart, so that they take nothing from
//! devices that are known.

pub(crate) mod places;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lanyard_pairing::{ChannelKey, IdentityKeys};
use quinn::{TokioRuntime, VarInt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use crate::close::{CloseCode, Ended};
use crate::limits::{self, HANDSHAKE, MAX_PAIRING, RETRY_ABOVE};
use crate::peer::{self, Peer, unmapped};
use crate::{ALPN_PAIRING, ALPN_SESSION, reset, socket, tls, welcome};
use places::{Place, Places};

/// Why the endpoint cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody has the port.
    #[error("{protocol} port {} of {} is taken{}: stop it, or choose another with --listen IP:PORT (or --listen off)", address.port(), address.ip(), holder.as_ref().map(|h| format!(" by {h}")).unwrap_or_default())]
    Taken {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// The address.
        address: SocketAddr,
        /// Name and number of the process, where the system tells.
        holder: Option<String>,
    },
    /// The address is not one of this machine, or not allowed.
    #[error(
        "{address} cannot be listened on: {source}; choose another with --listen IP:PORT (or --listen off)"
    )]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The TLS stack refused the key.
    #[error("the host's key cannot be used: {0}")]
    Key(String),
}

/// Who may open sessions. Asked once a connection, before any stream; the daemon asks again on each request.
pub trait Admission: Send + Sync {
    /// Whether the key belongs to a paired device.
    fn admits(&self, key: &ChannelKey) -> bool;
}

/// Somebody who got through the handshake.
#[derive(Debug)]
pub enum Arrival<C = Peer> {
    /// A paired device.
    Session(C),
    /// Anybody, for the pairing protocol only.
    Pairing(C),
}

/// Why somebody did not get in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A session with a key nobody approved; it was told so.
    #[error("its key is not paired")]
    NotPaired,
    /// The handshake took too long, or had to make room for newer ones.
    #[error("its handshake took too long")]
    TimedOut,
    /// Too many devices are pairing; it was told so.
    #[error("too many others are pairing")]
    TooMany,
    /// The handshake failed.
    #[error("its handshake failed: {0}")]
    Failed(Ended),
}

impl Refused {
    /// What it is told, where it can be told.
    pub(crate) fn code(&self) -> CloseCode {
        match self {
            Refused::NotPaired => CloseCode::NotPaired,
            Refused::TimedOut => CloseCode::Timeout,
            Refused::TooMany => CloseCode::TooMany,
            Refused::Failed(_) => CloseCode::Protocol,
        }
    }

    /// A stable word for counters.
    pub fn word(&self) -> &'static str {
        match self {
            Refused::NotPaired => "not_paired",
            Refused::TimedOut => "handshake_timeout",
            Refused::TooMany => "too_many_pairing",
            Refused::Failed(_) => "handshake_failed",
        }
    }
}

/// Room for those who pair, shared by every way into a host ([`MAX_PAIRING`]). Cheap to clone.
#[derive(Debug, Clone)]
pub struct Strangers {
    pairing: Arc<Semaphore>,
}

impl Strangers {
    /// Room for one who pairs, if there is any.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.pairing.clone().try_acquire_owned().ok()
    }
}

impl Default for Strangers {
    fn default() -> Self {
        Self { pairing: Arc::new(Semaphore::new(MAX_PAIRING)) }
    }
}

/// A handshake that has not happened yet.
#[derive(Debug)]
pub struct Knock {
    incoming: quinn::Incoming,
    place: Place,
    strangers: Strangers,
}

impl Knock {
    /// Where it comes from.
    pub fn address(&self) -> SocketAddr {
        unmapped(self.incoming.remote_address())
    }

    /// Lets the handshake happen, reads ALPN and key, asks `admission`, and widens the limits for a paired device.
    /// Bounded in time.
    ///
    /// # Errors
    /// See [`Refused`]; the peer was told where it could be.
    pub async fn admit(self, admission: &dyn Admission) -> Result<Arrival, Refused> {
        let Self { incoming, place, strangers } = self;
        let deadline = Instant::now() + HANDSHAKE;
        let failed = |error: quinn::ConnectionError| Refused::Failed(error.into());
        let connecting = incoming.accept().map_err(failed)?;
        let connection = tokio::select! {
            // Dropped, it is closed.
            () = place.given_up() => return Err(Refused::TimedOut),
            result = timeout_at(deadline, connecting) => match result {
                Ok(connection) => connection.map_err(failed)?,
                Err(_) => return Err(Refused::TimedOut),
            },
        };
        let admitted = tokio::select! {
            () = place.given_up() => Err(Refused::TimedOut),
            admitted = timeout_at(deadline, sort(&connection, admission, &strangers)) => {
                admitted.unwrap_or(Err(Refused::TimedOut))
            }
        };
        if let Err(refused) = &admitted {
            peer::close(&connection, refused.code());
        }
        admitted
    }
}

/// What becomes of a stranger that has proven a key.
async fn sort(
    connection: &quinn::Connection,
    admission: &dyn Admission,
    strangers: &Strangers,
) -> Result<Arrival, Refused> {
    let no_key = || Refused::Failed(Ended::Failed("it has proven no key".to_owned()));
    let key = tls::peer_key(connection).ok_or_else(no_key)?;
    match tls::alpn(connection).as_deref() {
        Some(ALPN_SESSION) if admission.admits(&ChannelKey::Signing(key)) => {
            limits::widen(connection);
            welcome::say(connection).await.map_err(Refused::Failed)?;
            Ok(Arrival::Session(Peer::new(connection.clone(), key)))
        }
        Some(ALPN_SESSION) => Err(Refused::NotPaired),
        Some(ALPN_PAIRING) => {
            let place = strangers.place().ok_or(Refused::TooMany)?;
            Ok(Arrival::Pairing(Peer::stranger(connection.clone(), key, place)))
        }
        _ => Err(Refused::Failed(Ended::Failed("it speaks another protocol".to_owned()))),
    }
}

/// See the module. The connections end when it is closed, not when it is dropped.
#[derive(Debug)]
pub struct HostEndpoint {
    endpoint: quinn::Endpoint,
    address: SocketAddr,
    handshakes: Places,
    strangers: Strangers,
}

impl HostEndpoint {
    /// Binds. `[::]` serves IPv4 too; where the machine has no IPv6, IPv4 alone. Needs a tokio runtime.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(listen: SocketAddr, keys: &IdentityKeys) -> Result<Self, BindError> {
        let config = server_config(keys)?;
        let refused = |source| bind_error(&socket::UDP, listen, source);
        let socket = socket::bind(listen).map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        let runtime = Arc::new(TokioRuntime);
        let endpoint = quinn::Endpoint::new(reset::endpoint_config(keys), Some(config), socket, runtime)
            .map_err(refused)?;
        Ok(Self { endpoint, address, handshakes: Places::default(), strangers: Strangers::default() })
    }

    /// The address bound, its port in particular.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// The room for those who pair, for other ways into the same host.
    pub fn strangers(&self) -> Strangers {
        self.strangers.clone()
    }

    /// New connections get these keys; those that are open keep theirs.
    ///
    /// # Errors
    /// The TLS stack refused the key.
    pub fn use_keys(&self, keys: &IdentityKeys) -> Result<(), BindError> {
        self.endpoint.set_server_config(Some(server_config(keys)?));
        Ok(())
    }

    /// The next one who knocks; `None` once the endpoint is closed. Bounded by address validation and by the number of
    /// handshakes under way. Cancel-safe.
    pub async fn knock(&self) -> Option<Knock> {
        loop {
            let incoming = self.endpoint.accept().await?;
            if !incoming.remote_address_validated() && self.handshakes.taken() >= RETRY_ABOVE {
                if let Err(error) = incoming.retry() {
                    debug!(%error, "an unvalidated address could not be asked to come again");
                }
                continue;
            }
            let Some(place) = self.handshakes.take() else {
                // Its first packet comes again by itself in a moment; to refuse it would end it.
                incoming.ignore();
                continue;
            };
            return Some(Knock { incoming, place, strangers: self.strangers.clone() });
        }
    }

    /// Ends every connection and waits, for at most `patience`, until the peers know.
    pub async fn close(&self, patience: Duration) {
        self.endpoint.close(VarInt::from_u32(CloseCode::Stopping.number()), b"");
        if timeout(patience, self.endpoint.wait_idle()).await.is_err() {
            debug!("some devices were not reached with the news that the host stops");
        }
    }
}

/// Listens by TCP, by the same rules as [`HostEndpoint::bind`]: for the page, whose port is the endpoint's.
///
/// # Errors
/// See [`BindError`].
pub fn listen(address: SocketAddr) -> Result<std::net::TcpListener, BindError> {
    socket::listen(address).map_err(|source| bind_error(&socket::TCP, address, source))
}

fn bind_error(protocol: &socket::PortTables, address: SocketAddr, source: std::io::Error) -> BindError {
    match source.kind() {
        std::io::ErrorKind::AddrInUse => BindError::Taken {
            protocol: protocol.name,
            address,
            holder: socket::holder(protocol, address.port()),
        },
        _ => BindError::Address { address, source },
    }
}

fn server_config(keys: &IdentityKeys) -> Result<quinn::ServerConfig, BindError> {
    Ok(limits::host(tls::host(keys).map_err(|error| BindError::Key(error.to_string()))?))
}

#[cfg(test)]
mod tests;
