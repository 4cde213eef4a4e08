//! What one RunCommand costs: `cargo run --release -p lanyard-tools --example command_cost`.
//!
//! Times planning, judging and carrying out `true` in a workspace as a session has it, without the records in between.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made may stop")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lanyard_policy::bundle::LocalDefault;
use lanyard_policy::decide::{Terms, Unconfined, Verdict, decide};
use lanyard_policy::layer::Layers;
use lanyard_policy::path::{HostPath, Places};
use lanyard_protocol::id::{HostId, PrincipalId, SessionId, StepId, TaskId, ToolCallId, WorkspaceId};
use lanyard_protocol::policy::SandboxLevel;
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::session::{ApprovalMode, TaskOptions};
use lanyard_protocol::tool::{ToolRequest, ToolStatus};
use lanyard_protocol::{Json, Timestamp};
use lanyard_tools::sandbox::{Limits, PrivateTmp, Sandbox, SandboxSetup};
use lanyard_tools::{
    HttpClient, OutputSink, PlanTerms, Searchable, Workspace, WorkspaceOptions, execute, plan,
};
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 500;

fn main() {
    let base = tempfile::tempdir().unwrap();
    let root = base.path().canonicalize().unwrap();
    let [state, work] = ["state", "work"].map(|name| root.join(name));
    std::fs::create_dir(&state).unwrap();
    std::fs::create_dir(&work).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sandbox = Sandbox::start(&SandboxSetup {
        state_dir: state.clone(),
        protected: Vec::new(),
        home: std::env::home_dir(),
        search_path: std::env::var_os("PATH"),
    });
    let scratch = PrivateTmp::create_in(&root).unwrap();
    let workspace = Workspace::new(WorkspaceOptions {
        roots: vec![work.clone()],
        read: Vec::new(),
        scratch: scratch.path().to_owned(),
        protected: vec![state.clone()],
        home: std::env::home_dir(),
        sandbox: sandbox.unwrap(),
        limits: Limits::default(),
        http: HttpClient::new().unwrap(),
    });
    let workspace = Arc::new(workspace.unwrap());
    let judge = Judge::new(&work, &state, workspace.sandbox_level());
    let terms = PlanTerms {
        allow_network: false,
        command_network: false,
        programs_allowed: true,
        searchable: Searchable::new(|_| true),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (mut planning, mut judging, mut running) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS + 20 {
        let started = Instant::now();
        let planned = plan(&workspace, &request(), &terms).unwrap();
        let after_plan = Instant::now();
        let permit = match judge.judge(planned.call) {
            Verdict::Allowed(permit) => permit,
            other => panic!("{other:?}"),
        };
        let after_judge = Instant::now();
        let (sink, cancel) = (OutputSink::silent(), CancellationToken::new());
        let outcome = runtime.block_on(execute(&workspace, permit, planned.prepared, &sink, &cancel));
        assert_eq!(outcome.status, ToolStatus::Succeeded);
        if round >= 20 {
            planning.push(after_plan - started);
            judging.push(after_judge - after_plan);
            running.push(after_judge.elapsed());
        }
    }
    report("plan", &mut planning);
    report("decide", &mut judging);
    report("execute", &mut running);
}

/// A policy that lets it run.
struct Judge {
    layers: Layers,
    places: Places,
    initiator: Principal,
    options: TaskOptions,
    sandbox: SandboxLevel,
}

impl Judge {
    fn new(work: &Path, state: &Path, sandbox: SandboxLevel) -> Self {
        let host_path = |path: &Path| HostPath::parse(path.to_str().unwrap()).unwrap();
        let bundle = LocalDefault {
            roots: vec![host_path(work)],
            policy_epoch: 1,
            required_sandbox_level: SandboxLevel::None,
            max_session_tokens: 1_000_000,
        };
        let bundle = bundle.issue(session(), "local", "owner", now()).unwrap();
        Self {
            layers: Layers::validate(vec![("local", bundle)], &session(), now()).unwrap(),
            places: Places::new(&host_path(Path::new("/nonexistent")), &[host_path(state)]),
            initiator: Principal {
                id: PrincipalId::new("owner").unwrap(),
                name: "owner".to_owned(),
                scopes: vec![Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin],
                local: true,
            },
            options: TaskOptions { approval_mode: ApprovalMode::Never, ..TaskOptions::default() },
            sandbox,
        }
    }

    fn judge(&self, call: lanyard_policy::demand::PlannedCall) -> Verdict {
        let terms = Terms {
            host: &HostId::new("host-1").unwrap(),
            initiator: &self.initiator,
            options: &self.options,
            sandbox: self.sandbox,
            unconfined: Unconfined::AcceptedByOwner,
            places: &self.places,
            now: now(),
        };
        decide(&self.layers, call, &terms)
    }
}

fn request() -> ToolRequest {
    ToolRequest {
        tool_name: "RunCommand".to_owned(),
        arguments: Json(serde_json::json!({"argv": ["true"]})),
        workspace_id: WorkspaceId::new("ws-1").unwrap(),
        session_id: session(),
        task_id: TaskId::new("task-1").unwrap(),
        step_id: StepId::new("step-1").unwrap(),
        tool_call_id: ToolCallId::new("call-1").unwrap(),
        capability: None,
    }
}

fn session() -> SessionId {
    SessionId::new("ses-1").unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e6;
    println!("{what:10} p50 {:7.0} µs   p99 {:7.0} µs", at(50), at(99));
}
