//! The service over both databases, with the policy, workspace and enrolment services played by the test.

mod forgetting;
mod handshake;
mod life;
mod reports;
mod tasks;
mod timeline;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use lanyard_governance_api::artifact::WorkspaceRecord;
use lanyard_governance_api::command::{CommandsQueued, NewCommand};
use lanyard_governance_api::endpoint::{AgentScope, IssueBundle, QueueCommand, ResolveWorkspace, Service};
use lanyard_governance_api::people::Role;
use lanyard_governance_api::policy::IssuedPolicy;
use lanyard_governance_api::session::WhenAway;
use lanyard_governance_foundation::caller::{Agent, Person};
use lanyard_governance_foundation::testing::Ground;
use lanyard_governance_foundation::{Ask, Caller, Fault, Routes, Statement, fresh_id};
use lanyard_protocol::policy::{
    ApprovalRule, Approver, Capability, CapabilityGrant, LlmPolicy, PolicyBundle, Remember, SandboxLevel,
};
use lanyard_protocol::session::WorkspaceScope;
use lanyard_protocol::{ErrorCode, Timestamp};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::gateway::{GatewaySettings, TokenKey, Tokens};
use crate::{Settings, routes};

/// What the others say and were told.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) revoked: bool,
    pub(crate) epoch: u64,
    pub(crate) timeline: bool,
    pub(crate) min_version: Option<String>,
    pub(crate) tools: Vec<String>,
    pub(crate) bundle_seconds: i64,
    pub(crate) workspace_away: bool,
    pub(crate) workspaces: u32,
    pub(crate) channel: Channel,
    pub(crate) told: Vec<(String, NewCommand)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Open,
    Away,
    Unknown,
    Revoked,
}

type Shared = Arc<Mutex<World>>;

fn policy(world: Shared) -> Router {
    let issue = |world: Shared, ask: Ask<IssueBundle>| async move {
        let world = world.lock().unwrap().clone();
        if world.revoked {
            return Err(Fault::new(ErrorCode::PolicyRevoked, "Mia revoked the policy: why"));
        }
        let rule = ApprovalRule {
            approval_rule_id: "r".parse().unwrap(),
            title: "Sure?".into(),
            description: String::new(),
            must_ask: false,
            approver: Approver::Any,
            max_remember: Remember::Once,
        };
        let paths: Vec<String> = serde_json::from_str(&ask.query.local_paths).unwrap();
        let read = CapabilityGrant {
            allowed_paths: Some(paths),
            approval_rule_id: Some("r".parse().unwrap()),
            ..CapabilityGrant::unlimited(Capability::FileRead)
        };
        let bundle = PolicyBundle {
            policy_bundle_version: format!("v1@epoch{}", world.epoch),
            schema_version: "1.0".into(),
            tenant_id: ask.caller.tenant()?.to_string(),
            user_id: ask.query.user_id.to_string(),
            session_id: ask.query.session_id,
            expires_at: Timestamp::now().plus_millis(world.bundle_seconds * 1_000),
            capabilities: vec![read, CapabilityGrant::unlimited(Capability::LlmCall)],
            llm_policy: LlmPolicy {
                allowed_models: vec!["*".into()],
                max_input_tokens: 1,
                max_output_tokens: 2,
                max_session_tokens: 3,
            },
            approval_rules: vec![rule],
            mcp_servers: vec![],
            redaction_rules: vec![],
            required_sandbox_level: SandboxLevel::None,
            policy_epoch: world.epoch,
            offline_grace_seconds: 60,
        };
        Ok(IssuedPolicy {
            bundle,
            when_away: WhenAway::Pause,
            timeline: world.timeline,
            min_host_version: world.min_version,
            required_tools: world.tools,
            feature_flags: BTreeMap::from([("new".to_owned(), true)]),
        })
    };
    Routes::new(world).on::<IssueBundle, _, _>(issue).finish().0
}

fn workspaces(world: Shared) -> Router {
    let resolve = |world: Shared, ask: Ask<ResolveWorkspace>| async move {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        if world.workspace_away {
            return Err(Fault::unavailable("workspaces are away"));
        }
        world.workspaces += 1;
        Ok(WorkspaceRecord {
            workspace_id: fresh_id("wsp")?,
            workspace_scope: WorkspaceScope::General,
            user_id: ask.body.user_id,
            local_path: None,
            artifacts: 0,
            bytes: 0,
            created_at: Timestamp::now(),
            last_active_at: Timestamp::now(),
        })
    };
    Routes::new(world).on::<ResolveWorkspace, _, _>(resolve).finish().0
}

fn channel(world: Shared) -> Router {
    let queue = |world: Shared, ask: Ask<QueueCommand>| async move {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        let agent: String = ask.path.get("agent_id")?;
        match world.channel {
            Channel::Open => {}
            Channel::Away => return Err(Fault::unavailable("the channel is away")),
            Channel::Unknown => return Err(Fault::not_found("agent", &agent)),
            Channel::Revoked => return Err(Fault::new(ErrorCode::AgentRevoked, "the enrolment was revoked")),
        }
        world.told.push((agent, ask.body));
        Ok(CommandsQueued { agents: 1 })
    };
    Routes::new(world).on::<QueueCommand, _, _>(queue).finish().0
}

/// The service, and whoever it talks to.
pub(crate) struct Stage {
    pub(crate) ground: Arc<Ground>,
    pub(crate) router: Router,
    pub(crate) world: Shared,
}

/// The key of minted tokens.
pub(crate) fn key() -> TokenKey {
    TokenKey::new(vec![5; 32]).unwrap()
}

/// With a gateway.
pub(crate) fn settings() -> Settings {
    let tokens = Tokens::Minted { key: key(), seconds: 600 };
    let gateway =
        GatewaySettings { endpoint: "https://gateway.example/v1".into(), model: Some("m".into()), tokens };
    Settings { gateway: Some(gateway), ..Settings::default() }
}

impl Stage {
    pub(crate) fn new(ground: Arc<Ground>) -> Self {
        Self::with(ground, settings())
    }

    pub(crate) fn with(ground: Arc<Ground>, settings: Settings) -> Self {
        let world: Shared = Arc::new(Mutex::new(World {
            revoked: false,
            epoch: 1,
            timeline: true,
            min_version: None,
            tools: vec![],
            bundle_seconds: 3_600,
            workspace_away: false,
            workspaces: 0,
            channel: Channel::Open,
            told: vec![],
        }));
        let router = routes(ground.foundation.clone(), settings).finish().0;
        ground.foundation.peers.set_here(HashMap::from([
            (Service::Session, router.clone()),
            (Service::Policy, policy(world.clone())),
            (Service::Workspace, workspaces(world.clone())),
            (Service::Enrolment, channel(world.clone())),
        ]));
        Self { ground, router, world }
    }

    pub(crate) fn world<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.world.lock().unwrap())
    }

    pub(crate) async fn call(
        &self,
        caller: &Caller,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .extension(caller.clone())
            .body(body)
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 64 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    pub(crate) async fn ok(&self, caller: &Caller, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.call(caller, method, path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    /// Status and code of a refusal.
    pub(crate) async fn refused(
        &self,
        caller: &Caller,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (u16, String) {
        let (status, answer) = self.call(caller, method, path, body).await;
        (status.as_u16(), answer["code"].as_str().unwrap_or_default().to_owned())
    }

    /// Begins a session of the first host.
    pub(crate) async fn begin(&self, id: &str) -> Value {
        self.ok(&host(), "POST", "/sessions", request(id)).await
    }

    pub(crate) async fn state(&self, id: &str) -> (String, Option<String>) {
        let info = self.ok(&host(), "GET", &format!("/sessions/{id}"), None).await;
        let reason = info["reason"].as_str().map(str::to_owned);
        (info["state"].as_str().unwrap().to_owned(), reason)
    }

    pub(crate) async fn count(&self, table: &'static str) -> i64 {
        let mut tx = self.ground.foundation.database.across_read().await.unwrap();
        let sql = format!("SELECT COUNT(*) AS n FROM {table}");
        tx.one(Statement::new(sql)).await.unwrap().unwrap().int("n").unwrap()
    }
}

pub(crate) fn agent(tenant: &str, id: &str) -> Caller {
    Caller::Agent(Agent {
        tenant: tenant.parse().unwrap(),
        agent: id.parse().unwrap(),
        user: "usr_mia".parse().unwrap(),
        scope: AgentScope::Agent,
    })
}

/// The host whose sessions most tests are about.
pub(crate) fn host() -> Caller {
    agent("acme", "agt_a")
}

pub(crate) fn person(tenant: &str, role: Role) -> Caller {
    Caller::Person(Person {
        tenant: tenant.parse().unwrap(),
        user: "usr_ada".parse().unwrap(),
        name: "Ada".into(),
        role,
        operator: false,
        credential: [7; 32],
    })
}

pub(crate) fn offer() -> Value {
    json!({
        "clientInfo": {"localAgentHostVersion": "0.2.0", "osFamily": "linux"},
        "supportedCapabilities": ["File.Read", "LLM.Call"],
        "supportedTools": ["ReadFile"],
        "supportedSchemaVersions": ["1.0"],
    })
}

/// Body of `POST /sessions`.
pub(crate) fn request(id: &str) -> Option<Value> {
    let mut body = offer();
    body["sessionId"] = json!(id);
    body["executionEnvironment"] = json!("desktop");
    body["workspaceHint"] = json!({"localPaths": ["/home/mia/app"]});
    Some(body)
}
