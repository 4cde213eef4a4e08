//! Who says what a session may do: ids, policy bundles, the model's gateway.

use std::path::PathBuf;

use lanyard_protocol::error::WireError;
use lanyard_protocol::id::{PrincipalId, SessionId, WorkspaceId};
use lanyard_protocol::policy::PolicyBundle;
use lanyard_protocol::principal::Principal;
use lanyard_protocol::session::WorkspaceScope;
use lanyard_protocol::{Tick, Timestamp};
use tokio::sync::watch;

/// [`IssuedBundle::layer`] of a bundle that central services issued. Only such a bundle has an epoch that
/// [`PolicyNews`] can outrun, and a grace while its issuer is out of reach.
pub use lanyard_protocol::policy::CENTRAL_LAYER;

/// A session about to be created.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// The id the host proposes.
    pub session_id: SessionId,
    /// The workspace the host would put it in.
    pub workspace_id: WorkspaceId,
    /// How that workspace is reused: `local` is found again by its directories, `general` is the session's own.
    pub scope: WorkspaceScope,
    /// Absolute, existing, canonical directories it is about; at least one.
    pub roots: Vec<PathBuf>,
    /// Name for people; may be empty.
    pub name: String,
    /// Who creates it, as this host knows them.
    pub user_id: String,
    /// The job of the centre it is opened for.
    pub job: Option<String>,
}

/// The ids a session is created under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The session.
    pub session_id: SessionId,
    /// Its workspace.
    pub workspace_id: WorkspaceId,
}

/// A session about to begin, or to go on.
#[derive(Debug, Clone)]
pub struct SessionClaim {
    /// The session.
    pub session_id: SessionId,
    /// Its workspace.
    pub workspace_id: WorkspaceId,
    /// Absolute, existing, canonical directories it is about; at least one.
    pub roots: Vec<PathBuf>,
    /// Tenant, `local` without a backend.
    pub tenant_id: String,
    /// User.
    pub user_id: String,
}

/// A bundle and the layer that issued it.
#[derive(Debug, Clone)]
pub struct IssuedBundle {
    /// `local` or `central`.
    pub layer: &'static str,
    /// The bundle, not yet validated.
    pub bundle: PolicyBundle,
}

/// Where a session's model calls go, where the authority says so. The token is a secret of this one session.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionGateway {
    /// Base URL of an OpenAI-compatible API.
    pub endpoint: String,
    /// Bearer token; short-lived.
    pub token: String,
    /// The model to ask for; absent: the first of the bundle's that the gateway has.
    pub model: Option<String>,
    /// When the token runs out. Absent: the gateway's own rule.
    pub expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for SessionGateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionGateway").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// What an authority grants a session.
#[derive(Debug, Clone, Default)]
pub struct Issued {
    /// Bundles in force, at least one; the strictest verdict wins. None means that nothing is allowed.
    pub bundles: Vec<IssuedBundle>,
    /// Where the model is; absent: where the host's own configuration says.
    pub gateway: Option<SessionGateway>,
    /// The session pauses as soon as the issuer is out of reach: the bundles' offline grace counts as none.
    pub pause_when_away: bool,
    /// The issuer's clock when it answered; the expiry of the central bundle is an instant on that clock, and this
    /// host's may be wrong by hours. Absent: they are the same clock.
    pub issuer_time: Option<Timestamp>,
}

/// What the authority last heard of the policy in force. Whoever holds a central bundle of an older epoch may decide
/// nothing by it any more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyNews {
    /// The epoch; never falls within one enrolment. 0 before the first, and always for an authority of this machine.
    pub epoch: u64,
    /// Nothing is in force, and why, as "who: reason".
    pub revoked: Option<String>,
}

/// Whether the issuer of central bundles is in reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// When the issuer last answered anything authentic, on the boot clock; `None` before the first time since the
    /// host started. Set it to the instant *before* the request was sent: what was revoked since is in no answer.
    pub heard_at: Option<Tick>,
    /// The last attempt to reach it failed.
    pub failing: bool,
}

/// Issues policy for sessions.
#[async_trait::async_trait]
pub trait SessionAuthority: Send + Sync {
    /// Called when a session is created, before anything of it is stored: the centre says which workspace it belongs
    /// to, and an authority of this machine keeps what the host chose. Idempotent by session id.
    async fn adopt(&self, session: NewSession) -> Result<Adopted, WireError>;

    /// What is in force for a session. Called at the start, on resume, when a bundle has run out, when [`PolicyNews`]
    /// has outrun the one held, and when a gateway refuses its token. Cancel-safe.
    ///
    /// An authority that answers from what it has kept, because its issuer is out of reach, hands on only what is left of
    /// the bundle's grace: whoever asks counts it from the moment of asking.
    ///
    /// # Errors
    /// `POLICY_REVOKED` and `AGENT_REVOKED`: nothing is in force. `CENTRAL_UNAVAILABLE`: the issuer was not reached;
    /// what is held may be used within its offline grace.
    async fn issue(&self, claim: &SessionClaim) -> Result<Issued, WireError>;

    /// What was last heard of the policy in force; constant for an authority of this machine.
    fn changes(&self) -> watch::Receiver<PolicyNews>;

    /// Whether the issuer of central bundles is in reach; means nothing for an authority of this machine.
    fn reach(&self) -> watch::Receiver<Reach>;
}

/// Gives a session's model a fresh token when the gateway refuses the one it has.
#[async_trait::async_trait]
pub trait TokenSource: Send + Sync {
    /// The gateway as last granted.
    fn gateway(&self) -> Option<SessionGateway>;

    /// A gateway whose token is not `refused`: the one granted meanwhile, else one asked for now. Callers that were
    /// refused together cause one request. Cancel-safe.
    async fn renew(&self, refused: &str) -> Result<SessionGateway, WireError>;
}

/// Knows the principals of this host as they are now.
pub trait Principals: Send + Sync {
    /// The principal with the rights held at this moment; `None` for one that is unknown or was revoked.
    fn standing(&self, id: &PrincipalId) -> Option<Principal>;
}
