//! The host's page: HTTPS on the TCP port with the number of the endpoint's UDP port.
//!
//! ```text
//! accept ─▶ places (bounded) ─▶ visit: plain or TLS ─▶ own (is it for us, from our page?) ─▶ assets
//!                                                                                       └─▶ carrier ─▶ Opener
//! ```
//! Nothing here knows who is at the other end or decides what anybody may do: a carrier's messages go to the channel,
//! and whoever proves a key there is served as over QUIC. What is decided here is which *page* may open a carrier: the
//! host's own, under the host's own name, and no other that a browser happens to show.
//!
//! By plain HTTP only somebody on this machine gets the page; everybody else reads what will happen if he goes on to the
//! encrypted one. No cookies, no tokens, no CORS.

mod assets;
mod bind;
mod carrier;
mod certificate;
mod downloads;
mod headers;
mod own;
mod pace;
mod pages;
mod places;
mod trust;
mod visit;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lanyard_pairing::Fingerprint;
use lanyard_ports::source::Clock;
use lanyard_protocol::Timestamp;
use lanyard_protocol::health::{DiscoveryState, HealthCheck, HealthStatus};
use lanyard_protocol::id::HostId;
use lanyard_transport::discovery::local_name;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use assets::Assets;
use carrier::Table;
use certificate::{Certificate, CertificateStore, Subject};
use downloads::Downloads;
use own::Origin;
use pace::Pace;
use places::{MAX_CONNECTIONS, Places};

pub(crate) use bind::{Bound, bind};
pub(crate) use carrier::Opener;
pub(crate) use trust::{Authority, Trust, TrustError};

/// How long before the end of a certificate the owner is told.
const WARN_BEFORE: u64 = 30 * 24 * 60 * 60 * 1000;

/// Pause after a connection that could not be accepted: the system is out of something, and to ask again at once would
/// only keep it busy.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the page is made from.
pub(crate) struct WebParts<'a> {
    /// What was bound; or why there is no page although there should be one; or neither, where the network side is off.
    pub(crate) listener: Result<Option<TcpListener>, String>,
    /// Addresses under which others may reach what is bound, likeliest first.
    pub(crate) reachable: fn(SocketAddr) -> Vec<SocketAddr>,
    /// The host's state directory.
    pub(crate) state_dir: &'a Path,
    /// The wall clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// What the host is known by at each moment.
    pub(crate) host_id: watch::Receiver<HostId>,
    /// The host's name for people.
    pub(crate) host_name: String,
}

/// The page of a host, held by the network side.
pub(crate) struct Web {
    listener: Mutex<Option<TcpListener>>,
    listening: Option<SocketAddr>,
    trouble: Option<String>,
    reachable: fn(SocketAddr) -> Vec<SocketAddr>,
    clock: Arc<dyn Clock>,
    host_id: watch::Receiver<HostId>,
    host_name: String,
    certificates: CertificateStore,
    trust: Arc<Trust>,
    downloads: Downloads,
    assets: Assets,
}

/// What every connection needs.
struct Site {
    port: u16,
    host_id: watch::Receiver<HostId>,
    host_name: String,
    certificates: CertificateStore,
    downloads: Downloads,
    assets: Assets,
    fetching: Table,
    opener: Opener,
    pace: Pace,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Site {
    fn name(&self) -> String {
        name(&self.host_id)
    }
}

/// The host's own `.local` name; changes with its keys.
fn name(host_id: &watch::Receiver<HostId>) -> String {
    let fingerprint = host_id.borrow().as_str().parse::<Fingerprint>();
    // An id is made from a fingerprint; an empty name is nobody's.
    fingerprint.map(|fingerprint| local_name(&fingerprint).to_ascii_lowercase()).unwrap_or_default()
}

impl Web {
    /// Takes its parts; touches nothing.
    pub(crate) fn new(parts: WebParts<'_>) -> Self {
        let WebParts { listener, reachable, state_dir, clock, host_id, host_name } = parts;
        let (listener, trouble) = match listener {
            Ok(listener) => (listener, None),
            Err(trouble) => (None, Some(trouble)),
        };
        let certificates = CertificateStore::new(state_dir, clock.clone());
        let downloads = Downloads::default();
        let trust =
            Trust::new(state_dir, clock.clone(), host_id.clone(), certificates.clone(), downloads.clone());
        Self {
            listening: listener.as_ref().and_then(|listener| listener.local_addr().ok()),
            listener: Mutex::new(listener),
            trouble,
            reachable,
            certificates,
            trust: Arc::new(trust),
            clock,
            host_id,
            host_name,
            downloads,
            assets: Assets::built_in(),
        }
    }

    /// Serves until the host stops; what runs is counted by `tasks`, and ends within two seconds of `stop`. Certificates
    /// are made meanwhile: who comes earlier waits for them. Needs a tokio runtime. The second call does nothing.
    pub(crate) fn serve(&self, opener: Opener, tasks: &TaskTracker, stop: &CancellationToken) {
        self.serve_at(opener, tasks, stop, Pace::default());
    }

    fn serve_at(&self, opener: Opener, tasks: &TaskTracker, stop: &CancellationToken, pace: Pace) {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(listener), Some(bound)) = (listener, self.listening) else { return };
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the page cannot be served");
                return;
            }
        };
        let site = Arc::new(Site {
            port: bound.port(),
            host_id: self.host_id.clone(),
            host_name: self.host_name.clone(),
            certificates: self.certificates.clone(),
            downloads: self.downloads.clone(),
            assets: self.assets,
            fetching: Table::default(),
            opener,
            pace,
            tasks: tasks.clone(),
            stop: stop.clone(),
        });
        tasks.spawn(prepare(self.certificates.clone(), self.subjects(bound)));
        let trust = self.trust.clone();
        tasks.spawn(async move {
            // Before anybody comes: browsers that were told to trust it must not meet the other certificate.
            if let Err(error) = trust.authority().await {
                tracing::error!(%error, "the host's authority cannot be used");
            }
            accept(site, listener).await;
        });
    }

    /// Where the page is, likeliest first: by name while the host is announced, then by address. A link-local IPv6
    /// address is none: URLs have no place for its zone.
    pub(crate) fn origins(&self, discovery: DiscoveryState) -> Vec<String> {
        let Some(bound) = self.listening else { return Vec::new() };
        let named = (discovery == DiscoveryState::Advertising)
            .then(|| Origin::named(&name(&self.host_id), bound.port()).to_string());
        let at = self.addresses(bound).into_iter().map(|at| Origin::at(at.ip(), at.port()).to_string());
        named.into_iter().chain(at).collect()
    }

    /// The same for links, which lead to this machine itself where it has no address but loopback.
    pub(crate) fn linked(&self, discovery: DiscoveryState) -> Vec<String> {
        let mut origins = self.origins(discovery);
        if let Some(bound) = self.listening
            && bound.ip().is_unspecified()
            && origins.is_empty()
        {
            // `[::]` has IPv4's loopback too.
            origins.push(Origin::at(Ipv4Addr::LOCALHOST.into(), bound.port()).to_string());
        }
        origins
    }

    fn addresses(&self, bound: SocketAddr) -> Vec<SocketAddr> {
        let mut addresses = (self.reachable)(bound);
        addresses.retain(|at| !matches!(at, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local()));
        addresses
    }

    fn subjects(&self, bound: SocketAddr) -> Vec<Subject> {
        let mut subjects: Vec<Subject> =
            self.addresses(bound).iter().map(|at| Subject::of(at.ip())).collect();
        // Likeliest last: what was used last is kept longest.
        subjects.reverse();
        subjects.push(Subject::Name(name(&self.host_id)));
        subjects
    }

    /// The authority that browsers can be told to trust.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Why there is no page although nobody switched it off.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// For the health panel.
    pub(crate) fn health(&self, discovery: DiscoveryState) -> HealthCheck {
        let (status, message, action) = self.condition(discovery);
        HealthCheck { name: "web".to_owned(), status, message, action: action.map(str::to_owned) }
    }

    fn condition(&self, discovery: DiscoveryState) -> (HealthStatus, String, Option<&'static str>) {
        if let Some(trouble) = &self.trouble {
            return (HealthStatus::Degraded, trouble.clone(), Some("Then start the host again."));
        }
        let Some(bound) = self.listening else {
            let message = "The page is not served: the network side is switched off.";
            return (HealthStatus::Ok, message.to_owned(), None);
        };
        if let Some(error) = self.certificates.failure() {
            let message = format!("Browsers cannot open the page: {error}.");
            return (HealthStatus::Bad, message, Some("Mend that; it is tried again with each connection."));
        }
        if !self.assets.is_page() {
            let message = "This program was built without its page: browsers are told so.".to_owned();
            return (HealthStatus::Degraded, message, Some("Build it with `cargo xtask up`."));
        }
        let now = self.clock.now();
        let subjects = self.subjects(bound);
        let known: Vec<_> = subjects.iter().rev().filter_map(|s| self.certificates.known(s)).collect();
        if let Some(ending) = known.iter().find(|c| c.until.millis_since(now) < WARN_BEFORE) {
            return ends(ending);
        }
        let origins = self.origins(discovery);
        let place = match origins.as_slice() {
            [] => "The page is served".to_owned(),
            [only] => format!("The page is at {only}"),
            [first, rest @ ..] => format!("The page is at {first} and {} more", rest.len()),
        };
        // A name that is not announced leads nobody here.
        let announced = discovery == DiscoveryState::Advertising;
        let met = known.iter().filter(|c| announced || matches!(c.subject, Subject::Address(_)));
        let shown: Vec<_> = met.map(|c| format!("{} {}", c.subject, c.fingerprint)).collect();
        let message = match shown.as_slice() {
            [] => format!("{place}."),
            shown => format!("{place}. SHA-256 of its certificates: {}.", shown.join(", ")),
        };
        (HealthStatus::Ok, message, None)
    }
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web").field("listening", &self.listening).finish_non_exhaustive()
    }
}

/// What is said of a certificate that will end soon.
fn ends(certificate: &Certificate) -> (HealthStatus, String, Option<&'static str>) {
    let Certificate { subject, until, .. } = certificate;
    let day = day(*until);
    if certificate.trusted {
        let message = format!("The trusted certificate of {subject} ends on {day}; browsers will warn then.");
        return (
            HealthStatus::Degraded,
            message,
            Some("Run `lanyard trust enable --renew` before that day, and tell every browser anew."),
        );
    }
    let message = format!(
        "The page's certificate for {subject} ends on {day}. A new one is made a week before; browsers will warn about \
         it once."
    );
    let action = "When a browser warns, compare the new fingerprint, which is shown here then, and go on.";
    (HealthStatus::Degraded, message, Some(action))
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take("2026-01-31".len()).collect()
}

/// Makes the certificates that will be asked for first. A failure is kept by the store, for the health report.
async fn prepare(certificates: CertificateStore, subjects: Vec<Subject>) {
    drop(certificates.prepare(subjects).await);
}

/// Takes whoever connects until the host stops.
async fn accept(site: Arc<Site>, listener: tokio::net::TcpListener) {
    let places = Places::new(MAX_CONNECTIONS);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = site.stop.cancelled() => return,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = places.take() else {
            tracing::debug!(%from, "too many are connected; somebody was turned away");
            continue;
        };
        site.tasks.spawn(visit::attend(site.clone(), stream, from, place));
    }
}

#[cfg(test)]
mod tests;
