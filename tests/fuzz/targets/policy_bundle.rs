//! The text of a policy bundle, from parsing through validation to decisions.
//!
//! A bundle that is understood is the same after it was written and read again. One that holds grants nothing it
//! does not list, nothing after it ran out, and no second bundle ever makes a verdict milder.
#![no_main]

use std::sync::LazyLock;

use lanyard_policy::bundle::{LocalDefault, parse};
use lanyard_policy::decide::{Terms, Unconfined, Verdict, decide};
use lanyard_policy::demand::{Demand, Exec, PlannedCall, Program};
use lanyard_policy::layer::Layers;
use lanyard_policy::path::{HostPath, Places};
use lanyard_protocol::Timestamp;
use lanyard_protocol::codec::to_json;
use lanyard_protocol::id::{HostId, PrincipalId, SessionId};
use lanyard_protocol::json::Json;
use lanyard_protocol::policy::{PolicyBundle, SandboxLevel};
use lanyard_protocol::principal::{Principal, Scope};
use lanyard_protocol::session::TaskOptions;
use lanyard_protocol::tool::ToolRequest;
use libfuzzer_sys::fuzz_target;

static WORLD: LazyLock<World> = LazyLock::new(World::new);

fuzz_target!(|text: &str| {
    let Ok(bundle) = parse(text) else { return };
    let written = to_json(&bundle).expect("an understood bundle can be written");
    assert_eq!(parse(&written).as_ref(), Ok(&bundle), "a written bundle is the same bundle");

    let session = bundle.session_id.clone();
    let before = bundle.expires_at.plus_millis(-1);
    let Ok(layers) = Layers::validate(vec![("local", bundle.clone())], &session, before) else { return };
    assert_eq!(layers.expires_at(), bundle.expires_at);
    assert!(Layers::validate(vec![("local", bundle.clone())], &session, bundle.expires_at).is_err());
    let machine = WORLD.machine(&session, before);
    let both = Layers::validate(vec![("local", machine), ("central", bundle.clone())], &session, before)
        .expect("both bundles hold by themselves");

    for demand in demands() {
        let listed = bundle.capabilities.iter().any(|grant| grant.name == demand.capability());
        let alone = strictness(&WORLD.decide(&layers, &demand, before));
        assert!(listed || alone == DENIED, "{demand:?} is not listed and was not denied");
        assert!(
            strictness(&WORLD.decide(&both, &demand, before)) >= alone,
            "a second bundle made {demand:?} milder"
        );
        assert_eq!(
            strictness(&WORLD.decide(&layers, &demand, bundle.expires_at)),
            DENIED,
            "{demand:?} after the end"
        );
    }
});

const DENIED: u8 = 2;

fn strictness(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Allowed(_) => 0,
        Verdict::Ask(_) => 1,
        Verdict::Denied(_) => DENIED,
    }
}

/// One of each kind.
fn demands() -> Vec<Demand> {
    let exec = |program| {
        Demand::Exec(Exec {
            program,
            cwd: "/w/app".into(),
            timeout_seconds: 60,
            network: false,
            environment: vec![("RUSTFLAGS".into(), "-g".into())],
            stdin: None,
        })
    };
    vec![
        Demand::ReadPath("/w/app/src/a.rs".into()),
        Demand::ReadPath("/etc/shadow".into()),
        Demand::WritePath { path: "/w/app/b".into(), size: 10 },
        Demand::DeletePath("/w/app/c".into()),
        exec(Program::Argv(vec!["cargo".into(), "test".into()])),
        exec(Program::Shell("cargo test && git status".into())),
        Demand::Http { method: "GET".into(), url: "https://example.com/a".into() },
        Demand::GitStatus { repo: "/w/app".into() },
        Demand::GitDiff { repo: "/w/app".into() },
        Demand::GitCommit { repo: "/w/app".into(), branch: Some("main".into()) },
        Demand::GitPush {
            repo: "/w/app".into(),
            remote: "origin".into(),
            url: "https://example.com/r.git".into(),
            branch: "main".into(),
        },
        Demand::Backend { tool: "search".into(), definition: String::new() },
    ]
}

/// What decisions depend on besides policy.
struct World {
    host: HostId,
    owner: Principal,
    options: TaskOptions,
    places: Places,
}

impl World {
    fn new() -> Self {
        let scopes = vec![Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin];
        let home = HostPath::parse("/home/mia").expect("a path");
        let state = HostPath::parse("/home/mia/.local/share/lanyard").expect("a path");
        Self {
            host: HostId::new("host").expect("an id"),
            owner: Principal {
                id: PrincipalId::new("owner").expect("an id"),
                name: "owner".into(),
                scopes,
                local: true,
            },
            options: TaskOptions::default(),
            places: Places::new(&home, &[state]),
        }
    }

    fn machine(&self, session: &SessionId, now: Timestamp) -> PolicyBundle {
        let default = LocalDefault {
            roots: vec![HostPath::parse("/w/app").expect("a path")],
            policy_epoch: 1,
            required_sandbox_level: SandboxLevel::None,
            max_session_tokens: 1_000,
        };
        default.issue(session.clone(), "local", "owner", now).expect("the machine's own bundle")
    }

    fn decide(&self, layers: &Layers, demand: &Demand, now: Timestamp) -> Verdict {
        let id = "id-1";
        let request = ToolRequest {
            tool_name: "Tool".into(),
            arguments: Json::object(),
            workspace_id: id.parse().expect("an id"),
            session_id: id.parse().expect("an id"),
            task_id: id.parse().expect("an id"),
            step_id: id.parse().expect("an id"),
            tool_call_id: id.parse().expect("an id"),
            capability: None,
        };
        let call = PlannedCall::new(request, demand.clone(), Vec::new(), Vec::new());
        let terms = Terms {
            host: &self.host,
            initiator: &self.owner,
            options: &self.options,
            sandbox: SandboxLevel::Full,
            unconfined: Unconfined::Refused,
            places: &self.places,
            now,
        };
        decide(layers, call, &terms)
    }
}
