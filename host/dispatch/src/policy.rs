//! The policy in force for one session, renewed when it runs out.

use std::sync::{Arc, PoisonError, RwLock};

use lanyard_policy::bundle::BundleFault;
use lanyard_policy::layer::Layers;
use lanyard_ports::authority::{SessionAuthority, SessionClaim};
use lanyard_ports::source::Clock;
use lanyard_protocol::Timestamp;
use lanyard_protocol::error::WireError;

/// Why no policy is in force.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyLapse {
    /// It ran out, and the authority gave no new one.
    #[error("the policy bundle ran out at {at} and could not be renewed: {reason}")]
    Expired {
        /// When.
        at: Timestamp,
        /// What the authority said.
        reason: WireError,
    },
}

/// Layers of one session. Reads are cheap; renewal asks the authority.
pub struct SessionPolicy {
    authority: Arc<dyn SessionAuthority>,
    clock: Arc<dyn Clock>,
    claim: SessionClaim,
    layers: RwLock<Arc<Layers>>,
}

impl std::fmt::Debug for SessionPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionPolicy").field("session", &self.claim.session_id).finish_non_exhaustive()
    }
}

impl SessionPolicy {
    /// Asks the authority and validates what it issues: expiry, session, schema version, every list of every grant.
    /// A session without valid policy does not start.
    pub async fn open(
        authority: Arc<dyn SessionAuthority>,
        clock: Arc<dyn Clock>,
        claim: SessionClaim,
    ) -> Result<Self, WireError> {
        let layers = Self::layers(&*authority, &claim, clock.now()).await?;
        Ok(Self { authority, clock, claim, layers: RwLock::new(Arc::new(layers)) })
    }

    /// The layers an authority issues for a claim, validated.
    pub async fn layers(
        authority: &dyn SessionAuthority,
        claim: &SessionClaim,
        now: Timestamp,
    ) -> Result<Layers, WireError> {
        let issued = authority.issue(claim).await?;
        let issued = issued.into_iter().map(|i| (i.layer, i.bundle)).collect();
        Layers::validate(issued, &claim.session_id, now).map_err(|fault: BundleFault| fault.to_wire())
    }

    /// Whom the policy is for.
    pub fn claim(&self) -> &SessionClaim {
        &self.claim
    }

    /// The layers in force now; asks for new ones when they have run out. Cancel-safe.
    pub async fn current(&self) -> Result<Arc<Layers>, PolicyLapse> {
        let held = self.held();
        let now = self.clock.now();
        if held.expires_at() > now {
            return Ok(held);
        }
        match Self::layers(&*self.authority, &self.claim, now).await {
            Ok(fresh) => {
                let fresh = Arc::new(fresh);
                *self.layers.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
                Ok(fresh)
            }
            Err(reason) => Err(PolicyLapse::Expired { at: held.expires_at(), reason }),
        }
    }

    /// The layers last in force, expired or not: for what is decided about them, such as redaction.
    pub fn held(&self) -> Arc<Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
