//! The whole way with real processes: enrol, a session under central policy, an approval given at the centre, history and
//! audit there, jobs, a revocation while a task runs.

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::approval::{DecisionRequest, ProposalOutcome};
use lanyard_governance_api::audit::VerifyQuery;
use lanyard_governance_api::endpoint::{
    CreateJob, GetJob, GetSessionHistory, ListEvents, ProposeDecision, RevokePolicy, VerifyAudit,
};
use lanyard_governance_api::job::{Job, JobState, NewJob};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::policy::RevokeRequest;
use lanyard_protocol::approval::Decision;
use lanyard_protocol::event::EventBody;
use lanyard_protocol::session::{SessionState, TaskOptions};
use lanyard_protocol::tool::ToolStatus;
use lanyard_protocol::{ErrorCode, Json};
use lanyard_tests::central::team::{Team, document};
use lanyard_tests::central::{Installation, Records, nonce, until};
use lanyard_tests::gateway::{Script, call, say};
use lanyard_tests::look;
use serde_json::{Value, json};

/// Reads are free, commands ask, files are written in one directory only.
fn strict() -> Value {
    document(json!([
        {"name": "LLM.Call", "requiresApproval": false},
        {"name": "Workspace.Upload", "requiresApproval": false},
        {"name": "File.Read", "allowedPaths": ["${workspace}"], "requiresApproval": false},
        {"name": "File.Write", "allowedPaths": ["${workspace}/allowed"], "requiresApproval": false},
        {"name": "Shell.Exec", "requiresApproval": true, "approvalRuleId": "ask"},
    ]))
}

/// First a file, then a command, then the end; the number of results so far says where it stands.
fn errand(command: &'static [&'static str]) -> Script {
    Script::by(move |request| {
        let results = request.messages().iter().filter(|message| message["role"] == "tool").count();
        match results {
            0 => call("WriteFile", json!({"path": "a", "content": "new\n"})),
            1 => call("RunCommand", json!({"argv": command})),
            _ => say("done"),
        }
    })
}

async fn job(team: &Team, tool: &str, arguments: Value) -> Result<Job> {
    let new = NewJob {
        agent_id: team.agent.clone(),
        tool_name: tool.to_owned(),
        arguments: Json(arguments),
        workspace: team.host.workspace().canonicalize()?.display().to_string(),
        title: "A look from afar".to_owned(),
        idempotency_key: format!("key_{}", nonce()).parse()?,
        expires_in_seconds: None,
    };
    let job = team.admin.post::<CreateJob>(&[], &new).await?;
    until("the job ends", || async {
        let job = team.admin.get::<GetJob>(&[job.job_id.as_str()]).await?;
        Ok(job.state.is_final().then_some(job))
    })
    .await
}

async fn whole_way(records: Records) -> Result<()> {
    let team = Team::start(Installation::prepare(records)?, errand(&["touch", "made"])).await?;
    team.put_in_force(&strict()).await?;

    // A session under the policy of the centre, with the model of the centre.
    let (mut peer, session) = team.session().await?;
    peer.start(&session, "go", TaskOptions::default()).await?;
    let question = peer.question().await?;
    ensure!(question.layer == "central", "{question:?}");

    // The question is answered at the centre.
    let waiting = team.waiting(&session).await?;
    ensure!(waiting.answerable, "{waiting:?}");
    ensure!(waiting.record.request == question, "{:?} is not {question:?}", waiting.record.request);
    let decision = DecisionRequest { decision: Decision::Approved, reason: Some("looks right".to_owned()) };
    let id = question.approval_id.as_str();
    team.admin.post::<ProposeDecision>(&[id], &decision).await?;
    peer.until_task_ends().await?;
    let events = lanyard_tests::stage::history(&mut peer, &session).await?;
    ensure!(
        look::outcomes(&events)
            == [
                ("WriteFile", ToolStatus::Denied, Some(ErrorCode::CapabilityDenied)),
                ("RunCommand", ToolStatus::Succeeded, None)
            ],
        "{:?}",
        look::outcomes(&events)
    );
    ensure!(team.host.workspace().join("made").exists() && !team.host.workspace().join("a").exists());
    let settled = team.answered(&question.approval_id).await?;
    ensure!(settled.proposals[0].outcome == ProposalOutcome::Accepted, "{settled:?}");

    // History, timeline and audit have arrived.
    team.everything_sent().await?;
    let known = team.known(&session).await?;
    let workspace = known.workspace_id.clone();
    let history = until("the history is there", || async {
        Ok(Some(team.admin.get::<GetSessionHistory>(&[workspace.as_str(), session.as_str()]).await?))
    })
    .await?;
    ensure!(history.messages.iter().any(|message| message.content == "done"), "{history:?}");
    let timeline = team.admin.get::<ListEvents>(&[session.as_str()]).await?;
    let here = lanyard_tests::stage::history(&mut peer, &session).await?;
    ensure!(timeline.events == here, "the timeline at the centre is not the host's");
    let audit = team.audited(Some(&session)).await?;
    ensure!(audit.iter().any(|record| record.event.event_type == "tool_completed"), "{audit:#?}");
    let proof = team.admin.call::<VerifyAudit>(&[], &VerifyQuery::default(), &Nothing {}).await?;
    ensure!(proof.whole, "{proof:?}");

    // A job: refused by the machine's own policy, then one that it allows.
    let refused = job(&team, "ReadFile", json!({"path": "/etc/shadow"})).await?;
    ensure!(refused.state == JobState::Denied, "{refused:?}");
    std::fs::write(team.host.workspace().join("notes.txt"), "found from afar\n")?;
    let done = job(&team, "ReadFile", json!({"path": "notes.txt"})).await?;
    ensure!(done.state == JobState::Succeeded, "{done:?}");
    let output = done.result.and_then(|result| result.output_text).context("no output")?;
    ensure!(output.contains("found from afar"), "{output}");
    ensure!(done.session_id.is_some(), "no session shows the job");
    Ok(())
}

#[tokio::test]
async fn from_enrolment_to_a_job_on_postgresql() -> Result<()> {
    whole_way(Records::Postgres).await
}

#[tokio::test]
async fn from_enrolment_to_a_job_on_the_embedded_default() -> Result<()> {
    whole_way(Records::Sqlite).await
}

#[tokio::test]
async fn a_policy_revoked_while_a_command_runs_ends_it_and_the_session_says_why() -> Result<()> {
    let command = errand(&["sh", "-c", "touch running; sleep 300"]);
    let team = Team::start(Installation::prepare(Records::Postgres)?, command).await?;
    team.put_in_force(&strict()).await?;
    let (mut peer, session) = team.session().await?;
    peer.start(&session, "go", TaskOptions::default()).await?;
    let question = peer.question().await?;
    peer.approve(&question).await?;
    let running = team.host.workspace().join("running");
    lanyard_tests::stage::eventually("it runs", || running.exists()).await?;
    let revoke = RevokeRequest { reason: "a key was stolen".to_owned() };
    team.admin.post::<RevokePolicy>(&[], &revoke).await?;
    let events = peer.events_until(|body| matches!(body, EventBody::SessionPaused(_))).await?;
    let Some(EventBody::SessionPaused(paused)) = events.last().map(|event| &event.body) else {
        anyhow::bail!("{events:?}");
    };
    ensure!(paused.reason.contains("a key was stolen"), "{}", paused.reason);
    // Nothing new begins.
    let fresh = peer.session(&team.host.workspace()).await;
    let error = fresh.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(error.contains("a key was stolen"), "{error}");
    // The centre shows it.
    let known = until("the centre shows the pause", || async {
        let known = team.known(&session).await?;
        Ok((known.state == SessionState::SessionPaused).then_some(known))
    })
    .await?;
    ensure!(known.reason.is_some_and(|reason| reason.contains("a key was stolen")));
    Ok(())
}
