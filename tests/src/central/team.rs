//! A host at work under central policy: a scripted gateway that only central knows of, a real host enrolled with it, an
//! administrator.

use anyhow::{Context, Result};
use lanyard_governance_api::approval::{ApprovalInfo, ApprovalQuery, ProposalOutcome};
use lanyard_governance_api::audit::{AuditQuery, AuditRecord};
use lanyard_governance_api::endpoint::{
    CreateEnrolmentToken, CreatePolicy, GetAgent, GetApproval, GetSession, ListCentralApprovals, SearchAudit,
};
use lanyard_governance_api::enrolment::NewEnrolmentToken;
use lanyard_governance_api::id::AgentId;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::policy::{NewPolicy, PolicyDocument, PolicyVersion};
use lanyard_governance_api::session::SessionInfo;
use lanyard_protocol::approval::ApprovalState;
use lanyard_protocol::central::CentralStatus;
use lanyard_protocol::id::{ApprovalId, SessionId};
use lanyard_protocol::method::{EnrolHost, GetCentral};
use serde_json::{Value, json};

use super::{Admin, Installation, until};
use crate::gateway::{Script, ScriptedGateway};
use crate::host::{Connection, HostOptions, TestHost};

/// See the module.
#[derive(Debug)]
pub struct Team {
    /// Central.
    pub central: Installation,
    /// What the model says.
    pub gateway: ScriptedGateway,
    /// The host.
    pub host: TestHost,
    /// The operator, administrator of the first tenant.
    pub admin: Admin,
    /// What central knows the host by.
    pub agent: AgentId,
}

/// A document with these grants, and the rest as usual.
pub fn document(capabilities: Value) -> Value {
    json!({
        "capabilities": capabilities,
        "llmPolicy": {"allowedModels": ["*"], "maxInputTokens": 100_000, "maxOutputTokens": 10_000,
                      "maxSessionTokens": 1_000_000},
        "approvalRules": [{"approvalRuleId": "ask", "title": "A person looks", "description": "Look twice.",
                           "mustAsk": true, "approver": "any", "maxRemember": "once"}],
        "bundleSeconds": 3600, "offlineGraceSeconds": 600, "timeline": true
    })
}

impl Team {
    /// Starts everything: `central` has been prepared and not started.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start(mut central: Installation, script: impl Into<Script>) -> Result<Self> {
        let gateway = ScriptedGateway::start(script);
        central.flag(&["--llm-endpoint", &gateway.url(), "--llm-model", "scripted"]);
        central.add().await?;
        let admin = central.operator().await?;
        let host = working_host().await?;
        let agent = enrol(&host, &admin, &central.url(0)).await?;
        Ok(Self { central, gateway, host, admin, agent })
    }

    /// Puts a policy in force and waits until the host has confirmed it.
    ///
    /// # Errors
    /// It is refused, or the host does not confirm it.
    pub async fn put_in_force(&self, document: &Value) -> Result<PolicyVersion> {
        let version = put_in_force(&self.admin, document).await?;
        self.confirmed().await?;
        Ok(version)
    }

    /// Waits until the host has confirmed the epoch in force.
    ///
    /// # Errors
    /// It does not.
    pub async fn confirmed(&self) -> Result<()> {
        use lanyard_governance_api::endpoint::CurrentPolicy;
        until("the host confirms the policy", || async {
            let state = self.admin.get::<CurrentPolicy>(&[]).await?;
            let status = self.status().await?;
            let known = status.enrolment.map_or(0, |enrolment| enrolment.policy_epoch);
            Ok((known >= state.epoch).then_some(()))
        })
        .await
    }

    /// Where the host stands with central, as it says itself.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn status(&self) -> Result<CentralStatus> {
        self.host.connect().await?.call(GetCentral {}).await
    }

    /// Waits until nothing waits on the host.
    ///
    /// # Errors
    /// Something goes on waiting.
    pub async fn everything_sent(&self) -> Result<()> {
        until("everything is sent", || async {
            let waiting = self.status().await?.waiting;
            anyhow::ensure!(waiting.audit_records == 0 && waiting.events == 0, "{waiting:?}");
            Ok(Some(()))
        })
        .await
    }

    /// A connection and a session on the host's workspace.
    ///
    /// # Errors
    /// The session does not start.
    pub async fn session(&self) -> Result<(Connection, SessionId)> {
        let mut peer = self.host.connect().await?;
        let session = peer.session(&self.host.workspace()).await?.session_id;
        Ok((peer, session))
    }

    /// The question of a session that waits at central.
    ///
    /// # Errors
    /// None comes.
    pub async fn waiting(&self, session: &SessionId) -> Result<ApprovalInfo> {
        until("a question waits at central", || async {
            let query = ApprovalQuery {
                session_id: Some(session.clone()),
                state: Some(ApprovalState::Pending),
                ..ApprovalQuery::default()
            };
            let page = self.admin.call::<ListCentralApprovals>(&[], &query, &Nothing {}).await?;
            Ok(page.items.into_iter().next())
        })
        .await
    }

    /// A question once it is settled and the host has said what became of the answer: two messages, in either order.
    ///
    /// # Errors
    /// One of them does not come.
    pub async fn answered(&self, approval: &ApprovalId) -> Result<ApprovalInfo> {
        until("the answer is known at the centre", || async {
            let known = self.admin.get::<GetApproval>(&[approval.as_str()]).await?;
            let open = known.proposals.iter().any(|proposal| proposal.outcome == ProposalOutcome::Sent);
            Ok((known.settled_at.is_some() && !open).then_some(known))
        })
        .await
    }

    /// A session as central knows it.
    ///
    /// # Errors
    /// It does not know it.
    pub async fn known(&self, session: &SessionId) -> Result<SessionInfo> {
        self.admin.get::<GetSession>(&[session.as_str()]).await
    }

    /// Every audit record of a kind, newest first.
    ///
    /// # Errors
    /// Central does not answer.
    pub async fn audited(&self, session: Option<&SessionId>) -> Result<Vec<AuditRecord>> {
        let mut all = Vec::new();
        let mut query =
            AuditQuery { session_id: session.cloned(), limit: Some(500), ..AuditQuery::default() };
        loop {
            let page = self.admin.call::<SearchAudit>(&[], &query, &Nothing {}).await?;
            all.extend(page.items);
            match page.next_token {
                Some(token) => query.next_token = Some(token),
                None => return Ok(all),
            }
        }
    }
}

/// A host whose owner has named the directory that sessions and jobs may be about.
///
/// # Errors
/// It does not start.
pub async fn working_host() -> Result<TestHost> {
    let mut host = TestHost::idle(HostOptions::default())?;
    let workspaces = host.workspace().display().to_string();
    host.options_mut().env.push(("LANYARD_WORKSPACES".to_owned(), workspaces));
    host.boot().await?;
    Ok(host)
}

/// Saves a version and puts it in force.
///
/// # Errors
/// It is refused.
pub async fn put_in_force(admin: &Admin, document: &Value) -> Result<PolicyVersion> {
    let document: PolicyDocument = serde_json::from_value(document.clone())?;
    let new = NewPolicy { document, comment: "a test".to_owned(), activate: true, based_on: None };
    admin.post::<CreatePolicy>(&[], &new).await
}

/// A fresh enrolment token.
///
/// # Errors
/// Refused.
pub async fn token(admin: &Admin) -> Result<String> {
    let wanted = NewEnrolmentToken {
        user_id: None,
        class: "laptop".to_owned(),
        note: None,
        expires_in_seconds: None,
        max_uses: None,
    };
    Ok(admin.post::<CreateEnrolmentToken>(&[], &wanted).await?.token)
}

/// Enrols a running host and waits until central sees it online, taking jobs and answers.
///
/// # Errors
/// Refused, or it does not show up.
pub async fn enrol(host: &TestHost, admin: &Admin, url: &str) -> Result<AgentId> {
    let token = token(admin).await?;
    let enrol = EnrolHost {
        url: url.to_owned(),
        token,
        accept_jobs: true,
        accept_answers: true,
        share_earlier_sessions: false,
    };
    let status = host.connect().await?.call(enrol).await?;
    let agent: AgentId = status.enrolment.context("it is not enrolled")?.agent_id.parse()?;
    until("the host is online", || async {
        let known = admin.get::<GetAgent>(&[agent.as_str()]).await?;
        Ok(known.heartbeat.filter(|beat| beat.accepts_jobs).map(|_| ()))
    })
    .await?;
    Ok(agent)
}
