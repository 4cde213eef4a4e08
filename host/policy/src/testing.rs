//! Builders shared by the tests of this crate.

use std::path::PathBuf;

use lanyard_protocol::{
    Json, Timestamp,
    id::{HostId, PrincipalId, SessionId, StepId, TaskId, ToolCallId, WorkspaceId},
    policy::{ApprovalRule, Approver, Capability, CapabilityGrant, PolicyBundle, Remember, SandboxLevel},
    principal::{Principal, Scope},
    session::{ApprovalMode, TaskOptions},
    tool::ToolRequest,
};

use crate::{
    bundle::LocalDefault,
    decide::{Denial, Terms, Unconfined, Verdict, decide},
    demand::{ContentHash, Demand, Exec, PlannedCall, Program},
    layer::Layers,
    path::{HostPath, Places},
    permit::{Ask, Permitted},
};

pub(crate) const NOW_MILLIS: i64 = 1_800_000_000_000;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(NOW_MILLIS)
}

pub(crate) fn path(text: &str) -> HostPath {
    HostPath::parse(text).unwrap()
}

pub(crate) fn session() -> SessionId {
    SessionId::new("ses-1").unwrap()
}

pub(crate) fn owner() -> Principal {
    let scopes = vec![Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin];
    Principal { id: PrincipalId::new("owner").unwrap(), name: "owner".into(), scopes, local: true }
}

pub(crate) fn phone() -> Principal {
    let scopes = vec![Scope::Observe, Scope::Operate, Scope::Approve];
    Principal { id: PrincipalId::new("phone").unwrap(), name: "phone".into(), scopes, local: false }
}

/// The bundle of a machine whose owner works in `/home/mia/app`.
pub(crate) fn local() -> PolicyBundle {
    LocalDefault {
        roots: vec![path("/home/mia/app")],
        policy_epoch: 1,
        required_sandbox_level: SandboxLevel::None,
        max_session_tokens: 1_000_000,
    }
    .issue(session(), "local", "owner", now())
    .unwrap()
}

/// The local bundle without any question, with `change` applied to each grant.
pub(crate) fn free(change: impl Fn(&mut CapabilityGrant)) -> PolicyBundle {
    let mut bundle = local();
    for grant in &mut bundle.capabilities {
        grant.requires_approval = false;
        change(grant);
    }
    bundle
}

/// [`free`] with a change to one capability.
pub(crate) fn free_with(name: Capability, change: impl Fn(&mut CapabilityGrant)) -> PolicyBundle {
    free(|grant| {
        if grant.name == name {
            change(grant);
        }
    })
}

pub(crate) fn rule(id: &str, must_ask: bool, approver: Approver, max_remember: Remember) -> ApprovalRule {
    ApprovalRule {
        approval_rule_id: id.parse().unwrap(),
        title: "Sure?".into(),
        description: "Think twice.".into(),
        must_ask,
        approver,
        max_remember,
    }
}

pub(crate) fn layers(bundles: Vec<PolicyBundle>) -> Layers {
    let names = ["local", "central", "third"];
    Layers::validate(names.into_iter().zip(bundles).collect(), &session(), now()).unwrap()
}

pub(crate) fn request(tool: &str, arguments: serde_json::Value) -> ToolRequest {
    ToolRequest {
        tool_name: tool.into(),
        arguments: Json(arguments),
        workspace_id: WorkspaceId::new("ws-1").unwrap(),
        session_id: session(),
        task_id: TaskId::new("task-1").unwrap(),
        step_id: StepId::new("step-1").unwrap(),
        tool_call_id: ToolCallId::new("call-1").unwrap(),
        capability: None,
    }
}

pub(crate) fn call(demand: Demand) -> PlannedCall {
    PlannedCall::new(request("Tool", serde_json::json!({})), demand, Vec::new(), Vec::new())
}

pub(crate) fn call_with(demand: Demand, contents: Vec<ContentHash>) -> PlannedCall {
    PlannedCall::new(request("Tool", serde_json::json!({})), demand, Vec::new(), contents)
}

pub(crate) fn content(path: &str, hash: &str) -> ContentHash {
    ContentHash { path: PathBuf::from(path), sha256: Some(hash.into()) }
}

pub(crate) fn exec(program: Program) -> Demand {
    Demand::Exec(Exec {
        program,
        cwd: "/home/mia/app".into(),
        timeout_seconds: 60,
        network: false,
        environment: Vec::new(),
        stdin: None,
    })
}

/// [`shell`] with variables and standard input.
pub(crate) fn fed(text: &str, environment: &[(&str, &str)], stdin: Option<&str>) -> Demand {
    let Demand::Exec(exec) = shell(text) else { unreachable!() };
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Demand::Exec(Exec {
        environment: environment.iter().map(owned).collect(),
        stdin: stdin.map(str::to_owned),
        ..exec
    })
}

pub(crate) fn shell(text: &str) -> Demand {
    exec(Program::Shell(text.into()))
}

pub(crate) fn argv(words: &[&str]) -> Demand {
    exec(Program::Argv(words.iter().map(|word| (*word).to_owned()).collect()))
}

pub(crate) fn read(path: &str) -> Demand {
    Demand::ReadPath(path.into())
}

pub(crate) fn write(path: &str) -> Demand {
    Demand::WritePath { path: path.into(), size: 10 }
}

pub(crate) fn http(url: &str) -> Demand {
    Demand::Http { method: "GET".into(), url: url.into() }
}

pub(crate) struct World {
    pub(crate) host: HostId,
    pub(crate) initiator: Principal,
    pub(crate) options: TaskOptions,
    pub(crate) sandbox: SandboxLevel,
    pub(crate) unconfined: Unconfined,
    pub(crate) places: Places,
    pub(crate) now: Timestamp,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            host: HostId::new("host-1").unwrap(),
            initiator: owner(),
            options: TaskOptions::default(),
            sandbox: SandboxLevel::Full,
            unconfined: Unconfined::Refused,
            places: Places::new(&path("/home/mia"), &[path("/home/mia/.local/share/lanyard")]),
            now: now(),
        }
    }

    pub(crate) fn mode(mode: ApprovalMode) -> Self {
        let mut world = Self::new();
        world.options.approval_mode = mode;
        world
    }

    pub(crate) fn terms(&self) -> Terms<'_> {
        Terms {
            host: &self.host,
            initiator: &self.initiator,
            options: &self.options,
            sandbox: self.sandbox,
            unconfined: self.unconfined,
            places: &self.places,
            now: self.now,
        }
    }

    pub(crate) fn decide(&self, layers: &Layers, call: PlannedCall) -> Verdict {
        decide(layers, call, &self.terms())
    }
}

pub(crate) fn denied(verdict: Verdict) -> Denial {
    match verdict {
        Verdict::Denied(denial) => denial,
        other => panic!("not denied: {other:?}"),
    }
}

pub(crate) fn asked(verdict: Verdict) -> Box<Ask> {
    match verdict {
        Verdict::Ask(ask) => ask,
        other => panic!("not asked: {other:?}"),
    }
}

pub(crate) fn allowed(verdict: Verdict) -> Permitted<PlannedCall> {
    match verdict {
        Verdict::Allowed(permitted) => permitted,
        other => panic!("not allowed: {other:?}"),
    }
}
