//! A tenant with one of everything, and a body for every endpoint.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use lanyard_governance_api::approval::ApprovalReport;
use lanyard_governance_api::artifact::{ArtifactQuery, ArtifactRecord, ArtifactType};
use lanyard_governance_api::endpoint::{
    CreateEnrolmentToken, CreateJob, CreateSession, CreateTask, InvitePerson, PutArtifact, PutPairings,
    PutTool, ReportApproval,
};
use lanyard_governance_api::enrolment::NewEnrolmentToken;
use lanyard_governance_api::id::JobId;
use lanyard_governance_api::job::NewJob;
use lanyard_governance_api::pairing::{AskingDevice, PairedDevice, PairingSnapshot};
use lanyard_governance_api::people::{InvitePerson as Invitation, Role};
use lanyard_governance_api::session::{SessionGrant, SessionRequest, TaskReport};
use lanyard_governance_api::tool::ToolDefinition;
use lanyard_protocol::approval::{
    ApprovalDetail, ApprovalRecord, ApprovalRequest, ApprovalState, CommandDetail, RiskLevel,
};
use lanyard_protocol::id::{ApprovalId, SessionId, WorkspaceId};
use lanyard_protocol::policy::{Approver, Capability, Remember, SandboxLevel};
use lanyard_protocol::principal::Scope;
use lanyard_protocol::session::{ClientInfo, ExecutionEnvironment, WorkspaceHint};
use lanyard_protocol::{Json, Timestamp};
use serde_json::{Value, json};

use super::{Admin, TestAgent, heartbeat, machine, nonce};

/// See the module.
#[derive(Debug)]
pub struct World {
    /// The tenant's administrator.
    pub admin: Admin,
    /// A host of it.
    pub host: TestAgent,
    /// Its session.
    pub grant: SessionGrant,
    /// Ids, by the names that paths give them.
    pub ids: BTreeMap<&'static str, String>,
}

/// What a host asks for a session with.
pub fn session_request(path: &str) -> SessionRequest {
    SessionRequest {
        session_id: SessionId::new(format!("ses_{}", nonce())).ok(),
        execution_environment: ExecutionEnvironment::Desktop,
        workspace_hint: WorkspaceHint { local_paths: vec![path.to_owned()], workspace_id: None },
        client_info: ClientInfo {
            desktop_app_version: None,
            local_agent_host_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            os_family: Some("linux".to_owned()),
            os_version: Some("12".to_owned()),
        },
        supported_capabilities: Capability::ALL.iter().map(|c| c.as_str().to_owned()).collect(),
        supported_tools: ["ReadFile", "WriteFile", "RunCommand", "GitStatus"].map(str::to_owned).to_vec(),
        supported_schema_versions: vec!["1.0".to_owned()],
        name: Some("a session".to_owned()),
        job_id: None,
    }
}

/// A question as a host reports it.
///
/// # Errors
/// The ids are none.
pub fn approval(
    session: &SessionId,
    workspace: &WorkspaceId,
    state: ApprovalState,
) -> Result<ApprovalReport> {
    let now = Timestamp::now();
    let request = ApprovalRequest {
        approval_id: ApprovalId::new(format!("apr_{}", nonce()))?,
        workspace_id: workspace.clone(),
        session_id: session.clone(),
        task_id: "task_1".parse()?,
        step_id: "step_1".parse()?,
        tool_call_id: "call_1".parse()?,
        tool_name: "RunCommand".to_owned(),
        capability: Capability::ShellExec,
        title: "Run a command".to_owned(),
        action_summary: "rm -rf build".to_owned(),
        risk_level: RiskLevel::High,
        reasons: vec!["policy asks".to_owned()],
        detail: ApprovalDetail::Command(CommandDetail {
            argv: vec![vec!["rm".to_owned(), "-rf".to_owned(), "build".to_owned()]],
            shell: None,
            opaque_reason: None,
            cwd: "/srv/project".to_owned(),
            stdin: None,
            environment: Vec::new(),
            network: false,
        }),
        sandbox_level: SandboxLevel::Full,
        layer: "central".to_owned(),
        approval_rule_id: None,
        approver: Approver::Any,
        max_remember: Remember::Once,
        remember_scope: "this command".to_owned(),
        initiator: "owner".parse()?,
        requested_at: now,
        deadline: now.plus_millis(300_000),
        policy_epoch: 1,
    };
    let record = ApprovalRecord { request, state, answer: None, receipts: Vec::new() };
    Ok(ApprovalReport { record, job_id: None, client_timestamp: now })
}

impl World {
    /// Fills a tenant.
    ///
    /// # Errors
    /// Anything refused.
    pub async fn of(admin: Admin) -> Result<Self> {
        let host = TestAgent::of(&admin, "workshop").await?;
        host.beat(&heartbeat("workshop")).await?;
        let grant = host.agent.post::<CreateSession>(&[], &session_request("/srv/project")).await?;
        let mut ids = BTreeMap::new();
        ids.insert("agent_id", host.id().to_string());
        ids.insert("session_id", grant.session_id.to_string());
        ids.insert("workspace_id", grant.workspace_id.to_string());
        ids.insert("version", "1".to_owned());
        let mut world = Self { admin, host, grant, ids };
        world.fill_session().await?;
        world.fill_tenant().await?;
        Ok(world)
    }

    fn id(&self, name: &str) -> &str {
        self.ids.get(name).map_or("", String::as_str)
    }

    async fn fill_session(&mut self) -> Result<()> {
        let task = TaskReport { task_id: "task_1".parse()?, prompt: None, started_at: Timestamp::now() };
        self.host.agent.post::<CreateTask>(&[self.id("session_id")], &task).await?;
        self.ids.insert("task_id", "task_1".to_owned());
        let asked = approval(&self.grant.session_id, &self.grant.workspace_id, ApprovalState::Pending)?;
        self.host.agent.post::<ReportApproval>(&[], &asked).await?;
        self.ids.insert("approval_id", asked.record.request.approval_id.to_string());
        let query = ArtifactQuery {
            artifact_type: ArtifactType::ToolOutput,
            session_id: self.grant.session_id.clone(),
            task_id: None,
            step_id: None,
            tool_call_id: None,
            seq: None,
            sha256: None,
        };
        let (status, body) = self
            .host
            .agent
            .send::<PutArtifact>(&[self.id("workspace_id")], &query, b"a secret".to_vec())
            .await?;
        let stored: ArtifactRecord = serde_json::from_slice(&body)
            .with_context(|| format!("{status}: {}", String::from_utf8_lossy(&body)))?;
        self.ids.insert("artifact_id", stored.artifact_id.to_string());
        Ok(())
    }

    async fn fill_tenant(&mut self) -> Result<()> {
        let tool = ToolDefinition {
            description: "Says hello".to_owned(),
            input_schema: Json(json!({"type": "object", "properties": {}})),
            url: "https://tools.example.com/hello".to_owned(),
            authorization: Some("Bearer hidden".to_owned()),
            timeout_seconds: 5,
        };
        self.admin.post::<PutTool>(&["hello"], &tool).await?;
        self.ids.insert("tool_name", "hello".to_owned());
        let token = NewEnrolmentToken {
            user_id: None,
            class: "server".to_owned(),
            note: None,
            expires_in_seconds: None,
            max_uses: None,
        };
        let token = self.admin.post::<CreateEnrolmentToken>(&[], &token).await?;
        self.ids.insert("token_id", token.record.token_id.to_string());
        let invitation = Invitation { name: "Vera".to_owned(), email: None, role: Role::Viewer };
        let person = self.admin.post::<InvitePerson>(&[], &invitation).await?;
        self.ids.insert("user_id", person.person.user_id.to_string());
        let job = self.admin.post::<CreateJob>(&[], &self.job()?).await?;
        self.ids.insert("job_id", job.job_id.to_string());
        let now = Timestamp::now();
        let snapshot = PairingSnapshot {
            asking: vec![AskingDevice {
                pairing_id: "pair_1".parse()?,
                name: "Phone".to_owned(),
                platform: "Android".to_owned(),
                address: "192.168.1.7".to_owned(),
                scopes: vec![Scope::Observe],
                needs_digits: false,
                expires_at: now.plus_millis(120_000),
            }],
            devices: vec![PairedDevice {
                device_id: "dev_1".parse()?,
                name: "Tablet".to_owned(),
                platform: "iPadOS".to_owned(),
                scopes: vec![Scope::Observe],
                paired_at: now,
                last_seen_at: None,
                connected: false,
            }],
        };
        self.host.agent.post::<PutPairings>(&[self.id("agent_id")], &snapshot).await?;
        self.ids.insert("pairing_id", "pair_1".to_owned());
        self.ids.insert("device_id", "dev_1".to_owned());
        Ok(())
    }

    fn job(&self) -> Result<NewJob> {
        Ok(NewJob {
            agent_id: self.host.id().clone(),
            tool_name: "GitStatus".to_owned(),
            arguments: Json::object(),
            workspace: "/srv/project".to_owned(),
            title: "Look".to_owned(),
            idempotency_key: format!("key_{}", nonce()).parse()?,
            expires_in_seconds: None,
        })
    }

    /// A body that the endpoint takes, about this tenant's things.
    ///
    /// # Errors
    /// An endpoint that is not known here: it needs a line.
    pub fn body(&self, endpoint: &str) -> Result<Value> {
        let now = Timestamp::now();
        let proof = json!({"timestamp": now, "nonce": nonce(), "signature": "AAAA"});
        Ok(match endpoint {
            "CreateSession" => serde_json::to_value(session_request("/srv/project"))?,
            "ResumeSession" => {
                let request = session_request("/srv/project");
                json!({"clientInfo": request.client_info, "supportedCapabilities": request.supported_capabilities,
                       "supportedTools": request.supported_tools, "supportedSchemaVersions": ["1.0"]})
            }
            "CancelSession" | "RevokePolicy" | "RevokeAgent" | "ClearCloneMark" => {
                json!({"reason": "a test"})
            }
            "ForgetSessions" => json!({"workspaceId": self.grant.workspace_id}),
            "RenameSession" => json!({"name": "other"}),
            "ReportState" => json!({"state": "SESSION_RUNNING", "seq": 1}),
            "CreateTask" => json!({"taskId": "task_2", "startedAt": now}),
            "CompleteTask" => json!({"state": "completed", "steps": 1, "tokens": 1, "endedAt": now}),
            "AppendEvents" => json!({"events": []}),
            "CreatePolicy" => json!({"document": self.document(), "comment": "a test", "activate": false}),
            "ValidatePolicy" => json!({"document": self.document()}),
            "DryRunPolicy" => json!({"workspace": ["/srv/project"], "action": {"command": {"line": "ls"}}}),
            "ReportApproval" => serde_json::to_value(approval(
                &self.grant.session_id,
                &self.grant.workspace_id,
                ApprovalState::Pending,
            )?)?,
            "ProposeDecision" => json!({"decision": "approved"}),
            "ReportOutcome" => json!({"proposalId": "prp_1", "outcome": "accepted"}),
            "ResolveWorkspace" => json!({"userId": "usr_1", "agentId": self.host.id(), "localPaths": []}),
            "PostAudit" => json!({"records": []}),
            "PostServiceAudit" => json!({"events": []}),
            "SetRetention" => json!({"days": 365}),
            "PostTelemetry" => json!({"events": []}),
            "PostTraces" => json!({"spans": []}),
            "PutTool" => json!({"description": "x", "inputSchema": {"type": "object"},
                                "url": "https://tools.example.com/x", "timeoutSeconds": 5}),
            "InvokeTool" | "SettleTool" => json!({"request": {"toolName": "hello", "arguments": {},
                "workspaceId": self.grant.workspace_id, "sessionId": self.grant.session_id, "taskId": "task_1",
                "stepId": "step_1", "toolCallId": "call_9"}}),
            "CreateEnrolmentToken" => json!({"class": "laptop"}),
            "ExchangeToken" => json!({"token": "lanyard-enroll.1.a.b.", "csrPem": "x", "nonce": nonce(),
                                      "machine": machine("x")}),
            "RenewIdentity" => json!({"csrPem": "x", "nonce": nonce(), "proof": proof}),
            "CreateAccessToken" => json!({"proof": proof}),
            "SendHeartbeat" => serde_json::to_value(heartbeat("x"))?,
            "AcknowledgeCommands" => json!({"results": []}),
            "QueueCommand" | "BroadcastCommand" => json!({"order": {"policy_epoch": {"epoch": 2}}}),
            "PutPairings" => json!({"asking": [], "devices": []}),
            "DecidePairing" => json!({"approve": true}),
            "CreateJob" => serde_json::to_value(self.job()?)?,
            "ReportJob" => json!({"state": "leased", "leaseKey": "k"}),
            "LoginByLink" => json!({"token": "none"}),
            "ChooseTenant" => json!({"tenantId": self.host.identity.tenant_id}),
            "CreateTenant" => json!({"name": "One more"}),
            "InvitePerson" => json!({"name": "Max", "role": "viewer"}),
            "GetStandings" => json!({"userIds": []}),
            "ChangePerson" => json!({"role": "approver"}),
            other => anyhow::bail!("there is no sample body for {other}"),
        })
    }

    /// A policy that may be put in force.
    pub fn document(&self) -> Value {
        json!({
            "capabilities": [{"name": "File.Read", "allowedPaths": ["${workspace}"], "requiresApproval": false}],
            "llmPolicy": {"allowedModels": ["*"], "maxInputTokens": 100_000, "maxOutputTokens": 10_000,
                          "maxSessionTokens": 1_000_000},
            "bundleSeconds": 3600, "offlineGraceSeconds": 600, "timeline": true
        })
    }

    /// A query that the endpoint takes.
    pub fn query(&self, endpoint: &str) -> Vec<(&'static str, String)> {
        match endpoint {
            "PutArtifact" => {
                vec![
                    ("artifactType", "tool_output".to_owned()),
                    ("sessionId", self.id("session_id").to_owned()),
                ]
            }
            "IssueBundle" => vec![
                ("sessionId", self.id("session_id").to_owned()),
                ("userId", "usr_1".to_owned()),
                ("localPaths", "[]".to_owned()),
            ],
            "CountEpoch" => vec![("epoch", "1".to_owned())],
            _ => Vec::new(),
        }
    }

    /// A path with this tenant's ids.
    pub fn path(&self, template: &str) -> String {
        let part = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => self.id(name).to_owned(),
            None => part.to_owned(),
        };
        template.split('/').map(part).collect::<Vec<_>>().join("/")
    }

    /// A job's id, for whoever reports on it.
    ///
    /// # Errors
    /// It is none.
    pub fn job_id(&self) -> Result<JobId> {
        Ok(self.id("job_id").parse()?)
    }
}
