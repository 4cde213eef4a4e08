//! Who says what a session may do: ids, policy bundles, model limits.

use std::path::PathBuf;

use lanyard_protocol::error::WireError;
use lanyard_protocol::id::{PrincipalId, SessionId, WorkspaceId};
use lanyard_protocol::policy::PolicyBundle;
use lanyard_protocol::principal::Principal;

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

/// Issues policy for sessions.
#[async_trait::async_trait]
pub trait SessionAuthority: Send + Sync {
    /// Bundles in force for a session, at least one; the strictest verdict wins. Called at the start, on resume and
    /// when a bundle has run out. An empty answer means that nothing is allowed.
    async fn issue(&self, claim: &SessionClaim) -> Result<Vec<IssuedBundle>, WireError>;
}

/// Knows the principals of this host as they are now.
pub trait Principals: Send + Sync {
    /// The principal with the rights held at this moment; `None` for one that is unknown or was revoked.
    fn standing(&self, id: &PrincipalId) -> Option<Principal>;
}
