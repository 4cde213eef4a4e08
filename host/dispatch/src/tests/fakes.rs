//! What the tests of this crate put in the place of the store, the clock, and the people of a host.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use lanyard_ports::authority::Principals;
use lanyard_ports::journal::*;
use lanyard_ports::sink::DeltaSink;
use lanyard_ports::source::{BootClock, Clock, IdSource};
use lanyard_protocol::approval::*;
use lanyard_protocol::device::ConnectionRecord;
use lanyard_protocol::envelope::EventEnvelope;
use lanyard_protocol::event::{HostEvent, SessionEvent};
use lanyard_protocol::health::{HealthCounters, TaskDay};
use lanyard_protocol::id::*;
use lanyard_protocol::message::ConversationMessage;
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::session::{SessionSummary, TaskSummary};
use lanyard_protocol::{Tick, Timestamp};

/// A journal that keeps what it is given.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) approvals: Mutex<BTreeMap<String, ApprovalRecord>>,
    pub(crate) rules: Mutex<Vec<RememberedRule>>,
    pub(crate) events: Mutex<Vec<&'static str>>,
    pub(crate) audits: AtomicU64,
    pub(crate) backlog: Mutex<AuditBacklog>,
    /// Done once, when the start of a call has just come to disk.
    pub(crate) at_start: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    calls: Mutex<BTreeMap<String, CallRecord>>,
}

impl Kept {
    pub(crate) fn phase(&self, call: &str) -> Option<CallPhase> {
        self.calls.lock().unwrap().get(call).map(|record| record.phase)
    }
}

type Read<T> = Result<T, JournalError>;

fn unused<T>() -> Read<T> {
    Err(JournalError::NotFound("nothing the desk needs".to_owned()))
}

#[async_trait::async_trait]
impl Journal for Kept {
    async fn append(&self, batch: Vec<Write>) -> Read<()> {
        self.commit(batch).await
    }
    async fn commit(&self, batch: Vec<Write>) -> Read<()> {
        for write in batch {
            match write {
                Write::Approval(record) => {
                    let id = record.request.approval_id.to_string();
                    self.approvals.lock().unwrap().insert(id, *record);
                }
                Write::Rule(rule) => self.rules.lock().unwrap().push(*rule),
                Write::Event(event) => self.events.lock().unwrap().push(event.body.name()),
                Write::Audit(_) => {
                    self.audits.fetch_add(1, Ordering::SeqCst);
                }
                Write::Call(call) => {
                    if call.phase == CallPhase::Started
                        && let Some(act) = self.at_start.lock().unwrap().take()
                    {
                        act();
                    }
                    self.calls.lock().unwrap().insert(call.request.tool_call_id.to_string(), *call);
                }
                Write::Baseline(_) => {}
                other => panic!("neither the desk nor a call writes {other:?}"),
            }
        }
        Ok(())
    }
    fn approval(&self, _: &SessionId, id: &ApprovalId) -> Read<Option<ApprovalRecord>> {
        Ok(self.approvals.lock().unwrap().get(id.as_str()).cloned())
    }
    fn approvals(&self, _: Option<&SessionId>, settled: bool, _: usize) -> Read<Vec<ApprovalRecord>> {
        let all = self.approvals.lock().unwrap();
        Ok(all.values().filter(|r| settled || r.state == ApprovalState::Pending).cloned().collect())
    }
    fn approvals_by_prefix(&self, _: &str, _: usize) -> Read<Vec<ApprovalRecord>> {
        unused()
    }
    fn pending_approvals(&self, limit: usize) -> Read<Vec<(SessionId, ApprovalId)>> {
        let all = self.approvals.lock().unwrap();
        let waiting = all.values().filter(|r| r.state == ApprovalState::Pending).take(limit);
        Ok(waiting.map(|r| (r.request.session_id.clone(), r.request.approval_id.clone())).collect())
    }
    fn rules(&self) -> Read<Vec<RememberedRule>> {
        Ok(self.rules.lock().unwrap().clone())
    }
    fn session(&self, _: &SessionId) -> Read<SessionRecord> {
        unused()
    }
    fn list_sessions(
        &self,
        _: Option<&str>,
        _: Option<&str>,
        _: usize,
    ) -> Read<(Vec<SessionSummary>, Option<String>)> {
        unused()
    }
    fn workspace_for(&self, _: &[PathBuf]) -> Read<Option<WorkspaceId>> {
        unused()
    }
    fn task(&self, _: &SessionId, _: &TaskId) -> Read<Option<TaskSummary>> {
        unused()
    }
    fn events(&self, _: &SessionId, _: Cursor, _: usize) -> Read<EventPage> {
        unused()
    }
    fn search_events(&self, _: &SessionId, _: &str, _: Cursor, _: usize) -> Read<EventPage> {
        unused()
    }
    fn messages(&self, _: &SessionId, _: u64, _: usize) -> Read<Vec<ConversationMessage>> {
        unused()
    }
    fn message_count(&self, _: &SessionId) -> Read<u64> {
        unused()
    }
    fn call(&self, _: &SessionId, id: &ToolCallId) -> Read<Option<CallRecord>> {
        Ok(self.calls.lock().unwrap().get(id.as_str()).cloned())
    }
    fn checkpoint(&self, _: &SessionId) -> Read<Option<Checkpoint>> {
        unused()
    }
    fn unfinished(&self) -> Read<Vec<SessionId>> {
        unused()
    }
    fn baselines(&self, _: &SessionId, _: &TaskId) -> Read<Vec<Baseline>> {
        unused()
    }
    fn command(&self, _: &PrincipalId, _: &CommandId) -> Read<Option<CommandRecord>> {
        unused()
    }
    fn host_events(&self, _: u64, _: usize) -> Read<(Vec<HostEvent>, u64)> {
        unused()
    }
    fn outbox(&self, _: u64, _: usize) -> Read<Vec<(u64, EventEnvelope)>> {
        unused()
    }
    fn enrolment(&self) -> Read<Option<Enrolment>> {
        unused()
    }
    fn audit_head(&self) -> Read<AuditHead> {
        unused()
    }
    fn central_command(&self) -> Read<u64> {
        unused()
    }
    fn central_session(&self, _: &SessionId) -> Read<Option<CentralSession>> {
        unused()
    }
    fn unshipped(&self, _: usize) -> Read<Vec<Unshipped>> {
        unused()
    }
    fn audit_backlog(&self) -> Read<AuditBacklog> {
        Ok(*self.backlog.lock().unwrap())
    }
    fn log_backlog(&self) -> Read<LogBacklog> {
        unused()
    }
    fn devices(&self) -> Read<Vec<DeviceRecord>> {
        unused()
    }
    fn connections(&self, _: usize) -> Read<Vec<ConnectionRecord>> {
        unused()
    }
    fn counts(&self, _: &str) -> Read<Vec<(String, u64)>> {
        unused()
    }
    fn counters(&self) -> Read<HealthCounters> {
        unused()
    }
    fn task_days(&self) -> Read<Vec<TaskDay>> {
        unused()
    }
    fn room(&self) -> Read<()> {
        unused()
    }
}

/// A clock moved by hand, in milliseconds.
pub(crate) struct Hands(pub(crate) AtomicI64);

impl BootClock for Hands {
    /// The same hand moves both, unless a test has one of each.
    fn boot(&self) -> Tick {
        Tick::from_millis(u64::try_from(self.0.load(Ordering::SeqCst)).unwrap())
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Ids that count.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl IdSource for Count {
    fn fresh(&self, prefix: &str) -> String {
        format!("{prefix}_{}", self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// The people of a host, whose rights a test changes as it goes.
#[derive(Default)]
pub(crate) struct People(Mutex<BTreeMap<PrincipalId, Principal>>);

impl People {
    /// These and nobody else.
    pub(crate) fn of(people: impl IntoIterator<Item = Principal>) -> Self {
        Self(Mutex::new(people.into_iter().map(|who| (who.id.clone(), who)).collect()))
    }

    /// From now on nobody knows them.
    pub(crate) fn revoke(&self, who: &Principal) {
        self.0.lock().unwrap().remove(&who.id);
    }

    /// From now on they hold these rights.
    pub(crate) fn give(&self, who: &Principal, scopes: &[Scope]) {
        let changed = Principal { scopes: scopes.to_vec(), ..who.clone() };
        self.0.lock().unwrap().insert(who.id.clone(), changed);
    }
}

impl Principals for People {
    fn standing(&self, id: &PrincipalId) -> Option<Principal> {
        self.0.lock().unwrap().get(id).cloned()
    }
}

/// Keeps no outputs: no test here has long ones.
pub(crate) struct NoArtifacts;

impl ArtifactStore for NoArtifacts {
    fn put(&self, _: &SessionId, _: &[u8]) -> Read<ArtifactId> {
        unused()
    }
    fn read(&self, _: &ArtifactId, _: u64, _: u32) -> Read<(Vec<u8>, u64)> {
        unused()
    }
}

/// Hears nothing.
pub(crate) struct Silence;

impl DeltaSink for Silence {
    fn delta(&self, _: SessionEvent) {}
}
