//! What this host says to the central services, as a trait: the loops are tried against a centre that a test plays.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use lanyard_governance_api::approval::ApprovalReport;
use lanyard_governance_api::artifact::ArtifactQuery;
use lanyard_governance_api::id::JobId;
use lanyard_governance_api::job::{Job, JobProgress};
use lanyard_governance_api::pairing::PairingSnapshot;
use lanyard_governance_api::session::{
    EventBatch, EventsAccepted, ResumeRequest, SessionGrant, SessionRequest, StateReport, TaskCompletion,
    TaskReport,
};
use lanyard_governance_api::telemetry::TraceBatch;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{SessionId, TaskId, WorkspaceId};

/// The pieces of an artifact.
pub(crate) type Pieces = BoxStream<'static, std::io::Result<Bytes>>;

/// The content of an artifact: its length, and how its pieces are read, from the beginning each time.
pub(crate) struct Content {
    pub(crate) bytes: u64,
    pub(crate) make: Box<dyn Fn() -> Pieces + Send + Sync>,
    /// Why it could not be read to its end on this host, once that has happened. Whoever sends it sees no more than that
    /// it was cut, as if the centre were away.
    pub(crate) failed: Arc<OnceLock<String>>,
}

impl Content {
    /// Of `bytes` bytes.
    pub(crate) fn new(bytes: u64, make: impl Fn() -> Pieces + Send + Sync + 'static) -> Self {
        let failed = Arc::new(OnceLock::new());
        let noted = failed.clone();
        let make = move || {
            let noted = noted.clone();
            let note = move |error: &std::io::Error| drop(noted.set(error.to_string()));
            make().inspect_err(note).boxed()
        };
        Self { bytes, make: Box::new(make), failed }
    }
}

/// Calls of the central services that the host's loops make. Every call is bounded in time and may be repeated.
///
/// # Errors
/// What the centre said; `CENTRAL_UNAVAILABLE` when it was not reached, `AGENT_REVOKED` when it knows this host no
/// more.
#[async_trait::async_trait]
pub(crate) trait Wire: Send + Sync {
    async fn create_session(&self, request: &SessionRequest) -> Result<SessionGrant, WireError>;
    async fn resume_session(
        &self,
        session: &SessionId,
        request: &ResumeRequest,
    ) -> Result<SessionGrant, WireError>;
    async fn cancel_session(&self, session: &SessionId, reason: &str) -> Result<(), WireError>;
    async fn rename_session(&self, session: &SessionId, name: &str) -> Result<(), WireError>;
    async fn report_state(&self, session: &SessionId, report: &StateReport) -> Result<(), WireError>;
    async fn create_task(&self, session: &SessionId, report: &TaskReport) -> Result<(), WireError>;
    async fn complete_task(
        &self,
        session: &SessionId,
        task: &TaskId,
        completion: &TaskCompletion,
    ) -> Result<(), WireError>;
    async fn append_events(
        &self,
        session: &SessionId,
        batch: &EventBatch,
    ) -> Result<EventsAccepted, WireError>;
    async fn report_approval(&self, report: &ApprovalReport) -> Result<(), WireError>;
    async fn post_traces(&self, batch: &TraceBatch) -> Result<(), WireError>;
    async fn put_artifact(
        &self,
        workspace: &WorkspaceId,
        query: &ArtifactQuery,
        content: Content,
    ) -> Result<(), WireError>;
    async fn delete_history(&self, workspace: &WorkspaceId, session: &SessionId) -> Result<(), WireError>;
    async fn report_job(&self, job: &JobId, progress: &JobProgress) -> Result<Job, WireError>;
    async fn put_pairings(&self, snapshot: &PairingSnapshot) -> Result<(), WireError>;
    /// Gives the enrolment back.
    async fn revoke_self(&self, reason: &str) -> Result<(), WireError>;
}

/// What an error of the centre means for whoever has something to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nobody was reached, or they are busy: the same again later.
    Later,
    /// This host is not theirs any more: nothing is sent again.
    Gone,
    /// They will never take this; going on without it is all there is to do.
    Never,
}

/// See [`Meaning`].
pub(crate) fn meaning(error: &WireError) -> Meaning {
    match error.code {
        ErrorCode::AgentRevoked => Meaning::Gone,
        // A credential that was refused is renewed by the client; until then it is as if nobody were there.
        ErrorCode::CentralUnavailable
        | ErrorCode::RateLimited
        | ErrorCode::InternalError
        | ErrorCode::StorageFull
        | ErrorCode::Unauthorized
        | ErrorCode::EnrolmentRefused
        | ErrorCode::WorkspaceUploadFailed => Meaning::Later,
        _ if error.retryable => Meaning::Later,
        _ => Meaning::Never,
    }
}
