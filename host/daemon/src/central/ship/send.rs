//! Carries out the plan of a page.

use lanyard_governance_api::approval::ApprovalReport;
use lanyard_governance_api::artifact::{ArtifactQuery, ArtifactType};
use lanyard_governance_api::id::JobId;
use lanyard_governance_api::limits::MAX_ARTIFACT_BYTES;
use lanyard_governance_api::session::{EventBatch, StateReport, TaskCompletion};
use lanyard_governance_api::telemetry::TraceBatch;
use lanyard_ports::journal::{CentralSession, Cursor, JournalError};
use lanyard_protocol::approval::{ApprovalRecord, ApprovalState};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{EventBody, SessionEvent};
use lanyard_protocol::id::{SessionId, TaskId};
use lanyard_protocol::session::SessionState;

use super::plan::{Ended, Output, Plan, artifact_of};
use super::{Halt, PAGE, Shipper, changes, content, taken};
use crate::central::spans::spans;
use crate::central::wire::Content;

/// Questions of one session that are looked through for those withdrawn with their task.
const MAX_QUESTIONS: usize = 200;

/// Pages that are read back for the tokens of a task; beyond, the count is of its last so many.
const TOKEN_PAGES: usize = 50;

/// The number of the last event the centre holds, where it misses some.
fn last_held(error: &WireError) -> Option<u64> {
    error.details.0.get("lastSeq").and_then(serde_json::Value::as_u64)
}

/// A history that this host cannot read will not become readable, and is not worth the sessions behind it.
fn unread(session: &SessionId, error: &dyn std::fmt::Display) -> Result<(), Halt> {
    tracing::error!(%error, %session, "a history cannot be read and is not sent");
    Ok(())
}

impl Shipper {
    pub(super) async fn carry_out(
        &self,
        session: &CentralSession,
        events: &[SessionEvent],
        plan: Plan,
    ) -> Result<(), Halt> {
        let id = &session.session_id;
        if plan.named {
            let name = self.journal.session(id)?.summary.name;
            if !name.is_empty() {
                taken("name", self.wire.rename_session(id, &name).await)?;
            }
        }
        for task in &plan.begun {
            taken("task", self.wire.create_task(id, task).await)?;
        }
        if plan.timeline && !events.is_empty() {
            self.timeline(id, events).await?;
        }
        for approval in &plan.approvals {
            // A remembered answer has no question of its own.
            if let Some(record) = self.journal.approval(id, approval)? {
                self.question(session, record).await?;
            }
        }
        for ended in &plan.ended {
            self.end_of_task(session, ended).await?;
        }
        if let Some(state) = plan.state {
            taken("state", self.wire.report_state(id, &self.truly(id, state)?).await)?;
        }
        for output in &plan.outputs {
            self.output(session, output).await?;
        }
        for ended in plan.ended.iter().filter(|_| plan.changes) {
            self.changes(session, &ended.task).await?;
        }
        self.telemetry(id, events).await?;
        if let Some((task, seq)) = &plan.history {
            self.history(session, task, *seq).await?;
        }
        Ok(())
    }

    /// A session that was cancelled ends by the same event as one that has done its work; its row tells which.
    fn truly(&self, id: &SessionId, report: StateReport) -> Result<StateReport, JournalError> {
        if !report.state.is_final() {
            return Ok(report);
        }
        match self.journal.session(id)?.summary.state {
            state @ SessionState::SessionCancelled => Ok(StateReport { state, ..report }),
            _ => Ok(report),
        }
    }

    /// The centre may hold less than was sent before (restored from a copy, or the tenant did not want the timeline for a
    /// while): it says so, and gets what it lacks.
    async fn timeline(&self, id: &SessionId, events: &[SessionEvent]) -> Result<(), Halt> {
        let last = events.last().and_then(|event| event.seq).unwrap_or_default();
        let batch = EventBatch { events: events.to_vec() };
        let mut held = match self.wire.append_events(id, &batch).await {
            Err(error) if error.code == ErrorCode::Conflict => match last_held(&error) {
                Some(held) => held,
                None => return taken::<()>("events", Err(error)).map(drop),
            },
            answer => match taken("events", answer)? {
                Some(accepted) => accepted.last_seq,
                None => return Ok(()),
            },
        };
        while held < last {
            let missing = self.journal.events(id, Cursor::After(held), PAGE)?.events;
            if missing.is_empty() {
                return Ok(());
            }
            let batch = EventBatch { events: missing };
            let Some(accepted) = taken("events", self.wire.append_events(id, &batch).await)? else {
                return Ok(());
            };
            if accepted.last_seq <= held {
                tracing::warn!(session = %id, held, "the centre does not take the events it lacks");
                return Ok(());
            }
            held = accepted.last_seq;
        }
        Ok(())
    }

    async fn question(&self, session: &CentralSession, record: ApprovalRecord) -> Result<(), Halt> {
        let job_id = session.job_id.as_deref().and_then(|job| JobId::new(job).ok());
        let report = ApprovalReport { record, job_id, client_timestamp: self.clock.now() };
        taken("approval", self.wire.report_approval(&report).await).map(drop)
    }

    async fn end_of_task(&self, session: &CentralSession, ended: &Ended) -> Result<(), Halt> {
        let id = &session.session_id;
        // A question that was taken back with its task has no event of its own.
        let withdrawn = |record: &ApprovalRecord| {
            record.state == ApprovalState::Cancelled && record.request.task_id == ended.task
        };
        for record in self.journal.approvals(Some(id), true, MAX_QUESTIONS)?.into_iter().filter(withdrawn) {
            self.question(session, record).await?;
        }
        let tokens = match ended.tokens {
            Some(tokens) => tokens,
            None => self.tokens(id, &ended.task, ended.seq)?,
        };
        let completion = TaskCompletion {
            state: ended.state,
            steps: ended.steps,
            tokens,
            error: ended.error.clone(),
            ended_at: ended.at,
        };
        taken("end of a task", self.wire.complete_task(id, &ended.task, &completion).await).map(drop)
    }

    /// Tokens of a task whose end does not tell them, from its answers.
    fn tokens(&self, id: &SessionId, task: &TaskId, end: u64) -> Result<u64, JournalError> {
        let (mut tokens, mut before) = (0u64, end);
        for _ in 0..TOKEN_PAGES {
            let page = self.journal.events(id, Cursor::Before(before), PAGE)?.events;
            for event in page.iter().filter(|event| event.task_id.as_ref() == Some(task)) {
                if let EventBody::LlmRequestCompleted(done) = &event.body {
                    tokens = tokens.saturating_add(done.usage.input_tokens);
                    tokens = tokens.saturating_add(done.usage.output_tokens);
                }
            }
            let begun = |event: &SessionEvent| {
                event.task_id.as_ref() == Some(task) && matches!(event.body, EventBody::TaskStarted(_))
            };
            match page.first().and_then(|event| event.seq) {
                Some(first) if first > 1 && !page.iter().any(begun) => before = first,
                _ => break,
            }
        }
        Ok(tokens)
    }

    async fn telemetry(&self, id: &SessionId, events: &[SessionEvent]) -> Result<(), Halt> {
        let row = |task: &TaskId| self.journal.task(id, task).ok().flatten();
        let spans = match spans(events, row) {
            Ok(spans) => spans,
            Err(error) => {
                tracing::error!(%error, "a span has no id");
                return Ok(());
            }
        };
        if spans.is_empty() {
            return Ok(());
        }
        taken("spans", self.wire.post_traces(&TraceBatch { spans }).await).map(drop)
    }

    /// The whole of an output. One that is not there any more, or too long, is not worth the rest of the page.
    async fn output(&self, session: &CentralSession, output: &Output) -> Result<(), Halt> {
        let Some(id) = artifact_of(&output.uri) else { return Ok(()) };
        let content = match content::artifact(self.artifacts.clone(), id).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, uri = output.uri, "an output cannot be read and is not sent");
                return Ok(());
            }
        };
        let query = ArtifactQuery {
            artifact_type: ArtifactType::ToolOutput,
            session_id: session.session_id.clone(),
            task_id: output.task.clone(),
            step_id: output.step.clone(),
            tool_call_id: Some(output.call.clone()),
            seq: None,
            sha256: None,
        };
        taken("output", self.put(session, &query, content).await).map(drop)
    }

    /// Uploads what the tenant's policy lets this host upload. What is longer, or cannot be read to its end on this host, is
    /// left out, like what cannot be read at all.
    async fn put(
        &self,
        session: &CentralSession,
        query: &ArtifactQuery,
        content: Content,
    ) -> Result<(), WireError> {
        let longest = session.upload.unwrap_or(0).min(MAX_ARTIFACT_BYTES);
        let (id, bytes) = (&session.session_id, content.bytes);
        let fits = bytes <= longest;
        if query.artifact_type == ArtifactType::SessionHistory {
            self.host.centre.thread_fits(id, fits);
        }
        if !fits {
            let what = query.artifact_type;
            tracing::warn!(bytes, longest, session = %id, ?what, "an artifact is too long for the centre and is not sent");
            return Ok(());
        }
        let failed = content.failed.clone();
        let put = self.wire.put_artifact(&session.workspace_id, query, content).await;
        match (&put, failed.get()) {
            (Err(_), Some(error)) => {
                let (session, what) = (&session.session_id, query.artifact_type);
                tracing::error!(error, %session, ?what, "an artifact cannot be read and is not sent");
                Ok(())
            }
            _ => put,
        }
    }

    /// What a task changed in files. What cannot be compared is not worth the rest of the page.
    async fn changes(&self, session: &CentralSession, task: &TaskId) -> Result<(), Halt> {
        let id = &session.session_id;
        let content = match changes::of(&self.host, id, task).await {
            Ok(Some(content)) => content,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::warn!(%error, session = %id, %task, "what a task changed is not sent to the centre");
                return Ok(());
            }
        };
        let query = ArtifactQuery {
            artifact_type: ArtifactType::FileDiff,
            session_id: id.clone(),
            task_id: Some(task.clone()),
            step_id: None,
            tool_call_id: None,
            seq: None,
            sha256: None,
        };
        taken("changes", self.put(session, &query, content).await).map(drop)
    }

    /// The whole thread, in place of the one the centre has.
    async fn history(&self, session: &CentralSession, task: &TaskId, seq: u64) -> Result<(), Halt> {
        let id = &session.session_id;
        let query = ArtifactQuery {
            artifact_type: ArtifactType::SessionHistory,
            session_id: id.clone(),
            task_id: Some(task.clone()),
            step_id: None,
            tool_call_id: None,
            seq: Some(seq),
            sha256: None,
        };
        let content = match content::thread(self.journal.clone(), id.clone()).await {
            Ok(content) => content,
            Err(error) => match error.downcast::<JournalError>() {
                Ok(error @ (JournalError::Poisoned(_) | JournalError::Full(_))) => return Err(error.into()),
                Ok(error) => return unread(id, &error),
                Err(error) => return unread(id, &error),
            },
        };
        match self.put(session, &query, content).await {
            // A later one is there already: this page was sent before.
            Err(error) if error.code == ErrorCode::Conflict => Ok(()),
            answer => taken("history", answer).map(drop),
        }
    }
}
