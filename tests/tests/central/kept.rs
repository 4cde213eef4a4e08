//! What stays on a machine: threads that the policy does not let it upload, what its rules name, and sessions that were
//! not made for this centre. And that both ends agree on how a session ended.

use anyhow::{Result, ensure};
use lanyard_governance_api::endpoint::{CancelSession, GetSession, GetSessionHistory, ListEvents};
use lanyard_governance_api::session::{CancelRequest, SessionInfo};
use lanyard_protocol::ErrorCode;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::method::{EndSession, GetCentral, GetSessionState};
use lanyard_protocol::session::{SessionState, TaskOptions};
use lanyard_tests::central::newcomers::refusal;
use lanyard_tests::central::team::{Team, document, enrol, token, working_host};
use lanyard_tests::central::{Installation, Records, until};
use lanyard_tests::gateway::{Script, ScriptedGateway, call, say};
use lanyard_tests::host::{Connection, TestHost};
use lanyard_tests::newcomer::Ended;
use lanyard_tests::stage::history;
use serde_json::{Value, json};

async fn types(host: &TestHost, words: &[&str]) -> Result<Ended> {
    Ok(host.command().args(words).output().await?.into())
}

async fn asks(peer: &mut Connection, session: &SessionId, prompt: &str) -> Result<()> {
    peer.start(session, prompt, TaskOptions::default()).await?;
    peer.until_task_ends().await.map(drop)
}

fn policy(upload: bool) -> Value {
    let mut grants = vec![json!({"name": "LLM.Call", "requiresApproval": false})];
    grants.extend(upload.then(|| json!({"name": "Workspace.Upload", "requiresApproval": false})));
    let mut document = document(Value::Array(grants));
    document["redactionRules"] =
        json!([{"name": "secrets", "pattern": "hush-[0-9]+", "replacement": "[secret removed]"}]);
    document
}

/// The thread of a session as the centre keeps it, as text.
async fn thread(team: &Team, session: &SessionInfo) -> Result<String> {
    let path = [session.workspace_id.as_str(), session.session_id.as_str()];
    Ok(serde_json::to_string(&team.admin.get::<GetSessionHistory>(&path).await?)?)
}

async fn kept(records: Records) -> Result<()> {
    let team = Team::start(Installation::prepare(records)?, Script::by(|_| say("it is hush-7"))).await?;
    team.put_in_force(&policy(false)).await?;
    let (mut peer, session) = team.session().await?;
    asks(&mut peer, &session, "what is hush-7?").await?;
    team.everything_sent().await?;
    // What happened can be followed; the thread is not there.
    let timeline = serde_json::to_string(&team.admin.get::<ListEvents>(&[session.as_str()]).await?)?;
    ensure!(
        timeline.contains("what is [secret removed]?") && timeline.contains("task_completed"),
        "{timeline}"
    );
    ensure!(!timeline.contains("hush-7"), "{timeline}");
    let known = team.known(&session).await?;
    let said = refusal(thread(&team, &known).await)?;
    ensure!(said.status == 404, "{said}");
    ensure!(!known.name.contains("hush-7") && known.name.contains("[secret removed]"), "{}", known.name);
    // Once it is granted, the whole thread comes with the next task.
    team.put_in_force(&policy(true)).await?;
    asks(&mut peer, &session, "and hush-8?").await?;
    team.everything_sent().await?;
    let thread = thread(&team, &known).await?;
    ensure!(
        thread.contains("what is [secret removed]?") && thread.contains("and [secret removed]?"),
        "{thread}"
    );
    ensure!(!thread.contains("hush-"), "{thread}");
    // Here everything is as it was said.
    let here = serde_json::to_string(&history(&mut peer, &session).await?)?;
    ensure!(here.contains("what is hush-7?") && here.contains("it is hush-7"), "{here}");
    Ok(())
}

#[tokio::test]
async fn a_policy_says_what_hosts_upload_and_what_is_left_out() -> Result<()> {
    kept(Records::Sqlite).await
}

#[tokio::test]
async fn it_does_on_postgresql_too() -> Result<()> {
    kept(Records::Postgres).await
}

#[tokio::test]
async fn sessions_from_before_an_enrolment_are_their_owners_to_share() -> Result<()> {
    let gateway = ScriptedGateway::start(Script::by(|_| say("done")));
    let mut central = Installation::prepare(Records::Sqlite)?;
    central.flag(&["--llm-endpoint", &gateway.url(), "--llm-model", "scripted"]);
    central.add().await?;
    let admin = central.operator().await?;
    let host = working_host().await?;
    let mut peer = host.connect().await?;
    let session = peer.session(&host.workspace()).await?.session_id;
    asks(&mut peer, &session, "something private").await?;
    let unknown = async || -> Result<()> {
        let said = refusal(admin.get::<GetSession>(&[session.as_str()]).await)?;
        ensure!(said.error.code == ErrorCode::SessionNotFound, "{said}");
        Ok(())
    };

    // It can be read, and does not go on.
    enrol(&host, &admin, &central.url(0)).await?;
    let refused = peer.start(&session, "go on", TaskOptions::default()).await.map(drop);
    let error = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(
        error.contains("before this host was enrolled") && error.contains("start a new session"),
        "{error}"
    );
    ensure!(error.contains("--share-earlier-sessions"), "{error}");
    let here = serde_json::to_string(&history(&mut peer, &session).await?)?;
    ensure!(here.contains("something private"), "{here}");
    unknown().await?;

    // The host is its own again: so is the session.
    until("nothing waits on the host", || async {
        let waiting = host.connect().await?.call(GetCentral {}).await?.waiting;
        Ok((waiting.audit_records == 0 && waiting.events == 0).then_some(()))
    })
    .await?;
    types(&host, &["unenroll"]).await?.ok()?;
    asks(&mut peer, &session, "go on").await?;

    // Its owner shares it: it is there, from its beginning.
    let again = token(&admin).await?;
    let mut command = host.command();
    command.args(["enroll", &central.url(0), "--share-earlier-sessions"]);
    command.env("LANYARD_ENROLL_TOKEN", again).stdin(std::process::Stdio::null());
    let said = Ended::from(command.output().await?).ok()?;
    ensure!(said.contains("Sessions from before may go on"), "{said}");
    asks(&mut peer, &session, "and on").await?;
    until("the session is known from its beginning", || async {
        let Ok(page) = admin.get::<ListEvents>(&[session.as_str()]).await else { return Ok(None) };
        let text = serde_json::to_string(&page)?;
        Ok((text.contains("something private") && text.contains("and on")).then_some(()))
    })
    .await?;

    // It is this enrolment's now, and no other's.
    types(&host, &["unenroll", "--force"]).await?.ok()?;
    let again = token(&admin).await?;
    let mut command = host.command();
    command.args(["enroll", &central.url(0), "--share-earlier-sessions"]);
    command.env("LANYARD_ENROLL_TOKEN", again).stdin(std::process::Stdio::null());
    Ended::from(command.output().await?).ok()?;
    let refused = peer.start(&session, "and on", TaskOptions::default()).await.map(drop);
    let error = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(error.contains("an earlier enrolment of this host"), "{error}");
    peer.call(EndSession { session_id: session.clone(), command_id: None }).await?;
    Ok(())
}

/// Where a session stands on its host.
async fn stands(host: &TestHost, session: &SessionId) -> Result<SessionState> {
    let mut peer = host.connect().await?;
    Ok(peer.call(GetSessionState { session_id: session.clone() }).await?.state)
}

async fn cancelled(team: &Team, session: &SessionId) -> Result<()> {
    let request = CancelRequest { reason: "wrong repository".to_owned() };
    team.admin.post::<CancelSession>(&[session.as_str()], &request).await?;
    until("the host ends it", || async {
        Ok((stands(&team.host, session).await? == SessionState::SessionCancelled).then_some(()))
    })
    .await?;
    let mut peer = team.host.connect().await?;
    let here = serde_json::to_string(&history(&mut peer, session).await?)?;
    ensure!(here.contains("the central services ended the session: wrong repository"), "{here}");
    team.everything_sent().await?;
    let known = team.known(session).await?;
    ensure!(known.state == SessionState::SessionCancelled, "{known:?}");
    ensure!(known.reason.is_some_and(|reason| reason.contains("wrong repository")));
    Ok(())
}

#[tokio::test]
async fn a_session_that_the_centre_cancels_is_cancelled_at_both_ends() -> Result<()> {
    let script = Script::by(|_| call("RunCommand", json!({"argv": ["sleep", "300"]})));
    let mut team = Team::start(Installation::prepare(Records::Sqlite)?, script).await?;
    let (mut peer, session) = team.session().await?;
    // In the middle of a task that waits for a person.
    peer.start(&session, "go", TaskOptions::default()).await?;
    peer.question().await?;
    cancelled(&team, &session).await?;
    // One that nobody has open: its host was started again, and the centre gives nothing for it any more.
    let (peer, session) = team.session().await?;
    drop(peer);
    team.host.kill().await?;
    team.host.boot().await?;
    cancelled(&team, &session).await
}
