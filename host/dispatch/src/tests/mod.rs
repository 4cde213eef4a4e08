//! A call from its preparation to its end, with the real policy, desk, workspace and tools.

mod centre;
mod elsewhere;
pub(crate) mod fakes;
mod lab;
mod revoked;
mod rights;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use lanyard_policy::approval::Answer;
use lanyard_policy::decide::Unconfined;
use lanyard_ports::authority::SessionClaim;
use lanyard_ports::router::{PreparedCall, ReadyCall, Settled, TaskTerms, ToolRouter};
use lanyard_protocol::approval::{ApprovalState, Decision};
use lanyard_protocol::error::WireError;
use lanyard_protocol::id::{ApprovalId, SessionId};
use lanyard_protocol::method::ApprovalOutcome;
use lanyard_protocol::policy::{PolicyBundle, Remember};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::session::{ApprovalMode, TaskOptions};
use lanyard_protocol::tool::{ToolRequest, ToolResult};
use lanyard_protocol::{Json, Timestamp};
use lanyard_tools::sandbox::{Limits, Sandbox, SandboxSetup};
use lanyard_tools::{HttpClient, Workspace, WorkspaceOptions};
use tokio_util::sync::CancellationToken;

use crate::{ApprovalDesk, HostFacts, RouterParts, SessionPolicy, SessionRouter};
use centre::Centre;
use elsewhere::Elsewhere;
use fakes::{Count, Hands, Kept, NoArtifacts, People, Silence};

const NOW: i64 = 1_800_000_000_000;

/// A layer: its name and what differs from the local default.
type LayerOf = (&'static str, fn(&mut PolicyBundle));

/// One session on a temporary machine.
struct Rig {
    base: tempfile::TempDir,
    centre: Arc<Centre>,
    journal: Arc<Kept>,
    people: Arc<People>,
    desk: ApprovalDesk,
    remote: Arc<Elsewhere>,
    router: SessionRouter,
}

impl Rig {
    async fn new(layers: Vec<LayerOf>) -> Self {
        let base = tempfile::tempdir().unwrap();
        for name in ["state", "home", "work", "scratch"] {
            std::fs::create_dir(base.path().join(name)).unwrap();
        }
        // Programs get it as their own; it must be nobody else's.
        #[cfg(unix)]
        {
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(base.path().join("scratch"), private).unwrap();
        }
        let people = Arc::new(People::of([owner(), phone(), tablet()]));
        Self::start(base, Arc::default(), people, Arc::default(), layers).await
    }

    /// A host that finds what this one has left behind.
    async fn restart(self, layers: Vec<LayerOf>) -> Self {
        self.desk.stop();
        Self::start(self.base, self.journal, self.people, self.remote, layers).await
    }

    async fn start(
        base: tempfile::TempDir,
        journal: Arc<Kept>,
        people: Arc<People>,
        remote: Arc<Elsewhere>,
        layers: Vec<LayerOf>,
    ) -> Self {
        let path = base.path().canonicalize().unwrap();
        let workspace = Arc::new(workspace(&path));
        let (clock, ids) = (Arc::new(Hands(AtomicI64::new(NOW))), Arc::new(Count::default()));
        let (desk, _) = ApprovalDesk::start(journal.clone(), clock.clone(), ids.clone(), "local").unwrap();
        let claim = claim(vec![path.join("work")]);
        let centre = Arc::new(Centre::new(clock.clone(), layers));
        let policy = SessionPolicy::open(centre.clone(), clock.clone(), clock.clone(), claim).await.unwrap();
        let router = SessionRouter::new(RouterParts {
            facts: HostFacts {
                host_id: "h".parse().unwrap(),
                tenant_id: "local".into(),
                unconfined: Unconfined::AcceptedByOwner,
                approval_seconds: 300,
                started_at: Timestamp::from_millis(NOW),
            },
            policy: Arc::new(policy),
            workspace,
            remote: remote.clone(),
            desk: desk.clone(),
            principals: people.clone(),
            journal: journal.clone(),
            artifacts: Arc::new(NoArtifacts),
            deltas: Arc::new(Silence),
            clock,
            ids,
        });
        Self { base, centre, journal, people, desk, remote, router }
    }

    fn file(&self) -> PathBuf {
        self.base.path().join("work/made")
    }

    /// A call that makes a file, which policy asks about.
    async fn prepare(&self, call: &str, initiator: Principal, mode: ApprovalMode) -> Box<dyn PreparedCall> {
        let arguments = serde_json::json!({"path": "made", "content": "x"});
        self.prepare_tool(call, "WriteFile", arguments, initiator, mode).await
    }

    async fn prepare_tool(
        &self,
        call: &str,
        tool: &str,
        arguments: serde_json::Value,
        initiator: Principal,
        mode: ApprovalMode,
    ) -> Box<dyn PreparedCall> {
        let request = ToolRequest {
            tool_name: tool.into(),
            arguments: Json(arguments),
            workspace_id: "w".parse().unwrap(),
            session_id: session(),
            task_id: "t".parse().unwrap(),
            step_id: "st".parse().unwrap(),
            tool_call_id: call.parse().unwrap(),
            capability: None,
        };
        let options = TaskOptions { approval_mode: mode, ..TaskOptions::default() };
        self.router.prepare(request, &TaskTerms { options, initiator }).await
    }

    /// Lets a call ask; the wait for its answer, and the question.
    async fn ask(&self, call: Box<dyn PreparedCall>) -> (tokio::task::JoinHandle<Settled>, ApprovalId) {
        let waits = tokio::spawn(async move { call.settle(&CancellationToken::new()).await });
        loop {
            assert!(!waits.is_finished(), "it asked nobody: {:?}", waits.await);
            if let Some(question) = self.pending() {
                return (waits, question);
            }
            tokio::task::yield_now().await;
        }
    }

    fn pending(&self) -> Option<ApprovalId> {
        let all = self.journal.approvals.lock().unwrap();
        all.values().find(|it| it.state == ApprovalState::Pending).map(|it| it.request.approval_id.clone())
    }

    /// What somebody says, with the rights they held when they said it.
    async fn say(
        &self,
        question: &ApprovalId,
        decision: Decision,
        remember: Remember,
        by: Principal,
    ) -> Result<ApprovalOutcome, WireError> {
        let answer = Answer { decision, remember, reason: None };
        self.desk.answer(session(), question.clone(), answer, by).await
    }

    /// A call that was asked about and approved.
    async fn approved(&self, call: &str, initiator: Principal, by: Principal) -> Box<dyn ReadyCall> {
        let (waits, question) = self.ask(self.prepare(call, initiator, ApprovalMode::default()).await).await;
        self.say(&question, Decision::Approved, Remember::Once, by).await.unwrap();
        ready(waits.await.unwrap())
    }
}

/// The claim of the one session, about some directories.
fn claim(roots: Vec<PathBuf>) -> SessionClaim {
    SessionClaim {
        session_id: session(),
        workspace_id: "w".parse().unwrap(),
        roots,
        tenant_id: "local".into(),
        user_id: "owner".into(),
    }
}

fn workspace(path: &std::path::Path) -> Workspace {
    let sandbox = Sandbox::start(&SandboxSetup {
        state_dir: path.join("state"),
        protected: Vec::new(),
        home: Some(path.join("home")),
        search_path: Some("/usr/bin:/bin".into()),
    });
    // Whoever is first installs it; a request is never sent.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = WorkspaceOptions {
        roots: vec![path.join("work")],
        read: Vec::new(),
        scratch: path.join("scratch"),
        protected: vec![path.join("state")],
        home: Some(path.join("home")),
        sandbox: sandbox.unwrap(),
        limits: Limits::default(),
        http: HttpClient::new().unwrap(),
    };
    Workspace::new(options).unwrap()
}

fn ready(settled: Settled) -> Box<dyn ReadyCall> {
    match settled {
        Settled::Ready(ready) => ready,
        Settled::Done(result) => panic!("it will not run: {result:?}"),
    }
}

fn over(settled: Settled) -> ToolResult {
    match settled {
        Settled::Done(result) => *result,
        Settled::Ready(_) => panic!("it may run"),
    }
}

async fn settle(call: Box<dyn PreparedCall>) -> Settled {
    call.settle(&CancellationToken::new()).await
}

async fn run(call: Box<dyn ReadyCall>) -> ToolResult {
    call.run(&CancellationToken::new()).await
}

fn session() -> SessionId {
    "s".parse().unwrap()
}

fn principal(name: &str, scopes: &[Scope], local: bool) -> Principal {
    Principal { id: name.parse().unwrap(), name: name.into(), scopes: scopes.to_vec(), local }
}

const ALL: [Scope; 4] = [Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin];

/// At the machine.
fn owner() -> Principal {
    principal("owner", &ALL, true)
}

/// Paired, with every right.
fn phone() -> Principal {
    principal("phone", &ALL, false)
}

/// Paired, with the usual rights.
fn tablet() -> Principal {
    principal("tablet", &ALL[..3], false)
}
