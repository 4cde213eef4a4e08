//! The durable record: what is written, in which order, and how it is read back.
//!
//! One writer commits batches atomically. [`Journal::append`] queues without waiting and keeps order;
//! [`Journal::commit`] returns once its batch, and everything appended before it, is on disk. Acknowledge nothing
//! before `commit` has returned.

mod central;

use std::path::PathBuf;

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalRecord, ChangeKind, RememberedRule};
use lanyard_protocol::device::ConnectionRecord;
use lanyard_protocol::envelope::EventEnvelope;
use lanyard_protocol::event::{EventBody, HostEvent, HostEventBody, SessionEvent, ToolCompleted, Usage};
use lanyard_protocol::health::{HealthCounters, TaskDay};
use lanyard_protocol::id::{
    ApprovalId, ArtifactId, CommandId, DeviceId, EventId, PrincipalId, RuleId, SessionId, StepId, TaskId,
    ToolCallId, WorkspaceId,
};
use lanyard_protocol::message::ConversationMessage;
use lanyard_protocol::method::Response;
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::session::{SessionState, SessionSummary, TaskOptions, TaskSummary, WorkspaceScope};
use lanyard_protocol::tool::ToolRequest;

pub use central::{AuditBacklog, AuditHead, BACKLOG_REACH, CentralSession, Enrolment, LogBacklog, Unshipped};

/// Remembered answers kept at most. Each is looked at when a call is judged; people do not read longer lists.
pub const MAX_RULES: usize = 1_000;

/// Approvals whose ids [`Journal::approvals_by_prefix`] looks at: some milliseconds. A person types the beginning of an
/// id that was on the screen lately.
pub const PREFIX_REACH: usize = 20_000;

/// Rows kept of who was connected when: months of a household, days of a team.
pub const MAX_CONNECTIONS_KEPT: usize = 5_000;

/// Why the journal cannot do what is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// An earlier fault poisoned the writer; nothing is accepted until the host restarts.
    #[error("the store stopped after a fault: {0}; restart the host")]
    Poisoned(String),
    /// `store.max_bytes` is reached, or the disk is full.
    #[error("the store is full: {0}")]
    Full(String),
    /// A write that breaks an invariant (unknown session, call state out of order); the batch was not written.
    #[error("refused write: {0}")]
    Refused(String),
    /// The command of this batch was carried out already, with the same request; the batch was not written. Read the
    /// kept answer ([`Journal::command`]) and return it.
    #[error("{0}")]
    Repeated(String),
    /// A record could not be read back.
    #[error("the store holds a record that cannot be read: {0}")]
    Corrupt(String),
    /// A row that is not there.
    #[error("{0} is not in the store")]
    NotFound(String),
}

/// A session as stored. `summary.last_seq`, `summary.pending_approvals` and `agent_id` are kept by the store itself: what
/// a writer puts there is ignored.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRecord {
    /// What lists show.
    pub summary: SessionSummary,
    /// Canonical directories.
    pub roots: Vec<PathBuf>,
    /// How the workspace is reused.
    pub scope: WorkspaceScope,
    /// Who created it.
    pub created_by: Principal,
    /// Tokens used so far.
    pub tokens_used: u64,
    /// The enrolment it belongs to: what the centre called this host when it first knew the session
    /// ([`super::Write::CentralSession`]). Absent: it was made while the host was its own, and is nobody else's.
    pub agent_id: Option<String>,
}

/// A change to a session's row; fields that are absent stay as they are. Adds `session_changed` to the host log.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionProgress {
    /// The session.
    pub session_id: SessionId,
    /// Where the loop stands.
    pub state: Option<SessionState>,
    /// The last task; also upserted into the task table. Counts ends of tasks.
    pub task: Option<TaskSummary>,
    /// A new name.
    pub name: Option<String>,
    /// Tokens to add.
    pub add_tokens: u64,
    /// When.
    pub at: Timestamp,
}

/// An event to be numbered and stored. Must be durable (`EventBody::is_durable`).
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Unique.
    pub event_id: EventId,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The session.
    pub session_id: SessionId,
    /// The task.
    pub task_id: Option<TaskId>,
    /// The step.
    pub step_id: Option<StepId>,
    /// When.
    pub timestamp: Timestamp,
    /// What.
    pub body: EventBody,
}

/// How far a call has come (4-host, Durability). Only forward moves are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallPhase {
    /// Asked for by the model.
    Planned,
    /// Policy, and a person where needed, said yes.
    Authorized,
    /// On disk before the tool was started.
    Started,
    /// The result is on disk.
    Finished,
    /// Started, and the host cannot know how it ended.
    Indeterminate,
    /// The result is in the thread.
    Reported,
}

/// What may be done with a call found `Started` after a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// Reads only: run it again.
    PureRead,
    /// Changes one file to a known state: compare hashes. `None` stands for "no file".
    FileWrite {
        /// The file.
        path: PathBuf,
        /// Hex SHA-256 before.
        pre: Option<String>,
        /// Hex SHA-256 after.
        post: Option<String>,
    },
    /// Anything else: never re-run by itself.
    Opaque,
}

/// A tool call as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRecord {
    /// What was asked.
    pub request: ToolRequest,
    /// How far it has come.
    pub phase: CallPhase,
    /// What a restart may do with it.
    pub replay: Replay,
    /// The approval that let it run.
    pub approval_id: Option<ApprovalId>,
    /// The outcome, from `Finished` on.
    pub completed: Option<ToolCompleted>,
}

/// The loop's own state after its last step, for crash recovery only; the thread is in the message table.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The session.
    pub session_id: SessionId,
    /// The task.
    pub task_id: TaskId,
    /// The prompt.
    pub prompt: String,
    /// How it may run.
    pub options: TaskOptions,
    /// Who started it.
    pub initiator: Principal,
    /// The step under way.
    pub step_id: StepId,
    /// Its number, from 1.
    pub step_number: u32,
    /// The step's answer is in the thread and its calls are under way; false: the model is (or was) being asked.
    pub calls_under_way: bool,
    /// Tokens used by the task.
    pub usage: Usage,
    /// When the task started.
    pub started_at: Timestamp,
    /// Times the task was resumed after a crash without finishing a step; bounds crash loops.
    pub resumes: u32,
}

/// A file as it was when a task first touched it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// The session.
    pub session_id: SessionId,
    /// The task.
    pub task_id: TaskId,
    /// Absolute path.
    pub path: PathBuf,
    /// The content, when the file existed.
    pub content: Option<ArtifactId>,
    /// What first happened to it.
    pub change: ChangeKind,
}

/// An answer kept for a repeated command.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandRecord {
    /// The client's key.
    pub command_id: CommandId,
    /// Who used it; another principal's key is another command.
    pub principal: PrincipalId,
    /// Hex SHA-256 of the request, so that a key is not reused for something else.
    pub fingerprint: String,
    /// What was answered.
    pub response: Response,
    /// When; old ones are dropped.
    pub at: Timestamp,
}

/// A paired device as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Derived from its keys.
    pub device_id: DeviceId,
    /// Name for people.
    pub name: String,
    /// What it said it runs on.
    pub platform: String,
    /// Ed25519 public key; unique among devices.
    pub signing_key: [u8; 32],
    /// X25519 public key.
    pub agreement_key: [u8; 32],
    /// Rights it holds.
    pub scopes: Vec<Scope>,
    /// When its pairing was approved.
    pub paired_at: Timestamp,
    /// When it was last connected, and where from.
    pub last_seen: Option<(Timestamp, String)>,
    /// Approved, and not yet known to know: what the grant can be sent again from.
    pub provisional: Option<ProvisionalDevice>,
    /// The device whose link it came by, and with whose pairing its own ends.
    pub made_by: Option<DeviceId>,
}

/// See [`DeviceRecord::provisional`].
#[derive(Clone, PartialEq, Eq)]
pub struct ProvisionalDevice {
    /// The entry is forgotten after this instant.
    pub until: Timestamp,
    /// Secret; the pairing protocol's own record.
    pub state: Vec<u8>,
}

impl std::fmt::Debug for ProvisionalDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProvisionalDevice").field("until", &self.until).finish_non_exhaustive()
    }
}

/// One row to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Adds a session.
    Session(Box<SessionRecord>),
    /// Changes a session's row.
    Progress(Box<SessionProgress>),
    /// Adds an event to its session's log.
    Event(Box<NewEvent>),
    /// Adds a message to its session's thread.
    Message(Box<ConversationMessage>),
    /// Adds or advances a call.
    Call(Box<CallRecord>),
    /// Adds or changes an approval. Adds `approval_pending` or `approval_settled` to the host log.
    Approval(Box<ApprovalRecord>),
    /// Adds a remembered answer; one for the same thing in the same scope is replaced. Left out, with a warning in
    /// the log, when it could hold nowhere (its task or session is over) or when [`MAX_RULES`] are kept already: the
    /// rest of the batch, with the answer it came from, is written all the same.
    Rule(Box<RememberedRule>),
    /// Forgets one.
    RemoveRule(RuleId),
    /// Replaces the session's checkpoint.
    Checkpoint(Box<Checkpoint>),
    /// The task ended cleanly. Forgets the rules of the task.
    ClearCheckpoint(SessionId),
    /// The writer of this batch has read the session from disk and builds on that: what was appended before and
    /// refused no longer stands against the session (see [`Journal::append`]). Changes no row.
    Reread(SessionId),
    /// Remembers a file's first state in a task; a second one for the same task and path is ignored.
    Baseline(Box<Baseline>),
    /// Remembers an answer. A key that exists already refuses the whole batch: [`JournalError::Repeated`] for the same
    /// request, [`JournalError::Refused`] for another one.
    Command(Box<CommandRecord>),
    /// Adds a record to the outbox of the central services.
    Audit(Box<EventEnvelope>),
    /// Adds to the host log.
    Host(Box<HostEventBody>),
    /// Adds or changes a paired device.
    Device(Box<DeviceRecord>),
    /// Forgets a device, and the remembered answers it gave.
    RemoveDevice(DeviceId),
    /// Adds or changes one row of who was connected when, by its number. The newest [`MAX_CONNECTIONS_KEPT`] are kept.
    Connection(Box<ConnectionRecord>),
    /// Adds to counters, by name.
    Count(Vec<(String, u64)>),
    /// Removes a session with everything that belongs to it. Refused while it has a checkpoint: its task is under way.
    /// One that the centre knows stays in [`Journal::unshipped`] as deleted until the centre has been told; what it
    /// had not received of the log it never gets.
    DeleteSession(SessionId),
    /// The host is enrolled. Rows from here on are the centre's. The chain, the command cursor and the known sessions of
    /// an enrolment before are forgotten; what waited for the same tenant still waits, what waited for another one is
    /// this machine's own. The same agent at the same tenant again changes nothing.
    Enrol(Box<Enrolment>),
    /// The host is its own again: the chain, the command cursor and the known sessions are forgotten. Audit records not
    /// sent stay on this machine as its local log.
    Unenrol,
    /// The centre holds the outbox rows up to this number, and its chain ends with this head: they are removed and the
    /// head is kept, in one transaction. Refused for a head that is not further than the one kept.
    AcknowledgeOutbox {
        /// Number of the last row sent.
        up_to: u64,
        /// The chain's new end.
        head: AuditHead,
    },
    /// The chain goes on from here: what the centre told of it to a host whose store was restored or made anew.
    AuditHead(AuditHead),
    /// The centre knows a session; its log is to be sent from `shipped_seq` on. Changes the row of one known already,
    /// except for how far it was sent.
    CentralSession(Box<CentralSession>),
    /// Events of a session were sent and taken up to this number. A smaller number than the one kept changes nothing;
    /// one beyond the log is refused. A session that is not (or no longer) the centre's is passed over.
    Shipped {
        /// The session.
        session_id: SessionId,
        /// The number.
        seq: u64,
    },
    /// The centre has been told that a session was deleted, or does not know it (any more).
    ForgetCentralSession(SessionId),
    /// The command of this number was carried out. A smaller number than the one kept changes nothing.
    CentralCommand(u64),
}

/// Which way a page of history goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// Rows after this number.
    After(u64),
    /// Rows before this number.
    Before(u64),
    /// The newest rows.
    End,
}

/// A page of history, ascending.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventPage {
    /// The rows.
    pub events: Vec<SessionEvent>,
    /// First number kept; 0 when there is none.
    pub first_seq: u64,
    /// Last number written; 0 when there is none.
    pub last_seq: u64,
    /// Where to go on in the same direction.
    pub next: Option<u64>,
}

/// The store as the rest of the host sees it. Reads are bounded by their `limit` and block for at most a page; call
/// [`Journal::search_events`] and [`Journal::list_sessions`] with a query from a blocking thread.
#[async_trait::async_trait]
pub trait Journal: Send + Sync {
    /// Queues a batch: written in order, durable with the next `commit` or within a few milliseconds. Waits only
    /// when the queue is full. A fault surfaces at the next `commit`.
    ///
    /// A batch that is refused leaves a hole in its session's log. From then on every `append` and `commit` to that
    /// session fails with the reason, whoever writes, until a commit carries [`Write::Reread`] or the session is
    /// deleted: nobody builds on the hole, and nobody hears of it in another's place.
    async fn append(&self, batch: Vec<Write>) -> Result<(), JournalError>;

    /// Writes a batch and everything queued before it; returns when it is on disk. Cancel-safe: a dropped future
    /// does not take the batch back.
    async fn commit(&self, batch: Vec<Write>) -> Result<(), JournalError>;

    /// A session.
    fn session(&self, id: &SessionId) -> Result<SessionRecord, JournalError>;
    /// Sessions, last changed first. `query`, lower-case, must occur in the name, a prompt or an answer.
    fn list_sessions(
        &self,
        query: Option<&str>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<SessionSummary>, Option<String>), JournalError>;
    /// The workspace known for a set of roots, if any.
    fn workspace_for(&self, roots: &[PathBuf]) -> Result<Option<WorkspaceId>, JournalError>;
    /// A task of a session.
    fn task(&self, session: &SessionId, task: &TaskId) -> Result<Option<TaskSummary>, JournalError>;
    /// A page of the log; at most `limit` rows and about a mebibyte.
    fn events(&self, session: &SessionId, cursor: Cursor, limit: usize) -> Result<EventPage, JournalError>;
    /// A page of the log whose JSON contains `query` (lower-case). Looks at a bounded number of rows per call.
    fn search_events(
        &self,
        session: &SessionId,
        query: &str,
        cursor: Cursor,
        limit: usize,
    ) -> Result<EventPage, JournalError>;
    /// The thread from a position on, at most `limit` messages.
    fn messages(
        &self,
        session: &SessionId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<ConversationMessage>, JournalError>;
    /// Messages in the thread.
    fn message_count(&self, session: &SessionId) -> Result<u64, JournalError>;
    /// A call.
    fn call(&self, session: &SessionId, id: &ToolCallId) -> Result<Option<CallRecord>, JournalError>;
    /// An approval.
    fn approval(&self, session: &SessionId, id: &ApprovalId) -> Result<Option<ApprovalRecord>, JournalError>;
    /// Approvals, newest first; of one session or all, pending or all. At most `limit` and about a mebibyte, so that
    /// a page may be shorter than `limit`; at least one when there is any.
    fn approvals(
        &self,
        session: Option<&SessionId>,
        include_settled: bool,
        limit: usize,
    ) -> Result<Vec<ApprovalRecord>, JournalError>;
    /// Approvals whose id begins with `prefix`, newest first, among the newest [`PREFIX_REACH`]. At most `limit` and
    /// about a mebibyte, but never fewer than two where two fit and `limit` allows: whoever finds one alone may take
    /// it as the only one.
    fn approvals_by_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<ApprovalRecord>, JournalError>;
    /// The keys of approvals that wait, oldest first.
    fn pending_approvals(&self, limit: usize) -> Result<Vec<(SessionId, ApprovalId)>, JournalError>;
    /// Remembered answers.
    fn rules(&self) -> Result<Vec<RememberedRule>, JournalError>;
    /// The checkpoint of a session.
    fn checkpoint(&self, session: &SessionId) -> Result<Option<Checkpoint>, JournalError>;
    /// Sessions that have a checkpoint: their task was under way when the host stopped.
    fn unfinished(&self) -> Result<Vec<SessionId>, JournalError>;
    /// First states of the files a task touched, by path.
    fn baselines(&self, session: &SessionId, task: &TaskId) -> Result<Vec<Baseline>, JournalError>;
    /// A kept answer.
    fn command(&self, principal: &PrincipalId, id: &CommandId)
    -> Result<Option<CommandRecord>, JournalError>;
    /// Host-wide events after a number.
    fn host_events(&self, after: u64, limit: usize) -> Result<(Vec<HostEvent>, u64), JournalError>;
    /// Records waiting for the central services, oldest first, with their outbox numbers. While enrolled, only those
    /// made since; else the log that this machine keeps for itself.
    fn outbox(&self, after: u64, limit: usize) -> Result<Vec<(u64, EventEnvelope)>, JournalError>;
    /// To whom the host belongs; `None` when to itself.
    fn enrolment(&self) -> Result<Option<Enrolment>, JournalError>;
    /// The end of the chain that the centre holds.
    fn audit_head(&self) -> Result<AuditHead, JournalError>;
    /// Number of the last command carried out; 0 before the first.
    fn central_command(&self) -> Result<u64, JournalError>;
    /// A session that the centre knows.
    fn central_session(&self, session: &SessionId) -> Result<Option<CentralSession>, JournalError>;
    /// Sessions that have something to be sent, longest waiting first. A session of which a part was sent goes to the
    /// end of the line.
    fn unshipped(&self, limit: usize) -> Result<Vec<Unshipped>, JournalError>;
    /// Audit records that wait for the centre. Three small reads, so that it can be asked before every call.
    fn audit_backlog(&self) -> Result<AuditBacklog, JournalError>;
    /// Logs that wait for the centre.
    fn log_backlog(&self) -> Result<LogBacklog, JournalError>;
    /// Paired devices, by id.
    fn devices(&self) -> Result<Vec<DeviceRecord>, JournalError>;
    /// Who was connected when, newest first.
    fn connections(&self, limit: usize) -> Result<Vec<ConnectionRecord>, JournalError>;
    /// Counters whose names begin with `prefix`, by name.
    fn counts(&self, prefix: &str) -> Result<Vec<(String, u64)>, JournalError>;
    /// Counts for the health panel.
    fn counters(&self) -> Result<HealthCounters, JournalError>;
    /// Tasks that ended, by day, oldest first; only days on which one did, and some around the last
    /// [`lanyard_protocol::limits::HEALTH_DAYS`].
    fn task_days(&self) -> Result<Vec<TaskDay>, JournalError>;
    /// Whether a new task may start, or why not (`store.max_bytes`).
    fn room(&self) -> Result<(), JournalError>;
}

/// Outputs too long for the model, pre-images of changed files: content-addressed, owned by sessions.
pub trait ArtifactStore: Send + Sync {
    /// Keeps the bytes for a session; the same bytes are kept once. On disk when it returns. Blocks.
    fn put(&self, session: &SessionId, bytes: &[u8]) -> Result<ArtifactId, JournalError>;
    /// At most `length` bytes from `offset`, and the size of the whole. Blocks.
    fn read(&self, id: &ArtifactId, offset: u64, length: u32) -> Result<(Vec<u8>, u64), JournalError>;
}
