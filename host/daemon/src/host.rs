//! The wired parts that request handlers work with. Made once by [`crate::start`], shared read-only.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use lanyard_dispatch::ApprovalDesk;
use lanyard_model::Selector;
use lanyard_policy::decide::Unconfined;
use lanyard_ports::authority::{Principals, SessionAuthority};
use lanyard_ports::journal::{ArtifactStore, Journal};
use lanyard_ports::source::{Clock, IdSource};
use lanyard_protocol::Timestamp;
use lanyard_store::MovedAside;
use lanyard_tools::sandbox::Sandbox;
use tokio_util::sync::CancellationToken;

use crate::central::Centre;
use crate::config::Config;
use crate::hub::Hub;
use crate::neighbours::Neighbours;
use crate::network::Network;
use crate::sessions::LiveSessions;
use crate::state_dir::RuntimePaths;
use crate::uploads::Uploads;

/// Everything a handler may use.
pub(crate) struct Host {
    pub(crate) config: Config,
    /// Canonical.
    pub(crate) state_dir: PathBuf,
    pub(crate) paths: RuntimePaths,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) artifacts: Arc<dyn ArtifactStore>,
    pub(crate) authority: Arc<dyn SessionAuthority>,
    pub(crate) desk: ApprovalDesk,
    pub(crate) models: Arc<Selector>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) sessions: LiveSessions,
    /// Files on their way into workspaces.
    pub(crate) uploads: Arc<Uploads>,
    /// Other hosts, as they were last heard.
    pub(crate) neighbours: Neighbours,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) sandbox: Sandbox,
    /// Who may ask and answer.
    pub(crate) principals: Arc<dyn Principals>,
    /// Paired devices, pairing, and what listens for them.
    pub(crate) network: Network,
    /// The central services it is enrolled at, if any.
    pub(crate) centre: Arc<Centre>,
    /// Where a store that could not be read was moved to.
    pub(crate) moved_aside: Option<MovedAside>,
    pub(crate) started_at: Timestamp,
    /// Connections open now.
    pub(crate) connections: AtomicU64,
    /// Cancelled when the host is to stop.
    pub(crate) stop: CancellationToken,
}

impl Host {
    /// What a sandbox that is not full means for programs.
    pub(crate) fn unconfined(&self) -> Unconfined {
        if self.config.accept_unconfined {
            return Unconfined::AcceptedByOwner;
        }
        if self.sandbox.report().keeps_approvals() { Unconfined::BoundaryHolds } else { Unconfined::Refused }
    }

    /// Directories no tool and no child may ever touch.
    pub(crate) fn protected(&self) -> Vec<PathBuf> {
        vec![self.state_dir.clone(), self.paths.socket_dir.clone()]
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("state_dir", &self.state_dir).finish_non_exhaustive()
    }
}
