//! Jobs whose outcome comes late: the centre is killed while they run, gives them up when it is back, and hears from the
//! host how they ended; also when the host was killed meanwhile.

use anyhow::{Result, ensure};
use lanyard_governance_api::endpoint::{CreateJob, GetJob};
use lanyard_governance_api::job::{Job, JobState, NewJob};
use lanyard_protocol::Json;
use lanyard_protocol::approval::Decision;
use lanyard_protocol::method::{ApproveAction, ListApprovals, ListSessions};
use lanyard_protocol::policy::Remember;
use lanyard_tests::central::team::{Team, document};
use lanyard_tests::central::{Installation, Records, nonce, until};
use lanyard_tests::gateway::{Script, say};
use serde_json::{Value, json};

/// The centre's clock after it was away: later than any lease.
const LATER: &str = "120";

fn policy() -> Value {
    document(json!([
        {"name": "File.Read", "allowedPaths": ["${workspace}"], "requiresApproval": false},
        {"name": "Shell.Exec", "allowedCwds": ["${workspace}"], "requiresApproval": false},
    ]))
}

async fn team(records: Records) -> Result<Team> {
    let team = Team::start(Installation::prepare(records)?, Script::by(|_| say("nothing"))).await?;
    team.put_in_force(&policy()).await?;
    Ok(team)
}

/// A job that runs until there is a file `go` in the workspace, and says how it went.
async fn begin(team: &Team, then: &str) -> Result<Job> {
    let line = format!("until test -e go; do sleep 0.1; done; {then}");
    let new = NewJob {
        agent_id: team.agent.clone(),
        tool_name: "RunCommand".to_owned(),
        arguments: Json(json!({"argv": ["sh", "-c", line]})),
        workspace: team.host.workspace().canonicalize()?.display().to_string(),
        title: "Something long".to_owned(),
        idempotency_key: format!("key_{}", nonce()).parse()?,
        expires_in_seconds: None,
    };
    let job = team.admin.post::<CreateJob>(&[], &new).await?;
    answer_it(team).await?;
    in_state(team, &job, |job| job.state == JobState::Running).await
}

/// This machine's own policy asks about every command; its owner says yes.
async fn answer_it(team: &Team) -> Result<()> {
    let mut peer = team.host.connect().await?;
    let asked = until("the machine's own policy asks", || async {
        let mut peer = team.host.connect().await?;
        let waiting =
            peer.call(ListApprovals { session_id: None, include_settled: false, limit: Some(9) }).await?;
        Ok(waiting.approvals.into_iter().next())
    })
    .await?;
    let answer = ApproveAction {
        session_id: asked.request.session_id,
        approval_id: asked.request.approval_id,
        decision: Decision::Approved,
        remember: Remember::Once,
        reason: None,
        command_id: None,
    };
    peer.call(answer).await?;
    Ok(())
}

async fn in_state(team: &Team, job: &Job, wanted: impl Fn(&Job) -> bool) -> Result<Job> {
    until("the job gets on", || async {
        let job = team.admin.get::<GetJob>(&[job.job_id.as_str()]).await?;
        Ok(wanted(&job).then_some(job))
    })
    .await
}

async fn comes_back_later(team: &mut Team) -> Result<()> {
    team.central.flag(&["--clock-offset-seconds", LATER]);
    team.central.revive(0).await
}

fn goes(team: &Team) -> Result<()> {
    Ok(std::fs::write(team.host.workspace().join("go"), "")?)
}

async fn recorded(team: &Team, job: &Job) -> Result<usize> {
    team.everything_sent().await?;
    until("the late outcome is recorded", || async {
        let of_job = team.audited(None).await?.into_iter().filter(|record| {
            record.event.event_type == "job_ended_late"
                && serde_json::to_string(&record.event).is_ok_and(|text| text.contains(job.job_id.as_str()))
        });
        Ok(Some(of_job.count()).filter(|count| *count > 0))
    })
    .await
}

async fn runs_on(records: Records) -> Result<()> {
    let mut team = team(records).await?;
    let job = begin(&team, "echo at last").await?;
    team.central.kill(0).await?;
    comes_back_later(&mut team).await?;
    // Given up; then the host renews a lease that there is no more, and the job runs on all the same.
    let given_up = in_state(&team, &job, |job| job.state == JobState::Indeterminate).await?;
    ensure!(!given_up.late && given_up.result.is_none(), "{given_up:?}");
    let heard = |job: &Job| job.reason.as_deref().is_some_and(|reason| reason.contains("still runs"));
    in_state(&team, &job, heard).await?;
    goes(&team)?;
    let told = in_state(&team, &job, |job| job.state != JobState::Indeterminate).await?;
    ensure!(told.state == JobState::Succeeded && told.late, "{told:?}");
    let output = told.result.clone().and_then(|result| result.output_text).unwrap_or_default();
    ensure!(output.contains("at last"), "{told:?}");
    ensure!(recorded(&team, &job).await? == 1);
    Ok(())
}

#[tokio::test]
async fn a_job_that_outlasts_the_centres_absence_runs_on_and_is_told() -> Result<()> {
    runs_on(Records::Sqlite).await
}

#[tokio::test]
async fn nor_is_it_lost_on_postgresql() -> Result<()> {
    runs_on(Records::Postgres).await
}

#[tokio::test]
async fn an_outcome_survives_that_both_sides_are_killed() -> Result<()> {
    let mut team = team(Records::Postgres).await?;
    let job = begin(&team, "echo then it failed; exit 3").await?;
    team.central.kill(0).await?;
    goes(&team)?;
    // It has ended when the host's own record of its session says so.
    let session = until("the job ends on the host", || async {
        let mut peer = team.host.connect().await?;
        let sessions = peer.call(ListSessions::default()).await?;
        Ok(sessions.sessions.into_iter().find(|session| session.state.is_final()))
    })
    .await?;
    team.host.kill().await?;
    comes_back_later(&mut team).await?;
    in_state(&team, &job, |job| job.state == JobState::Indeterminate).await?;
    team.host.boot().await?;
    let told = in_state(&team, &job, |job| job.state != JobState::Indeterminate).await?;
    ensure!(told.state == JobState::Failed && told.late, "{told:?}");
    ensure!(told.session_id.as_ref() == Some(&session.session_id), "{told:?}");
    ensure!(recorded(&team, &job).await? == 1);
    Ok(())
}
