//! Turns what the machine wants recorded into rows: adds ids, time and the task's names, and keeps the thread in step.

use std::sync::Arc;

use lanyard_ports::journal::{
    CallPhase, Checkpoint, Journal, JournalError, NewEvent, SessionProgress, Write,
};
use lanyard_ports::source::{Clock, IdSource};
use lanyard_protocol::Timestamp;
use lanyard_protocol::event::{EventBody, SessionEvent, ToolCompleted};
use lanyard_protocol::id::{
    EventId, IdError, MessageId, SessionId, StepId, StreamId, TaskId, ToolCallId, WorkspaceId,
};
use lanyard_protocol::message::ConversationMessage;
use lanyard_protocol::session::{SessionState, TaskState, TaskSummary};
use tokio::sync::watch;

use crate::Ports;
use crate::audit::ModelCall;
use crate::text::one_line;
use crate::thread::Thread;
use crate::turn::record::{Draft, Record, TaskEnd};

/// Characters of a prompt in lists.
const SUMMARY_CHARS: usize = 120;

/// Where a session's task stands, as the loop last recorded it; for snapshots, ahead of the store by milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where the loop stands.
    pub state: SessionState,
    /// The task under way or paused.
    pub task: Option<TaskStatus>,
}

/// See [`Status`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStatus {
    /// The task.
    pub task_id: TaskId,
    /// Its step.
    pub step_id: StepId,
    /// The step's number, from 1.
    pub step_number: u32,
}

/// Why something was not recorded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum RecordError {
    /// The store refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The source of ids made something that is none.
    #[error("a fresh id is not an id: {0}")]
    Id(#[from] IdError),
}

/// The rows of a batch, and what they change in the status.
struct Batch {
    writes: Vec<Write>,
    news: News,
}

struct News {
    state: Option<SessionState>,
    ended: bool,
}

/// Records for one task.
pub(crate) struct Recorder {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) status: watch::Sender<Status>,
    mark: Checkpoint,
    /// The model that was asked and has not answered.
    asked: Option<String>,
}

impl Recorder {
    pub(crate) fn new(
        ports: &Ports,
        workspace_id: WorkspaceId,
        status: watch::Sender<Status>,
        mark: Checkpoint,
    ) -> Self {
        let (journal, clock, ids) = (ports.journal.clone(), ports.clock.clone(), ports.ids.clone());
        Self { journal, clock, ids, workspace_id, status, mark, asked: None }
    }

    /// The task as last recorded.
    pub(crate) fn mark(&self) -> &Checkpoint {
        &self.mark
    }

    pub(crate) fn session_id(&self) -> &SessionId {
        &self.mark.session_id
    }

    /// Records a batch in order, durable with the next commit.
    pub(crate) async fn append(
        &mut self,
        records: Vec<Record>,
        thread: &mut Thread,
    ) -> Result<(), RecordError> {
        let batch = self.batch(records, thread)?;
        self.journal.append(batch.writes).await?;
        self.tell(batch.news);
        Ok(())
    }

    /// Records a batch and waits until it is on disk.
    pub(crate) async fn commit(
        &mut self,
        records: Vec<Record>,
        thread: &mut Thread,
    ) -> Result<(), RecordError> {
        let batch = self.batch(records, thread)?;
        self.journal.commit(batch.writes).await?;
        self.tell(batch.news);
        Ok(())
    }

    /// Records where the session stands, if that is news.
    pub(crate) async fn state(&mut self, state: SessionState) -> Result<(), RecordError> {
        if self.status.borrow().state == state {
            return Ok(());
        }
        self.append(vec![Record::State(state)], &mut Thread::default()).await
    }

    /// The rows for a batch. Changes of the session's row are gathered into one at the end.
    fn batch(&mut self, records: Vec<Record>, thread: &mut Thread) -> Result<Batch, RecordError> {
        let at = self.clock.now();
        let mut ended = false;
        let mut progress = SessionProgress {
            session_id: self.mark.session_id.clone(),
            state: None,
            task: None,
            name: None,
            add_tokens: 0,
            at,
        };
        let mut writes = Vec::with_capacity(records.len() + 1);
        for record in records {
            match record {
                Record::Event { step, body } => {
                    let call = ModelCall::ended_by(&body, &mut self.asked);
                    let audit = call.map(|call| self.audit(call, step.clone(), at)).transpose()?;
                    writes.push(self.event(step, *body, at)?);
                    writes.extend(audit);
                }
                Record::Summarised { model, usage } => {
                    writes.push(self.audit(ModelCall::summary(&model, &usage), None, at)?);
                }
                Record::Message(draft) => {
                    let message = self.message(draft, at)?;
                    thread.push(message.clone());
                    writes.push(Write::Message(Box::new(message)));
                }
                Record::Reported(call) => writes.extend(self.reported(&call)?),
                Record::Checkpoint(mark) => {
                    self.mark = mark.clone();
                    writes.push(Write::Checkpoint(Box::new(mark)));
                }
                Record::State(state) => progress.state = Some(state),
                Record::Tokens(tokens) => progress.add_tokens = progress.add_tokens.saturating_add(tokens),
                Record::TaskBegun { name } => {
                    progress.task = Some(task_summary(&self.mark, None, self.mark.step_number));
                    progress.name = name;
                }
                Record::TaskEnded { end, steps } => {
                    ended = true;
                    progress.task = Some(task_summary(&self.mark, Some((&end, at)), steps));
                    writes.push(Write::ClearCheckpoint(self.mark.session_id.clone()));
                }
            }
        }
        let news = News { state: progress.state, ended };
        if progress.state.is_some() || progress.task.is_some() || progress.add_tokens > 0 {
            writes.push(Write::Progress(Box::new(progress)));
        }
        Ok(Batch { writes, news })
    }

    fn tell(&self, news: News) {
        self.status.send_if_modified(|status| {
            let task = (!news.ended).then(|| TaskStatus {
                task_id: self.mark.task_id.clone(),
                step_id: self.mark.step_id.clone(),
                step_number: self.mark.step_number,
            });
            let new = Status { state: news.state.unwrap_or(status.state), task };
            let changed = *status != new;
            *status = new;
            changed
        });
    }

    fn event(&self, step: Option<StepId>, body: EventBody, at: Timestamp) -> Result<Write, IdError> {
        Ok(Write::Event(Box::new(NewEvent {
            event_id: EventId::new(self.ids.fresh("evt"))?,
            workspace_id: self.workspace_id.clone(),
            session_id: self.mark.session_id.clone(),
            task_id: Some(self.mark.task_id.clone()),
            step_id: step,
            timestamp: at,
            body,
        })))
    }

    fn audit(&self, call: ModelCall, step: Option<StepId>, at: Timestamp) -> Result<Write, IdError> {
        let id = EventId::new(self.ids.fresh("aud"))?;
        Ok(Write::Audit(Box::new(call.envelope(id, at, self.workspace_id.clone(), &self.mark, step))))
    }

    fn message(&self, draft: Draft, at: Timestamp) -> Result<ConversationMessage, IdError> {
        let mut message = ConversationMessage {
            message_id: MessageId::new(self.ids.fresh("msg"))?,
            session_id: self.mark.session_id.clone(),
            task_id: Some(self.mark.task_id.clone()),
            step_id: draft.step,
            role: draft.role,
            content: draft.content,
            tool_calls: draft.tool_calls,
            tool_call_id: draft.tool_call_id,
            token_count: draft.token_count,
            provenance: Some(draft.provenance),
            timestamp: at,
        };
        message.token_count = message.token_count.or_else(|| Some(crate::budget::message_tokens(&message)));
        Ok(message)
    }

    /// Advances a call's record to `REPORTED`, in the batch that puts its result into the thread. A call dropped before
    /// it started keeps its record: that it never ran is what the record says.
    fn reported(&self, call: &ToolCallId) -> Result<Option<Write>, JournalError> {
        let record = self.journal.call(&self.mark.session_id, call)?;
        let ended = |phase| matches!(phase, CallPhase::Finished | CallPhase::Indeterminate);
        Ok(record.filter(|record| ended(record.phase)).map(|mut record| {
            record.phase = CallPhase::Reported;
            Write::Call(Box::new(record))
        }))
    }

    /// The recorded outcome of a call, if it has one.
    pub(crate) fn outcome(&self, call: &ToolCallId) -> Result<Option<ToolCompleted>, RecordError> {
        Ok(self.journal.call(&self.mark.session_id, call)?.and_then(|record| record.completed))
    }

    /// Whether the router has announced a call.
    pub(crate) fn knows(&self, call: &ToolCallId) -> Result<bool, RecordError> {
        Ok(self.journal.call(&self.mark.session_id, call)?.is_some())
    }

    pub(crate) fn fresh_step(&self) -> Result<StepId, IdError> {
        StepId::new(self.ids.fresh("step"))
    }

    pub(crate) fn fresh_calls(&self, count: usize) -> Result<Vec<ToolCallId>, IdError> {
        (0..count).map(|_| ToolCallId::new(self.ids.fresh("call"))).collect()
    }

    pub(crate) fn fresh_stream(&self) -> Result<StreamId, IdError> {
        StreamId::new(self.ids.fresh("stream"))
    }

    /// An ephemeral event of the step under way.
    pub(crate) fn ephemeral(&self, body: EventBody) -> Result<SessionEvent, IdError> {
        Ok(SessionEvent {
            event_id: EventId::new(self.ids.fresh("evt"))?,
            seq: None,
            workspace_id: self.workspace_id.clone(),
            session_id: self.mark.session_id.clone(),
            task_id: Some(self.mark.task_id.clone()),
            step_id: Some(self.mark.step_id.clone()),
            timestamp: self.clock.now(),
            body,
        })
    }

    pub(crate) fn task_id(&self) -> &TaskId {
        &self.mark.task_id
    }
}

/// The row of a task in lists.
pub(crate) fn task_summary(mark: &Checkpoint, end: Option<(&TaskEnd, Timestamp)>, steps: u32) -> TaskSummary {
    let (state, error) = match end {
        None => (TaskState::Running, None),
        Some((TaskEnd::Completed { .. }, _)) => (TaskState::Completed, None),
        Some((TaskEnd::Failed(error), _)) => (TaskState::Failed, Some(error.clone())),
        Some((TaskEnd::Cancelled { .. }, _)) => (TaskState::Cancelled, None),
    };
    TaskSummary {
        task_id: mark.task_id.clone(),
        prompt: prompt_line(&mark.prompt),
        state,
        steps,
        error,
        started_at: mark.started_at,
        ended_at: end.map(|(_, at)| at),
    }
}

/// A prompt as lists show it.
pub(crate) fn prompt_line(prompt: &str) -> String {
    one_line(prompt, SUMMARY_CHARS)
}
