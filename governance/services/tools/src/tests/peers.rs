//! Stand-ins for the Session, Policy, Approval and Workspace Services.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use lanyard_governance_api::approval::ApprovalInfo;
use lanyard_governance_api::endpoint::{CurrentPolicy, GetSession, ListCentralApprovals, PutArtifact};
use lanyard_governance_api::page::Page;
use lanyard_governance_api::policy::PolicyState;
use lanyard_governance_api::session::SessionInfo;
use lanyard_governance_foundation::{Ask, Fault, RawAsk, Routes};
use serde_json::{Value, json};

/// What they say and what they were given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Others(Arc<Mutex<Inner>>);

#[derive(Debug)]
pub(crate) struct Inner {
    /// The session `s`.
    pub(crate) session: Value,
    /// Grants in force; none: the policy is revoked.
    pub(crate) grants: Option<Value>,
    /// Calls approved.
    pub(crate) approved: Vec<String>,
    /// The arguments that were approved, where they are not those of [`super::request`].
    pub(crate) shown: Option<&'static str>,
    /// Who proposed it at the centre, what, and what became of that.
    pub(crate) proposed: Option<(&'static str, &'static str, &'static str)>,
    /// The rule `r`.
    pub(crate) approver: &'static str,
    /// How often approvals were listed.
    pub(crate) listed: usize,
    /// Revokes the policy when approvals are listed.
    pub(crate) revokes: bool,
    /// Artifacts stored.
    pub(crate) artifacts: Vec<Vec<u8>>,
    /// Services that do not answer.
    pub(crate) away: Vec<&'static str>,
    /// Something else is where the Session Service should be.
    pub(crate) elsewhere: bool,
}

const AT: &str = "2026-02-21T15:04:22Z";

impl Default for Inner {
    fn default() -> Self {
        Self {
            session: json!({
                "sessionId": "s", "workspaceId": "w", "agentId": "one", "userId": "u", "name": "n",
                "state": "SESSION_RUNNING", "executionEnvironment": "desktop", "clientInfo": {},
                "compatibilityStatus": "compatible", "tasks": 0, "lastSeq": 0, "createdAt": AT, "updatedAt": AT,
                "expiresAt": "2999-02-21T15:04:22Z"
            }),
            grants: Some(
                json!([{"name": "BackendTool.Invoke", "allowedToolNames": ["Search"], "requiresApproval": false}]),
            ),
            approved: Vec::new(),
            shown: None,
            proposed: Some(("ada", "approved", "accepted")),
            approver: "any",
            listed: 0,
            revokes: false,
            artifacts: Vec::new(),
            away: Vec::new(),
            elsewhere: false,
        }
    }
}

impl Others {
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    fn there(&self, service: &'static str) -> Result<(), Fault> {
        match self.with(|inner| inner.away.contains(&service)) {
            true => Err(Fault::unavailable("away")),
            false => Ok(()),
        }
    }

    pub(crate) fn router(&self) -> Router {
        Routes::new(self.clone())
            .on::<GetSession, _, _>(get_session)
            .on::<CurrentPolicy, _, _>(current_policy)
            .on::<ListCentralApprovals, _, _>(approvals)
            .on_raw::<PutArtifact, _, _>(put_artifact)
            .finish()
            .0
    }
}

async fn get_session(others: Others, ask: Ask<GetSession>) -> Result<SessionInfo, Fault> {
    others.there("session")?;
    if others.with(|inner| inner.elsewhere) {
        return Err(Fault::no_endpoint("/sessions/s"));
    }
    let id: String = ask.path.get("session_id")?;
    if id != "s" || ask.caller.tenant()?.as_str() != "a" {
        return Err(Fault::not_found("session", &id));
    }
    Ok(serde_json::from_value(others.with(|inner| inner.session.clone())).unwrap())
}

async fn current_policy(others: Others, _: Ask<CurrentPolicy>) -> Result<PolicyState, Fault> {
    others.there("policy")?;
    let approver = others.with(|inner| inner.approver);
    let active = others.with(|inner| inner.grants.clone()).map(|grants| {
        json!({
            "version": 3, "comment": "", "createdAt": AT,
            "document": {
                "capabilities": grants,
                "approvalRules": [{
                    "approvalRuleId": "r", "title": "T", "description": "", "mustAsk": true, "approver": approver,
                    "maxRemember": "once"
                }],
                "bundleSeconds": 3_600, "offlineGraceSeconds": 0, "timeline": false,
                "llmPolicy": {"allowedModels": ["*"], "maxInputTokens": 1, "maxOutputTokens": 1, "maxSessionTokens": 1}
            }
        })
    });
    let revoked = active.is_none().then(|| json!({"reason": "an incident", "at": AT}));
    let state = json!({
        "epoch": 3, "active": active, "revoked": revoked, "changedAt": AT,
        "rollout": {"online": 0, "confirmed": 0, "waiting": []}
    });
    Ok(serde_json::from_value(state).unwrap())
}

async fn approvals(others: Others, ask: Ask<ListCentralApprovals>) -> Result<Page<ApprovalInfo>, Fault> {
    others.there("approval")?;
    let query = serde_json::to_value(&ask.query).unwrap();
    assert_eq!(
        (&query["sessionId"], &query["agentId"], &query["state"]),
        (&json!("s"), &json!("one"), &json!("approved"))
    );
    let (approved, shown, proposed) = others.with(|inner| {
        inner.listed += 1;
        if inner.revokes {
            inner.grants = None;
        }
        (inner.approved.clone(), inner.shown, inner.proposed)
    });
    let proposals: Vec<Value> = proposed
        .map(|(by, decision, outcome)| {
            json!({
                "proposalId": "p1", "decision": decision, "by": by, "byName": by, "at": AT, "outcome": outcome
            })
        })
        .into_iter()
        .collect();
    // One on each page.
    let number: usize = ask.query.next_token.as_deref().unwrap_or("0").parse().unwrap();
    let text = |call: &str| shown.map_or_else(|| json!({"q": call}).to_string(), str::to_owned);
    let items = approved.get(number).map(|call| json!({
        "record": {
            "request": {
                "approvalId": "q", "workspaceId": "w", "sessionId": "s", "taskId": "t", "stepId": "st",
                "toolCallId": call, "toolName": "Search", "capability": "BackendTool.Invoke", "title": "x",
                "actionSummary": "x", "riskLevel": "high", "reasons": [], "detail": {"other": {"text": text(call)}},
                "sandboxLevel": "full", "layer": "central", "approver": "any", "maxRemember": "once",
                "rememberScope": "x", "initiator": "central:grace", "requestedAt": AT, "deadline": AT, "policyEpoch": 1
            },
            "state": "approved",
            "answer": {"decision": "approved", "remember": "once", "decidedBy": "p", "decidedAt": AT}
        },
        "agentId": "one", "answerable": false, "receivedAt": AT, "settledAt": AT, "proposals": proposals
    }));
    let items: Vec<ApprovalInfo> =
        items.into_iter().map(|item| serde_json::from_value(item).unwrap()).collect();
    let next_token = (number + 1 < approved.len()).then(|| (number + 1).to_string());
    Ok(Page { items, next_token })
}

async fn put_artifact(others: Others, ask: RawAsk<PutArtifact>) -> Result<Response, Fault> {
    others.there("workspace")?;
    let workspace: String = ask.path.get("workspace_id")?;
    assert_eq!((workspace.as_str(), ask.caller.tenant()?.as_str()), ("w", "a"));
    let bytes = axum::body::to_bytes(ask.body, usize::MAX).await.unwrap();
    let record = json!({
        "artifactId": "sha256-abc", "artifactType": ask.query.artifact_type, "uri": "/x", "sessionId": ask.query.session_id,
        "bytes": bytes.len(), "createdAt": AT
    });
    others.with(|inner| inner.artifacts.push(bytes.to_vec()));
    Ok((http::StatusCode::CREATED, axum::Json(record)).into_response())
}
