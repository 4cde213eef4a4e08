//! Everything that can be called, in one table.

use crate::people::Role;

/// HTTP methods in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are HTTP's")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// As HTTP spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// The service that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the seed's components, and Identity (people and tenants)")]
pub enum Service {
    Session,
    Policy,
    Approval,
    Workspace,
    Audit,
    Telemetry,
    Tools,
    Enrolment,
    Identity,
}

impl Service {
    /// All of them.
    pub const ALL: &'static [Service] = &[
        Service::Session,
        Service::Policy,
        Service::Approval,
        Service::Workspace,
        Service::Audit,
        Service::Telemetry,
        Service::Tools,
        Service::Enrolment,
        Service::Identity,
    ];

    /// The name used in `--services`.
    pub fn as_str(self) -> &'static str {
        match self {
            Service::Session => "session",
            Service::Policy => "policy",
            Service::Approval => "approval",
            Service::Workspace => "workspace",
            Service::Audit => "audit",
            Service::Telemetry => "telemetry",
            Service::Tools => "tools",
            Service::Enrolment => "enrolment",
            Service::Identity => "identity",
        }
    }
}

/// What an agent's credential reaches. Never upgraded silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentScope {
    /// The service token: heartbeats only.
    Heartbeat,
    /// Client certificate or access token: everything a host does.
    Agent,
}

/// Who may call. Several may be set; nobody else gets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Anybody, with or without credentials: the body proves enough, or nothing is at stake.
    pub public: bool,
    /// People with at least this role.
    pub person: Option<Role>,
    /// The operator of the installation.
    pub operator: bool,
    /// Agents with at least this scope, for themselves only.
    pub agent: Option<AgentScope>,
    /// Other services of the installation.
    pub service: bool,
}

impl Access {
    const NOBODY: Access =
        Access { public: false, person: None, operator: false, agent: None, service: false };
    const fn person(role: Role) -> Access {
        Access { person: Some(role), ..Self::NOBODY }
    }
    const fn and_agent(self) -> Access {
        Access { agent: Some(AgentScope::Agent), ..self }
    }
    const fn and_service(self) -> Access {
        Access { service: true, ..self }
    }
}

const PUBLIC: Access = Access { public: true, ..Access::NOBODY };
const OPERATOR: Access = Access { operator: true, ..Access::NOBODY };
const VIEWER: Access = Access::person(Role::Viewer);
const APPROVER: Access = Access::person(Role::Approver);
const ADMIN: Access = Access::person(Role::Admin);
const AGENT: Access = Access::NOBODY.and_agent();
const HEARTBEAT: Access = Access { agent: Some(AgentScope::Heartbeat), ..Access::NOBODY };
const SERVICE: Access = Access::NOBODY.and_service();

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// None.
    Empty,
    /// JSON.
    Json,
    /// Bytes, streamed.
    Bytes,
    /// Lines of JSON, streamed.
    JsonLines,
    /// Server-sent events.
    Events,
    /// A redirect to another page.
    Redirect,
}

/// One endpoint, as data.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// Operation id: the name of the type.
    pub id: &'static str,
    /// Method.
    pub method: Method,
    /// Path; parameters as `{name}`.
    pub path: &'static str,
    /// Who answers.
    pub service: Service,
    /// Who may call.
    pub access: Access,
    /// One sentence.
    pub summary: &'static str,
    /// Status of success.
    pub success: u16,
    /// What the request carries.
    pub request: Body,
    /// What the answer carries.
    pub response: Body,
    /// Schema of the query, made by the generator handed in.
    #[cfg(feature = "schema")]
    pub query_schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    /// Schema of the request's body.
    #[cfg(feature = "schema")]
    pub request_schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    /// Schema of the answer's body.
    #[cfg(feature = "schema")]
    pub response_schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
}

/// One endpoint, as a type: what a typed client calls and a router serves.
pub trait Call {
    /// Query.
    type Query;
    /// Body.
    type Request;
    /// Answer.
    type Response;
    /// The rest.
    const ENDPOINT: Endpoint;
}

macro_rules! endpoints {
    ($($(#[doc = $doc:literal])* $name:ident: $method:ident $path:literal, $service:ident, $access:expr,
       $query:ty, $request:ident($request_type:ty) => $success:literal $response:ident($response_type:ty);)*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $name;

            impl Call for $name {
                type Query = $query;
                type Request = $request_type;
                type Response = $response_type;
                const ENDPOINT: Endpoint = Endpoint {
                    id: stringify!($name),
                    method: Method::$method,
                    path: $path,
                    service: Service::$service,
                    access: $access,
                    summary: concat!($($doc),*),
                    success: $success,
                    request: Body::$request,
                    response: Body::$response,
                    #[cfg(feature = "schema")]
                    query_schema: |generator| generator.subschema_for::<$query>(),
                    #[cfg(feature = "schema")]
                    request_schema: |generator| generator.subschema_for::<$request_type>(),
                    #[cfg(feature = "schema")]
                    response_schema: |generator| generator.subschema_for::<$response_type>(),
                };
            }
        )*

        /// All of them, by service.
        pub const ENDPOINTS: &[Endpoint] = &[$($name::ENDPOINT,)*];
    };
}

use crate::agent as a;
use crate::approval as ap;
use crate::artifact as w;
use crate::audit as au;
use crate::command as c;
use crate::enrolment as e;
use crate::job as j;
use crate::page::{Nothing, Page, PageQuery};
use crate::pairing as pa;
use crate::people as i;
use crate::policy as p;
use crate::session as s;
use crate::telemetry as t;
use crate::tool as b;

endpoints! {
    /// Begin a session, or get the one that was begun with the same id.
    CreateSession: Post "/sessions", Session, AGENT, Nothing, Json(s::SessionRequest) => 201 Json(s::SessionGrant);
    /// List sessions, newest first.
    ListSessions: Get "/sessions", Session, VIEWER, s::SessionQuery, Empty(Nothing) => 200 Json(Page<s::SessionInfo>);
    /// One session.
    GetSession: Get "/sessions/{session_id}", Session, VIEWER.and_agent().and_service(), Nothing, Empty(Nothing) => 200 Json(s::SessionInfo);
    /// Go on with a session: compatibility is checked again, the bundle is fresh.
    ResumeSession: Post "/sessions/{session_id}/resume", Session, AGENT, Nothing, Json(s::ResumeRequest) => 200 Json(s::SessionGrant);
    /// End a session for good.
    CancelSession: Post "/sessions/{session_id}/cancel", Session, APPROVER.and_agent(), Nothing, Json(s::CancelRequest) => 200 Json(s::SessionInfo);
    /// Name a session.
    RenameSession: Patch "/sessions/{session_id}/name", Session, ADMIN.and_agent(), Nothing, Json(s::RenameRequest) => 200 Json(s::SessionInfo);
    /// Remove what was said in sessions whose work was deleted.
    ForgetSessions: Post "/sessions/forget", Session, SERVICE, Nothing, Json(s::ForgetRequest) => 200 Json(s::Forgotten);
    /// Say where a session stands on its host.
    ReportState: Post "/sessions/{session_id}/state", Session, AGENT, Nothing, Json(s::StateReport) => 200 Json(s::SessionInfo);
    /// Report a task that began.
    CreateTask: Post "/sessions/{session_id}/tasks", Session, AGENT, Nothing, Json(s::TaskReport) => 201 Json(s::CentralTask);
    /// Tasks of a session, newest first.
    ListTasks: Get "/sessions/{session_id}/tasks", Session, VIEWER.and_agent(), PageQuery, Empty(Nothing) => 200 Json(Page<s::CentralTask>);
    /// Report how a task ended.
    CompleteTask: Post "/sessions/{session_id}/tasks/{task_id}/complete", Session, AGENT, Nothing, Json(s::TaskCompletion) => 200 Json(s::CentralTask);
    /// Add events to the timeline.
    AppendEvents: Post "/sessions/{session_id}/events", Session, AGENT, Nothing, Json(s::EventBatch) => 200 Json(s::EventsAccepted);
    /// Read the timeline.
    ListEvents: Get "/sessions/{session_id}/events", Session, VIEWER.and_agent(), s::EventQuery, Empty(Nothing) => 200 Json(s::EventPage);
    /// Follow the timeline: server-sent events named `event`, each a SessionEvent, with its number as id.
    StreamEvents: Get "/sessions/{session_id}/stream", Session, VIEWER, s::EventQuery, Empty(Nothing) => 200 Events(Nothing);

    /// What is in force, and how far hosts have heard of it.
    CurrentPolicy: Get "/policies/current", Policy, VIEWER.and_service(), Nothing, Empty(Nothing) => 200 Json(p::PolicyState);
    /// Versions, newest first.
    ListPolicies: Get "/policies", Policy, VIEWER, PageQuery, Empty(Nothing) => 200 Json(Page<p::PolicyVersionSummary>);
    /// Save a version, and put it in force if asked to.
    CreatePolicy: Post "/policies", Policy, ADMIN, Nothing, Json(p::NewPolicy) => 201 Json(p::PolicyVersion);
    /// One version.
    GetPolicyVersion: Get "/policies/versions/{version}", Policy, VIEWER, Nothing, Empty(Nothing) => 200 Json(p::PolicyVersion);
    /// Put a version in force; an older one is a roll-back.
    ActivatePolicy: Post "/policies/versions/{version}/activate", Policy, ADMIN, Nothing, Empty(Nothing) => 200 Json(p::PolicyState);
    /// Take what is in force out of force, everywhere, now.
    RevokePolicy: Post "/policies/revoke", Policy, ADMIN, Nothing, Json(p::RevokeRequest) => 200 Json(p::PolicyState);
    /// Say what is wrong with a document.
    ValidatePolicy: Post "/policies/validate", Policy, VIEWER, Nothing, Json(p::ValidateRequest) => 200 Json(p::Validation);
    /// Say what a command, path, request or tool would get.
    DryRunPolicy: Post "/policies/dry-run", Policy, VIEWER, Nothing, Json(p::DryRun) => 200 Json(p::DryVerdict);
    /// Issue the bundle of a session.
    IssueBundle: Get "/policy-bundles", Policy, SERVICE, p::BundleQuery, Empty(Nothing) => 200 Json(p::IssuedPolicy);

    /// Store a question that waits, or one that is settled.
    ReportApproval: Post "/approvals", Approval, AGENT, Nothing, Json(ap::ApprovalReport) => 201 Json(ap::ApprovalStored);
    /// List approvals, newest first.
    ListCentralApprovals: Get "/approvals", Approval, VIEWER.and_agent().and_service(), ap::ApprovalQuery, Empty(Nothing) => 200 Json(Page<ap::ApprovalInfo>);
    /// One approval.
    GetApproval: Get "/approvals/{approval_id}", Approval, VIEWER.and_agent(), Nothing, Empty(Nothing) => 200 Json(ap::ApprovalInfo);
    /// Propose an answer; the host arbitrates.
    ProposeDecision: Post "/approvals/{approval_id}/decision", Approval, APPROVER, Nothing, Json(ap::DecisionRequest) => 202 Json(ap::Proposal);
    /// What the host said of a proposal.
    ReportOutcome: Post "/approvals/{approval_id}/outcome", Approval, SERVICE, Nothing, Json(ap::OutcomeReport) => 200 Json(Nothing);

    /// Find or make the workspace of a session.
    ResolveWorkspace: Post "/workspaces", Workspace, SERVICE, Nothing, Json(w::ResolveWorkspace) => 200 Json(w::WorkspaceRecord);
    /// List workspaces, last used first.
    ListWorkspaces: Get "/workspaces", Workspace, VIEWER, PageQuery, Empty(Nothing) => 200 Json(Page<w::WorkspaceRecord>);
    /// One workspace.
    GetWorkspace: Get "/workspaces/{workspace_id}", Workspace, VIEWER.and_agent(), Nothing, Empty(Nothing) => 200 Json(w::WorkspaceRecord);
    /// Remove a workspace with all its artifacts and histories, and what was said in its sessions.
    DeleteWorkspace: Delete "/workspaces/{workspace_id}", Workspace, ADMIN, Nothing, Empty(Nothing) => 204 Empty(Nothing);
    /// Store an artifact; at most 50 MiB.
    PutArtifact: Post "/workspaces/{workspace_id}/artifacts", Workspace, AGENT.and_service(), w::ArtifactQuery, Bytes(Nothing) => 201 Json(w::ArtifactRecord);
    /// Artifacts of a workspace, newest first.
    ListArtifacts: Get "/workspaces/{workspace_id}/artifacts", Workspace, VIEWER.and_agent(), w::ArtifactsQuery, Empty(Nothing) => 200 Json(Page<w::ArtifactRecord>);
    /// An artifact's content.
    GetArtifactContent: Get "/workspaces/{workspace_id}/artifacts/{artifact_id}", Workspace, VIEWER.and_agent(), Nothing, Empty(Nothing) => 200 Bytes(Nothing);
    /// Remove an artifact.
    DeleteArtifact: Delete "/workspaces/{workspace_id}/artifacts/{artifact_id}", Workspace, ADMIN, Nothing, Empty(Nothing) => 204 Empty(Nothing);
    /// Sessions that keep something in a workspace, last used first.
    ListWorkspaceSessions: Get "/workspaces/{workspace_id}/sessions", Workspace, VIEWER.and_agent(), PageQuery, Empty(Nothing) => 200 Json(Page<w::WorkspaceSession>);
    /// The thread of a session.
    GetSessionHistory: Get "/workspaces/{workspace_id}/sessions/{session_id}/history", Workspace, VIEWER.and_agent(), Nothing, Empty(Nothing) => 200 Json(w::SessionHistory);
    /// Remove a session's thread, its other artifacts, and what was said in it from its timeline.
    DeleteSessionHistory: Delete "/workspaces/{workspace_id}/sessions/{session_id}/history", Workspace, ADMIN.and_agent(), Nothing, Empty(Nothing) => 204 Empty(Nothing);
    /// Remove what was not used for 90 days, of every tenant.
    PurgeWorkspaces: Post "/workspaces/purge", Workspace, SERVICE, Nothing, Empty(Nothing) => 200 Json(w::Purged);

    /// Store audit records of a host.
    PostAudit: Post "/audit/events", Audit, AGENT, Nothing, Json(au::AuditBatch) => 202 Json(au::AuditAccepted);
    /// Store audit records of a service.
    PostServiceAudit: Post "/audit/services", Audit, SERVICE, Nothing, Json(au::ServiceRecords) => 202 Json(au::AuditAccepted);
    /// Where the caller's own chain stands.
    GetChainHead: Get "/audit/head", Audit, AGENT, Nothing, Empty(Nothing) => 200 Json(au::ChainHead);
    /// Search records, newest first.
    SearchAudit: Get "/audit/events", Audit, VIEWER, au::AuditQuery, Empty(Nothing) => 200 Json(Page<au::AuditRecord>);
    /// Prove the chains.
    VerifyAudit: Get "/audit/verify", Audit, VIEWER, au::VerifyQuery, Empty(Nothing) => 200 Json(au::Verification);
    /// Export records, oldest first.
    ExportAudit: Get "/audit/export", Audit, ADMIN, au::AuditQuery, Empty(Nothing) => 200 JsonLines(Nothing);
    /// How long records are kept.
    GetRetention: Get "/audit/retention", Audit, VIEWER, Nothing, Empty(Nothing) => 200 Json(au::RetentionState);
    /// Change how long records are kept.
    SetRetention: Put "/audit/retention", Audit, ADMIN, Nothing, Json(au::Retention) => 200 Json(au::RetentionState);

    /// Store telemetry events.
    PostTelemetry: Post "/telemetry/events", Telemetry, AGENT.and_service(), Nothing, Json(t::TelemetryBatch) => 202 Json(t::TelemetryAccepted);
    /// Store spans.
    PostTraces: Post "/telemetry/traces", Telemetry, AGENT.and_service(), Nothing, Json(t::TraceBatch) => 202 Json(t::TelemetryAccepted);
    /// What charts are drawn from.
    GetTelemetrySummary: Get "/telemetry/summary", Telemetry, VIEWER, t::SummaryQuery, Empty(Nothing) => 200 Json(t::TelemetrySummary);

    /// Tools that run behind the centre.
    ListTools: Get "/tools", Tools, VIEWER.and_agent(), Nothing, Empty(Nothing) => 200 Json(b::ToolList);
    /// Define a tool.
    PutTool: Put "/tools/{tool_name}", Tools, ADMIN, Nothing, Json(b::ToolDefinition) => 200 Json(lanyard_protocol::tool::ToolSpec);
    /// Remove a tool.
    DeleteTool: Delete "/tools/{tool_name}", Tools, ADMIN, Nothing, Empty(Nothing) => 204 Empty(Nothing);
    /// Call a tool.
    InvokeTool: Post "/tools/{tool_name}/invoke", Tools, AGENT, Nothing, Json(b::InvokeRequest) => 200 Json(lanyard_protocol::tool::ToolResult);
    /// What became of a call, without making it: one that has not begun never will.
    SettleTool: Post "/tools/{tool_name}/settle", Tools, AGENT, Nothing, Json(b::SettleRequest) => 200 Json(lanyard_protocol::tool::ToolResult);

    /// Make an enrolment token; its secret is shown once.
    CreateEnrolmentToken: Post "/enrolment/tokens", Enrolment, ADMIN, Nothing, Json(e::NewEnrolmentToken) => 201 Json(e::IssuedEnrolmentToken);
    /// Enrolment tokens, newest first.
    ListEnrolmentTokens: Get "/enrolment/tokens", Enrolment, ADMIN, PageQuery, Empty(Nothing) => 200 Json(Page<e::EnrolmentToken>);
    /// Revoke a token.
    RevokeEnrolmentToken: Delete "/enrolment/tokens/{token_id}", Enrolment, ADMIN, Nothing, Empty(Nothing) => 204 Empty(Nothing);
    /// Exchange a token for an identity.
    ExchangeToken: Post "/enrolment/exchange", Enrolment, PUBLIC, Nothing, Json(e::ExchangeRequest) => 201 Json(e::IssuedIdentity);
    /// The CA certificate, PEM; its hash is in every enrolment token.
    GetCa: Get "/enrolment/ca", Enrolment, PUBLIC, Nothing, Empty(Nothing) => 200 Bytes(Nothing);
    /// Renew a certificate by proof of possession.
    RenewIdentity: Post "/agents/{agent_id}/renew", Enrolment, PUBLIC, Nothing, Json(e::RenewRequest) => 200 Json(e::IssuedIdentity);
    /// Get an access token by proof of possession.
    CreateAccessToken: Post "/agents/{agent_id}/access-tokens", Enrolment, PUBLIC, Nothing, Json(e::AccessTokenRequest) => 201 Json(e::AccessToken);
    /// Say that the host is there.
    SendHeartbeat: Post "/agents/{agent_id}/heartbeat", Enrolment, HEARTBEAT, Nothing, Json(a::Heartbeat) => 200 Json(a::HeartbeatAnswer);
    /// Hosts, last seen first.
    ListAgents: Get "/agents", Enrolment, VIEWER, PageQuery, Empty(Nothing) => 200 Json(Page<a::AgentInfo>);
    /// Hosts online, and how many have confirmed an epoch.
    CountEpoch: Get "/agents/counts", Enrolment, SERVICE, a::EpochQuery, Empty(Nothing) => 200 Json(a::EpochCounts);
    /// One host.
    GetAgent: Get "/agents/{agent_id}", Enrolment, VIEWER.and_agent().and_service(), Nothing, Empty(Nothing) => 200 Json(a::AgentInfo);
    /// Revoke a host's enrolment; a host may revoke its own.
    RevokeAgent: Post "/agents/{agent_id}/revoke", Enrolment, ADMIN.and_agent(), Nothing, Json(a::RevokeAgent) => 200 Json(a::AgentInfo);
    /// Clear the mark of a suspected second machine, once the case was looked into.
    ClearCloneMark: Post "/agents/{agent_id}/clone-mark/clear", Enrolment, ADMIN, Nothing, Json(a::ClearCloneMark) => 200 Json(a::AgentInfo);
    /// Wait for commands.
    PollCommands: Get "/agents/{agent_id}/commands", Enrolment, AGENT, c::CommandQuery, Empty(Nothing) => 200 Json(c::Commands);
    /// Follow commands: server-sent events named `command`, with their numbers as ids.
    StreamCommands: Get "/agents/{agent_id}/commands/stream", Enrolment, AGENT, c::CommandQuery, Empty(Nothing) => 200 Events(Nothing);
    /// Say what became of commands.
    AcknowledgeCommands: Post "/agents/{agent_id}/commands/acknowledge", Enrolment, AGENT, Nothing, Json(c::Acknowledgement) => 200 Json(Nothing);
    /// Give a host a command.
    QueueCommand: Post "/agents/{agent_id}/commands", Enrolment, SERVICE, Nothing, Json(c::NewCommand) => 202 Json(c::CommandsQueued);
    /// Give every host of the tenant a command.
    BroadcastCommand: Post "/agents/commands", Enrolment, SERVICE, Nothing, Json(c::NewCommand) => 202 Json(c::CommandsQueued);
    /// Say who is paired with a host and who asks to be.
    PutPairings: Put "/agents/{agent_id}/pairings", Enrolment, AGENT, Nothing, Json(pa::PairingSnapshot) => 200 Json(Nothing);
    /// Pairings across hosts.
    ListPairings: Get "/pairings", Enrolment, VIEWER, PageQuery, Empty(Nothing) => 200 Json(Page<pa::HostPairings>);
    /// Answer a pairing; the host arbitrates.
    DecidePairing: Post "/agents/{agent_id}/pairings/{pairing_id}/decision", Enrolment, APPROVER, Nothing, Json(pa::PairingDecision) => 202 Json(c::CommandsQueued);
    /// End a device's pairing with a host.
    RevokeDevice: Post "/agents/{agent_id}/devices/{device_id}/revoke", Enrolment, APPROVER, Nothing, Empty(Nothing) => 202 Json(c::CommandsQueued);
    /// Dispatch a job.
    CreateJob: Post "/jobs", Enrolment, ADMIN, Nothing, Json(j::NewJob) => 201 Json(j::Job);
    /// Jobs, newest first.
    ListJobs: Get "/jobs", Enrolment, VIEWER, j::JobQuery, Empty(Nothing) => 200 Json(Page<j::Job>);
    /// One job.
    GetJob: Get "/jobs/{job_id}", Enrolment, VIEWER.and_agent().and_service(), Nothing, Empty(Nothing) => 200 Json(j::Job);
    /// Take a job back.
    CancelJob: Post "/jobs/{job_id}/cancel", Enrolment, APPROVER, Nothing, Empty(Nothing) => 200 Json(j::Job);
    /// Claim a job, renew its lease, say how it ended.
    ReportJob: Post "/jobs/{job_id}/progress", Enrolment, AGENT, Nothing, Json(j::JobProgress) => 200 Json(j::Job);

    /// How one may sign in.
    GetLoginWays: Get "/login", Identity, PUBLIC, Nothing, Empty(Nothing) => 200 Json(i::LoginWays);
    /// Sign in by a one-time link.
    LoginByLink: Post "/login/link", Identity, PUBLIC, Nothing, Json(i::LinkLogin) => 200 Json(i::SignedIn);
    /// Go to the identity provider.
    StartOidc: Get "/login/oidc", Identity, PUBLIC, Nothing, Empty(Nothing) => 303 Redirect(Nothing);
    /// Come back from the identity provider.
    FinishOidc: Get "/login/oidc/callback", Identity, PUBLIC, OidcQuery, Empty(Nothing) => 303 Redirect(Nothing);
    /// Sign out.
    Logout: Post "/logout", Identity, VIEWER, Nothing, Empty(Nothing) => 204 Empty(Nothing);
    /// Who I am.
    GetMe: Get "/me", Identity, VIEWER, Nothing, Empty(Nothing) => 200 Json(i::Me);
    /// Work in another tenant.
    ChooseTenant: Post "/me/tenant", Identity, VIEWER, Nothing, Json(i::ChooseTenant) => 200 Json(i::Me);
    /// Tenants of the installation.
    ListTenants: Get "/tenants", Identity, OPERATOR, PageQuery, Empty(Nothing) => 200 Json(Page<i::TenantInfo>);
    /// Make a tenant.
    CreateTenant: Post "/tenants", Identity, OPERATOR, Nothing, Json(i::NewTenant) => 201 Json(i::TenantInfo);
    /// People of the tenant.
    ListPeople: Get "/people", Identity, VIEWER, PageQuery, Empty(Nothing) => 200 Json(Page<i::Person>);
    /// Add a person.
    InvitePerson: Post "/people", Identity, ADMIN, Nothing, Json(i::InvitePerson) => 201 Json(i::Invited);
    /// What accounts are in the tenant, and from whose hands they came.
    GetStandings: Post "/people/standings", Identity, SERVICE, Nothing, Json(i::StandingQuery) => 200 Json(i::Standings);
    /// Make a new sign-in link for a person who was invited by one; one that waits is void.
    CreateSignInLink: Post "/people/{user_id}/link", Identity, ADMIN, Nothing, Empty(Nothing) => 201 Json(i::Invited);
    /// Change a person's role.
    ChangePerson: Patch "/people/{user_id}", Identity, ADMIN, Nothing, Json(i::ChangePerson) => 200 Json(i::Person);
    /// Remove a person from the tenant and end their sign-ins.
    RemovePerson: Delete "/people/{user_id}", Identity, ADMIN, Nothing, Empty(Nothing) => 204 Empty(Nothing);
}

/// Query with which an identity provider sends people back.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OidcQuery {
    /// The code.
    pub code: Option<String>,
    /// What we sent.
    pub state: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
    /// The same for people.
    pub error_description: Option<String>,
    /// Who issued it (RFC 9207).
    pub iss: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_and_every_route_is_there_once_and_somebody_may_call_it() {
        let mut seen = std::collections::BTreeSet::new();
        for endpoint in ENDPOINTS {
            assert!(seen.insert(endpoint.id), "{} twice", endpoint.id);
            let route = format!("{} {}", endpoint.method.as_str(), endpoint.path);
            assert!(seen.insert(Box::leak(route.into_boxed_str())), "{} again", endpoint.path);
            assert_ne!(endpoint.access, Access::NOBODY, "{}", endpoint.id);
        }
    }
}
