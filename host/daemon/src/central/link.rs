//! [`Wire`] over the typed client.

use lanyard_governance_api::agent::RevokeAgent;
use lanyard_governance_api::approval::ApprovalReport;
use lanyard_governance_api::artifact::ArtifactQuery;
use lanyard_governance_api::endpoint as e;
use lanyard_governance_api::id::JobId;
use lanyard_governance_api::job::{Job, JobProgress};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::pairing::PairingSnapshot;
use lanyard_governance_api::session::{
    CancelRequest, EventBatch, EventsAccepted, RenameRequest, ResumeRequest, SessionGrant, SessionRequest,
    StateReport, TaskCompletion, TaskReport,
};
use lanyard_governance_api::telemetry::TraceBatch;
use lanyard_governance_client::{CallError, Central};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{SessionId, TaskId, WorkspaceId};

use super::wire::{Content, Wire};

/// The centre as it really is.
#[derive(Debug, Clone)]
pub(crate) struct Link(pub(crate) Central);

/// What the host's own parts are told.
pub(super) fn told<T>(answer: Result<T, CallError>) -> Result<T, WireError> {
    answer.map_err(|error| match error {
        CallError::Revoked(reason) => WireError::new(ErrorCode::AgentRevoked, reason),
        error => error.to_wire(),
    })
}

#[async_trait::async_trait]
impl Wire for Link {
    async fn create_session(&self, request: &SessionRequest) -> Result<SessionGrant, WireError> {
        told(self.0.call::<e::CreateSession>(&[], &Nothing {}, request).await)
    }

    async fn resume_session(
        &self,
        session: &SessionId,
        request: &ResumeRequest,
    ) -> Result<SessionGrant, WireError> {
        let path = [("session_id", session.as_str())];
        told(self.0.call::<e::ResumeSession>(&path, &Nothing {}, request).await)
    }

    async fn cancel_session(&self, session: &SessionId, reason: &str) -> Result<(), WireError> {
        let path = [("session_id", session.as_str())];
        let request = CancelRequest { reason: reason.to_owned() };
        told(self.0.call::<e::CancelSession>(&path, &Nothing {}, &request).await).map(drop)
    }

    async fn rename_session(&self, session: &SessionId, name: &str) -> Result<(), WireError> {
        let path = [("session_id", session.as_str())];
        let request = RenameRequest { name: name.to_owned() };
        told(self.0.call::<e::RenameSession>(&path, &Nothing {}, &request).await).map(drop)
    }

    async fn report_state(&self, session: &SessionId, report: &StateReport) -> Result<(), WireError> {
        let path = [("session_id", session.as_str())];
        told(self.0.call::<e::ReportState>(&path, &Nothing {}, report).await).map(drop)
    }

    async fn create_task(&self, session: &SessionId, report: &TaskReport) -> Result<(), WireError> {
        let path = [("session_id", session.as_str())];
        told(self.0.call::<e::CreateTask>(&path, &Nothing {}, report).await).map(drop)
    }

    async fn complete_task(
        &self,
        session: &SessionId,
        task: &TaskId,
        completion: &TaskCompletion,
    ) -> Result<(), WireError> {
        let path = [("session_id", session.as_str()), ("task_id", task.as_str())];
        told(self.0.call::<e::CompleteTask>(&path, &Nothing {}, completion).await).map(drop)
    }

    async fn append_events(
        &self,
        session: &SessionId,
        batch: &EventBatch,
    ) -> Result<EventsAccepted, WireError> {
        let path = [("session_id", session.as_str())];
        told(self.0.call::<e::AppendEvents>(&path, &Nothing {}, batch).await)
    }

    async fn report_approval(&self, report: &ApprovalReport) -> Result<(), WireError> {
        told(self.0.call::<e::ReportApproval>(&[], &Nothing {}, report).await).map(drop)
    }

    async fn post_traces(&self, batch: &TraceBatch) -> Result<(), WireError> {
        told(self.0.call::<e::PostTraces>(&[], &Nothing {}, batch).await).map(drop)
    }

    async fn put_artifact(
        &self,
        workspace: &WorkspaceId,
        query: &ArtifactQuery,
        content: Content,
    ) -> Result<(), WireError> {
        let path = [("workspace_id", workspace.as_str())];
        let Content { bytes, make, failed: _ } = content;
        told(self.0.put_bytes::<e::PutArtifact>(&path, query, make, bytes).await).map(drop)
    }

    async fn delete_history(&self, workspace: &WorkspaceId, session: &SessionId) -> Result<(), WireError> {
        let path = [("workspace_id", workspace.as_str()), ("session_id", session.as_str())];
        told(self.0.call::<e::DeleteSessionHistory>(&path, &Nothing {}, &Nothing {}).await).map(drop)
    }

    async fn report_job(&self, job: &JobId, progress: &JobProgress) -> Result<Job, WireError> {
        let path = [("job_id", job.as_str())];
        told(self.0.call::<e::ReportJob>(&path, &Nothing {}, progress).await)
    }

    async fn put_pairings(&self, snapshot: &PairingSnapshot) -> Result<(), WireError> {
        told(self.0.call::<e::PutPairings>(&[], &Nothing {}, snapshot).await).map(drop)
    }

    async fn revoke_self(&self, reason: &str) -> Result<(), WireError> {
        let request = RevokeAgent { reason: reason.to_owned() };
        told(self.0.call::<e::RevokeAgent>(&[], &Nothing {}, &request).await).map(drop)
    }
}
