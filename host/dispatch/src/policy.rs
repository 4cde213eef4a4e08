//! The policy in force for one session: held, outrun, renewed, lapsed.
//!
//! What is held may be used while all of this is true; otherwise the authority is asked again, and what it says counts:
//!
//! * it has not run out, by the wall clock *and* by the boot clock, so that a clock set back prolongs nothing;
//! * its epoch is the one last heard of ([`PolicyNews`]), and that one was not revoked;
//! * its issuer is in reach ([`Reach`]), or has not been out of reach for longer than the bundle's offline grace, counted
//!   on the boot clock. In reach means heard of within [`standing::CONTACT_WINDOW`] and no attempt has failed since: a machine that
//!   wakes after a night does not take itself for connected.
//!
//! The last two concern bundles of central services only. Nobody but the authority decides whether it is in reach and
//! what the epoch is; here is only what follows from it. [`SessionPolicy::revoked`] ends what is under way; a change of
//! policy that is no revocation ends nothing that has begun, it counts from the next call on.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use lanyard_policy::bundle::BundleFault;
use lanyard_policy::layer::Layers;
use lanyard_ports::authority::{
    CENTRAL_LAYER, Issued, PolicyNews, Reach, SessionAuthority, SessionClaim, SessionGateway, TokenSource,
};
use lanyard_ports::source::{BootClock, Clock};
use lanyard_protocol::Timestamp;
use lanyard_protocol::error::{ErrorCode, WireError};
use tokio::sync::{Mutex, watch};

mod lapse;
mod standing;

pub use lapse::PolicyLapse;
use standing::{Central, Held, Standing};

/// Times the authority is asked before news that outrun each answer count as a lapse. An administrator who changes the
/// policy several times within one request is not typing.
const MAX_ROUNDS: u32 = 3;

/// Layers of one session. Reads are cheap; renewal asks the authority.
pub struct SessionPolicy {
    authority: Arc<dyn SessionAuthority>,
    clock: Arc<dyn Clock>,
    boot: Arc<dyn BootClock>,
    claim: SessionClaim,
    news: watch::Receiver<PolicyNews>,
    reach: watch::Receiver<Reach>,
    held: RwLock<Held>,
    /// Held while the authority is asked: calls that find the policy outrun together cause one request.
    asking: Mutex<()>,
}

impl std::fmt::Debug for SessionPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionPolicy").field("session", &self.claim.session_id).finish_non_exhaustive()
    }
}

impl SessionPolicy {
    /// Asks the authority and validates what it issues: expiry, session, schema version, every list of every grant, and
    /// that no news has outrun it. A session without valid policy does not start.
    pub async fn open(
        authority: Arc<dyn SessionAuthority>,
        clock: Arc<dyn Clock>,
        boot: Arc<dyn BootClock>,
        claim: SessionClaim,
    ) -> Result<Self, WireError> {
        let (news, reach) = (authority.changes(), authority.reach());
        let held = ask(&*authority, &claim, &*clock, &*boot, &news).await?;
        let policy = Self {
            authority,
            clock,
            boot,
            claim,
            news,
            reach,
            held: RwLock::new(held),
            asking: Mutex::new(()),
        };
        policy.current().await.map_err(|lapse| lapse.to_wire())?;
        Ok(policy)
    }

    /// The layers an authority issues for a claim, validated.
    pub async fn layers(
        authority: &dyn SessionAuthority,
        claim: &SessionClaim,
        now: Timestamp,
    ) -> Result<Layers, WireError> {
        let issued = authority.issue(claim).await?;
        compile(&issued, claim, now)
    }

    /// Whom the policy is for.
    pub fn claim(&self) -> &SessionClaim {
        &self.claim
    }

    /// The layers in force now; asks for new ones when those held are not. Cancel-safe.
    pub async fn current(&self) -> Result<Arc<Layers>, PolicyLapse> {
        if let Some(layers) = self.in_force() {
            return Ok(layers);
        }
        let _one_at_a_time = self.asking.lock().await;
        for _ in 0..MAX_ROUNDS {
            let (held, standing) = self.look();
            if standing == Standing::InForce {
                return Ok(held.layers);
            }
            match self.ask().await {
                Ok(fresh) => self.hold(fresh),
                Err(refusal) => return Err(self.lapse(&held, standing, refusal)),
            }
        }
        let (held, standing) = self.look();
        match standing {
            Standing::InForce => Ok(held.layers),
            lapsed => {
                let text = "the central services issue policy bundles that are older than their own news";
                let stale = WireError::new(ErrorCode::PolicyBundleInvalid, text);
                Err(self.lapse(&held, lapsed, stale))
            }
        }
    }

    /// Whether layers from [`SessionPolicy::current`] are still what is in force: the last look before a call begins.
    pub fn still(&self, layers: &Arc<Layers>) -> bool {
        self.in_force().is_some_and(|held| Arc::ptr_eq(&held, layers))
    }

    /// Waits until the policy is taken back; returns never while it is not. News of another policy let the authority be
    /// asked at once, so that a revocation that was followed by another policy is not mistaken for a mere change: what
    /// then holds is held. Cancel-safe.
    pub async fn revoked(&self) -> PolicyLapse {
        let mut news = self.news.clone();
        loop {
            let latest = news.borrow_and_update().clone();
            let (held, _) = self.look();
            if held.outrun_by(&latest) {
                if let Some(reason) = latest.revoked {
                    return PolicyLapse::Revoked { reason };
                }
                if let Err(lapse @ PolicyLapse::Revoked { .. }) = self.current().await {
                    return lapse;
                }
            }
            if news.changed().await.is_err() {
                // The authority is gone, and with it whoever could take anything back.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The layers last in force, lapsed or not: for what is decided about them, such as redaction.
    pub fn held(&self) -> Arc<Layers> {
        self.peek().layers
    }

    fn in_force(&self) -> Option<Arc<Layers>> {
        let (held, standing) = self.look();
        (standing == Standing::InForce).then_some(held.layers)
    }

    fn look(&self) -> (Held, Standing) {
        let held = self.peek();
        let standing = held.standing(
            &self.news.borrow().clone(),
            *self.reach.borrow(),
            self.clock.now(),
            self.boot.boot(),
        );
        (held, standing)
    }

    fn peek(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, fresh: Held) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    async fn ask(&self) -> Result<Held, WireError> {
        ask(&*self.authority, &self.claim, &*self.clock, &*self.boot, &self.news).await
    }

    fn lapse(&self, held: &Held, standing: Standing, refusal: WireError) -> PolicyLapse {
        PolicyLapse::of(held, standing, &self.news.borrow().clone(), refusal)
    }
}

#[async_trait::async_trait]
impl TokenSource for SessionPolicy {
    fn gateway(&self) -> Option<SessionGateway> {
        self.peek().gateway
    }

    async fn renew(&self, refused: &str) -> Result<SessionGateway, WireError> {
        let _one_at_a_time = self.asking.lock().await;
        let other = |gateway: &SessionGateway| gateway.token != refused;
        if let Some(gateway) = self.gateway().filter(other) {
            return Ok(gateway);
        }
        let fresh = self.ask().await?;
        let gateway = fresh.gateway.clone();
        self.hold(fresh);
        gateway.filter(other).ok_or_else(|| {
            let text = "the model's gateway refuses its token, and the central services gave no other";
            WireError::new(ErrorCode::LlmUnavailable, text)
        })
    }
}

/// Asks the authority once. Instants are taken before the request: whatever happened since is in no answer.
async fn ask(
    authority: &dyn SessionAuthority,
    claim: &SessionClaim,
    clock: &dyn Clock,
    boot: &dyn BootClock,
    news: &watch::Receiver<PolicyNews>,
) -> Result<Held, WireError> {
    let (asked_at, now, epoch) = (boot.boot(), clock.now(), news.borrow().epoch);
    let issued = authority.issue(claim).await?;
    let layers = compile(&issued, claim, now)?;
    let life = Duration::from_millis(layers.expires_at().millis_since(now));
    Ok(Held {
        central: Central::of(&layers, issued.pause_when_away),
        layers: Arc::new(layers),
        gateway: issued.gateway,
        news_epoch: epoch,
        asked_at,
        runs_out: asked_at.plus(life),
    })
}

/// Validates bundles, with the expiry of central ones told by this host's clock.
fn compile(issued: &Issued, claim: &SessionClaim, now: Timestamp) -> Result<Layers, WireError> {
    let ahead = issued.issuer_time.map_or(0, |theirs| now.as_millis().saturating_sub(theirs.as_millis()));
    let translate = |one: &lanyard_ports::authority::IssuedBundle| {
        let mut bundle = one.bundle.clone();
        if one.layer == CENTRAL_LAYER {
            bundle.expires_at = bundle.expires_at.plus_millis(ahead);
        }
        (one.layer, bundle)
    };
    let bundles = issued.bundles.iter().map(translate).collect();
    Layers::validate(bundles, &claim.session_id, now).map_err(|fault: BundleFault| fault.to_wire())
}
