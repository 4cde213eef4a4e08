//! The network side of a host: its identity, its paired devices, pairing, and the connections of devices.
//!
//! ```text
//! transport ── knock ──▶ accept ──┬─ pairing ALPN ──▶ pairing (one conversation each) ──▶ desk
//!                                 └─ paired key   ──▶ api::streams (requests)          ──▶ desk (who is connected)
//! a page's carrier (crate::web) ── Network::browser ──▶ accept ── the same two ways
//! people ── api::{pairings, devices} ──▶ desk (owns it all) ──▶ devices (a table everybody may look at)
//! ```
//! With `host.listen = "off"` nothing is bound; devices can be listed and removed all the same.

mod accept;
mod attempts;
mod desk;
mod devices;
mod identity;
mod pairing;
mod tally;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lanyard_pairing::IdentityKeys;
use lanyard_ports::authority::Principals;
use lanyard_ports::journal::{Journal, JournalError};
use lanyard_ports::source::{Clock, IdSource};
use lanyard_protocol::Tick;
use lanyard_protocol::health::{DiscoveryHealth, DiscoveryState, NetworkHealth};
use lanyard_protocol::id::{HostId, IdError, PrincipalId};
use lanyard_protocol::limits::MAX_DEVICE_NAME_BYTES;
use lanyard_protocol::visible::is_invisible;
use lanyard_transport::close::CloseCode;
use lanyard_transport::discovery::{Advertiser, own_addresses};
use lanyard_transport::host::{BindError, HostEndpoint};
use lanyard_transport::noise::{Carrier, NoiseHost};
use lanyard_transport::peer::Connection;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::streams::serve_streams;
use crate::host::Host;
use crate::web::{Bound, Web, WebParts};
use accept::{Door, Serve};
use desk::{DeskParts, Surface};
use identity::{HostIdentity, IdentityError};
use pairing::Seats;
use tally::{Counted, Tally};

pub(crate) use desk::{Aftermath, Change, Desk, DeskError};
pub(crate) use devices::{Devices, principal_id};
pub(crate) use identity::KEY_FILE;

/// How long devices may take to hear that the host stops.
const STOP: Duration = Duration::from_secs(2);

/// What the network side is configured to do.
#[derive(Debug, Clone)]
pub(crate) struct NetworkSettings {
    /// Where devices connect to; `None`: nowhere.
    pub(crate) listen: Option<SocketAddr>,
    /// Where that address is taken, the host does without its network side: nobody asked for the address.
    pub(crate) may_go_without: bool,
    /// Whether the host can be found by name.
    pub(crate) discovery: bool,
    /// The host's name for people.
    pub(crate) host_name: String,
}

/// Why the network side does not start.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No keys.
    #[error("the host's keys cannot be used: {0}")]
    Identity(#[from] IdentityError),
    /// The keys give no id.
    #[error("the host's keys give no id: {0}")]
    Id(#[from] IdError),
    /// The store cannot be read.
    #[error("the paired devices cannot be read: {0}")]
    Devices(#[from] JournalError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// What the network side is made from.
pub(crate) struct NetworkParts<'a> {
    /// See there.
    pub(crate) settings: NetworkSettings,
    /// The host's state directory.
    pub(crate) state_dir: &'a Path,
    /// The store.
    pub(crate) journal: Arc<dyn Journal>,
    /// The wall clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// Fresh ids.
    pub(crate) ids: Arc<dyn IdSource>,
    /// Who may answer pairings without being paired: people of the centre, as far as the owner lets them.
    pub(crate) others: Arc<dyn Principals>,
}

/// The network side, held by the composition root.
pub(crate) struct Network {
    desk: Desk,
    devices: Devices,
    tally: Arc<Tally>,
    host_id: watch::Receiver<HostId>,
    host_name: String,
    endpoint: Option<Arc<HostEndpoint>>,
    web: Arc<Web>,
    browsers: NoiseHost,
    seats: Arc<Seats>,
    trouble: Option<String>,
    tasks: TaskTracker,
    desk_task: Mutex<Option<JoinHandle<()>>>,
}

impl Network {
    /// Reads the keys, binds, and starts the desk. Nobody is let in before [`Network::serve`]. Needs a tokio runtime;
    /// blocks for a few file operations.
    ///
    /// # Errors
    /// See [`NetworkError`].
    pub(crate) fn start(parts: NetworkParts<'_>) -> Result<Self, NetworkError> {
        let NetworkParts { settings, state_dir, journal, clock, ids, others } = parts;
        let host_name = fitting(&settings.host_name);
        let identity = HostIdentity::open(&state_dir.join(KEY_FILE))?;
        let (publish_id, host_id) = watch::channel(identity.host_id()?);
        let Listening { endpoint, page, trouble } = bind(&settings, identity.keys())?;
        let web = Arc::new(Web::new(WebParts {
            listener: page,
            reachable,
            state_dir,
            clock: clock.clone(),
            host_id: host_id.clone(),
            host_name: host_name.clone(),
        }));
        let tally = Arc::new(Tally::load(&*journal)?);
        let surface = endpoint.clone().map(|endpoint| {
            let port = endpoint.local_address().port();
            let what = desk::announcement(&host_name, port, identity.fingerprint());
            // What only this machine reaches is nobody else's business.
            let announced = settings.discovery && !endpoint.local_address().ip().is_loopback();
            let advertiser = announced.then(|| Advertiser::start(what));
            Surface { endpoint, advertiser, reachable }
        });
        let tasks = TaskTracker::new();
        let strangers = endpoint.as_ref().map(|endpoint| endpoint.strangers()).unwrap_or_default();
        let browsers = NoiseHost::new(identity.keys(), strangers, tasks.clone());
        let started = Instant::now();
        let (desk, devices, desk_task) = desk::start(DeskParts {
            journal,
            clock,
            ids,
            others,
            tally: tally.clone(),
            identity,
            host_id: publish_id,
            host_name: host_name.clone(),
            browsers: browsers.clone(),
            surface,
            origins: {
                let web = web.clone();
                Box::new(move |discovery| web.linked(discovery))
            },
            ticks: Box::new(move || Tick::default().plus(started.elapsed())),
            tasks: tasks.clone(),
        })?;
        let desk_task = Mutex::new(Some(desk_task));
        let seats = Arc::default();
        Ok(Self {
            desk,
            devices,
            tally,
            host_id,
            host_name,
            endpoint,
            web,
            browsers,
            seats,
            trouble,
            tasks,
            desk_task,
        })
    }

    /// Lets devices in until the host stops.
    pub(crate) fn serve(&self, host: &Arc<Host>) {
        let Some(endpoint) = self.endpoint.clone() else { return };
        self.tasks.spawn(self.door(host.stop.clone()).run(endpoint, Api(host.clone())));
        let opener = {
            let host = host.clone();
            Arc::new(move |carrier| host.network.browser(&host, carrier))
        };
        self.web.serve(opener, &self.tasks, &host.stop);
    }

    /// Takes a page's connection over, from its first message to its end: handshake, then pairing or a session, as on
    /// QUIC. Returns at once; when the host's side of the carrier is let go of, the connection is over.
    pub(crate) fn browser(&self, host: &Arc<Host>, carrier: Carrier) {
        let door = self.door(host.stop.clone());
        self.tasks.spawn(door.browser(self.browsers.clone(), carrier, Api(host.clone())));
    }

    fn door(&self, stop: CancellationToken) -> Door {
        Door {
            desk: self.desk.clone(),
            devices: self.devices.clone(),
            tally: self.tally.clone(),
            seats: self.seats.clone(),
            tasks: self.tasks.clone(),
            stop,
        }
    }

    /// The way to who is paired and who asks to be.
    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Who is paired.
    pub(crate) fn devices(&self) -> &Devices {
        &self.devices
    }

    /// What devices know the host by at this moment.
    pub(crate) fn host_id(&self) -> HostId {
        self.host_id.borrow().clone()
    }

    /// The host's name for people.
    pub(crate) fn host_name(&self) -> &str {
        &self.host_name
    }

    /// Where devices connect to; `None` when the network side is switched off.
    pub(crate) fn listening(&self) -> Option<SocketAddr> {
        self.endpoint.as_ref().map(|endpoint| endpoint.local_address())
    }

    /// The page.
    pub(crate) fn web(&self) -> &Arc<Web> {
        &self.web
    }

    /// Why devices cannot connect although nobody switched that off.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// A subscription of a device went on from a cursor.
    pub(crate) fn count_resumed(&self) {
        self.tally.add(Counted::Resumed);
    }

    /// For the health panel.
    pub(crate) async fn health(&self) -> NetworkHealth {
        let stopping =
            || DiscoveryHealth { state: DiscoveryState::Off, detail: "the host is stopping".to_owned() };
        let (devices, devices_connected) = self.devices.count();
        let listening = self.listening();
        let reachable_at = listening.map(reachable).unwrap_or_default();
        let discovery = self.desk.discovery().await.unwrap_or_else(stopping);
        NetworkHealth {
            host_id: self.host_id(),
            listening: listening.map(|address| address.to_string()),
            reachable_at: reachable_at.iter().map(ToString::to_string).collect(),
            origins: self.web.origins(discovery.state),
            discovery,
            devices,
            devices_connected,
            counters: self.tally.counters(),
        }
    }

    /// Ends every connection, tells the devices why, writes down what was counted. The store must still be open, and
    /// the host's token cancelled. Bounded.
    pub(crate) async fn stop(&self) {
        self.desk.cut_all(CloseCode::Stopping).await;
        self.tasks.close();
        if tokio::time::timeout(STOP, self.tasks.wait()).await.is_err() {
            tracing::debug!("some devices did not hear that the host stops");
        }
        if let Some(endpoint) = &self.endpoint {
            endpoint.close(STOP).await;
        }
        self.desk.stop();
        let task = self.desk_task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the network desk did not end in order");
        }
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("listening", &self.listening()).finish_non_exhaustive()
    }
}

/// The host's name as devices take it: they show it as it is.
fn fitting(name: &str) -> String {
    let plain: String = name.chars().filter(|c| !c.is_control() && !is_invisible(*c)).collect();
    let mut fitting = String::new();
    for c in plain.trim().chars() {
        if fitting.len() + c.len_utf8() > MAX_DEVICE_NAME_BYTES {
            break;
        }
        fitting.push(c);
    }
    match fitting.trim_end() {
        "" => "host".to_owned(),
        fitting => fitting.to_owned(),
    }
}

/// What listens.
struct Listening {
    endpoint: Option<Arc<HostEndpoint>>,
    /// For the page; the words say why there is none although there should be one.
    page: Result<Option<TcpListener>, String>,
    /// Why nothing listens although it should.
    trouble: Option<String>,
}

/// Listens, if it is to. Where nobody chose the address and somebody else has it, the host does without.
fn bind(settings: &NetworkSettings, keys: &IdentityKeys) -> Result<Listening, BindError> {
    let without = |trouble| Ok(Listening { endpoint: None, page: Ok(None), trouble });
    let Some(listen) = settings.listen else { return without(None) };
    let Bound { endpoint, page } = match crate::web::bind(listen, settings.may_go_without, keys) {
        Ok(bound) => bound,
        Err(taken @ BindError::Taken { .. }) if settings.may_go_without => {
            return without(Some(format!("Other devices cannot connect: {taken}")));
        }
        Err(error) => return Err(error),
    };
    Ok(Listening { endpoint: Some(Arc::new(endpoint)), page: page.map(Some), trouble: None })
}

/// Addresses under which devices may reach what is bound, likeliest first.
fn reachable(bound: SocketAddr) -> Vec<SocketAddr> {
    match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => {
            own_addresses(bound.port()).into_iter().filter(SocketAddr::is_ipv4).collect()
        }
        IpAddr::V6(ip) if ip.is_unspecified() => own_addresses(bound.port()),
        _ => vec![bound],
    }
}

/// The agent API, for connections of devices.
#[derive(Clone)]
struct Api(Arc<Host>);

impl Serve for Api {
    fn serve<C: Connection>(
        &self,
        device: PrincipalId,
        peer: C,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        serve_streams(self.0.clone(), device, peer, stop)
    }
}

#[cfg(test)]
mod tests;
