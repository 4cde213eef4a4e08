//! Central is away: what goes on, what stands still and says why, and what a host holds back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lanyard_governance_api::audit::VerifyQuery;
use lanyard_governance_api::endpoint::VerifyAudit;
use lanyard_governance_api::page::Nothing;
use lanyard_protocol::ErrorCode;
use lanyard_protocol::event::EventBody;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::limits::MAX_AUDIT_BACKLOG;
use lanyard_protocol::method::ResumeSession;
use lanyard_protocol::session::TaskOptions;
use lanyard_protocol::tool::ToolStatus;
use lanyard_tests::central::pile::pile_up;
use lanyard_tests::central::team::{Team, document};
use lanyard_tests::central::{Installation, Records, until};
use lanyard_tests::gateway::{Script, Turn, call, say};
use lanyard_tests::host::Connection;
use lanyard_tests::look;
use serde_json::{Value, json};

/// Files to be read: a task of about twenty seconds, below the steps that one may take.
const MANY: usize = 45;

/// A policy with which a host goes on for so long, or pauses at once.
fn policy(grace: u64, when_away: &str) -> Value {
    let mut document = document(json!([
        {"name": "LLM.Call", "requiresApproval": false},
        {"name": "File.Read", "allowedPaths": ["${workspace}"], "requiresApproval": false},
        {"name": "Shell.Exec", "allowedCommands": ["touch"], "requiresApproval": false},
    ]));
    document["offlineGraceSeconds"] = json!(grace);
    document["whenAway"] = json!(when_away);
    document
}

/// Reads so many files, with a pause before each.
fn reader(times: usize) -> Script {
    Script::by(move |request| match request.tool_results().len() {
        done if done < times => Turn::stream()
            .pause(Duration::from_millis(400))
            .call("ReadFile", &json!({"path": format!("notes-{done}.txt")}))
            .finish("tool_calls")
            .usage(10, 5)
            .done(),
        _ => say("done"),
    })
}

async fn team(script: Script, policy: &Value) -> Result<Team> {
    let team = Team::start(Installation::prepare(Records::Sqlite)?, script).await?;
    team.put_in_force(policy).await?;
    std::fs::write(team.host.workspace().join("notes.txt"), "notes\n")?;
    for number in 0..MANY {
        std::fs::write(team.host.workspace().join(format!("notes-{number}.txt")), format!("{number}\n"))?;
    }
    Ok(team)
}

/// Nothing is missing once the centre is back.
async fn arrived(team: &Team, peer: &mut Connection, session: &SessionId) -> Result<()> {
    team.everything_sent().await?;
    let here = lanyard_tests::stage::history(peer, session).await?;
    let finished = look::completed(&here).len();
    let records = team.audited(Some(session)).await?;
    let there = records.iter().filter(|record| record.event.event_type == "tool_completed").count();
    ensure!(there == finished, "{finished} calls here, {there} on record at the centre");
    let proof = team.admin.call::<VerifyAudit>(&[], &VerifyQuery::default(), &Nothing {}).await?;
    ensure!(proof.whole, "{proof:?}");
    Ok(())
}

async fn first_result(peer: &mut Connection) -> Result<()> {
    peer.events_until(|body| matches!(body, EventBody::ToolCompleted(_))).await.map(drop)
}

/// The reason with which the session pauses.
async fn pause(peer: &mut Connection) -> Result<String> {
    let events =
        peer.events_until(|body| matches!(body, EventBody::SessionPaused(_)) || body.ends_task()).await?;
    match events.last().map(|event| &event.body) {
        Some(EventBody::SessionPaused(paused)) => Ok(paused.reason.clone()),
        other => anyhow::bail!("it did not pause: {other:?}"),
    }
}

async fn resume(peer: &mut Connection, session: &SessionId) -> Result<()> {
    let last = peer.last_seq(session).await?;
    peer.call(ResumeSession { session_id: session.clone(), checkpoint_cursor: Some(last) }).await?;
    Ok(())
}

#[tokio::test]
async fn a_task_goes_on_within_the_grace_and_everything_arrives_later() -> Result<()> {
    let mut team = team(reader(20), &policy(600, "continue")).await?;
    let (mut peer, session) = team.session().await?;
    peer.start(&session, "go", TaskOptions::default()).await?;
    first_result(&mut peer).await?;
    team.central.kill(0).await?;
    let events = peer.until_task_ends().await?;
    ensure!(matches!(events.last().map(|e| &e.body), Some(EventBody::TaskCompleted(_))), "{events:?}");
    ensure!(team.status().await?.waiting.audit_records > 0, "nothing waits");
    // A new session has no policy yet, and none can be had.
    let fresh = peer.session(&team.host.workspace()).await;
    let error = fresh.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(error.contains("a new session needs their policy"), "{error}");
    team.central.revive(0).await?;
    arrived(&team, &mut peer, &session).await
}

/// The task pauses with a reason, and goes on where it stood once the centre is back and somebody says so.
async fn pauses(grace: u64, when_away: &str) -> Result<()> {
    let mut team = team(reader(MANY), &policy(grace, when_away)).await?;
    let (mut peer, session) = team.session().await?;
    peer.start(&session, "go", TaskOptions::default()).await?;
    first_result(&mut peer).await?;
    team.central.kill(0).await?;
    let reason = pause(&mut peer).await?;
    ensure!(reason.contains("out of reach") && reason.contains("resume the session"), "{reason}");
    team.central.revive(0).await?;
    until("the centre is reached again", || async {
        Ok(team.status().await?.enrolment.context("enrolled")?.link.reached.then_some(()))
    })
    .await?;
    let mut peer = team.host.connect().await?;
    resume(&mut peer, &session).await?;
    let events = peer.until_task_ends().await?;
    ensure!(matches!(events.last().map(|e| &e.body), Some(EventBody::TaskCompleted(_))), "{events:?}");
    arrived(&team, &mut peer, &session).await
}

#[tokio::test]
async fn when_the_grace_is_over_the_session_pauses_and_says_why() -> Result<()> {
    pauses(9, "continue").await
}

#[tokio::test]
async fn where_the_tenant_wants_it_the_session_pauses_at_once() -> Result<()> {
    pauses(600, "pause").await
}

#[tokio::test]
async fn a_host_that_restarts_meanwhile_goes_on_by_what_it_has_kept() -> Result<()> {
    let mut team = team(reader(3), &policy(600, "continue")).await?;
    let (mut peer, session) = team.session().await?;
    peer.start(&session, "go", TaskOptions::default()).await?;
    peer.until_task_ends().await?;
    team.everything_sent().await?;
    team.central.kill(0).await?;
    team.host.kill().await?;
    team.host.boot().await?;
    let mut peer = team.host.connect().await?;
    resume(&mut peer, &session).await?;
    peer.start(&session, "once more", TaskOptions::default()).await?;
    let events = peer.until_task_ends().await?;
    ensure!(matches!(events.last().map(|e| &e.body), Some(EventBody::TaskCompleted(_))), "{events:?}");
    team.central.revive(0).await?;
    arrived(&team, &mut peer, &session).await
}

#[tokio::test]
async fn a_host_that_restarts_meanwhile_stands_still_where_the_tenant_wants_it() -> Result<()> {
    let mut team = team(reader(1), &policy(600, "pause")).await?;
    let (_, session) = team.session().await?;
    team.everything_sent().await?;
    team.central.kill(0).await?;
    team.host.kill().await?;
    team.host.boot().await?;
    let mut peer = team.host.connect().await?;
    let refused = async {
        resume(&mut peer, &session).await?;
        peer.start(&session, "go", TaskOptions::default()).await?;
        pause(&mut peer).await
    };
    let said = match refused.await {
        Ok(reason) => reason,
        Err(error) => format!("{error:#}"),
    };
    ensure!(said.contains("the central services are not reached"), "{said}");
    ensure!(said.contains("the tenant's policy is that sessions stand still"), "{said}");
    Ok(())
}

#[tokio::test]
async fn with_too_much_unsent_only_reading_is_allowed() -> Result<()> {
    let script = Script::by(|request| match request.tool_results().len() % 3 {
        0 if request.messages().last().is_some_and(|m| m["role"] != "tool") => {
            call("ReadFile", json!({"path": "notes.txt"}))
        }
        1 => call("RunCommand", json!({"argv": ["touch", "made"]})),
        2 => call("ReadFile", json!({"path": "notes.txt"})),
        _ => say("done"),
    });
    let mut team = team(script, &policy(600, "continue")).await?;
    let (_peer, session) = team.session().await?;
    team.everything_sent().await?;
    team.central.kill(0).await?;
    team.host.kill().await?;
    pile_up(&team.host, MAX_AUDIT_BACKLOG).await?;
    team.host.boot().await?;
    let mut peer = team.host.connect().await?;
    resume(&mut peer, &session).await?;
    peer.start(&session, "go", TaskOptions::default()).await?;
    let events = peer.until_task_ends().await?;
    let outcomes = look::outcomes(&events);
    ensure!(
        outcomes.iter().map(|(tool, status, _)| (*tool, *status)).collect::<Vec<_>>()
            == [
                ("ReadFile", ToolStatus::Succeeded),
                ("RunCommand", ToolStatus::Denied),
                ("ReadFile", ToolStatus::Succeeded)
            ],
        "{outcomes:?}"
    );
    let refusal = look::completed(&events)[1].result.error.clone().context("no reason")?;
    ensure!(refusal.code == ErrorCode::CentralUnavailable, "{refusal:?}");
    ensure!(
        refusal.message.contains("only reading is allowed")
            && refusal.message.contains("lanyard sync status"),
        "{refusal:?}"
    );
    ensure!(!team.host.workspace().join("made").exists());
    let said: lanyard_tests::newcomer::Ended =
        team.host.command().args(["sync", "status"]).output().await?.into();
    let said = said.ok()?;
    ensure!(said.contains("only reading is allowed"), "{said}");
    // Once it has gone, everything is as before.
    team.central.revive(0).await?;
    team.everything_sent().await?;
    peer.start(&session, "go", lanyard_tests::stage::unasked()).await?;
    peer.until_task_ends().await?;
    ensure!(team.host.workspace().join("made").exists());
    Ok(())
}
