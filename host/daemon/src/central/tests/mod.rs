//! A whole host, with a centre that the test plays.

mod authority;
mod commands;
mod contact;
mod holdups;
mod jobs;
mod news;
mod owner;
mod pairings;
mod shipping;
mod tools;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::TryStreamExt;
use lanyard_governance_api::approval::ApprovalReport;
use lanyard_governance_api::artifact::ArtifactQuery;
use lanyard_governance_api::id::{AgentId, JobId, TenantId, UserId};
use lanyard_governance_api::job::{Job, JobProgress, JobState};
use lanyard_governance_api::pairing::PairingSnapshot;
use lanyard_governance_api::session::{
    EventBatch, EventsAccepted, LlmGateway, ResumeRequest, SessionGrant, SessionLimits, SessionRequest,
    StateReport, TaskCompletion, TaskReport, WhenAway,
};
use lanyard_governance_api::telemetry::TraceBatch;
use lanyard_policy::bundle::LocalDefault;
use lanyard_policy::path::HostPath;
use lanyard_ports::journal::{Enrolment, Write};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::id::{SessionId, TaskId, WorkspaceId};
use lanyard_protocol::method::{CreateSession, Request, Response, SessionOpened};
use lanyard_protocol::policy::{Capability, CapabilityGrant, RedactionRule, SandboxLevel};
use lanyard_protocol::principal::Principal;
use lanyard_protocol::session::{CompatibilityStatus, ExecutionEnvironment, WorkspaceHint};
use lanyard_protocol::{Json, Timestamp};
use tokio_util::sync::CancellationToken;

use super::consent::Consent;
use super::tie::{Enrolled, Facts, Tie, Way};
use super::wire::{Content, Wire};
use crate::api::handle;
use crate::config::{Config, ConfigSources};
use crate::host::Host;
use crate::principals::owner;
use crate::start::{Parts, build};
use crate::state_dir::StateDir;

/// Far longer than anything takes that is to happen.
const SOON: Duration = Duration::from_secs(30);

/// Waits until something is so.
async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("it never came to that");
}

/// What the centre was told, in order.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    Created(SessionRequest),
    Resumed(SessionId),
    Cancelled(SessionId),
    Named(String),
    State(StateReport),
    Task(TaskReport),
    Ended(TaskId, TaskCompletion),
    /// Their numbers, and all of them as JSON.
    Events(Vec<u64>, String),
    Approval(Box<ApprovalReport>),
    Spans(usize),
    Artifact(WorkspaceId, Box<ArtifactQuery>, Vec<u8>),
    HistoryDeleted(SessionId),
    Job(JobProgress),
    Pairings(PairingSnapshot),
    Left(String),
}

#[derive(Default)]
struct Book {
    told: Vec<Told>,
    /// Answers in place of the usual ones, for the next calls.
    refuse: VecDeque<Option<WireError>>,
    /// Every call fails so.
    away: Option<WireError>,
    jobs: BTreeMap<JobId, Job>,
    sessions: Vec<SessionId>,
}

/// The centre as a test plays it.
struct Played {
    book: Mutex<Book>,
    epoch: Mutex<u64>,
    timeline: bool,
    when_away: WhenAway,
    unfit: bool,
    redaction: Vec<RedactionRule>,
    gateway: Option<LlmGateway>,
    max_steps: u32,
    /// What the policy says of uploads.
    upload: Option<CapabilityGrant>,
}

impl Default for Played {
    fn default() -> Self {
        Self {
            book: Mutex::default(),
            epoch: Mutex::new(1),
            timeline: true,
            when_away: WhenAway::Continue,
            unfit: false,
            redaction: Vec::new(),
            gateway: None,
            max_steps: 50,
            upload: Some(CapabilityGrant::unlimited(Capability::WorkspaceUpload)),
        }
    }
}

fn unreachable() -> WireError {
    WireError::new(ErrorCode::CentralUnavailable, "nobody answers")
}

impl Played {
    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    fn told(&self) -> Vec<Told> {
        self.book().told.clone()
    }

    fn go_away(&self) {
        self.book().away = Some(unreachable());
    }

    fn come_back(&self) {
        self.book().away = None;
    }

    /// The call after `fine` others is refused so.
    fn refuse_after(&self, fine: usize, error: WireError) {
        let mut book = self.book();
        book.refuse = std::iter::repeat_n(None, fine).chain([Some(error)]).collect();
    }

    fn take(&self, told: Told) -> Result<(), WireError> {
        let mut book = self.book();
        if let Some(error) = &book.away {
            return Err(error.clone());
        }
        if let Some(Some(error)) = book.refuse.pop_front() {
            return Err(error);
        }
        book.told.push(told);
        Ok(())
    }

    fn states(&self) -> Vec<JobState> {
        let told = self.told();
        told.iter()
            .filter_map(|told| match told {
                Told::Job(progress) => Some(progress.state),
                _ => None,
            })
            .collect()
    }

    fn last_job(&self) -> JobProgress {
        let told = self.told();
        let mut jobs = told.into_iter().filter_map(|told| match told {
            Told::Job(progress) => Some(progress),
            _ => None,
        });
        jobs.next_back().unwrap()
    }

    fn grant(&self, session: &SessionId, workspace: &str, paths: &[String]) -> SessionGrant {
        let now = Timestamp::now();
        let bundle = LocalDefault {
            roots: paths.iter().map(|path| HostPath::parse(path).unwrap()).collect(),
            policy_epoch: 0,
            required_sandbox_level: SandboxLevel::None,
            max_session_tokens: 1_000,
        };
        let mut bundle = bundle.issue(session.clone(), "acme", "mia", now).unwrap();
        bundle.policy_bundle_version = "central-7".to_owned();
        bundle.policy_epoch = *self.epoch.lock().unwrap();
        bundle.offline_grace_seconds = 600;
        bundle.capabilities.extend(self.upload.clone());
        bundle.redaction_rules.extend(self.redaction.iter().cloned());
        bundle.expires_at = now.plus_millis(3_600_000);
        let compatibility_status =
            if self.unfit { CompatibilityStatus::Incompatible } else { CompatibilityStatus::Compatible };
        SessionGrant {
            session_id: session.clone(),
            workspace_id: WorkspaceId::new(workspace).unwrap(),
            compatibility_status,
            incompatibility_reason: self.unfit.then(|| "the host is too old".to_owned()),
            policy_bundle: (!self.unfit).then_some(bundle),
            llm_gateway: self.gateway.clone(),
            limits: SessionLimits {
                max_steps: self.max_steps,
                max_session_tokens: 1_000,
                max_artifact_bytes: 50 << 20,
                timeline: self.timeline,
            },
            approval_rules: Vec::new(),
            feature_flags: BTreeMap::new(),
            when_away: self.when_away,
            expires_at: now.plus_millis(86_400_000),
            server_time: now,
        }
    }
}

#[async_trait::async_trait]
impl Wire for Played {
    async fn create_session(&self, request: &SessionRequest) -> Result<SessionGrant, WireError> {
        self.take(Told::Created(request.clone()))?;
        let id = request.session_id.clone().unwrap();
        self.book().sessions.push(id.clone());
        Ok(self.grant(&id, "ws_central", &request.workspace_hint.local_paths))
    }

    async fn resume_session(&self, id: &SessionId, _: &ResumeRequest) -> Result<SessionGrant, WireError> {
        self.take(Told::Resumed(id.clone()))?;
        let paths = self.told().into_iter().find_map(|told| match told {
            Told::Created(request) if request.session_id.as_ref() == Some(id) => {
                Some(request.workspace_hint.local_paths)
            }
            _ => None,
        });
        Ok(self.grant(id, "ws_central", &paths.unwrap_or_default()))
    }

    async fn cancel_session(&self, session: &SessionId, _: &str) -> Result<(), WireError> {
        self.take(Told::Cancelled(session.clone()))
    }

    async fn rename_session(&self, _: &SessionId, name: &str) -> Result<(), WireError> {
        self.take(Told::Named(name.to_owned()))
    }

    async fn report_state(&self, _: &SessionId, report: &StateReport) -> Result<(), WireError> {
        self.take(Told::State(report.clone()))
    }

    async fn create_task(&self, _: &SessionId, report: &TaskReport) -> Result<(), WireError> {
        self.take(Told::Task(report.clone()))
    }

    async fn complete_task(
        &self,
        _: &SessionId,
        task: &TaskId,
        done: &TaskCompletion,
    ) -> Result<(), WireError> {
        self.take(Told::Ended(task.clone(), done.clone()))
    }

    async fn append_events(&self, _: &SessionId, batch: &EventBatch) -> Result<EventsAccepted, WireError> {
        let seqs: Vec<u64> = batch.events.iter().map(|event| event.seq.unwrap()).collect();
        let last_seq = *seqs.last().unwrap();
        self.take(Told::Events(seqs, serde_json::to_string(batch).unwrap()))?;
        Ok(EventsAccepted { last_seq })
    }

    async fn report_approval(&self, report: &ApprovalReport) -> Result<(), WireError> {
        self.take(Told::Approval(Box::new(report.clone())))
    }

    async fn post_traces(&self, batch: &TraceBatch) -> Result<(), WireError> {
        self.take(Told::Spans(batch.spans.len()))
    }

    async fn put_artifact(
        &self,
        workspace: &WorkspaceId,
        query: &ArtifactQuery,
        content: Content,
    ) -> Result<(), WireError> {
        // As a client that sends and sees its own content cut: for all it knows nobody is there.
        let Ok(pieces) = (content.make)().try_collect::<Vec<bytes::Bytes>>().await else {
            return Err(unreachable());
        };
        let whole = pieces.concat();
        assert_eq!(whole.len() as u64, content.bytes, "the length that was announced");
        self.take(Told::Artifact(workspace.clone(), Box::new(query.clone()), whole))
    }

    async fn delete_history(&self, _: &WorkspaceId, session: &SessionId) -> Result<(), WireError> {
        self.take(Told::HistoryDeleted(session.clone()))
    }

    async fn report_job(&self, job: &JobId, progress: &JobProgress) -> Result<Job, WireError> {
        self.take(Told::Job(progress.clone()))?;
        self.book()
            .jobs
            .get(job)
            .cloned()
            .ok_or_else(|| WireError::new(ErrorCode::ResourceNotFound, "no such job"))
    }

    async fn put_pairings(&self, snapshot: &PairingSnapshot) -> Result<(), WireError> {
        self.take(Told::Pairings(snapshot.clone()))
    }

    async fn revoke_self(&self, reason: &str) -> Result<(), WireError> {
        self.take(Told::Left(reason.to_owned()))
    }
}

/// A host in this process, not yet enrolled.
struct House {
    parts: Parts,
    wire: Arc<Played>,
    dir: tempfile::TempDir,
    _state: StateDir,
}

/// A program that another test is starting just now holds the lock of a host that has ended, until it has begun.
fn claim(dir: &std::path::Path) -> StateDir {
    let patience = std::time::Instant::now();
    loop {
        match StateDir::claim(dir) {
            Ok(state) => return state,
            Err(error) if patience.elapsed() > SOON => panic!("{error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

const ANN: &str = "ann";
const BOB: &str = "bob";

impl House {
    fn new(wire: Played) -> Self {
        Self::open(tempfile::tempdir().unwrap(), Arc::new(wire))
    }

    fn open(dir: tempfile::TempDir, wire: Arc<Played>) -> Self {
        // Fails when another test was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let work = dir.path().join("work");
        std::fs::create_dir_all(&work).unwrap();
        let mut config = Config::load(ConfigSources {
            state_dir: Some(dir.path().join("state")),
            workspaces: vec![work],
            listen: Some("off".parse().unwrap()),
        })
        .unwrap();
        config.discovery = false;
        config.model.detect = false;
        let state = claim(&config.state_dir);
        let parts = build(config, &state, CancellationToken::new()).unwrap();
        Self { parts, wire, dir, _state: state }
    }

    fn host(&self) -> &Arc<Host> {
        &self.parts.host
    }

    fn work(&self) -> PathBuf {
        self.host().config.workspaces[0].clone()
    }

    /// As after an enrolment.
    async fn enrol(&self, accept_jobs: bool, accept_answers: bool) {
        self.enrol_as("agent_1", accept_jobs, accept_answers).await;
    }

    async fn enrol_as(&self, agent: &str, accept_jobs: bool, accept_answers: bool) {
        let facts = Facts {
            url: "https://central.example:8787".to_owned(),
            agent_id: AgentId::new(agent).unwrap(),
            tenant_id: TenantId::new("acme").unwrap(),
            user_id: UserId::new("mia").unwrap(),
            certificate_not_after: Timestamp::now(),
        };
        let row = Enrolment { agent_id: agent.into(), tenant_id: "acme".into(), first_outbox: 0 };
        self.host().journal.commit(vec![Write::Enrol(Box::new(row))]).await.unwrap();
        let consent = Consent { accept_jobs, accept_answers, share_earlier_sessions: false, enrolled_at: 1 };
        let enrolled = Enrolled { facts, consent, way: Way::Played(self.wire.clone()) };
        let centre = &self.host().centre;
        crate::state_dir::private_dir(&centre.dir).unwrap();
        centre.tie.send_replace(Tie::Enrolled(Arc::new(enrolled)));
    }

    /// As with `lanyard enroll --share-earlier-sessions`.
    fn share_earlier_sessions(&self) {
        let centre = &self.host().centre;
        let Tie::Enrolled(enrolled) = centre.tie() else { panic!("not enrolled") };
        let mut enrolled = Enrolled::clone(&enrolled);
        enrolled.consent.share_earlier_sessions = true;
        centre.tie.send_replace(Tie::Enrolled(Arc::new(enrolled)));
    }

    async fn session(&self) -> Result<SessionOpened, WireError> {
        self.session_named("").await
    }

    async fn session_named(&self, name: &str) -> Result<SessionOpened, WireError> {
        let create = CreateSession {
            execution_environment: ExecutionEnvironment::Desktop,
            workspace_hint: WorkspaceHint {
                local_paths: vec![self.work().display().to_string()],
                workspace_id: None,
            },
            name: Some(name.to_owned()),
            ..CreateSession::default()
        };
        match handle(self.host(), &owner().unwrap(), Request::CreateSession(create)).await?.into_response() {
            Response::CreateSession(opened) => Ok(opened),
            other => panic!("{other:?}"),
        }
    }

    fn job(&self, tool: &str, arguments: serde_json::Value, by: &str) -> JobId {
        let id = JobId::new(format!("job_{}", self.wire.book().jobs.len())).unwrap();
        let job = Job {
            job_id: id.clone(),
            agent_id: AgentId::new("agent_1").unwrap(),
            tool_name: tool.to_owned(),
            arguments: Json(arguments),
            workspace: self.work().display().to_string(),
            title: "Look at\u{7} it".to_owned(),
            state: JobState::Leased,
            reason: None,
            session_id: None,
            result: None,
            late: false,
            created_by: UserId::new(by).unwrap(),
            created_at: Timestamp::now(),
            updated_at: Timestamp::now(),
            expires_at: Timestamp::now().plus_millis(60_000),
            lease_until: None,
        };
        self.wire.book().jobs.insert(id.clone(), job);
        id
    }

    async fn stop(self) -> (tempfile::TempDir, Arc<Played>) {
        self.host().stop.cancel();
        self.host().sessions.stop().await;
        self.host().centre.jobs().stop().await;
        self.host().network.stop().await;
        self.host().desk.stop();
        let Self { parts, wire, dir, _state } = self;
        parts.desk_task.await.unwrap();
        parts.store.close().unwrap();
        drop(parts.host);
        let store = parts.store;
        // What was read of it in the background ends by itself.
        until(|| Arc::strong_count(&store) == 1).await;
        drop(store);
        (dir, wire)
    }
}

fn central(user: &str) -> Principal {
    use lanyard_protocol::principal::Scope;
    super::standing::principal(&UserId::new(user).unwrap(), None, vec![Scope::Observe]).unwrap()
}
