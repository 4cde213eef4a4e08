//! To whom this host belongs at this moment.

use std::sync::{Arc, OnceLock};

use lanyard_governance_api::id::{AgentId, TenantId, UserId};
use lanyard_governance_client::{Central, Identity, IdentityStore};
use lanyard_protocol::Timestamp;
use lanyard_protocol::error::{ErrorCode, WireError};

use super::consent::Consent;
use super::link::Link;
use super::redacting::Redacting;
use super::redaction::Redaction;
use super::wire::Wire;

/// Tenant of a host that belongs to itself.
pub(crate) const LOCAL_TENANT: &str = "local";

/// See the module. What sessions are opened under is read from here, so it is never "not known yet".
#[derive(Debug, Clone)]
pub(crate) enum Tie {
    /// To its owner alone.
    Alone,
    /// To a tenant of a centre.
    Enrolled(Arc<Enrolled>),
    /// It did, and cannot go on so; nor may it go on as if it never had. Its owner decides.
    Broken(Arc<Broken>),
}

/// Who the host is at the centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) url: String,
    pub(crate) agent_id: AgentId,
    pub(crate) tenant_id: TenantId,
    pub(crate) user_id: UserId,
    pub(crate) certificate_not_after: Timestamp,
}

impl Facts {
    pub(crate) fn of(identity: &Identity) -> Self {
        Self {
            url: identity.central.origin().ascii_serialization(),
            agent_id: identity.agent_id.clone(),
            tenant_id: identity.tenant_id.clone(),
            user_id: identity.user_id.clone(),
            certificate_not_after: identity.not_after,
        }
    }
}

/// An enrolment that is in force.
#[derive(Debug, Clone)]
pub(crate) struct Enrolled {
    pub(crate) facts: Facts,
    pub(crate) consent: Consent,
    pub(crate) way: Way,
}

/// An enrolment that is none any more, or that cannot be read.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) facts: Option<Facts>,
    pub(crate) consent: Consent,
    /// What happened, in a clause.
    pub(crate) reason: String,
    /// The centre said so.
    pub(crate) revoked: bool,
}

impl Broken {
    /// Why no session goes on, and the way out.
    pub(crate) fn refusal(&self) -> WireError {
        let text = if self.revoked {
            format!(
                "the central services ended this host's enrolment ({}); after `lanyard unenroll` it can go on by itself, or \
                 be enrolled again",
                self.reason
            )
        } else {
            format!(
                "this host is enrolled, and its enrolment cannot be used: {}; mend that, or go on without the central \
                 services after `lanyard unenroll --force`",
                self.reason
            )
        };
        WireError::new(ErrorCode::AgentRevoked, text)
    }
}

/// The way to the centre, made when it is first needed: it costs a TLS client.
#[derive(Clone)]
pub(crate) enum Way {
    /// By the identity on disk.
    Real(Arc<Lazy>),
    /// As a test plays it.
    #[cfg(test)]
    Played(Arc<dyn Wire>),
}

pub(crate) struct Lazy {
    identity: Identity,
    store: IdentityStore,
    made: OnceLock<Result<Central, String>>,
}

impl Way {
    pub(crate) fn real(identity: Identity, store: IdentityStore) -> Self {
        Self::Real(Arc::new(Lazy { identity, store, made: OnceLock::new() }))
    }

    /// The typed client.
    pub(crate) fn central(&self) -> Result<Central, WireError> {
        match self {
            Self::Real(lazy) => {
                let made = lazy.made.get_or_init(|| {
                    Central::new(lazy.identity.clone(), lazy.store.clone()).map_err(|error| error.to_string())
                });
                made.clone().map_err(|error| WireError::new(ErrorCode::InternalError, error))
            }
            #[cfg(test)]
            Self::Played(_) => Err(WireError::new(ErrorCode::CentralUnavailable, "a test plays the centre")),
        }
    }

    /// The client, if it has been made.
    pub(crate) fn made(&self) -> Option<Central> {
        match self {
            Self::Real(lazy) => lazy.made.get().and_then(|made| made.clone().ok()),
            #[cfg(test)]
            Self::Played(_) => None,
        }
    }

    /// What loops say to it, without what the rules name.
    pub(crate) fn wire(&self, rules: &Arc<Redaction>) -> Result<Arc<dyn Wire>, WireError> {
        let wire: Arc<dyn Wire> = match self {
            Self::Real(_) => Arc::new(Link(self.central()?)),
            #[cfg(test)]
            Self::Played(wire) => wire.clone(),
        };
        Ok(Arc::new(Redacting { wire, rules: rules.clone() }))
    }
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Way")
    }
}

impl Tie {
    /// The enrolment in force.
    pub(crate) fn enrolled(&self) -> Option<&Arc<Enrolled>> {
        match self {
            Self::Enrolled(enrolled) => Some(enrolled),
            Self::Alone | Self::Broken(_) => None,
        }
    }

    /// Who the host is, or was, at the centre.
    pub(crate) fn facts(&self) -> Option<&Facts> {
        match self {
            Self::Alone => None,
            Self::Enrolled(enrolled) => Some(&enrolled.facts),
            Self::Broken(broken) => broken.facts.as_ref(),
        }
    }

    /// What the owner lets the centre do now: nothing without an enrolment in force.
    pub(crate) fn consent(&self) -> Consent {
        self.enrolled().map(|enrolled| enrolled.consent).unwrap_or_default()
    }
}
