//! The service as its callers see it, on both databases, over a directory.

mod artifacts;
mod forgetting;
mod history;
mod purge;
mod races;
mod slow_store;
mod workspaces;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use lanyard_governance_api::artifact::{ArtifactRecord, WorkspaceRecord};
use lanyard_governance_api::endpoint::AgentScope;
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::caller::{Agent, Person};
use lanyard_governance_foundation::testing::Ground;
use lanyard_governance_foundation::{Caller, Statement};
use lanyard_protocol::id::WorkspaceId;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

use crate::{Settings, State, removal, routes};

/// The service over a fresh database and a fresh directory.
pub(super) struct Rig {
    pub(super) ground: Arc<Ground>,
    pub(super) state: State,
    router: Router,
    dir: tempfile::TempDir,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {:?}", self.status, self.body))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Rig {
    pub(super) async fn new(ground: Arc<Ground>) -> Self {
        Self::with(ground, |settings| settings).await
    }

    pub(super) async fn with(ground: Arc<Ground>, change: impl Fn(Settings) -> Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = change(Settings::open(dir.path().to_str().unwrap()).await.unwrap());
        let state = State::new(ground.foundation.clone(), settings.clone());
        let router = routes(ground.foundation.clone(), settings).finish().0;
        Self { ground, state, router, dir }
    }

    pub(super) async fn send(&self, caller: &Caller, method: &str, uri: &str, body: Body) -> Answer {
        self.send_with(caller, method, uri, &[], body).await
    }

    pub(super) async fn send_with(
        &self,
        caller: &Caller,
        method: &str,
        uri: &str,
        headers: &[(header::HeaderName, &str)],
        body: Body,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .extension(caller.clone());
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn get(&self, caller: &Caller, uri: &str) -> Answer {
        self.send(caller, "GET", uri, Body::empty()).await
    }

    pub(super) async fn resolve(
        &self,
        tenant: &str,
        user: &str,
        paths: &[&str],
        id: Option<&str>,
    ) -> WorkspaceRecord {
        let body = serde_json::json!({
            "userId": user, "agentId": format!("agt_{user}"), "localPaths": paths, "workspaceId": id,
        });
        let answer = self.send(&service(tenant), "POST", "/workspaces", Body::from(body.to_string())).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// A general workspace of a user.
    pub(super) async fn workspace(&self, tenant: &str, user: &str) -> WorkspaceId {
        self.resolve(tenant, user, &[], None).await.workspace_id
    }

    /// Stores a tool's output.
    pub(super) async fn put(
        &self,
        caller: &Caller,
        workspace: &WorkspaceId,
        call: &str,
        content: &[u8],
    ) -> Answer {
        let uri = format!(
            "/workspaces/{workspace}/artifacts?artifactType=tool_output&sessionId=s1&toolCallId={call}"
        );
        self.send(caller, "POST", &uri, Body::from(content.to_vec())).await
    }

    pub(super) async fn stored(
        &self,
        caller: &Caller,
        workspace: &WorkspaceId,
        content: &[u8],
    ) -> ArtifactRecord {
        let answer = self.put(caller, workspace, "c1", content).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// Every file in the store but the marker, half-written ones too.
    pub(super) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else if entry.file_name() != "lanyard-artifacts" {
                    found.push(entry.path().strip_prefix(self.dir.path()).unwrap().display().to_string());
                }
            }
        }
        found
    }

    pub(super) async fn sweep(&self) -> u64 {
        removal::sweep(&self.state).await.unwrap()
    }

    /// Rows of a table, over all tenants.
    pub(super) async fn count(&self, table: &'static str) -> u64 {
        let mut tx = self.ground.foundation.database.across_read().await.unwrap();
        let row =
            tx.one(Statement::new(format!("SELECT COUNT(*) AS n FROM {table}"))).await.unwrap().unwrap();
        row.count("n").unwrap()
    }

    /// What was recorded for audit.
    pub(super) async fn trail(&self) -> String {
        let mut tx = self.ground.foundation.database.across_read().await.unwrap();
        let rows = tx.all(Statement::new("SELECT event FROM trail ORDER BY at, event_id")).await.unwrap();
        rows.iter().map(|row| row.text("event").unwrap()).collect::<Vec<_>>().join("\n")
    }
}

pub(super) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub(super) fn agent(tenant_name: &str, user: &str) -> Caller {
    Caller::Agent(Agent {
        tenant: tenant(tenant_name),
        agent: format!("agt_{user}").parse().unwrap(),
        user: user.parse().unwrap(),
        scope: AgentScope::Agent,
    })
}

pub(super) fn person(tenant_name: &str, role: Role) -> Caller {
    Caller::Person(Person {
        tenant: tenant(tenant_name),
        user: "usr_console".parse().unwrap(),
        name: "Ada".to_owned(),
        role,
        operator: false,
        credential: [0; 32],
    })
}

pub(super) fn service(tenant_name: &str) -> Caller {
    Caller::Service { tenant: Some(tenant(tenant_name)) }
}

pub(super) fn sha256(content: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(content))
}
