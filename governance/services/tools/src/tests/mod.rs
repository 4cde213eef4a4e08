//! The service as its callers see it, on both databases, among stand-ins for the services it asks, with a tool on
//! loopback.

mod backend;
mod definitions;
mod grants;
mod once;
mod outputs;
mod peers;
mod settle;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use lanyard_governance_api::endpoint::{AgentScope, Service};
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::caller::{Agent, Person};
use lanyard_governance_foundation::testing::Ground;
use lanyard_governance_foundation::{Caller, Statement};
use lanyard_protocol::tool::ToolResult;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use self::backend::Backend;
use self::peers::Others;
use crate::{Reach, Settings, routes};

/// The service over a fresh database, and a tool named `Search`.
pub(crate) struct Rig {
    pub(crate) ground: Arc<Ground>,
    pub(crate) others: Others,
    pub(crate) backend: Backend,
    pub(crate) settings: Settings,
    router: Router,
    dir: tempfile::TempDir,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {:?}", self.status, self.body))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The TLS provider, as the binary installs it.
pub(crate) fn tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Rig {
    pub(crate) async fn new(ground: Arc<Ground>) -> Self {
        tls();
        let (others, backend) = (Others::default(), Backend::start().await);
        let here = [Service::Session, Service::Policy, Service::Approval, Service::Workspace];
        let here: HashMap<_, _> = here.into_iter().map(|service| (service, others.router())).collect();
        ground.foundation.peers.set_here(here);
        let dir = tempfile::tempdir().unwrap();
        let reach = Reach { loopback_http: true, private: false };
        let settings = Settings::open(&dir.path().join("key"), reach).unwrap();
        let router = routes(ground.foundation.clone(), settings.clone()).finish().0;
        let rig = Self { ground, others, backend, settings, router, dir };
        let answer = rig.define("Search", &rig.definition()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        rig
    }

    /// The same service with other settings.
    pub(crate) fn stricter(&self) -> Router {
        let settings = Settings::open(&self.dir.path().join("key"), Reach::default()).unwrap();
        routes(self.ground.foundation.clone(), settings).finish().0
    }

    pub(crate) fn definition(&self) -> Value {
        json!({
            "description": "Searches.",
            "inputSchema": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
            "url": self.backend.url("/tool"), "authorization": "Bearer very-secret", "timeoutSeconds": 20
        })
    }

    pub(crate) async fn define(&self, name: &str, definition: &Value) -> Answer {
        self.send(&person("a", Role::Admin), "PUT", &format!("/tools/{name}"), definition).await
    }

    pub(crate) async fn send(&self, caller: &Caller, method: &str, uri: &str, body: &Value) -> Answer {
        send(&self.router, caller, method, uri, body).await
    }

    pub(crate) async fn invoke(&self, call: &str) -> Answer {
        self.send(&agent("a", "one"), "POST", "/tools/Search/invoke", &request(call)).await
    }

    pub(crate) async fn result(&self, call: &str) -> ToolResult {
        let answer = self.invoke(call).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// What was recorded for audit, as one text.
    pub(crate) async fn trail(&self) -> String {
        let mut tx = self.ground.foundation.database.across_read().await.unwrap();
        let rows = tx.all(Statement::new("SELECT event FROM trail ORDER BY at, event_id")).await.unwrap();
        rows.iter().map(|row| row.text("event").unwrap()).collect::<Vec<_>>().join("\n")
    }
}

pub(crate) async fn send(router: &Router, caller: &Caller, method: &str, uri: &str, body: &Value) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header(header::CONTENT_TYPE, "application/json")
        .extension(caller.clone())
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, body) = (response.status(), response.into_body());
    Answer { status, body: axum::body::to_bytes(body, usize::MAX).await.unwrap() }
}

/// A call of `Search`.
pub(crate) fn request(call: &str) -> Value {
    json!({"request": {
        "toolName": "Search", "arguments": {"q": call}, "workspaceId": "w", "sessionId": "s", "taskId": "t",
        "stepId": "st", "toolCallId": call, "capability": null
    }})
}

pub(crate) fn agent(tenant: &str, name: &str) -> Caller {
    Caller::Agent(Agent {
        tenant: TenantId::new(tenant).unwrap(),
        agent: name.parse().unwrap(),
        user: "u".parse().unwrap(),
        scope: AgentScope::Agent,
    })
}

pub(crate) fn person(tenant: &str, role: Role) -> Caller {
    Caller::Person(Person {
        tenant: TenantId::new(tenant).unwrap(),
        user: "ada".parse().unwrap(),
        name: "Ada".to_owned(),
        role,
        operator: false,
        credential: [0; 32],
    })
}
