//! `lanyard enroll`, `sync` and `unenroll` as typed, against a central that runs.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use lanyard_protocol::event::EventBody;
use lanyard_protocol::session::TaskOptions;
use lanyard_tests::central::team::{Team, document, token, working_host};
use lanyard_tests::central::{Installation, Records, until};
use lanyard_tests::gateway::{Script, call, say};
use lanyard_tests::host::TestHost;
use lanyard_tests::newcomer::Ended;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

async fn types(host: &TestHost, words: &[&str]) -> Result<Ended> {
    Ok(host.command().args(words).stdin(Stdio::null()).output().await?.into())
}

async fn pipes(host: &TestHost, words: &[&str], input: &str) -> Result<Ended> {
    let mut command = host.command();
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // It may have refused and ended before it was given anything.
    let _ = child.stdin.take().context("a pipe was asked for")?.write_all(input.as_bytes()).await;
    Ok(child.wait_with_output().await?.into())
}

#[tokio::test]
async fn enrolling_from_a_terminal() -> Result<()> {
    let central = Installation::start(Records::Sqlite).await?;
    let admin = central.operator().await?;
    let (host, url) = (working_host().await?, central.url(0));
    let good = token(&admin).await?;

    // What is no token, what is a token of nobody's, and where a token must not go.
    let mut parts: Vec<String> = good.split('.').map(str::to_owned).collect();
    parts[2] = parts[2].chars().rev().collect();
    let wrong = parts.join(".");
    for (to, shown, says) in [
        (url.as_str(), "gibberish", "token"),
        (url.as_str(), wrong.as_str(), "not accepted"),
        ("http://192.0.2.1:8787", good.as_str(), "use https"),
        ("http://127.0.0.1:9", good.as_str(), "127.0.0.1:9"),
    ] {
        let ended = pipes(&host, &["enroll", to], &format!("{shown}\n")).await?;
        ensure!(
            ended.code.is_some_and(|code| code != 0) && ended.err.contains(says),
            "{to} {shown}: {ended:?}"
        );
        let secret = shown.split('.').nth(3).unwrap_or("gibberish");
        ensure!(
            !ended.err.contains(secret) && !ended.out.contains(secret),
            "the secret is repeated: {ended:?}"
        );
    }

    let ended = pipes(&host, &["enroll", &url, "--accept-answers"], &format!("{good}\n")).await?;
    let said = ended.ok()?;
    ensure!(said.contains("belongs to default at") && said.contains("sync status"), "{said}");

    // A second time says where it is, and takes no token.
    let second = token(&admin).await?;
    let ended = pipes(&host, &["enroll", &url], &second).await?;
    ensure!(
        ended.code == Some(1) && ended.err.contains("already") && ended.err.contains("unenroll"),
        "{ended:?}"
    );

    let status = types(&host, &["sync", "status", "--json"]).await?.json()?;
    let enrolment = &status["enrolment"];
    ensure!(enrolment["url"] == url.as_str() && enrolment["tenantId"] == "default", "{status}");
    ensure!(enrolment["link"]["reached"] == true && status["acceptAnswers"] == true, "{status}");
    ensure!(status["acceptJobs"] == false && status["waiting"]["auditRecords"].is_u64(), "{status}");

    // What it was given lies where nobody else can look, and the token nowhere.
    let kept = std::fs::metadata(host.state_dir().join("central"))?.permissions().mode();
    ensure!(kept & 0o077 == 0, "{kept:o}");
    for entry in walk(&host.state_dir())? {
        let text = std::fs::read(&entry)?;
        let secret = good.split('.').nth(3).context("no secret")?.as_bytes();
        ensure!(!text.windows(secret.len()).any(|part| part == secret), "{entry:?} holds the token");
    }
    Ok(())
}

fn walk(dir: &std::path::Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => found.extend(walk(&entry.path())?),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    Ok(found)
}

#[tokio::test]
async fn the_owner_changes_what_the_centre_may_do() -> Result<()> {
    let team = Team::start(Installation::prepare(Records::Sqlite)?, Script::by(|_| say("done"))).await?;
    let said = types(&team.host, &["sync", "consent", "--jobs", "off"]).await?.ok()?;
    ensure!(said.contains("cannot have this machine do anything"), "{said}");
    let status = team.status().await?;
    ensure!(!status.accept_jobs && status.accept_answers, "what was not named has changed: {status:?}");
    let said = types(&team.host, &["sync", "consent", "--jobs", "on", "--answers", "off", "--json"]).await?;
    let said = said.json()?;
    ensure!(said["acceptJobs"] == true && said["acceptAnswers"] == false, "{said}");
    let ended = types(&team.host, &["sync", "consent"]).await?;
    ensure!(ended.code == Some(2), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn leaving_with_something_unsent_takes_force() -> Result<()> {
    let script = Script::by(|request| match request.tool_results().len() {
        0 => call("ReadFile", json!({"path": "notes.txt"})),
        _ => say("done"),
    });
    let mut team = Team::start(Installation::prepare(Records::Sqlite)?, script).await?;
    let grants = json!([{"name": "LLM.Call", "requiresApproval": false},
        {"name": "File.Read", "allowedPaths": ["${workspace}"], "requiresApproval": false}]);
    team.put_in_force(&document(grants)).await?;
    std::fs::write(team.host.workspace().join("notes.txt"), "notes\n")?;
    let (mut peer, session) = team.session().await?;
    team.central.kill(0).await?;
    peer.start(&session, "go", TaskOptions::default()).await?;
    let events = peer.until_task_ends().await?;
    ensure!(matches!(events.last().map(|e| &e.body), Some(EventBody::TaskCompleted(_))), "{events:?}");
    until("something waits", || async { Ok((team.status().await?.waiting.audit_records > 0).then_some(())) })
        .await?;
    let ended = types(&team.host, &["unenroll"]).await?;
    ensure!(ended.code == Some(1) || ended.code == Some(5), "{ended:?}");
    ensure!(ended.err.contains("have not reached") && ended.err.contains("unenroll --force"), "{ended:?}");
    ensure!(team.status().await?.enrolment.is_some(), "it left all the same");
    types(&team.host, &["unenroll", "--force"]).await?.ok()?;
    let status = types(&team.host, &["sync", "status", "--json"]).await?.json()?;
    ensure!(status["enrolment"].is_null(), "{status}");
    Ok(())
}
