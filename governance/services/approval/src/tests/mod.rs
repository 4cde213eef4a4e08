//! The service as its callers see it, on both databases, among stand-ins for the services it asks.

mod bounds;
mod peers;
mod propose;
mod read;
mod report;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use lanyard_governance_api::approval::{ApprovalInfo, ApprovalStored};
use lanyard_governance_api::endpoint::{AgentScope, Service};
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::people::Role;
use lanyard_governance_foundation::caller::{Agent, Person};
use lanyard_governance_foundation::testing::Ground;
use lanyard_governance_foundation::{Caller, Clock as _, Statement};
use lanyard_protocol::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use self::peers::Others;
use crate::routes;

/// The service over a fresh database.
pub(super) struct Rig {
    pub(super) ground: Arc<Ground>,
    pub(super) others: Others,
    router: Router,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
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
    pub(super) fn new(ground: Arc<Ground>) -> Self {
        let others = Others::default();
        let played = [Service::Enrolment, Service::Session, Service::Identity];
        let here: HashMap<_, _> = played.map(|service| (service, others.router())).into();
        ground.foundation.peers.set_here(here);
        let router = routes(ground.foundation.clone()).finish().0;
        Self { ground, others, router }
    }

    pub(super) async fn send(&self, caller: &Caller, method: &str, uri: &str, body: &Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .extension(caller.clone())
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, body) = (response.status(), response.into_body());
        Answer { status, body: axum::body::to_bytes(body, usize::MAX).await.unwrap() }
    }

    pub(super) async fn get(&self, caller: &Caller, uri: &str) -> Answer {
        self.send(caller, "GET", uri, &json!({})).await
    }

    pub(super) fn now(&self) -> Timestamp {
        self.ground.clock.now()
    }

    /// A report of a question that waits.
    pub(super) fn pending(&self, id: &str, session: &str) -> Value {
        json!({
            "record": {
                "request": {
                    "approvalId": id, "workspaceId": "w", "sessionId": session, "taskId": "t", "stepId": "st",
                    "toolCallId": format!("call-{id}"), "toolName": "RunCommand", "capability": "Shell.Exec",
                    "title": "Run this?", "actionSummary": "make", "riskLevel": "high", "reasons": ["why"],
                    "detail": {"other": {"text": "make"}}, "sandboxLevel": "full", "layer": "central",
                    "approvalRuleId": null, "approver": "any", "maxRemember": "once", "rememberScope": "this call",
                    "initiator": "p", "requestedAt": self.now(), "deadline": self.now().plus_millis(300_000),
                    "policyEpoch": 1
                },
                "state": "pending", "answer": null, "receipts": []
            },
            "jobId": null, "clientTimestamp": self.now()
        })
    }

    pub(super) async fn report(&self, caller: &Caller, report: &Value) -> Answer {
        self.send(caller, "POST", "/approvals", report).await
    }

    /// Reports one that waits.
    pub(super) async fn ask(&self, caller: &Caller, id: &str, session: &str) -> Value {
        let report = self.pending(id, session);
        let answer = self.report(caller, &report).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.json::<ApprovalStored>().approval_id.as_str(), id);
        report
    }

    pub(super) async fn info(&self, id: &str) -> ApprovalInfo {
        self.get(&person("a", Role::Viewer, "viewer"), &format!("/approvals/{id}")).await.json()
    }

    /// Facts of all tenants: approval and fact.
    pub(super) async fn facts(&self) -> Vec<String> {
        let mut tx = self.ground.foundation.database.across_read().await.unwrap();
        let sql = "SELECT approval_id, fact FROM approval_facts ORDER BY approval_id, fact";
        let rows = tx.all(Statement::new(sql)).await.unwrap();
        let line = |row: &lanyard_governance_foundation::Row| {
            format!("{} {}", row.text("approval_id").unwrap(), row.text("fact").unwrap())
        };
        rows.iter().map(line).collect()
    }

    /// Types of what was recorded for audit.
    pub(super) async fn trail(&self) -> Vec<String> {
        let mut tx = self.ground.foundation.database.across_read().await.unwrap();
        let rows = tx.all(Statement::new("SELECT event FROM trail ORDER BY at, event_id")).await.unwrap();
        let event = |row: &lanyard_governance_foundation::Row| row.json::<Value>("event").unwrap();
        rows.iter().map(|row| event(row)["eventType"].as_str().unwrap().to_owned()).collect()
    }
}

/// The same report, settled.
pub(super) fn settled(report: &Value, state: &str) -> Value {
    let mut report = report.clone();
    report["record"]["state"] = json!(state);
    if ["approved", "denied"].contains(&state) {
        report["record"]["answer"] = json!({
            "decision": state, "remember": "once", "decidedBy": "p", "reason": null,
            "decidedAt": "2026-02-21T15:04:22Z",
        });
    }
    report
}

pub(super) fn agent(tenant: &str, name: &str) -> Caller {
    Caller::Agent(Agent {
        tenant: TenantId::new(tenant).unwrap(),
        agent: name.parse().unwrap(),
        user: "u".parse().unwrap(),
        scope: AgentScope::Agent,
    })
}

pub(super) fn person(tenant: &str, role: Role, user: &str) -> Caller {
    Caller::Person(Person {
        tenant: TenantId::new(tenant).unwrap(),
        user: user.parse().unwrap(),
        name: format!("{user} by name"),
        role,
        operator: false,
        credential: [0; 32],
    })
}
