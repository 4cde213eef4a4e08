//! An authority that a test plays: what it issues, what it has let the host hear, whether it is in reach.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lanyard_policy::bundle::LocalDefault;
use lanyard_policy::path::HostPath;
use lanyard_ports::authority::*;
use lanyard_ports::source::Clock;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::policy::SandboxLevel;
use tokio::sync::watch;

use super::LayerOf;

/// What the centre itself knows and decides.
pub(crate) struct State {
    /// Goes into bundles of the central layer; the machine's own is always of epoch 1.
    pub(crate) epoch: u64,
    pub(crate) revoked: Option<String>,
    pub(crate) reachable: bool,
    pub(crate) pause_when_away: bool,
    /// Life of a bundle.
    pub(crate) life: Duration,
    /// Milliseconds its clock is behind the host's.
    pub(crate) behind: i64,
    pub(crate) layers: Vec<LayerOf>,
    /// Raised while the next request is under way: after its bundle was made, and heard of before it arrives.
    pub(crate) raise_meanwhile: bool,
}

/// See the module.
pub(crate) struct Centre {
    pub(crate) state: Mutex<State>,
    pub(crate) news: watch::Sender<PolicyNews>,
    pub(crate) reach: watch::Sender<Reach>,
    pub(crate) asked: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl Centre {
    pub(crate) fn new(clock: Arc<dyn Clock>, layers: Vec<LayerOf>) -> Self {
        let state = State {
            epoch: 1,
            revoked: None,
            reachable: true,
            pause_when_away: false,
            life: Duration::from_secs(24 * 3_600),
            behind: 0,
            layers,
            raise_meanwhile: false,
        };
        Self {
            state: Mutex::new(state),
            news: watch::Sender::default(),
            reach: watch::Sender::default(),
            asked: AtomicU64::default(),
            clock,
        }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// Changes the policy; the host hears of it with [`Centre::tell`].
    pub(crate) fn raise(&self, revoked: Option<&str>) {
        self.change(|state| {
            state.epoch += 1;
            state.revoked = revoked.map(str::to_owned);
        });
    }

    pub(crate) fn tell(&self) {
        let state = self.state.lock().unwrap();
        self.news.send_replace(PolicyNews { epoch: state.epoch, revoked: state.revoked.clone() });
    }

    pub(crate) fn raise_and_tell(&self, revoked: Option<&str>) {
        self.raise(revoked);
        self.tell();
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    fn answer(&self, claim: &SessionClaim) -> Result<Issued, WireError> {
        let mut state = self.state.lock().unwrap();
        if !state.reachable {
            return Err(WireError::new(ErrorCode::CentralUnavailable, "nobody answers"));
        }
        let governed = state.layers.iter().any(|(layer, _)| *layer == CENTRAL_LAYER);
        if let Some(reason) = state.revoked.as_ref().filter(|_| governed) {
            return Err(WireError::new(ErrorCode::PolicyRevoked, reason.clone()));
        }
        let now = self.clock.now().plus_millis(-state.behind);
        let roots: Vec<_> =
            claim.roots.iter().map(|root| HostPath::parse(root.to_str().unwrap()).unwrap()).collect();
        let issue = |(layer, change): &LayerOf| {
            let central = *layer == CENTRAL_LAYER;
            let default = LocalDefault {
                roots: roots.clone(),
                policy_epoch: if central { state.epoch } else { 1 },
                required_sandbox_level: SandboxLevel::None,
                max_session_tokens: 1_000_000,
            };
            let from = if central { now } else { self.clock.now() };
            let mut bundle = default.issue(claim.session_id.clone(), "local", "owner", from).unwrap();
            bundle.expires_at = from.plus_millis(i64::try_from(state.life.as_millis()).unwrap());
            change(&mut bundle);
            IssuedBundle { layer, bundle }
        };
        let bundles = state.layers.iter().map(issue).collect();
        let gateway = SessionGateway {
            endpoint: "http://gateway".into(),
            token: format!("token-{}", self.asked()),
            model: None,
            expires_at: None,
        };
        let issued = Issued {
            bundles,
            gateway: governed.then_some(gateway),
            pause_when_away: state.pause_when_away,
            issuer_time: governed.then_some(now),
        };
        if std::mem::take(&mut state.raise_meanwhile) {
            state.epoch += 1;
            self.news.send_replace(PolicyNews { epoch: state.epoch, revoked: None });
        }
        Ok(issued)
    }
}

#[async_trait::async_trait]
impl SessionAuthority for Centre {
    async fn adopt(&self, session: NewSession) -> Result<Adopted, WireError> {
        Ok(Adopted { session_id: session.session_id, workspace_id: session.workspace_id })
    }

    async fn issue(&self, claim: &SessionClaim) -> Result<Issued, WireError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // A request takes a while: others come in between.
        tokio::task::yield_now().await;
        self.answer(claim)
    }

    fn changes(&self) -> watch::Receiver<PolicyNews> {
        self.news.subscribe()
    }

    fn reach(&self) -> watch::Receiver<Reach> {
        self.reach.subscribe()
    }
}
