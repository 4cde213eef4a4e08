//! Every endpoint of the table, tried with credentials that must not open it.

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::agent::RevokeAgent as Revocation;
use lanyard_governance_api::audit::AuditQuery;
use lanyard_governance_api::endpoint::{
    AgentScope, Body, ChooseTenant, CreateEnrolmentToken, CreateSignInLink, CreateTenant, ENDPOINTS,
    Endpoint, GetMe, InvitePerson, Logout, RevokeAgent, SearchAudit,
};
use lanyard_governance_api::enrolment::NewEnrolmentToken;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::people::{ChooseTenant as Choice, InvitePerson as Invitation, NewTenant, Role};
use lanyard_tests::central::{Admin, Installation, Records, TestAgent, World, until};

/// Calls an endpoint about a world's things with a credential.
async fn call(world: &World, endpoint: &Endpoint, token: Option<&str>) -> Result<(u16, String)> {
    let mut url = url::Url::parse(&format!("{}{}", world.admin.base, world.path(endpoint.path)))?;
    for (name, value) in world.query(endpoint.id) {
        url.query_pairs_mut().append_pair(name, &value);
    }
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let method = reqwest::Method::from_bytes(endpoint.method.as_str().as_bytes())?;
    let mut request = http.request(method, url);
    match endpoint.request {
        Body::Json => request = request.json(&world.body(endpoint.id)?),
        Body::Bytes => request = request.header("content-type", "application/octet-stream").body("x"),
        _ => {}
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.with_context(|| endpoint.id)?;
    let status = answer.status().as_u16();
    // A stream that was opened has no end; that it was opened is seen by its status.
    let text = if status == 200 && endpoint.response == Body::Events {
        String::new()
    } else {
        answer.text().await?
    };
    Ok((status, text))
}

/// Two tenants, each with an administrator and a world of its own.
async fn two(central: &Installation) -> Result<(World, World)> {
    let operator = central.operator().await?;
    let here = World::of(administrator(&operator).await?).await?;
    let tenant = NewTenant { tenant_id: None, name: "Somebody else".to_owned() };
    let tenant = operator.post::<CreateTenant>(&[], &tenant).await?.tenant_id;
    operator.post::<ChooseTenant>(&[], &Choice { tenant_id: tenant }).await?;
    Ok((here, World::of(administrator(&operator).await?).await?))
}

/// An administrator of the tenant that `operator` works in, and of no other.
async fn administrator(operator: &Admin) -> Result<Admin> {
    let invitation = Invitation { name: "Ada".to_owned(), email: None, role: Role::Admin };
    let link = operator.post::<InvitePerson>(&[], &invitation).await?.link_token;
    Admin::by_link(&operator.base, &link.context("no link")?).await
}

fn guarded() -> impl Iterator<Item = &'static Endpoint> {
    ENDPOINTS.iter().filter(|endpoint| !endpoint.access.public)
}

async fn wrong_credentials(records: Records) -> Result<()> {
    let central = Installation::start(records).await?;
    let world = World::of(central.operator().await?).await?;
    let gone = TestAgent::of(&world.admin, "stolen").await?;
    world
        .admin
        .post::<RevokeAgent>(&[gone.id().as_str()], &Revocation { reason: "stolen".to_owned() })
        .await?;
    let heartbeat = world.host.identity.service_token.as_str();
    for endpoint in guarded() {
        let id = endpoint.id;
        let (status, said) = call(&world, endpoint, None).await?;
        ensure!(status == 401, "{id} without a credential: {status} {said}");
        let (status, said) = call(&world, endpoint, Some("lps_nobodyhasthis")).await?;
        ensure!(status == 401, "{id} with an unknown credential: {status} {said}");
        for revoked in [gone.agent.token.as_deref(), gone.beating.token.as_deref()] {
            let (status, said) = call(&world, endpoint, revoked).await?;
            ensure!(status == 403 && said.contains("AGENT_REVOKED"), "{id} revoked: {status} {said}");
        }
        if endpoint.access.agent != Some(AgentScope::Heartbeat) {
            let (status, said) = call(&world, endpoint, Some(heartbeat)).await?;
            ensure!(status == 403, "{id} with a heartbeat credential: {status} {said}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn no_unknown_revoked_or_heartbeat_credential_opens_anything() -> Result<()> {
    wrong_credentials(Records::Sqlite).await
}

#[tokio::test]
async fn nor_on_postgresql() -> Result<()> {
    wrong_credentials(Records::Postgres).await
}

/// Who may call what, written down apart from the table: the least role of people, whether hosts may, and the operator.
/// What stands nowhere here is for services only.
const VIEWERS: &[&str] = &[
    "ListSessions",
    "GetSession",
    "ListTasks",
    "ListEvents",
    "StreamEvents",
    "CurrentPolicy",
    "ListPolicies",
    "GetPolicyVersion",
    "ValidatePolicy",
    "DryRunPolicy",
    "ListCentralApprovals",
    "GetApproval",
    "ListWorkspaces",
    "GetWorkspace",
    "ListArtifacts",
    "GetArtifactContent",
    "ListWorkspaceSessions",
    "GetSessionHistory",
    "SearchAudit",
    "VerifyAudit",
    "GetRetention",
    "GetTelemetrySummary",
    "ListTools",
    "ListAgents",
    "GetAgent",
    "ListPairings",
    "ListJobs",
    "GetJob",
    "Logout",
    "GetMe",
    "ChooseTenant",
    "ListPeople",
];
const APPROVERS: &[&str] =
    &["CancelSession", "ProposeDecision", "DecidePairing", "RevokeDevice", "CancelJob"];
const ADMINS: &[&str] = &[
    "RenameSession",
    "CreatePolicy",
    "ActivatePolicy",
    "RevokePolicy",
    "DeleteWorkspace",
    "DeleteArtifact",
    "DeleteSessionHistory",
    "ExportAudit",
    "SetRetention",
    "PutTool",
    "DeleteTool",
    "CreateEnrolmentToken",
    "ListEnrolmentTokens",
    "RevokeEnrolmentToken",
    "RevokeAgent",
    "ClearCloneMark",
    "CreateJob",
    "InvitePerson",
    "CreateSignInLink",
    "ChangePerson",
    "RemovePerson",
];
const OPERATORS: &[&str] = &["ListTenants", "CreateTenant"];
const HOSTS: &[&str] = &[
    "CreateSession",
    "GetSession",
    "ResumeSession",
    "CancelSession",
    "RenameSession",
    "ReportState",
    "CreateTask",
    "ListTasks",
    "CompleteTask",
    "AppendEvents",
    "ListEvents",
    "ReportApproval",
    "ListCentralApprovals",
    "GetApproval",
    "GetWorkspace",
    "PutArtifact",
    "ListArtifacts",
    "GetArtifactContent",
    "ListWorkspaceSessions",
    "GetSessionHistory",
    "DeleteSessionHistory",
    "PostAudit",
    "GetChainHead",
    "PostTelemetry",
    "PostTraces",
    "ListTools",
    "InvokeTool",
    "SettleTool",
    "SendHeartbeat",
    "GetAgent",
    "RevokeAgent",
    "PollCommands",
    "StreamCommands",
    "AcknowledgeCommands",
    "PutPairings",
    "GetJob",
    "ReportJob",
];

/// Where nobody is let in who is not written down above; what those who are get is tested where it is served. Nobody's call
/// changes anything.
#[tokio::test]
async fn nobody_calls_what_is_not_for_them() -> Result<()> {
    let central = Installation::start(Records::Sqlite).await?;
    let operator = central.operator().await?;
    let world = World::of(administrator(&operator).await?).await?;
    let somebody = async |role| {
        let invitation = Invitation { name: "Somebody".to_owned(), email: None, role };
        let link = world.admin.post::<InvitePerson>(&[], &invitation).await?.link_token;
        Admin::by_link(&operator.base, &link.context("no link")?).await
    };
    let (viewer, approver) = (somebody(Role::Viewer).await?, somebody(Role::Approver).await?);
    let known: Vec<&str> =
        [VIEWERS, APPROVERS, ADMINS, OPERATORS, HOSTS].into_iter().flatten().copied().collect();
    for id in &known {
        ensure!(guarded().any(|endpoint| endpoint.id == *id), "{id} is not in the table any more");
    }
    let callers: [(&str, &Admin, &[&[&str]]); 5] = [
        ("a viewer", &viewer, &[VIEWERS]),
        ("an approver", &approver, &[VIEWERS, APPROVERS]),
        ("an administrator", &world.admin, &[VIEWERS, APPROVERS, ADMINS]),
        ("the operator", &operator, &[VIEWERS, APPROVERS, ADMINS, OPERATORS]),
        ("a host", &world.host.agent, &[HOSTS]),
    ];
    for (who, caller, may) in callers {
        for endpoint in guarded() {
            let allowed = may.iter().any(|some| some.contains(&endpoint.id));
            let access = endpoint.access;
            let person = |role| access.person.is_some_and(|least| least <= role);
            let in_table = match who {
                "a viewer" => person(Role::Viewer),
                "an approver" => person(Role::Approver),
                "an administrator" => person(Role::Admin),
                "the operator" => person(Role::Admin) || access.operator,
                _ => access.agent.is_some(),
            };
            ensure!(in_table == allowed, "{}: the table lets {who} in: {in_table}", endpoint.id);
            if allowed {
                continue;
            }
            let (status, said) = call(&world, endpoint, caller.token.as_deref()).await?;
            ensure!(status == 403, "{} by {who}: {status} {said}", endpoint.id);
        }
    }
    // Refused, and told whoever looks at the trail.
    let refused = |who: String| {
        let (admin, who) = (&world.admin, who);
        until("a refused credential on record", move || {
            let who = who.clone();
            async move {
                let kind = Some("credential_refused".to_owned());
                let query = AuditQuery { event_type: kind, ..AuditQuery::default() };
                let page = admin.call::<SearchAudit>(&[], &query, &Nothing {}).await?;
                Ok(page.items.into_iter().find(|record| {
                    record.event.user_id == who || record.event.payload.0["agentId"] == who.as_str()
                }))
            }
        })
    };
    let me = viewer.get::<GetMe>(&[]).await?.user_id;
    for who in [me.to_string(), world.host.id().to_string()] {
        let record = refused(who.clone()).await?;
        ensure!(record.event.payload.0["endpoint"].is_string(), "{record:?}");
    }
    Ok(())
}

/// Things of `there`, asked for with `here`'s credentials.
async fn foreign(here: &World, there: &World) -> Result<()> {
    let own: Vec<&str> =
        vec![here.admin.token.as_deref(), here.host.agent.token.as_deref()].into_iter().flatten().collect();
    let names: Vec<String> = there
        .ids
        .iter()
        .filter(|(name, _)| {
            !matches!(**name, "version" | "task_id" | "tool_name" | "pairing_id" | "device_id")
        })
        .map(|(_, id)| id.clone())
        .collect();
    // What is read first: what is written afterwards may name the other's things, and be shown to its writer.
    let mut order: Vec<&Endpoint> = guarded().filter(|e| !e.access.operator && e.id != "Logout").collect();
    order.sort_by_key(|endpoint| endpoint.method.as_str() != "GET");
    for endpoint in order {
        for token in &own {
            let (status, said) = call(there, endpoint, Some(token)).await?;
            let about_one = endpoint.path.contains("_id}");
            if about_one {
                ensure!(
                    matches!(status, 400 | 403 | 404 | 409),
                    "{} of another tenant: {status} {said}",
                    endpoint.id
                );
            }
            ensure!(status < 500, "{}: {status} {said}", endpoint.id);
            if endpoint.method.as_str() == "GET" {
                let leaked = names.iter().find(|name| status == 200 && said.contains(name.as_str()));
                ensure!(leaked.is_none(), "{} told {leaked:?} of another tenant", endpoint.id);
            }
        }
    }
    Ok(())
}

async fn tenants_apart(records: Records) -> Result<()> {
    let central = Installation::start(records).await?;
    let (here, there) = two(&central).await?;
    foreign(&here, &there).await?;
    foreign(&there, &here).await?;
    // Whatever was tried, each still has what it had.
    for world in [&here, &there] {
        for endpoint in ENDPOINTS.iter().filter(|e| e.method.as_str() == "GET" && e.access.person.is_some()) {
            if !endpoint.path.contains("_id}") || endpoint.path.contains("history") {
                continue;
            }
            let token = world.admin.token.as_deref();
            let (status, said) = call(world, endpoint, token).await?;
            ensure!(status == 200, "{} of one's own tenant: {status} {said}", endpoint.id);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_tenant_reaches_nothing_of_another() -> Result<()> {
    tenants_apart(Records::Sqlite).await
}

#[tokio::test]
async fn nor_does_it_on_postgresql() -> Result<()> {
    tenants_apart(Records::Postgres).await
}

/// Whoever came by link comes back by another, once the sign-in has ended.
#[tokio::test]
async fn another_link_lets_the_same_person_in_again() -> Result<()> {
    let central = Installation::start(Records::Sqlite).await?;
    let operator = central.operator().await?;
    let invitation = Invitation { name: "Vera".to_owned(), email: None, role: Role::Approver };
    let invited = operator.post::<InvitePerson>(&[], &invitation).await?;
    let first = invited.link_token.context("no link")?;
    let vera = Admin::by_link(&operator.base, &first).await?;
    vera.call::<Logout>(&[], &Nothing {}, &Nothing {}).await?;
    ensure!(vera.get::<GetMe>(&[]).await.is_err(), "signed out");
    ensure!(Admin::by_link(&operator.base, &first).await.is_err(), "a link opens once");
    let id = invited.person.user_id;
    let another = operator.call::<CreateSignInLink>(&[id.as_str()], &Nothing {}, &Nothing {}).await?;
    let vera = Admin::by_link(&operator.base, &another.link_token.context("no link")?).await?;
    let me = vera.get::<GetMe>(&[]).await?;
    ensure!(me.user_id == id && me.role == Role::Approver, "{me:?}");
    Ok(())
}

#[tokio::test]
async fn an_expired_credential_is_nobodys() -> Result<()> {
    let mut central = Installation::prepare(Records::Sqlite)?;
    central.add().await?;
    let world = World::of(central.operator().await?).await?;
    central.kill(0).await?;
    // A day later: the access token has run out, the service token and the sign-in have not.
    central.flag(&["--clock-offset-seconds", "86000"]);
    central.revive(0).await?;
    for endpoint in guarded().filter(|endpoint| endpoint.access.agent == Some(AgentScope::Agent)) {
        let (status, said) = call(&world, endpoint, world.host.agent.token.as_deref()).await?;
        ensure!(status == 401, "{} with an expired credential: {status} {said}", endpoint.id);
    }
    Ok(())
}

#[tokio::test]
async fn hosts_reach_only_themselves_within_a_tenant() -> Result<()> {
    let central = Installation::start(Records::Sqlite).await?;
    let world = World::of(central.operator().await?).await?;
    // Hosts of one person share workspaces; this one is somebody else's.
    let user = world.ids["user_id"].parse()?;
    let wanted = NewEnrolmentToken {
        user_id: Some(user),
        class: "laptop".to_owned(),
        note: None,
        expires_in_seconds: None,
        max_uses: None,
    };
    let token = world.admin.post::<CreateEnrolmentToken>(&[], &wanted).await?.token;
    let neighbour = TestAgent::enrol(&central.url(0), &token, "neighbour").await?;
    let as_agent = |e: &&Endpoint| e.access.agent.is_some() && e.path.contains("_id}");
    for endpoint in guarded().filter(as_agent) {
        let (status, said) = call(&world, endpoint, neighbour.agent.token.as_deref()).await?;
        ensure!(
            matches!(status, 400 | 403 | 404 | 409),
            "{} of another host of the same tenant: {status} {said}",
            endpoint.id
        );
    }
    Admin::with(&central.url(0), None)?;
    Ok(())
}
