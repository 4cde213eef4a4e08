//! The service over its routes, on both databases.

mod ingest;
mod model;
mod proof;
mod reading;
mod retention;
mod vector;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use lanyard_governance_api::endpoint::AgentScope;
use lanyard_governance_api::id::{AgentId, TenantId, UserId};
use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::caller::{Agent, Person};
use lanyard_governance_foundation::testing::Ground;
use lanyard_governance_foundation::{Caller, Statement};
use lanyard_protocol::Timestamp;
use lanyard_protocol::codec;
use lanyard_protocol::envelope::{BoundedContext, Component, EventEnvelope, Severity};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::chain::Digest;
use crate::{Settings, routes};

/// The routes over a fresh database.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) ground: Arc<Ground>,
    pub(crate) router: Router,
}

impl House {
    pub(crate) fn new(ground: Arc<Ground>) -> Self {
        let (router, served) = routes(ground.foundation.clone(), Settings::default()).finish();
        assert_eq!(served.len(), 8);
        Self { ground, router }
    }

    pub(crate) async fn raw(
        &self,
        caller: &Caller,
        method: &str,
        uri: &str,
        body: String,
    ) -> (StatusCode, Vec<u8>) {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", "application/json")
            .extension(caller.clone())
            .body(Body::from(body))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, bytes.to_vec())
    }

    pub(crate) async fn get(&self, caller: &Caller, uri: &str) -> (u16, Value) {
        let (status, bytes) = self.raw(caller, "GET", uri, String::new()).await;
        (status.as_u16(), serde_json::from_slice(&bytes).unwrap())
    }

    pub(crate) async fn send(&self, caller: &Caller, method: &str, uri: &str, body: &Value) -> (u16, Value) {
        let (status, bytes) = self.raw(caller, method, uri, body.to_string()).await;
        (status.as_u16(), serde_json::from_slice(&bytes).unwrap())
    }

    /// Posts records as a host's client writes them.
    pub(crate) async fn post(&self, caller: &Caller, records: &[Link]) -> (u16, Value) {
        let (status, bytes) = self.raw(caller, "POST", "/audit/events", batch(records)).await;
        (status.as_u16(), serde_json::from_slice(&bytes).unwrap())
    }

    pub(crate) async fn verify(&self, caller: &Caller) -> Value {
        let (status, verdict) = self.get(caller, "/audit/verify").await;
        assert_eq!(status, 200, "{verdict}");
        verdict
    }

    /// Changes the database behind the service's back.
    pub(crate) async fn tamper(&self, sql: &'static str) -> u64 {
        let mut tx = self.ground.foundation.database.across_write().await.unwrap();
        let changed = tx.run(Statement::new(sql)).await.unwrap();
        tx.commit().await.unwrap();
        changed
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        let mut tx = self.ground.foundation.database.across_read().await.unwrap();
        tx.one(Statement::new(sql)).await.unwrap().unwrap().int("n").unwrap()
    }
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub(crate) fn host(tenant_name: &str, agent: &str) -> Caller {
    Caller::Agent(Agent {
        tenant: tenant(tenant_name),
        agent: AgentId::new(agent).unwrap(),
        user: UserId::new("usr_owner").unwrap(),
        scope: AgentScope::Agent,
    })
}

pub(crate) fn person(tenant_name: &str, role: Role) -> Caller {
    Caller::Person(Person {
        tenant: tenant(tenant_name),
        user: UserId::new("usr_admin").unwrap(),
        name: "Admin".to_owned(),
        role,
        operator: false,
        credential: [0; 32],
    })
}

pub(crate) fn service(tenant_name: &str) -> Caller {
    Caller::Service { tenant: Some(tenant(tenant_name)) }
}

/// An event of tenant `t`; every fifth is a warning, every third has a task.
pub(crate) fn event(number: u64) -> EventEnvelope {
    EventEnvelope {
        event_id: format!("aud_{number}").try_into().unwrap(),
        event_type: if number.is_multiple_of(2) { "tool_started" } else { "tool_completed" }.to_owned(),
        timestamp: Timestamp::from_millis(1_771_686_262_123),
        tenant_id: "t".to_owned(),
        user_id: format!("usr_{}", number % 4),
        workspace_id: "ws_1".to_owned().try_into().unwrap(),
        session_id: format!("sess_{}", number % 7).try_into().unwrap(),
        task_id: number.is_multiple_of(3).then(|| format!("task_{}", number % 6).try_into().unwrap()),
        step_id: None,
        tool_call_id: None,
        component: Component::LocalToolRuntime,
        bounded_context: BoundedContext::ToolExecution,
        severity: if number.is_multiple_of(5) { Severity::Warning } else { Severity::Info },
        payload: json!({ "tool": "Shell.Exec", "n": number, "share": 0.1, "Größe": "ÄRGER \"quoted\"" })
            .into(),
    }
}

/// A record and its place in a chain, as a host keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) seq: u64,
    pub(crate) hash: Digest,
    pub(crate) text: String,
}

/// Chains events after a link.
pub(crate) fn links(after: Option<&Link>, events: impl IntoIterator<Item = EventEnvelope>) -> Vec<Link> {
    let (mut seq, mut hash) = after.map_or((0, Digest::START), |link| (link.seq, link.hash));
    let mut chain = Vec::new();
    for event in events {
        let text = codec::to_json(&event).unwrap();
        seq += 1;
        hash = hash.then(seq, &text);
        chain.push(Link { seq, hash, text });
    }
    chain
}

pub(crate) fn batch(records: &[Link]) -> String {
    let records: Vec<String> = records
        .iter()
        .map(|link| format!(r#"{{"seq":{},"hash":"{}","event":{}}}"#, link.seq, link.hash.hex(), link.text))
        .collect();
    format!(r#"{{"records":[{}]}}"#, records.join(","))
}

/// The whole chain of a host with so many records, posted.
pub(crate) async fn filled(house: &House, agent: &str, count: u64) -> Vec<Link> {
    let chain = links(None, (1..=count).map(event));
    for part in chain.chunks(400) {
        assert_eq!(house.post(&host("t", agent), part).await.0, 202);
    }
    chain
}
