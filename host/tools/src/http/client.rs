//! The connection behind HttpRequest: no proxy, no redirect, no reuse, and public addresses only for names.

use std::net::SocketAddr;
use std::time::Duration;

use lanyard_policy::net::allowed_address;
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;

/// Until the connection stands. A server that takes longer is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two pieces of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The whole request. A download that takes longer belongs into a command.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(120);

/// Addresses of one name.
const MAX_ADDRESSES: usize = 32;

/// Why requests cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum HttpSetupError {
    /// The process has no TLS implementation.
    #[error("no TLS provider is installed: install the rustls CryptoProvider before the host starts")]
    NoProvider,
    /// The client could not be made.
    #[error("the HTTP client could not be set up: {0}")]
    Client(#[from] reqwest::Error),
}

/// Sends the requests of HttpRequest. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: Client,
}

impl HttpClient {
    /// A client. Proxies of the environment are not used: they would see, and could answer, what a call sends.
    ///
    /// # Errors
    /// When the process has no rustls `CryptoProvider`, or the system's certificates cannot be read.
    pub fn new() -> Result<Self, HttpSetupError> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(HttpSetupError::NoProvider);
        }
        let client = Client::builder()
            .user_agent(concat!("lanyard/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_proxy()
            .dns_resolver(PublicOnly)
            // Every request resolves its name again and connects anew: what was checked is what is used.
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .build()?;
        Ok(Self { client })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }
}

/// Why a name is not connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameError {
    #[error("{name} leads to a private address: {reason}")]
    Private { name: String, reason: String },
    #[error("{name} has no address")]
    NoAddress { name: String },
    #[error("{name} cannot be resolved: {reason}")]
    Unresolved { name: String, reason: String },
}

/// Resolves names and refuses those that lead to private addresses. What it answers is what is connected to, so a
/// name cannot mean something else by then (6-security.md, item 25). Hosts written as addresses do not pass here:
/// policy judges those themselves.
#[derive(Debug)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found = found
                .map_err(|error| NameError::Unresolved { name: name.clone(), reason: error.to_string() })?;
            let addresses = public(&name, found)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// All addresses of a name, if all are public: one private among public ones is an attempt, not an accident.
pub(super) fn public(
    name: &str,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, NameError> {
    let addresses: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
    for address in &addresses {
        if let Err(private) = allowed_address(address.ip()) {
            return Err(NameError::Private { name: name.to_owned(), reason: private.to_string() });
        }
    }
    if addresses.is_empty() { Err(NameError::NoAddress { name: name.to_owned() }) } else { Ok(addresses) }
}
