//! A journal that tells apart what was appended and what is on disk, and can lose the former.

use std::path::PathBuf;
use std::sync::Mutex;

use lanyard_ports::journal::{
    AuditBacklog, AuditHead, Baseline, CallRecord, CentralSession, Checkpoint, CommandRecord, Cursor,
    DeviceRecord, Enrolment, EventPage, Journal, JournalError, LogBacklog, NewEvent, SessionRecord,
    Unshipped, Write,
};
use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalRecord, RememberedRule};
use lanyard_protocol::device::ConnectionRecord;
use lanyard_protocol::envelope::EventEnvelope;
use lanyard_protocol::event::{EventBody, HostEvent, SessionEvent};
use lanyard_protocol::health::{HealthCounters, TaskDay};
use lanyard_protocol::id::{ApprovalId, CommandId, PrincipalId, SessionId, TaskId, ToolCallId, WorkspaceId};
use lanyard_protocol::message::ConversationMessage;
use lanyard_protocol::session::{SessionState, SessionSummary, TaskSummary, WorkspaceScope};

use super::{principal, session_id, workspace_id};

#[derive(Clone)]
struct Tables {
    session: SessionRecord,
    events: Vec<NewEvent>,
    messages: Vec<ConversationMessage>,
    calls: Vec<CallRecord>,
    tasks: Vec<TaskSummary>,
    checkpoint: Option<Checkpoint>,
    states: Vec<SessionState>,
    audit: Vec<EventEnvelope>,
}

impl Default for Tables {
    fn default() -> Self {
        let summary = SessionSummary {
            session_id: session_id(),
            workspace_id: workspace_id(),
            workspace_scope: WorkspaceScope::Local,
            workspace_roots: vec!["/nonexistent/w".into()],
            name: String::new(),
            state: SessionState::SessionCreated,
            last_task: None,
            pending_approvals: 0,
            last_seq: 0,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
        };
        let session = SessionRecord {
            summary,
            roots: vec!["/nonexistent/w".into()],
            scope: WorkspaceScope::Local,
            created_by: principal("owner", true, &[]),
            tokens_used: 0,
            agent_id: None,
        };
        Self {
            session,
            events: Vec::new(),
            messages: Vec::new(),
            calls: Vec::new(),
            tasks: Vec::new(),
            checkpoint: None,
            states: Vec::new(),
            audit: Vec::new(),
        }
    }
}

impl Tables {
    fn apply(&mut self, write: Write) {
        match write {
            Write::Event(event) => {
                assert!(event.body.is_durable(), "an ephemeral event was stored");
                self.events.push(*event);
                self.session.summary.last_seq = self.events.len() as u64;
            }
            Write::Message(message) => self.messages.push(*message),
            Write::Checkpoint(mark) => self.checkpoint = Some(*mark),
            Write::ClearCheckpoint(_) => self.checkpoint = None,
            Write::Reread(_) => {}
            Write::Call(call) => {
                let id = call.request.tool_call_id.clone();
                match self.calls.iter_mut().find(|known| known.request.tool_call_id == id) {
                    Some(known) => {
                        assert!(known.phase <= call.phase, "a call went backward: {known:?} to {call:?}");
                        *known = *call;
                    }
                    None => self.calls.push(*call),
                }
            }
            Write::Progress(progress) => {
                self.session.tokens_used += progress.add_tokens;
                if let Some(state) = progress.state {
                    self.session.summary.state = state;
                    self.states.push(state);
                }
                if let Some(name) = progress.name {
                    self.session.summary.name = name;
                }
                if let Some(task) = progress.task {
                    self.tasks.retain(|known| known.task_id != task.task_id);
                    self.tasks.push(task.clone());
                    self.session.summary.last_task = Some(task);
                }
            }
            Write::Audit(record) => self.audit.push(*record),
            other => panic!("the loop has no business writing {other:?}"),
        }
    }
}

#[derive(Default)]
struct State {
    durable: Tables,
    queued: Vec<Write>,
    commits: usize,
    /// Commits until the disk is full.
    room: Option<usize>,
    /// Appended batches from here on are refused: the one of this number first, from 0.
    refuse_append: Option<usize>,
    /// One was: nothing is taken until somebody has read anew.
    hole: bool,
}

impl State {
    /// As the store does, see `Journal::append`.
    fn check_hole(&self, batch: &[Write]) -> Result<(), JournalError> {
        let rereads = batch.iter().any(|write| matches!(write, Write::Reread(_)));
        if self.hole && !rereads {
            return Err(JournalError::Refused("something appended earlier was not written".into()));
        }
        Ok(())
    }

    fn flush(&mut self) {
        for write in std::mem::take(&mut self.queued) {
            self.durable.apply(write);
        }
    }
}

/// See the module. Reads show what is on disk, nothing else.
#[derive(Default)]
pub(crate) struct MemoryJournal {
    state: Mutex<State>,
}

impl MemoryJournal {
    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap())
    }

    /// What a new host would find now, had this one been killed.
    pub(crate) fn after_kill(&self) -> Self {
        let durable = self.with(|state| state.durable.clone());
        Self { state: Mutex::new(State { durable, ..State::default() }) }
    }

    pub(crate) fn seed_message(&self, message: ConversationMessage) {
        self.with(|state| state.durable.messages.push(message));
    }

    pub(crate) fn seed_tokens(&self, tokens: u64) {
        self.with(|state| state.durable.session.tokens_used = tokens);
    }

    /// The disk is full after this many more commits.
    pub(crate) fn fill_after(&self, commits: usize) {
        self.with(|state| state.room = Some(commits));
    }

    /// The appended batch after this many more is refused, and nobody is told before the next.
    pub(crate) fn refuse_append_after(&self, appends: usize) {
        self.with(|state| state.refuse_append = Some(appends));
    }

    pub(crate) fn make_room(&self) {
        self.with(|state| state.room = None);
    }

    pub(crate) fn commits(&self) -> usize {
        self.with(|state| state.commits)
    }

    /// Everything recorded, on disk or on its way.
    pub(crate) fn bodies(&self) -> Vec<EventBody> {
        self.events().into_iter().map(|event| event.body).collect()
    }

    pub(crate) fn audit(&self) -> Vec<EventEnvelope> {
        self.with(|state| {
            state.flush();
            state.durable.audit.clone()
        })
    }

    pub(crate) fn events(&self) -> Vec<NewEvent> {
        self.with(|state| {
            let mut all = state.durable.clone();
            state.queued.iter().cloned().for_each(|write| all.apply(write));
            all.events
        })
    }

    pub(crate) fn thread(&self) -> Vec<ConversationMessage> {
        self.with(|state| state.durable.messages.clone())
    }

    pub(crate) fn states(&self) -> Vec<SessionState> {
        self.with(|state| state.durable.states.clone())
    }

    pub(crate) fn record(&self) -> SessionRecord {
        self.with(|state| state.durable.session.clone())
    }

    pub(crate) fn mark(&self) -> Option<Checkpoint> {
        self.with(|state| state.durable.checkpoint.clone())
    }

    pub(crate) fn call_records(&self) -> Vec<CallRecord> {
        self.with(|state| state.durable.calls.clone())
    }
}

fn numbered(event: &NewEvent, seq: u64) -> SessionEvent {
    let NewEvent { event_id, workspace_id, session_id, task_id, step_id, timestamp, body } = event.clone();
    SessionEvent { event_id, seq: Some(seq), workspace_id, session_id, task_id, step_id, timestamp, body }
}

#[async_trait::async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, batch: Vec<Write>) -> Result<(), JournalError> {
        self.with(|state| {
            state.check_hole(&batch)?;
            match &mut state.refuse_append {
                Some(0) => {
                    state.refuse_append = None;
                    state.hole = true;
                }
                Some(left) => {
                    *left -= 1;
                    state.queued.extend(batch);
                }
                None => state.queued.extend(batch),
            }
            Ok(())
        })?;
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn commit(&self, batch: Vec<Write>) -> Result<(), JournalError> {
        self.with(|state| {
            // Nothing to write costs nothing.
            if state.queued.is_empty() && batch.iter().all(|write| matches!(write, Write::Reread(_))) {
                state.hole &= batch.is_empty();
                return Ok(());
            }
            if let Some(room) = &mut state.room {
                *room = room.checked_sub(1).ok_or_else(|| JournalError::Full("no room".into()))?;
            }
            state.check_hole(&batch)?;
            state.hole = false;
            state.queued.extend(batch);
            state.flush();
            state.commits += 1;
            Ok(())
        })?;
        // Others see the records before the writer hears that they are on disk.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn session(&self, id: &SessionId) -> Result<SessionRecord, JournalError> {
        if *id != session_id() {
            return Err(JournalError::NotFound(format!("session {id}")));
        }
        Ok(self.record())
    }

    fn list_sessions(
        &self,
        _: Option<&str>,
        _: Option<&str>,
        _: usize,
    ) -> Result<(Vec<SessionSummary>, Option<String>), JournalError> {
        unreachable!("the loop lists no sessions")
    }

    fn workspace_for(&self, _: &[PathBuf]) -> Result<Option<WorkspaceId>, JournalError> {
        unreachable!("the loop looks for no workspace")
    }

    fn task(&self, _: &SessionId, task: &TaskId) -> Result<Option<TaskSummary>, JournalError> {
        Ok(self.with(|state| state.durable.tasks.iter().find(|known| known.task_id == *task).cloned()))
    }

    fn events(&self, _: &SessionId, cursor: Cursor, _: usize) -> Result<EventPage, JournalError> {
        // Backward, and in short pages, as a store bounded by bytes gives them.
        let all: Vec<NewEvent> = self.with(|state| state.durable.events.clone());
        let end = match cursor {
            Cursor::End => all.len(),
            Cursor::Before(seq) => usize::try_from(seq - 1).unwrap(),
            Cursor::After(_) => unreachable!("the loop reads no events forward"),
        };
        let start = end.saturating_sub(3);
        let events = all.iter().zip(1..).take(end).skip(start).map(|(event, seq)| numbered(event, seq));
        let next = (start > 0).then_some(start as u64 + 1);
        Ok(EventPage { events: events.collect(), first_seq: 1, last_seq: all.len() as u64, next })
    }

    fn search_events(&self, _: &SessionId, _: &str, _: Cursor, _: usize) -> Result<EventPage, JournalError> {
        unreachable!("the loop searches no events")
    }

    fn messages(
        &self,
        _: &SessionId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<ConversationMessage>, JournalError> {
        // Shorter pages than asked for, as a store bounded by bytes gives them.
        let from = usize::try_from(from).unwrap();
        Ok(self.with(|state| state.durable.messages.iter().skip(from).take(limit.min(10)).cloned().collect()))
    }

    fn message_count(&self, _: &SessionId) -> Result<u64, JournalError> {
        Ok(self.with(|state| state.durable.messages.len() as u64))
    }

    fn call(&self, _: &SessionId, id: &ToolCallId) -> Result<Option<CallRecord>, JournalError> {
        let found = |state: &mut State| {
            state.durable.calls.iter().find(|call| call.request.tool_call_id == *id).cloned()
        };
        Ok(self.with(found))
    }

    fn approval(&self, _: &SessionId, _: &ApprovalId) -> Result<Option<ApprovalRecord>, JournalError> {
        unreachable!("the loop reads no approvals")
    }

    fn approvals(
        &self,
        _: Option<&SessionId>,
        _: bool,
        _: usize,
    ) -> Result<Vec<ApprovalRecord>, JournalError> {
        unreachable!("the loop reads no approvals")
    }

    fn approvals_by_prefix(&self, _: &str, _: usize) -> Result<Vec<ApprovalRecord>, JournalError> {
        unreachable!("the loop reads no approvals")
    }

    fn pending_approvals(&self, _: usize) -> Result<Vec<(SessionId, ApprovalId)>, JournalError> {
        unreachable!("the loop reads no approvals")
    }

    fn rules(&self) -> Result<Vec<RememberedRule>, JournalError> {
        unreachable!("the loop reads no rules")
    }

    fn checkpoint(&self, _: &SessionId) -> Result<Option<Checkpoint>, JournalError> {
        Ok(self.mark())
    }

    fn unfinished(&self) -> Result<Vec<SessionId>, JournalError> {
        unreachable!("the daemon looks for unfinished sessions")
    }

    fn baselines(&self, _: &SessionId, _: &TaskId) -> Result<Vec<Baseline>, JournalError> {
        unreachable!("the loop reads no baselines")
    }

    fn command(&self, _: &PrincipalId, _: &CommandId) -> Result<Option<CommandRecord>, JournalError> {
        unreachable!("the loop reads no commands")
    }

    fn host_events(&self, _: u64, _: usize) -> Result<(Vec<HostEvent>, u64), JournalError> {
        unreachable!("the loop reads no host events")
    }

    fn outbox(&self, _: u64, _: usize) -> Result<Vec<(u64, EventEnvelope)>, JournalError> {
        unreachable!("the loop reads no outbox")
    }

    fn enrolment(&self) -> Result<Option<Enrolment>, JournalError> {
        unreachable!("the loop knows nothing of the centre")
    }

    fn audit_head(&self) -> Result<AuditHead, JournalError> {
        unreachable!("the loop knows nothing of the centre")
    }

    fn central_command(&self) -> Result<u64, JournalError> {
        unreachable!("the loop knows nothing of the centre")
    }

    fn central_session(&self, _: &SessionId) -> Result<Option<CentralSession>, JournalError> {
        unreachable!("the loop knows nothing of the centre")
    }

    fn unshipped(&self, _: usize) -> Result<Vec<Unshipped>, JournalError> {
        unreachable!("the loop knows nothing of the centre")
    }

    fn audit_backlog(&self) -> Result<AuditBacklog, JournalError> {
        unreachable!("the loop knows nothing of the centre")
    }

    fn log_backlog(&self) -> Result<LogBacklog, JournalError> {
        unreachable!("the loop knows nothing of the centre")
    }

    fn devices(&self) -> Result<Vec<DeviceRecord>, JournalError> {
        unreachable!("the loop knows no devices")
    }

    fn connections(&self, _: usize) -> Result<Vec<ConnectionRecord>, JournalError> {
        unreachable!("the loop knows no connections")
    }

    fn counts(&self, _: &str) -> Result<Vec<(String, u64)>, JournalError> {
        unreachable!("the loop reads no counters")
    }

    fn counters(&self) -> Result<HealthCounters, JournalError> {
        unreachable!("the loop reads no counters")
    }

    fn task_days(&self) -> Result<Vec<TaskDay>, JournalError> {
        unreachable!("the loop reads no counters")
    }

    fn room(&self) -> Result<(), JournalError> {
        self.with(|state| match state.room {
            Some(0) => Err(JournalError::Full("no room".into())),
            _ => Ok(()),
        })
    }
}
