//! Stand-ins for the Enrolment, the Session and the Identity Service.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use lanyard_governance_api::agent::AgentInfo;
use lanyard_governance_api::command::{CommandsQueued, NewCommand};
use lanyard_governance_api::endpoint::{GetAgent, GetJob, GetSession, GetStandings, QueueCommand};
use lanyard_governance_api::job::Job;
use lanyard_governance_api::people::{Role, Standing, Standings};
use lanyard_governance_api::session::SessionInfo;
use lanyard_governance_foundation::{Ask, Fault, Routes};
use serde_json::json;

/// What they say and what they were told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Others(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
pub(crate) struct Inner {
    /// Owner's choice by host.
    pub(super) accepts: HashMap<String, bool>,
    /// Revoked hosts.
    pub(super) revoked: Vec<String>,
    /// Who dispatched each job.
    pub(super) jobs: HashMap<String, String>,
    /// Sessions known, and the job each was opened for.
    pub(super) sessions: HashMap<String, Option<String>>,
    /// How often each host was asked about.
    pub(super) asked: HashMap<String, u32>,
    /// Commands by host.
    pub(super) queued: Vec<(String, NewCommand)>,
    /// Whose link each account came by.
    pub(super) hands: HashMap<String, Vec<String>>,
    /// Accounts of which more is known than is told.
    pub(super) endless: Vec<String>,
    /// Accounts of which nothing is said.
    pub(super) unsaid: Vec<String>,
    /// The Session Service's address leads elsewhere.
    pub(super) elsewhere: bool,
    /// Takes commands and never answers.
    pub(super) hangs: bool,
    /// Commands that were taken so.
    pub(super) hanging: usize,
    /// Takes no commands.
    pub(super) away: bool,
}

const AT: &str = "2026-02-21T15:04:22Z";

impl Others {
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    pub(super) fn router(&self) -> Router {
        Routes::new(self.clone())
            .on::<GetAgent, _, _>(get_agent)
            .on::<GetJob, _, _>(get_job)
            .on::<GetSession, _, _>(get_session)
            .on::<QueueCommand, _, _>(queue)
            .on::<GetStandings, _, _>(standings)
            .finish()
            .0
    }
}

async fn get_agent(others: Others, ask: Ask<GetAgent>) -> Result<AgentInfo, Fault> {
    let id: String = ask.path.get("agent_id")?;
    let (accepts, revoked) = others.with(|inner| {
        *inner.asked.entry(id.clone()).or_default() += 1;
        (inner.accepts.get(&id).copied(), inner.revoked.contains(&id))
    });
    let accepts = accepts.ok_or_else(|| Fault::not_found("agent", &id))?;
    let machine = json!({
        "name": "m", "osFamily": "linux", "osVersion": "1", "architecture": "x", "hostVersion": "1", "hostId": null
    });
    let info = json!({
        "agentId": id, "userId": "u", "class": "laptop", "state": if revoked { "revoked" } else { "online" },
        "machine": machine, "lastSeenAt": AT, "clockSkewMillis": 0, "enrolledAt": AT, "certificateNotAfter": AT,
        "revoked": null, "cloneSuspected": false,
        "heartbeat": {
            "machine": machine, "policyEpoch": 1, "sandboxLevel": "full", "outboxDepth": 0, "uptimeSeconds": 1,
            "tasksRunning": 0, "sessions": 0, "rssBytes": null, "devices": 0, "acceptsJobs": false,
            "acceptsAnswers": accepts, "workspaces": [], "clientTime": AT
        }
    });
    Ok(serde_json::from_value(info).unwrap())
}

async fn get_job(others: Others, ask: Ask<GetJob>) -> Result<Job, Fault> {
    let id: String = ask.path.get("job_id")?;
    let by = others.with(|inner| inner.jobs.get(&id).cloned());
    let by = by.ok_or_else(|| Fault::not_found("job", &id))?;
    let job = json!({
        "jobId": id, "agentId": "one", "toolName": "t", "arguments": {}, "workspace": "/w", "title": "x",
        "state": "running", "createdBy": by, "createdAt": AT, "updatedAt": AT, "expiresAt": AT
    });
    Ok(serde_json::from_value(job).unwrap())
}

async fn get_session(others: Others, ask: Ask<GetSession>) -> Result<SessionInfo, Fault> {
    let id: String = ask.path.get("session_id")?;
    let job = others.with(|inner| inner.sessions.get(&id).cloned());
    let job = job.ok_or_else(|| {
        if others.with(|inner| inner.elsewhere) {
            return Fault::not_found("endpoint", &id);
        }
        Fault::new(lanyard_protocol::ErrorCode::SessionNotFound, format!("there is no session {id}"))
    })?;
    let info = json!({
        "sessionId": id, "workspaceId": "w", "agentId": "one", "userId": "u", "name": "n",
        "state": "SESSION_RUNNING", "executionEnvironment": "desktop", "clientInfo": {},
        "compatibilityStatus": "compatible", "jobId": job, "tasks": 0, "lastSeq": 0, "createdAt": AT,
        "updatedAt": AT, "expiresAt": AT
    });
    Ok(serde_json::from_value(info).unwrap())
}

async fn queue(others: Others, ask: Ask<QueueCommand>) -> Result<CommandsQueued, Fault> {
    let id: String = ask.path.get("agent_id")?;
    if others.with(|inner| inner.hangs) {
        others.with(|inner| inner.hanging += 1);
        std::future::pending::<()>().await;
    }
    others.with(|inner| {
        if inner.away {
            return Err(Fault::unavailable("the queue is away"));
        }
        inner.queued.push((id, ask.body));
        Ok(CommandsQueued { agents: 1 })
    })
}

async fn standings(others: Others, ask: Ask<GetStandings>) -> Result<Standings, Fault> {
    others.with(|inner| {
        let standing = |user: &lanyard_governance_api::id::UserId| Standing {
            role: Some(Role::Approver),
            handed_by: inner
                .hands
                .get(user.as_str())
                .map(|hands| hands.iter().map(|hand| hand.parse().unwrap()).collect())
                .unwrap_or_default(),
            more: inner.endless.contains(&user.to_string()),
            user_id: user.clone(),
        };
        let said = ask.body.user_ids.iter().filter(|user| !inner.unsaid.contains(&user.to_string()));
        Ok(Standings { standings: said.map(standing).collect() })
    })
}
