//! Decisions of policy, without a host around them.

use std::time::Instant;

use anyhow::{Result, ensure};
use lanyard_policy::bundle::LocalDefault;
use lanyard_policy::decide::{Terms, Unconfined, Verdict, decide};
use lanyard_policy::demand::{Demand, Exec, PlannedCall, Program};
use lanyard_policy::layer::Layers;
use lanyard_policy::path::{HostPath, Places};
use lanyard_protocol::Timestamp;
use lanyard_protocol::id::{HostId, SessionId};
use lanyard_protocol::json::Json;
use lanyard_protocol::policy::SandboxLevel;
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::session::TaskOptions;
use lanyard_protocol::tool::ToolRequest;

use crate::table::Table;

const DECISIONS: usize = 5_000;

pub(crate) fn measure(table: &mut Table) -> Result<()> {
    let exec = |program| {
        Demand::Exec(Exec {
            program,
            cwd: "/home/mia/app".into(),
            timeout_seconds: 60,
            network: false,
            environment: Vec::new(),
            stdin: None,
        })
    };
    let argv = ["cargo", "test", "-p", "app", "--", "--nocapture"].map(str::to_owned).to_vec();
    let text = "cargo build && cargo test -p 'my app' | tail -n 20 > target/log; git status";
    for (name, demand) in [
        ("policy: read a file", Demand::ReadPath("/home/mia/app/src/deep/down/a.rs".into())),
        ("policy: write a file", Demand::WritePath { path: "/home/mia/app/src/a.rs".into(), size: 100 }),
        ("policy: run an argument vector", exec(Program::Argv(argv))),
        ("policy: run a shell text of 5 commands", exec(Program::Shell(text.into()))),
    ] {
        decisions(table, name, &demand)?;
    }
    Ok(())
}

fn decisions(table: &mut Table, name: &str, demand: &Demand) -> Result<()> {
    let home = HostPath::parse("/home/mia")?;
    let root = HostPath::parse("/home/mia/app")?;
    let places = Places::new(&home, &[HostPath::parse("/home/mia/.local/share/lanyard")?]);
    let host: HostId = "host".parse()?;
    let session: SessionId = "session".parse()?;
    let now = Timestamp::now();
    let scopes = vec![Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin];
    let initiator = Principal { id: "owner".parse()?, name: "owner".into(), scopes, local: true };
    let options = TaskOptions::default();
    let default = LocalDefault {
        roots: vec![root],
        policy_epoch: 1,
        required_sandbox_level: SandboxLevel::None,
        max_session_tokens: 1_000_000,
    };
    let bundle = default.issue(session.clone(), "local", "owner", now)?;
    let layers = Layers::validate(vec![("local", bundle)], &session, now)?;
    let terms = Terms {
        host: &host,
        initiator: &initiator,
        options: &options,
        sandbox: SandboxLevel::Full,
        unconfined: Unconfined::Refused,
        places: &places,
        now,
    };
    let request = ToolRequest {
        tool_name: "Tool".into(),
        arguments: Json::object(),
        workspace_id: "ws".parse()?,
        session_id: session,
        task_id: "task".parse()?,
        step_id: "step".parse()?,
        tool_call_id: "call".parse()?,
        capability: None,
    };
    let mut times = Vec::with_capacity(DECISIONS);
    for _ in 0..DECISIONS {
        let call = PlannedCall::new(request.clone(), demand.clone(), Vec::new(), Vec::new());
        let started = Instant::now();
        let verdict = decide(&layers, call, &terms);
        times.push(started.elapsed());
        ensure!(!matches!(verdict, Verdict::Denied(_)), "{verdict:?}");
    }
    table.micros(name, &times)
}
