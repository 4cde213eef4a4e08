//! [`Store`] as the rest of the host sees it.

use std::path::PathBuf;

use lanyard_ports::journal::{
    ArtifactStore, AuditBacklog, AuditHead, Baseline, CallRecord, CentralSession, Checkpoint, CommandRecord,
    Cursor, DeviceRecord, Enrolment, EventPage, Journal, JournalError, LogBacklog, SessionRecord, Unshipped,
    Write,
};
use lanyard_protocol::approval::{ApprovalRecord, RememberedRule};
use lanyard_protocol::device::ConnectionRecord;
use lanyard_protocol::envelope::EventEnvelope;
use lanyard_protocol::event::HostEvent;
use lanyard_protocol::health::{HealthCounters, TaskDay};
use lanyard_protocol::id::{
    ApprovalId, ArtifactId, CommandId, PrincipalId, SessionId, TaskId, ToolCallId, WorkspaceId,
};
use lanyard_protocol::message::ConversationMessage;
use lanyard_protocol::session::{SessionSummary, TaskSummary};

use crate::keys;
use crate::store::Store;

#[async_trait::async_trait]
impl Journal for Store {
    async fn append(&self, batch: Vec<Write>) -> Result<(), JournalError> {
        if let Some(why) = self.refusals().held_against(&batch) {
            return Err(why);
        }
        self.enqueue(batch, None).await
    }

    async fn commit(&self, batch: Vec<Write>) -> Result<(), JournalError> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.enqueue(batch, Some(reply)).await?;
        answer.await.unwrap_or_else(|_| Err(self.gone()))
    }

    fn session(&self, id: &SessionId) -> Result<SessionRecord, JournalError> {
        self.view()?.session(id)
    }

    fn list_sessions(
        &self,
        query: Option<&str>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<SessionSummary>, Option<String>), JournalError> {
        self.view()?.list_sessions(query, cursor, limit)
    }

    fn workspace_for(&self, roots: &[PathBuf]) -> Result<Option<WorkspaceId>, JournalError> {
        self.view()?.workspace_for(keys::workspace(roots))
    }

    fn task(&self, session: &SessionId, task: &TaskId) -> Result<Option<TaskSummary>, JournalError> {
        self.view()?.task(session, task)
    }

    fn events(&self, session: &SessionId, cursor: Cursor, limit: usize) -> Result<EventPage, JournalError> {
        self.view()?.events(session, cursor, limit)
    }

    fn search_events(
        &self,
        session: &SessionId,
        query: &str,
        cursor: Cursor,
        limit: usize,
    ) -> Result<EventPage, JournalError> {
        self.view()?.search_events(session, query, cursor, limit)
    }

    fn messages(
        &self,
        session: &SessionId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<ConversationMessage>, JournalError> {
        self.view()?.messages(session, from, limit)
    }

    fn message_count(&self, session: &SessionId) -> Result<u64, JournalError> {
        self.view()?.message_count(session)
    }

    fn call(&self, session: &SessionId, id: &ToolCallId) -> Result<Option<CallRecord>, JournalError> {
        self.view()?.call(session, id)
    }

    fn approval(&self, session: &SessionId, id: &ApprovalId) -> Result<Option<ApprovalRecord>, JournalError> {
        self.view()?.approval(session, id)
    }

    fn approvals(
        &self,
        session: Option<&SessionId>,
        include_settled: bool,
        limit: usize,
    ) -> Result<Vec<ApprovalRecord>, JournalError> {
        self.view()?.approvals(session, include_settled, limit)
    }

    fn approvals_by_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<ApprovalRecord>, JournalError> {
        self.view()?.approvals_by_prefix(prefix, limit)
    }

    fn pending_approvals(&self, limit: usize) -> Result<Vec<(SessionId, ApprovalId)>, JournalError> {
        self.view()?.pending_approvals(limit)
    }

    fn rules(&self) -> Result<Vec<RememberedRule>, JournalError> {
        self.view()?.rules()
    }

    fn checkpoint(&self, session: &SessionId) -> Result<Option<Checkpoint>, JournalError> {
        self.view()?.checkpoint(session)
    }

    fn unfinished(&self) -> Result<Vec<SessionId>, JournalError> {
        self.view()?.unfinished()
    }

    fn baselines(&self, session: &SessionId, task: &TaskId) -> Result<Vec<Baseline>, JournalError> {
        self.view()?.baselines(session, task)
    }

    fn command(
        &self,
        principal: &PrincipalId,
        id: &CommandId,
    ) -> Result<Option<CommandRecord>, JournalError> {
        self.view()?.command(principal, id)
    }

    fn host_events(&self, after: u64, limit: usize) -> Result<(Vec<HostEvent>, u64), JournalError> {
        self.view()?.host_events(after, limit)
    }

    fn outbox(&self, after: u64, limit: usize) -> Result<Vec<(u64, EventEnvelope)>, JournalError> {
        self.view()?.outbox(after, limit)
    }

    fn enrolment(&self) -> Result<Option<Enrolment>, JournalError> {
        self.view()?.enrolment()
    }

    fn audit_head(&self) -> Result<AuditHead, JournalError> {
        self.view()?.audit_head()
    }

    fn central_command(&self) -> Result<u64, JournalError> {
        self.view()?.central_command()
    }

    fn central_session(&self, session: &SessionId) -> Result<Option<CentralSession>, JournalError> {
        self.view()?.central_session(session)
    }

    fn unshipped(&self, limit: usize) -> Result<Vec<Unshipped>, JournalError> {
        self.view()?.unshipped(limit)
    }

    fn audit_backlog(&self) -> Result<AuditBacklog, JournalError> {
        self.view()?.audit_backlog()
    }

    fn log_backlog(&self) -> Result<LogBacklog, JournalError> {
        self.view()?.log_backlog()
    }

    fn devices(&self) -> Result<Vec<DeviceRecord>, JournalError> {
        self.view()?.devices()
    }

    fn connections(&self, limit: usize) -> Result<Vec<ConnectionRecord>, JournalError> {
        self.view()?.connections(limit)
    }

    fn counts(&self, prefix: &str) -> Result<Vec<(String, u64)>, JournalError> {
        self.view()?.counts(prefix)
    }

    fn counters(&self) -> Result<HealthCounters, JournalError> {
        self.view()?.counters(self.space())
    }

    fn task_days(&self) -> Result<Vec<TaskDay>, JournalError> {
        self.view()?.task_days()
    }

    fn room(&self) -> Result<(), JournalError> {
        self.check()?;
        let counters = self.counters()?;
        self.space().for_task(counters.store_bytes)
    }
}

impl ArtifactStore for Store {
    fn put(&self, session: &SessionId, bytes: &[u8]) -> Result<ArtifactId, JournalError> {
        self.check()?;
        self.view()?.expect_session(session)?;
        self.artifacts().put(session, bytes)
    }

    fn read(&self, id: &ArtifactId, offset: u64, length: u32) -> Result<(Vec<u8>, u64), JournalError> {
        self.artifacts().read(id, offset, length)
    }
}
