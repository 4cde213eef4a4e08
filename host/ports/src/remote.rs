//! Tools that run elsewhere: behind the central services, at addresses only those know.

use std::sync::Arc;

use lanyard_protocol::error::WireError;
use lanyard_protocol::id::ApprovalId;
use lanyard_protocol::tool::{ToolRequest, ToolSpec, ToolStatus};
use tokio_util::sync::CancellationToken;

/// A tool as whoever keeps it defines it.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteTool {
    /// What the model is offered.
    pub spec: ToolSpec,
    /// What names exactly this definition to whoever keeps it.
    pub definition: String,
}

/// One call, permitted and on record as started.
#[derive(Debug, Clone)]
pub struct RemoteCall {
    /// The call.
    pub request: ToolRequest,
    /// The definition it was permitted for ([`RemoteTool::definition`]); with another one it must not run.
    pub definition: String,
    /// The approval that permits it, where a person gave one.
    pub approval: Option<ApprovalId>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteEnd {
    /// Never `indeterminate`: that is [`RemoteOutcome::Unknown`].
    pub status: ToolStatus,
    /// What the tool said, whole or nearly so; not yet shortened for the model.
    pub output: String,
    /// Why it did not succeed.
    pub error: Option<WireError>,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum RemoteOutcome {
    /// It ran.
    Ended(RemoteEnd),
    /// It never ran and, under this id, never will.
    NeverRan(WireError),
    /// As [`RemoteOutcome::NeverRan`], because it was cancelled.
    Cancelled,
    /// It may have run, and nobody can tell; why.
    Unknown(String),
}

/// The tools of one session that run elsewhere. Policy and approval are not decided here.
#[async_trait::async_trait]
pub trait RemoteTools: Send + Sync {
    /// Those known of now. They stay the same until [`RemoteTools::find`] or a new task looks anew.
    fn known(&self) -> Arc<[RemoteTool]>;

    /// One of them, looked for anew where it is not known. Bounded in time; cancel-safe.
    async fn find(&self, name: &str) -> Option<RemoteTool>;

    /// Makes a call. Bounded in time. Once `cancel` is cancelled it returns within seconds; what has begun elsewhere may go
    /// on there. Not cancel-safe: use the token.
    async fn invoke(&self, call: RemoteCall, cancel: &CancellationToken) -> RemoteOutcome;

    /// What became of a call that an earlier host made or was about to make; never makes it. Bounded in time.
    async fn outcome(&self, request: &ToolRequest) -> RemoteOutcome;
}
