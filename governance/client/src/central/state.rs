//! What clones of a [`super::Central`] share.

use std::sync::{Arc, PoisonError, RwLock};

use lanyard_governance_api::agent::HeartbeatAnswer;
use lanyard_governance_api::id::AgentId;
use reqwest::Client;
use tokio::sync::{Notify, watch};
use url::Url;

use super::access::AccessTokens;
use super::{REACH_STEP_MILLIS, ServerClock, http};
use crate::identity::{Identity, IdentityStore, certificates};
use crate::reach::Reach;
use crate::renew::Renewals;
use crate::tls;

/// Why no client could be made of an identity.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the identity cannot be used: {0}")]
pub struct SetupError(pub(crate) String);

/// An identity and its connections. Replaced whole when the identity is renewed: what is under way goes on by the old one,
/// everything new begins with the new certificate.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) identity: Identity,
    /// Shows the certificate.
    pub(crate) proven: Client,
    /// Shows none: for heartbeats, and for proofs by an identity whose certificate has run out.
    pub(crate) plain: Client,
}

impl Connection {
    fn new(identity: Identity, clock: &ServerClock) -> Result<Self, SetupError> {
        let fault = |error: &dyn std::fmt::Display| SetupError(error.to_string());
        if !identity.uses_tls() {
            let plain = http::client(None).map_err(SetupError)?;
            return Ok(Self { identity, proven: plain.clone(), plain });
        }
        let ca = certificates(&identity.ca_chain_pem).map_err(|error| fault(&error))?;
        let key = tls::certified(&identity).map_err(|error| fault(&error))?;
        let client = |key| -> Result<Client, SetupError> {
            let config = tls::pinned(&ca, key, clock).map_err(|error| fault(&error))?;
            http::client(Some(config)).map_err(SetupError)
        };
        Ok(Self { proven: client(Some(key))?, plain: client(None)?, identity })
    }
}

/// The shared part.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: IdentityStore,
    pub(crate) agent_id: AgentId,
    pub(crate) origin: Url,
    pub(crate) clock: ServerClock,
    pub(crate) access: AccessTokens,
    pub(crate) renewals: Renewals,
    pub(crate) reach: watch::Sender<Reach>,
    /// Rung when a call was not answered, so that the heartbeat looks at once.
    pub(crate) doubt: Notify,
    connection: RwLock<Arc<Connection>>,
}

impl Inner {
    pub(super) fn new(
        identity: Identity,
        store: IdentityStore,
        clock: ServerClock,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            store,
            agent_id: identity.agent_id.clone(),
            origin: identity.central.clone(),
            access: AccessTokens::default(),
            renewals: Renewals::default(),
            reach: watch::Sender::new(Reach::default()),
            doubt: Notify::new(),
            connection: RwLock::new(Arc::new(Connection::new(identity, &clock)?)),
            clock,
        })
    }

    pub(crate) fn connection(&self) -> Arc<Connection> {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything new begins with this identity.
    pub(crate) fn replace(&self, identity: Identity) -> Result<Arc<Connection>, SetupError> {
        let connection = Arc::new(Connection::new(identity, &self.clock)?);
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = connection.clone();
        Ok(connection)
    }

    /// A call was answered.
    pub(crate) fn reached(&self) {
        let now = self.clock.local();
        let offset = self.clock.offset_millis();
        self.reach.send_if_modified(|reach| {
            let moved = reach
                .last_ok
                .is_none_or(|last| now.as_millis().abs_diff(last.as_millis()) >= REACH_STEP_MILLIS);
            if !moved && reach.failing_since.is_none() && reach.server_offset_millis == offset {
                return false;
            }
            reach.last_ok = Some(now);
            reach.failing_since = None;
            reach.reason = None;
            reach.server_offset_millis = offset;
            true
        });
    }

    /// What a heartbeat's answer says.
    pub(crate) fn heard(&self, answer: &HeartbeatAnswer) {
        let now = self.clock.local();
        let offset = self.clock.offset_millis();
        self.reach.send_modify(|reach| {
            *reach = Reach {
                last_ok: Some(now),
                failing_since: None,
                reason: None,
                server_offset_millis: offset,
                // 0 is said while the centre does not know, and is no news.
                policy_epoch: if answer.policy_epoch == 0 { reach.policy_epoch } else { answer.policy_epoch },
                last_command: answer.last_command,
                revoked: reach.revoked.take(),
            };
        });
    }

    /// A heartbeat was not.
    pub(crate) fn failing(&self, reason: &str) {
        let now = self.clock.local();
        self.reach.send_if_modified(|reach| {
            if reach.failing_since.is_some() && reach.reason.as_deref() == Some(reason) {
                return false;
            }
            reach.failing_since.get_or_insert(now);
            reach.reason = Some(reason.to_owned());
            true
        });
    }

    /// The enrolment was revoked.
    pub(crate) fn revoked(&self, reason: &str) {
        self.reach.send_if_modified(|reach| {
            let news = reach.revoked.is_none();
            reach.revoked.get_or_insert_with(|| reason.to_owned());
            news
        });
    }
}
