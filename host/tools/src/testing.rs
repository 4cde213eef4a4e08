//! A session on a temporary machine: real directories, the real sandbox, the real policy.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use lanyard_policy::bundle::LocalDefault;
use lanyard_policy::decide::{Terms, Unconfined, Verdict, decide};
use lanyard_policy::demand::PlannedCall;
use lanyard_policy::filter::ReadFilter;
use lanyard_policy::layer::Layers;
use lanyard_policy::path::{HostPath, Places};
use lanyard_protocol::id::{HostId, PrincipalId, SessionId, StepId, TaskId, ToolCallId, WorkspaceId};
use lanyard_protocol::policy::SandboxLevel;
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::session::{ApprovalMode, TaskOptions};
use lanyard_protocol::tool::{ToolRequest, ToolStatus};
use lanyard_protocol::{Json, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::sandbox::{Limits, Sandbox, SandboxSetup};
use crate::{
    HttpClient, Outcome, OutputSink, Plan, PlanError, PlanTerms, Searchable, Workspace, WorkspaceOptions,
    plan,
};

fn now() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

/// `work` is the workspace; `state` the host's own directory; `home` the owner's. All are siblings.
pub(crate) struct Bench {
    base: TempDir,
    pub(crate) workspace: Arc<Workspace>,
    layers: Arc<Layers>,
    places: Arc<Places>,
    pub(crate) terms: PlanTerms,
    pub(crate) output: Arc<Mutex<String>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_roots(&["work"])
    }

    /// Roots are made below the base; the first is the workspace.
    pub(crate) fn with_roots(roots: &[&str]) -> Self {
        Self::with(roots, &[])
    }

    /// `read`, below the base too, are what programs may read besides.
    pub(crate) fn with(roots: &[&str], read: &[&str]) -> Self {
        let base = tempfile::tempdir().unwrap();
        for name in ["state", "home", "outside"] {
            std::fs::create_dir(base.path().join(name)).unwrap();
        }
        let scratch = base.path().join("scratch");
        make_private(&scratch);
        let path = base.path().canonicalize().unwrap();
        let roots: Vec<PathBuf> = roots.iter().map(|root| path.join(root)).collect();
        roots.iter().for_each(|root| std::fs::create_dir_all(root).unwrap());
        let (state, home) = (path.join("state"), path.join("home"));
        let sandbox = Sandbox::start(&SandboxSetup {
            state_dir: state.clone(),
            protected: Vec::new(),
            home: Some(home.clone()),
            search_path: Some("/usr/local/bin:/usr/bin:/bin".into()),
        });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let workspace = Workspace::new(WorkspaceOptions {
            roots: roots.clone(),
            read: read.iter().map(|read| path.join(read)).collect(),
            scratch,
            protected: vec![state.clone()],
            home: Some(home.clone()),
            sandbox: sandbox.unwrap(),
            limits: Limits::default(),
            http: HttpClient::new().unwrap(),
        });
        let host_path = |path: &Path| HostPath::parse(path.to_str().unwrap()).unwrap();
        let bundle = LocalDefault {
            roots: roots.iter().map(|root| host_path(root)).collect(),
            policy_epoch: 1,
            required_sandbox_level: SandboxLevel::None,
            max_session_tokens: 1_000_000,
        };
        let bundle = bundle.issue(session(), "local", "owner", now()).unwrap();
        let layers = Arc::new(Layers::validate(vec![("local", bundle)], &session(), now()).unwrap());
        let places = Arc::new(Places::new(&host_path(&home), &[host_path(&state)]));
        let (searched_layers, searched_places) = (Arc::clone(&layers), Arc::clone(&places));
        let searchable =
            Searchable::new(move |path| ReadFilter::new(&searched_layers, &searched_places).admits(path));
        Self {
            base,
            workspace: Arc::new(workspace.unwrap()),
            layers,
            places,
            terms: PlanTerms {
                allow_network: true,
                command_network: false,
                programs_allowed: true,
                searchable,
            },
            output: Arc::default(),
        }
    }

    /// A path beside the workspace.
    pub(crate) fn beside(&self, path: &str) -> PathBuf {
        self.base.path().canonicalize().unwrap().join(path)
    }

    /// A path in the workspace.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.beside("work").join(path)
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap()
    }

    pub(crate) fn plan(&self, tool: &str, arguments: Value) -> Result<Plan, PlanError> {
        plan(&self.workspace, &request(tool, arguments), &self.terms)
    }

    /// What policy says; whoever started the task has switched questions off.
    pub(crate) fn decide(&self, plan: Plan) -> (Verdict, crate::Prepared) {
        (self.judge(plan.call, ApprovalMode::Never), plan.prepared)
    }

    /// What policy says to a call of the owner's.
    pub(crate) fn judge(&self, call: PlannedCall, approval_mode: ApprovalMode) -> Verdict {
        let initiator = Principal {
            id: PrincipalId::new("owner").unwrap(),
            name: "owner".to_owned(),
            scopes: vec![Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin],
            local: true,
        };
        let options = TaskOptions { approval_mode, ..TaskOptions::default() };
        let terms = Terms {
            host: &HostId::new("host-1").unwrap(),
            initiator: &initiator,
            options: &options,
            sandbox: self.workspace.sandbox_level(),
            unconfined: Unconfined::AcceptedByOwner,
            places: &self.places,
            now: now(),
        };
        decide(&self.layers, call, &terms)
    }

    /// Carries out a plan that policy allows.
    pub(crate) fn run(&self, plan: Plan) -> Outcome {
        self.run_until(plan, &CancellationToken::new())
    }

    pub(crate) fn run_until(&self, plan: Plan, cancel: &CancellationToken) -> Outcome {
        match self.decide(plan) {
            (Verdict::Allowed(permit), prepared) => {
                let sink = self.sink();
                runtime().block_on(crate::execute(&self.workspace, permit, prepared, &sink, cancel))
            }
            (other, _) => panic!("not allowed: {other:?}"),
        }
    }

    /// Plans and carries out.
    pub(crate) fn call(&self, tool: &str, arguments: Value) -> Outcome {
        self.run(self.plan(tool, arguments).unwrap())
    }

    /// Plans, carries out, and expects success.
    pub(crate) fn succeed(&self, tool: &str, arguments: Value) -> String {
        let outcome = self.call(tool, arguments);
        assert_eq!(outcome.status, ToolStatus::Succeeded, "{:?} {}", outcome.error, outcome.output);
        outcome.output
    }

    /// The error text of a call that fails, wherever it does.
    pub(crate) fn fail(&self, tool: &str, arguments: Value) -> String {
        match self.plan(tool, arguments) {
            Err(error) => error.to_string(),
            Ok(plan) => {
                let outcome = self.run(plan);
                assert_ne!(outcome.status, ToolStatus::Succeeded, "{}", outcome.output);
                outcome.error.unwrap().message
            }
        }
    }

    pub(crate) fn sink(&self) -> OutputSink {
        let output = Arc::clone(&self.output);
        OutputSink::new(move |piece| output.lock().unwrap().push_str(piece))
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn session() -> SessionId {
    SessionId::new("ses-1").unwrap()
}

pub(crate) fn request(tool: &str, arguments: Value) -> ToolRequest {
    ToolRequest {
        tool_name: tool.to_owned(),
        arguments: Json(arguments),
        workspace_id: WorkspaceId::new("ws-1").unwrap(),
        session_id: session(),
        task_id: TaskId::new("task-1").unwrap(),
        step_id: StepId::new("step-1").unwrap(),
        tool_call_id: ToolCallId::new("call-1").unwrap(),
        capability: None,
    }
}

/// Writes a program, by another process: what another test starts in that moment has open, until it has begun, what this
/// process has, and a file that is open for writing cannot be run ("text file busy").
pub(crate) fn executable(at: &Path, text: &str) {
    std::fs::create_dir_all(at.parent().unwrap()).unwrap();
    let script = r#"cat > "$1" && chmod 755 "$1""#;
    let mut shell = Command::new("sh");
    let mut shell = shell.args(["-c", script, "sh"]).arg(at).stdin(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success());
}

fn make_private(path: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(path).unwrap();
}
