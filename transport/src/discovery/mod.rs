//! Finding hosts by name on the local network (mDNS, RFC 6762; DNS-SD, RFC 6763), as a convenience that grants nothing.
//!
//! Nothing heard here is trusted: it yields addresses to try, and the host there has to prove its key. And nothing that
//! goes wrong here may hurt anything else: the responder runs supervised, apart, and its state is only reported.
//!
//! `docs/decisions/0012-discovery.md` says why it is done this way, and what `mdns-sd` is kept away from.

mod addresses;
mod advertise;
mod browse;
mod names;
mod obstacle;
mod responder;
mod sightings;

use std::net::SocketAddr;
use std::time::Duration;

use lanyard_pairing::Fingerprint;

pub use addresses::{own_addresses, with_scopes};
pub use advertise::Advertiser;
pub use browse::Browser;
pub use obstacle::obstacle;
pub use sightings::fuzz_discovery;

/// The service type.
pub const SERVICE: &str = "_lanyard._udp.local.";

/// Most addresses kept of one host, and of this machine. One with more answers at the first ones too.
pub const MAX_ADDRESSES: usize = 16;

/// What is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The host's name for people; never its identity. Made to fit a DNS label.
    pub name: String,
    /// Port of the endpoint.
    pub port: u16,
    /// The opaque id (its short form is announced) and `lanyard-<short>.local`.
    pub host: Fingerprint,
}

/// The name under which a host answers address queries, `lanyard-<short>.local`, without the last dot: a browser's origin
/// that survives a new address.
pub fn local_name(host: &Fingerprint) -> String {
    let name = names::host_name(&host.short());
    name.strip_suffix('.').map_or(name.clone(), str::to_owned)
}

/// A host that was heard. All of it is hearsay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Instance name, which may differ from the host's (`name (2)`).
    pub name: String,
    /// Short form of the fingerprint it claims; seven characters.
    pub short_id: String,
    /// Protocol version it claims.
    pub version: Option<u16>,
    /// Addresses, link-local IPv6 ones with their scope; ranked by nobody yet. At most [`MAX_ADDRESSES`].
    pub addresses: Vec<SocketAddr>,
}

/// Why nothing can be heard.
#[derive(Debug, Clone, thiserror::Error)]
#[error("discovery does not work on this machine: {0}; use --address IP:PORT or the link of the QR code")]
pub struct DiscoveryError(pub String);

/// Everything heard within `time`, by name.
///
/// # Errors
/// No responder can be started.
pub async fn listen_for(time: Duration) -> Result<Vec<Sighting>, DiscoveryError> {
    let mut browser = Browser::start()?;
    // The end of the time is how this is meant to end; the browser remembers what it told.
    let _ = tokio::time::timeout(time, async { while browser.next().await.is_some() {} }).await;
    Ok(browser.heard())
}
