//! From a configuration to a running host and, in the reverse order, to a stopped one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use lanyard_dispatch::ApprovalDesk;
use lanyard_model::Selector;
use lanyard_ports::journal::{Journal, Write};
use lanyard_protocol::Timestamp;
use lanyard_protocol::event::{HostEventBody, HostStopping};
use lanyard_protocol::session::SessionState;
use lanyard_store::{OpenError, Store, StoreOptions};
use lanyard_tools::sandbox::{self, Sandbox, SandboxSetup};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authority::LocalAuthority;
use crate::central::{AtTheDesk, Centre, CentreParts, HostAuthority, Known};
use crate::config::Config;
use crate::host::Host;
use crate::hub::Hub;
use crate::neighbours::Neighbours;
use crate::network::{Network, NetworkError, NetworkParts, NetworkSettings};
use crate::sessions::LiveSessions;
use crate::socket::{self, SocketError};
use crate::sources::{RandomIds, SystemClock};
use crate::state_dir::{RuntimePaths, StateDir, StateDirError, home};
use crate::uploads::Uploads;

/// How long running tasks may take to reach a state they can be resumed from. A running program is ended within
/// five seconds; the rest is for writing it down.
const TASKS_STOP: Duration = Duration::from_secs(10);

/// How long clients may take to read what they are owed.
const CONNECTIONS_STOP: Duration = Duration::from_secs(2);

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be used, or another host runs with it.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The store cannot be opened.
    #[error("the store cannot be opened: {0}")]
    Store(#[from] OpenError),
    /// The socket cannot be opened.
    #[error("the socket cannot be opened: {0}")]
    Socket(#[from] SocketError),
    /// The network side cannot be started.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The model's configuration cannot be used.
    #[error("model: {0}")]
    Model(#[from] lanyard_model::ModelConfigError),
    /// Programs cannot be confined or tracked.
    #[error("the sandbox cannot be started: {0}")]
    Sandbox(#[from] sandbox::StartError),
    /// Programs of an earlier host may still run.
    #[error("the process table cannot be read: {0}")]
    Leftovers(std::io::Error),
    /// The approvals that wait cannot be read.
    #[error("the approvals cannot be read: {0}")]
    Approvals(lanyard_ports::journal::JournalError),
}

/// Why a host ended other than in order.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It started, and could not put its things away.
    #[error("the host stopped, but not in order: {0}")]
    Stop(String),
}

/// What a host says once it can be reached.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Where it listens.
    pub socket: PathBuf,
    /// Where its manifest lies.
    pub manifest: PathBuf,
    /// Its state directory, canonical.
    pub state_dir: PathBuf,
    /// Where devices connect to; `None` when the network side is switched off.
    pub listening: Option<SocketAddr>,
    /// Directories sessions may be about.
    pub workspaces: Vec<PathBuf>,
    /// Things its owner should know now, in sentences.
    pub notices: Vec<String>,
}

/// Runs a host until `stop` is cancelled or a client asks it to stop. Returns when everything is on disk and put away.
pub async fn run(
    config: Config,
    stop: CancellationToken,
    ready: impl FnOnce(&Ready),
) -> Result<(), RunError> {
    // Only fails when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let state = StateDir::claim(&config.state_dir).map_err(StartError::from)?;
    let Parts { host, store, listener, desk_task } = build(config, &state, stop)?;
    let connections = TaskTracker::new();
    connections.spawn(socket::accept(host.clone(), listener, connections.clone()));
    connections.spawn(host.uploads.clone().keep_swept(host.stop.clone()));
    host.network.serve(&host);
    state.announce(&host.paths.socket).map_err(StartError::from)?;
    ready(&Ready {
        socket: host.paths.socket.clone(),
        manifest: state.path().join("server.json"),
        state_dir: host.state_dir.clone(),
        listening: host.network.listening(),
        workspaces: host.config.workspaces.clone(),
        notices: notices(&host),
    });
    let centre_stop = CancellationToken::new();
    let centre = tokio::spawn(host.centre.clone().run(host.clone(), centre_stop.clone()));
    let recovery = tokio::spawn(crate::sessions::recover(host.clone()));
    tokio::spawn(crate::startup_pages::give_back());

    host.stop.cancelled().await;
    tracing::info!("stopping");
    recovery.abort();
    let centre = Stopping { task: centre, stop: centre_stop };
    stop_in_order(&host, &store, &connections, desk_task, centre).await?;
    let put_away = std::fs::remove_file(&host.paths.socket);
    state.withdraw().map_err(|e| RunError::Stop(e.to_string()))?;
    put_away.map_err(|e| RunError::Stop(format!("{}: {e}", host.paths.socket.display())))
}

/// A host that is not yet announced, and what its end needs.
pub(crate) struct Parts {
    pub(crate) host: Arc<Host>,
    pub(crate) store: Arc<Store>,
    listener: UnixListener,
    pub(crate) desk_task: JoinHandle<()>,
}

/// The parts, made in the order of their needs.
pub(crate) fn build(config: Config, state: &StateDir, stop: CancellationToken) -> Result<Parts, StartError> {
    let paths = RuntimePaths::prepare(state.path())?;
    let hub = Arc::new(Hub::default());
    let mut options = StoreOptions::new(state.path().join("store"));
    options.max_bytes = config.store_max_bytes;
    let (store, opened) = Store::open(options, hub.clone())?;
    let clock = Arc::new(SystemClock);
    let ids = Arc::new(RandomIds);
    let models = Arc::new(Selector::new(config.model.clone())?);
    let centre = Centre::load(CentreParts {
        state_dir: state.path(),
        journal: store.clone(),
        clock: clock.clone(),
        boot: clock.clone(),
        bells: hub.bells(),
        jobs: config.central_jobs,
    });
    let (desk, desk_task) =
        ApprovalDesk::start(store.clone(), clock.clone(), ids.clone(), &centre.tenant_id())
            .map_err(StartError::Approvals)?;
    let authority = Arc::new(HostAuthority {
        local: LocalAuthority {
            clock: SystemClock,
            accept_unconfined: config.accept_unconfined,
            max_session_tokens: config.max_session_tokens,
        },
        centre: centre.clone(),
        journal: store.clone(),
        backend_tools: config.backend_tools.clone(),
    });
    let sandbox = Sandbox::start(&SandboxSetup {
        state_dir: state.path().to_owned(),
        protected: vec![paths.socket_dir.clone()],
        home: home(),
        search_path: std::env::var_os("PATH"),
    })?;
    let left_behind = sandbox.end_leftovers().map_err(StartError::Leftovers)?;
    if left_behind > 0 {
        tracing::warn!(left_behind, "programs of an earlier host were still running and were ended");
    }
    let network = Network::start(NetworkParts {
        settings: NetworkSettings {
            listen: config.listen.address(),
            may_go_without: config.listen_by_default,
            discovery: config.discovery,
            host_name: config.host_name.clone(),
        },
        state_dir: state.path(),
        journal: store.clone(),
        clock: clock.clone(),
        ids: ids.clone(),
        others: Arc::new(AtTheDesk(centre.clone())),
    })?;
    let listener = socket::listen(&paths.socket)?;
    let host = Arc::new(Host {
        state_dir: state.path().to_owned(),
        journal: store.clone(),
        artifacts: store.clone(),
        authority,
        desk,
        models,
        hub,
        sessions: LiveSessions::default(),
        uploads: Arc::new(Uploads::new(state.path())),
        neighbours: Neighbours::default(),
        clock,
        ids,
        sandbox,
        principals: Arc::new(Known { devices: network.devices().clone(), centre: centre.clone() }),
        network,
        centre,
        moved_aside: opened.moved_aside,
        started_at: Timestamp::now(),
        connections: AtomicU64::new(0),
        stop,
        paths,
        config,
    });
    Ok(Parts { host, store, listener, desk_task })
}

fn notices(host: &Host) -> Vec<String> {
    let mut notices = Vec::new();
    if let Some(moved) = &host.moved_aside {
        notices.push(moved.to_string());
    }
    notices.extend(host.network.trouble().map(str::to_owned));
    notices.extend(host.network.web().trouble().map(str::to_owned));
    notices
}

/// The task that speaks with the central services.
struct Stopping {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

/// Tasks first, then what they have left for the central services, then clients, the store last: what a task or a client
/// still does needs the parts after it. (New requests are taken from nobody once the host's token is cancelled; devices
/// are told that it stops, and come back.)
async fn stop_in_order(
    host: &Arc<Host>,
    store: &Arc<Store>,
    connections: &TaskTracker,
    desk_task: JoinHandle<()>,
    centre: Stopping,
) -> Result<(), RunError> {
    let tasks = async { tokio::join!(host.sessions.stop(), host.centre.jobs().stop()) };
    if tokio::time::timeout(TASKS_STOP, tasks).await.is_err() {
        tracing::warn!("some tasks did not stop in time; they go on from their last checkpoint");
    }
    let stopping = HostEventBody::HostStopping(HostStopping { state: SessionState::SessionPaused });
    if let Err(error) = store.commit(vec![Write::Host(Box::new(stopping))]).await {
        tracing::error!(%error, "the stop could not be recorded");
    }
    centre.stop.cancel();
    if let Err(error) = centre.task.await {
        tracing::error!(%error, "the work for the central services did not end in order");
    }
    host.desk.stop();
    if let Err(error) = desk_task.await {
        tracing::error!(%error, "the approval desk did not end in order");
    }
    host.network.stop().await;
    connections.close();
    if tokio::time::timeout(CONNECTIONS_STOP, connections.wait()).await.is_err() {
        tracing::debug!("some clients did not read to the end");
    }
    let store = store.clone();
    let closed = tokio::task::spawn_blocking(move || store.close()).await;
    closed.map_err(|e| RunError::Stop(e.to_string()))?.map_err(|e| RunError::Stop(e.to_string()))
}
