//! The services in two processes that know each other by address: to whoever calls, it is one installation.

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use lanyard_governance_api::approval::{DecisionRequest, ProposalOutcome};
use lanyard_governance_api::audit::VerifyQuery;
use lanyard_governance_api::endpoint::{
    CreateJob, CreateSession, GetJob, GetMe, ProposeDecision, Service, VerifyAudit,
};
use lanyard_governance_api::job::{JobState, NewJob};
use lanyard_governance_api::page::Nothing;
use lanyard_protocol::approval::Decision;
use lanyard_protocol::session::TaskOptions;
use lanyard_protocol::{ErrorCode, Json};
use lanyard_tests::central::newcomers::refusal;
use lanyard_tests::central::team::{Team, document, enrol, working_host};
use lanyard_tests::central::{
    Admin, Front, Installation, Records, TestAgent, World, nonce, session_request, until,
};
use lanyard_tests::gateway::{Script, ScriptedGateway, call, say};
use lanyard_tests::port::Port;
use serde_json::json;

/// What the first process runs; the second runs the rest.
const FIRST: &[Service] = &[Service::Identity, Service::Enrolment, Service::Policy, Service::Audit];

fn names(services: &[Service]) -> String {
    services.iter().map(|service| service.as_str()).collect::<Vec<_>>().join(",")
}

fn peers(services: &[Service], at: SocketAddr) -> String {
    services.iter().map(|service| format!("{}=http://{at}", service.as_str())).collect::<Vec<_>>().join(",")
}

/// Both processes, and what stands before them. The first can be revived, the second not.
async fn apart(gateway: &ScriptedGateway) -> Result<(Installation, Front)> {
    let second: Vec<Service> = Service::ALL.iter().filter(|s| !FIRST.contains(s)).copied().collect();
    let [one, other] = [Port::reserve()?, Port::reserve()?];
    let (here, there) = (one.address(), other.address());
    let mut central = Installation::prepare(Records::Postgres)?;
    central.flag(&["--llm-endpoint", &gateway.url(), "--llm-model", "scripted"]);
    let (first, rest) = ((FIRST, here), (second.as_slice(), there));
    for (port, (own, _), (others, elsewhere)) in [(one, first, rest), (other, rest, first)] {
        central.set("LANYARD_CENTRAL_SERVICES", &names(own));
        central.set("LANYARD_CENTRAL_PEERS", &peers(others, elsewhere));
        central.add_at(port).await?;
    }
    central.set("LANYARD_CENTRAL_SERVICES", &names(FIRST));
    central.set("LANYARD_CENTRAL_PEERS", &peers(&second, there));
    let mut ways: HashMap<Service, SocketAddr> = FIRST.iter().map(|service| (*service, here)).collect();
    ways.extend(second.iter().map(|service| (*service, there)));
    Ok((central, Front::before(ways).await?))
}

#[tokio::test]
async fn services_in_two_processes_are_one_installation() -> Result<()> {
    let script = Script::by(|request| match request.tool_results().len() {
        0 => call("RunCommand", json!({"argv": ["touch", "made"]})),
        _ => say("done"),
    });
    let gateway = ScriptedGateway::start(script);
    let (central, front) = apart(&gateway).await?;
    let link = central.sign_in_link().await?;
    let admin = Admin::by_link(&front.url(), &link).await?;
    // Neither answers for the other's services.
    for replica in 0..2 {
        let alone = Admin::with(&central.url(replica), admin.token.as_deref())?;
        ensure!(alone.get::<GetMe>(&[]).await.is_ok() == (replica == 0), "process {replica}");
    }
    World::of(admin.clone()).await?;

    // A real host: a session whose policy comes from one process and whose grant comes from the other.
    let host = working_host().await?;
    let agent = enrol(&host, &admin, &front.url()).await?;
    let team = Team { central, gateway, host, admin, agent };
    let grants = json!([{"name": "LLM.Call", "requiresApproval": false},
        {"name": "File.Read", "allowedPaths": ["${workspace}"], "requiresApproval": false},
        {"name": "Shell.Exec", "requiresApproval": true, "approvalRuleId": "ask"}]);
    team.put_in_force(&document(grants)).await?;
    let (mut peer, session) = team.session().await?;
    peer.start(&session, "go", TaskOptions::default()).await?;
    let question = peer.question().await?;
    team.waiting(&session).await?;
    let id = question.approval_id.as_str();
    let decision = DecisionRequest { decision: Decision::Approved, reason: None };
    team.admin.post::<ProposeDecision>(&[id], &decision).await?;
    peer.until_task_ends().await?;
    ensure!(team.host.workspace().join("made").exists());
    let settled = team.answered(&question.approval_id).await?;
    ensure!(settled.proposals[0].outcome == ProposalOutcome::Accepted, "{settled:?}");

    std::fs::write(team.host.workspace().join("notes.txt"), "found from afar\n")?;
    let new = NewJob {
        agent_id: team.agent.clone(),
        tool_name: "ReadFile".to_owned(),
        arguments: Json(json!({"path": "notes.txt"})),
        workspace: team.host.workspace().canonicalize()?.display().to_string(),
        title: "A look from afar".to_owned(),
        idempotency_key: format!("key_{}", nonce()).parse()?,
        expires_in_seconds: None,
    };
    let job = team.admin.post::<CreateJob>(&[], &new).await?;
    let job = until("the job ends", || async {
        let job = team.admin.get::<GetJob>(&[job.job_id.as_str()]).await?;
        Ok(job.state.is_final().then_some(job))
    })
    .await?;
    ensure!(job.state == JobState::Succeeded, "{job:?}");
    team.everything_sent().await?;
    let proof = team.admin.call::<VerifyAudit>(&[], &VerifyQuery::default(), &Nothing {}).await?;
    ensure!(proof.whole && proof.chains.len() > 1, "{proof:?}");
    Ok(())
}

#[tokio::test]
async fn a_process_that_is_away_is_told_as_that_and_comes_back() -> Result<()> {
    let gateway = ScriptedGateway::start(Script::by(|_| say("done")));
    let (mut central, front) = apart(&gateway).await?;
    let link = central.sign_in_link().await?;
    let admin = Admin::by_link(&front.url(), &link).await?;
    let agent = TestAgent::of(&admin, "workshop").await?;
    // Sessions are there, and the policy they need is not.
    central.kill(0).await?;
    let there = Admin::with(&central.url(1), agent.agent.token.as_deref())?;
    let wanted = session_request("/srv/project");
    let said = refusal(there.post::<CreateSession>(&[], &wanted).await)?;
    ensure!(said.status == 503 && said.error.code == ErrorCode::CentralUnavailable, "{said}");
    ensure!(said.error.retryable, "{said:?}");
    central.revive(0).await?;
    let grant = agent.agent.post::<CreateSession>(&[], &wanted).await?;
    ensure!(
        grant.policy_bundle.is_some() && wanted.session_id.as_ref() == Some(&grant.session_id),
        "{grant:?}"
    );
    Ok(())
}
