//! The service over its routes, on both databases.

mod forward;
mod ingest;
mod retention;
mod summary;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::Request;
use lanyard_governance_api::endpoint::AgentScope;
use lanyard_governance_api::id::{AgentId, TenantId, UserId};
use lanyard_governance_api::people::Role;
use lanyard_governance_api::telemetry::{Operation, Span, TraceBatch};
use lanyard_governance_foundation::caller::{Agent, Person};
use lanyard_governance_foundation::testing::Ground;
use lanyard_governance_foundation::{Caller, Statement};
use lanyard_protocol::Timestamp;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{Settings, routes};

/// The routes over a fresh database.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) ground: Arc<Ground>,
    router: Router,
}

impl House {
    pub(crate) fn new(ground: Arc<Ground>, settings: Settings) -> Self {
        let (router, served) = routes(ground.foundation.clone(), settings).finish();
        assert_eq!(served.len(), 3);
        Self { ground, router }
    }

    async fn call(&self, caller: &Caller, method: &str, uri: &str, body: String) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", "application/json")
            .extension(caller.clone())
            .body(Body::from(body))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    pub(crate) async fn get(&self, caller: &Caller, uri: &str) -> (u16, Value) {
        self.call(caller, "GET", uri, String::new()).await
    }

    pub(crate) async fn post(&self, caller: &Caller, uri: &str, body: &Value) -> (u16, Value) {
        self.call(caller, "POST", uri, body.to_string()).await
    }

    pub(crate) async fn spans(&self, caller: &Caller, spans: &[Span]) -> (u16, Value) {
        let body = serde_json::to_string(&TraceBatch { spans: spans.to_vec() }).unwrap();
        self.call(caller, "POST", "/telemetry/traces", body).await
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        let mut tx = self.ground.foundation.database.across_read().await.unwrap();
        tx.one(Statement::new(sql)).await.unwrap().unwrap().int("n").unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ground.foundation.clock.now()
    }
}

pub(crate) fn host(tenant: &str, agent: &str) -> Caller {
    Caller::Agent(Agent {
        tenant: TenantId::new(tenant).unwrap(),
        agent: AgentId::new(agent).unwrap(),
        user: UserId::new("usr_owner").unwrap(),
        scope: AgentScope::Agent,
    })
}

pub(crate) fn viewer(tenant: &str) -> Caller {
    Caller::Person(Person {
        tenant: TenantId::new(tenant).unwrap(),
        user: UserId::new("usr_viewer").unwrap(),
        name: "Viewer".to_owned(),
        role: Role::Viewer,
        operator: false,
        credential: [0; 32],
    })
}

/// A span that began at an instant; every third is of another kind, every fifth failed.
pub(crate) fn span(number: u64, started_at: Timestamp) -> Span {
    let (operation, name, attributes) = match number % 3 {
        0 => (Operation::InvokeAgent, "invoke_agent".to_owned(), BTreeMap::new()),
        1 => {
            let model = format!("model-{}", number % 2);
            let attributes = BTreeMap::from([
                ("gen_ai.request.model".to_owned(), model.clone()),
                ("gen_ai.usage.input_tokens".to_owned(), "10".to_owned()),
                ("gen_ai.usage.output_tokens".to_owned(), number.to_string()),
                ("gen_ai.response.finish_reasons".to_owned(), "stop".to_owned()),
            ]);
            (Operation::Chat, format!("chat {model}"), attributes)
        }
        _ => (Operation::ExecuteTool, format!("execute_tool Tool{}", number % 4), BTreeMap::new()),
    };
    let ok = !number.is_multiple_of(5);
    Span {
        span_id: format!("{:016x}", number + 1).try_into().unwrap(),
        trace_id: format!("{:032x}", number / 10 + 1).try_into().unwrap(),
        parent_span_id: (!number.is_multiple_of(3)).then(|| format!("{:016x}", 9_999).try_into().unwrap()),
        operation,
        name,
        started_at,
        duration_millis: number * 10,
        ok,
        error: (!ok).then(|| "TOOL_EXECUTION_FAILED".to_owned()),
        attributes,
    }
}
