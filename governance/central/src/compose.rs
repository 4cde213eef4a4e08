//! The one composition root: from a configuration to running services and, in the reverse order, to stopped ones.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use lanyard_governance_api::endpoint::{ENDPOINTS, Service};
use lanyard_governance_foundation::clock::MovedClock;
use lanyard_governance_foundation::peers::Remote;
use lanyard_governance_foundation::{
    Clock, Database, Foundation, Lookup, Migration, Peers, Refusals, Signals, credentials, trail,
};
use lanyard_service_enrolment::Authority;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authenticate::{Gate, authenticate};
use crate::config::{Config, Tls};
use crate::front::{self, Limit};
use crate::serve::{Transport, serve};
use crate::state_dir::StateDir;
use crate::{health, tls};

/// How long chores may take to end: longer than the ten seconds for which tools that run are waited for.
const CHORES_STOP: Duration = Duration::from_secs(12);

/// How often what ran out is swept, and topics nobody waits for are forgotten.
const SWEEP: Duration = Duration::from_secs(60);

/// What central says once it can be reached.
pub(crate) struct Ready {
    pub(crate) url: String,
    pub(crate) bound: SocketAddr,
    pub(crate) state_dir: PathBuf,
    /// The token of a link, where nobody has signed in yet and somebody looks.
    pub(crate) first_link: Option<String>,
}

fn migrations() -> Vec<Migration> {
    [
        credentials::MIGRATIONS,
        lanyard_service_identity::MIGRATIONS,
        lanyard_service_enrolment::MIGRATIONS,
        lanyard_service_policy::MIGRATIONS,
        lanyard_service_session::MIGRATIONS,
        lanyard_service_workspace::MIGRATIONS,
        lanyard_service_approval::MIGRATIONS,
        lanyard_service_audit::MIGRATIONS,
        lanyard_service_telemetry::MIGRATIONS,
        lanyard_service_tools::MIGRATIONS,
    ]
    .concat()
}

/// Runs until `stop` is cancelled.
///
/// `somebody_looks`: what is said is read by a person and kept nowhere, so a link to sign in may be part of it.
pub(crate) async fn run(
    config: Config,
    stop: CancellationToken,
    somebody_looks: bool,
    ready: impl FnOnce(&Ready),
) -> Result<()> {
    let embedded = config.database_url.starts_with("sqlite://");
    let state = StateDir::claim(&config.state_dir, embedded)?;
    let service_key = state.key("service.key")?;
    let clock = clock(&config);
    let ca = Arc::new(Authority::load_or_create(state.path(), clock.now())?);
    let signals = Signals::default();
    let database = Database::open(&config.database_url, signals.clone(), &migrations()).await?;
    let peers = Peers::new(elsewhere(&config, &ca, &service_key)?);
    let foundation = Foundation { database, peers, signals, clock: clock.clone() };
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("{} cannot be listened at", config.listen))?;
    let bound = listener.local_addr()?;
    let url = config.url(bound);
    let (chores, ended) = (TaskTracker::new(), stop.child_token());
    let built = Built::build(&config, &foundation, &state, &ca, &url, &chores, &ended).await?;
    foundation.peers.set_here(built.by_service);
    let transport = transport(&config, &ca, &clock, &chores, &ended)?;
    let gate = Gate {
        lookup: Lookup::new(&foundation),
        refusals: Refusals::new(&foundation),
        service_key: credentials::hash(&hex(&service_key)),
        key: service_key,
    };
    let router = built
        .router
        .merge(documents(&foundation))
        .layer(from_fn_with_state(Limit::new(config.options.requests_per_second), front::limit))
        .layer(from_fn_with_state(gate, authenticate))
        // Outside of authentication, which needs the database: that the process lives is seen without.
        .route("/health", get(health::health))
        .fallback(front::nothing_here)
        .method_not_allowed_fallback(front::another_method)
        .layer(from_fn_with_state(clock.clone(), front::frame));
    chores.spawn(sweep(foundation.clone(), ended.clone()));
    chores.spawn(trail::deliver(foundation.clone(), ended.clone()));
    let first_link = match somebody_looks && config.services.contains(&Service::Identity) {
        true => lanyard_service_identity::first_link(&foundation).await?,
        false => None,
    };
    ready(&Ready { url, bound, state_dir: config.state_dir.clone(), first_link });
    serve(listener, transport, config.proxies, router, stop).await;
    tracing::info!("stopping");
    ended.cancel();
    foundation.signals.stop();
    chores.close();
    if tokio::time::timeout(CHORES_STOP, chores.wait()).await.is_err() {
        tracing::warn!("some chores did not end in time; they are done again at the next start");
    }
    foundation.database.close().await;
    Ok(())
}

/// The token of a fresh link for the operator, made beside a running central.
pub(crate) async fn sign_in_link(config: &Config) -> Result<String> {
    // A link of an installation that would be made here and now opens nothing.
    if let Some(file) = config.database_url.strip_prefix("sqlite://")
        && !Path::new(file).exists()
    {
        anyhow::bail!(
            "there is no {file}: start lanyard-central first, or pass the --state-dir that it runs with"
        );
    }
    StateDir::claim(&config.state_dir, false)?;
    let signals = Signals::default();
    let database = Database::open(&config.database_url, signals.clone(), &migrations()).await?;
    let foundation = Foundation { database, peers: Peers::default(), signals, clock: clock(config) };
    let token = lanyard_service_identity::operator_link(&foundation).await?;
    foundation.signals.stop();
    foundation.database.close().await;
    Ok(token)
}

fn clock(config: &Config) -> Arc<dyn Clock> {
    let clock = MovedClock::default();
    clock.set(config.options.clock_offset_seconds.saturating_mul(1_000));
    Arc::new(clock)
}

/// Keys travel as text.
fn hex(key: &[u8; 32]) -> Vec<u8> {
    key.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

/// Services of other processes, reached with the installation's key and by its CA.
fn elsewhere(config: &Config, ca: &Authority, key: &[u8; 32]) -> Result<HashMap<Service, Remote>> {
    if config.peers.is_empty() {
        return Ok(HashMap::new());
    }
    let root = reqwest::Certificate::from_der(ca.certificate_der())?;
    let client = reqwest::Client::builder()
        .tls_certs_only([root])
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(3))
        .build()?;
    let key = String::from_utf8(hex(key))?;
    let remote = |base: &String| Remote { base: base.clone(), key: key.clone(), client: client.clone() };
    Ok(config.peers.iter().map(|(service, base)| (*service, remote(base))).collect())
}

fn transport(
    config: &Config,
    ca: &Arc<Authority>,
    clock: &Arc<dyn Clock>,
    chores: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Transport> {
    match config.tls {
        Tls::Off => Ok(Transport::Plain),
        Tls::Own => {
            let maker = tls::Maker::new(config, ca.clone(), clock.clone());
            let (sender, current) = tokio::sync::watch::channel(maker.make()?);
            chores.spawn(maker.renew(sender, stop.clone()));
            Ok(Transport::Tls(current))
        }
    }
}

/// What needs no caller, and is paced by address.
fn documents(foundation: &Foundation) -> Router {
    Router::new()
        .route("/ready", get(health::ready))
        .route("/openapi.json", get(health::openapi))
        .with_state(foundation.clone())
}

async fn sweep(foundation: Foundation, stop: CancellationToken) {
    loop {
        if let Err(fault) = lanyard_service_identity::sweep(&foundation).await {
            tracing::warn!(%fault, "what ran out is swept later");
        }
        foundation.signals.tidy();
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
    }
}

/// The services of this process.
struct Built {
    router: Router,
    by_service: HashMap<Service, Router>,
}

impl Built {
    fn add(&mut self, service: Service, (router, served): (Router, Vec<&'static str>)) -> Result<()> {
        for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.service == service) {
            if !served.contains(&endpoint.id) {
                anyhow::bail!(
                    "the {} service does not serve {}: this is a defect",
                    service.as_str(),
                    endpoint.id
                );
            }
        }
        self.router = std::mem::take(&mut self.router).merge(router.clone());
        self.by_service.insert(service, router);
        Ok(())
    }

    async fn build(
        config: &Config,
        foundation: &Foundation,
        state: &StateDir,
        ca: &Arc<Authority>,
        url: &str,
        chores: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self> {
        let mut built = Self { router: Router::new(), by_service: HashMap::new() };
        for service in &config.services {
            let (f, stop) = (foundation.clone(), stop.clone());
            let routes = match service {
                Service::Identity => {
                    lanyard_service_identity::begin(&f).await?;
                    lanyard_service_identity::routes(f, crate::settings::identity(config, state, url)?)
                        .finish()
                }
                Service::Enrolment => {
                    let settings = crate::settings::enrolment(config, ca, &stop);
                    chores.spawn(lanyard_service_enrolment::chores(f.clone(), stop));
                    lanyard_service_enrolment::routes(f, settings).finish()
                }
                Service::Policy => {
                    chores.spawn(lanyard_service_policy::chores(f.clone(), stop));
                    lanyard_service_policy::routes(f, lanyard_service_policy::Settings::default()).finish()
                }
                Service::Session => {
                    let settings = crate::settings::session(config, state)?;
                    chores.spawn(lanyard_service_session::chores(f.clone(), settings.clone(), stop));
                    lanyard_service_session::routes(f, settings).finish()
                }
                Service::Workspace => {
                    let settings = lanyard_service_workspace::Settings::open(&config.artifact_store).await?;
                    chores.spawn(lanyard_service_workspace::chores(f.clone(), settings.clone(), stop));
                    lanyard_service_workspace::routes(f, settings).finish()
                }
                Service::Approval => {
                    chores.spawn(lanyard_service_approval::chores(f.clone(), stop));
                    lanyard_service_approval::routes(f).finish()
                }
                Service::Audit => {
                    let settings = crate::settings::audit(config);
                    chores.spawn(lanyard_service_audit::chores(f.clone(), settings.clone(), stop));
                    lanyard_service_audit::routes(f, settings).finish()
                }
                Service::Telemetry => {
                    let settings = crate::settings::telemetry(config)?;
                    chores.spawn(lanyard_service_telemetry::chores(f.clone(), settings.clone(), stop));
                    lanyard_service_telemetry::routes(f, settings).finish()
                }
                Service::Tools => {
                    let settings = crate::settings::tools(config, state)?;
                    chores.spawn(lanyard_service_tools::chores(f.clone(), settings.clone(), stop));
                    lanyard_service_tools::routes(f, settings).finish()
                }
            };
            built.add(*service, routes)?;
        }
        Ok(built)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Cli;

    #[tokio::test]
    async fn a_link_is_for_an_installation_that_is_there() {
        let nowhere = std::env::temp_dir().join("lanyard-no-such-installation");
        let folder = nowhere.display().to_string();
        let cli = Cli::parse_from(["lanyard-central", "sign-in-link", "--state-dir", &folder]);
        let config = cli.options.check().unwrap();
        let refused = sign_in_link(&config).await.unwrap_err().to_string();
        assert!(refused.contains("--state-dir"), "{refused}");
        assert!(!nowhere.exists(), "nothing was made");
    }
}
