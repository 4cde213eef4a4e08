//! Who this host is at the centre: the key it made, the certificate it was given, the tokens it holds.

mod key;
mod pem;
mod store;
#[cfg(test)]
mod tests;

use lanyard_governance_api::enrolment::IssuedIdentity;
use lanyard_governance_api::id::{AgentId, TenantId, UserId};
use lanyard_protocol::Timestamp;
use url::Url;

pub(crate) use key::AgentKey;
pub(crate) use pem::certificates;
pub(crate) use store::Pending;
pub use store::{IdentityError, IdentityStore};

use crate::secret::Secret;
use crate::tls;

/// An enrolled host. Cheap enough to clone; its secrets are wiped when the last clone goes, and never in `Debug`.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The host's name at the centre.
    pub agent_id: AgentId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Whose host it is.
    pub user_id: UserId,
    /// Where the centre is; no path, no query.
    pub central: Url,
    /// Certificate for the key, PEM.
    pub certificate_pem: String,
    /// The only certificates that the centre's own may come from, PEM.
    pub ca_chain_pem: String,
    /// Seconds between heartbeats.
    pub heartbeat_seconds: u32,
    /// When the certificate was given, by the server's clock.
    pub issued_at: Timestamp,
    /// When it runs out, by the server's clock.
    pub not_after: Timestamp,
    /// Proves who asks; made here, and never leaves.
    pub(crate) key: AgentKey,
    /// Bearer for heartbeats only.
    pub(crate) service_token: Secret,
}

impl Identity {
    /// Takes what the centre issued for `key`, if it is for that key and comes from the CA certificates in it.
    pub(crate) fn from_issued(
        central: Url,
        key: AgentKey,
        issued: IssuedIdentity,
    ) -> Result<Self, IdentityError> {
        let identity = Self {
            agent_id: issued.agent_id,
            tenant_id: issued.tenant_id,
            user_id: issued.user_id,
            central,
            certificate_pem: issued.certificate_pem,
            ca_chain_pem: issued.ca_chain_pem,
            heartbeat_seconds: issued.heartbeat_seconds.clamp(1, 3_600),
            issued_at: issued.server_time,
            not_after: issued.not_after,
            key,
            service_token: Secret::new(issued.service_token),
        };
        identity.check()?;
        Ok(identity)
    }

    /// Key, certificate and CA belong together. The time is one at which the certificate must be good if what was said of
    /// it is true, so that this does not depend on any clock.
    fn check(&self) -> Result<(), IdentityError> {
        tls::certified(self).map_err(|error| IdentityError::Unfit(error.to_string()))?;
        let middle = self.issued_at.as_millis().midpoint(self.not_after.as_millis());
        tls::issued_by(&self.certificate_pem, &self.ca_chain_pem, Timestamp::from_millis(middle))
            .map_err(IdentityError::Unfit)
    }

    /// When half of the certificate's life is over and it is renewed, by the server's clock.
    pub fn renew_after(&self) -> Timestamp {
        let life = self.not_after.millis_since(self.issued_at);
        self.issued_at.plus_millis(i64::try_from(life / 2).unwrap_or(i64::MAX))
    }

    /// Whether connections are encrypted and carry the certificate; on loopback they are not.
    pub fn uses_tls(&self) -> bool {
        self.central.scheme() == "https"
    }
}
