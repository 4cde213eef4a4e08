//! Repositories that try to run programs: git's own configuration, attributes, hooks and submodules, through the git
//! tools of a real host (6-security.md, items 15 to 17).
//!
//! Every trap is proved to work first: plain git springs it. The tools may refuse such a repository by name or work in
//! it, but no program of its choosing runs.

mod repository;
mod traps;

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use lanyard_protocol::tool::ToolStatus;
use lanyard_tests::gateway::{Script, calls, say};
use lanyard_tests::look;
use lanyard_tests::stage::{Stage, unasked};
use repository::{Repository, git, marks};
use serde_json::{Value, json};
use traps::TRAPS;

/// A host whose model asks for the calls the prompt holds as JSON.
async fn stage() -> Result<Stage> {
    Stage::with(Script::by(|request| {
        if request.messages().last().is_some_and(|last| last["role"] == "tool") {
            return say("done");
        }
        let asked: Vec<(String, Value)> = serde_json::from_str(request.last("user")).unwrap_or_default();
        calls(&asked.iter().map(|(tool, arguments)| (tool.as_str(), arguments.clone())).collect::<Vec<_>>())
    }))
    .await
}

#[tokio::test]
async fn no_program_of_a_repository_runs() -> Result<()> {
    let mut stage = stage().await?;
    let (all, work) = (stage.host.dir().to_owned(), stage.host.workspace());
    // That a mark is found where a confined program leaves it.
    Repository::new(&work.join("control"), &work, "control")?;
    stage.run(&json!([["RunCommand", {"argv": ["./bait-control"]}]]).to_string()).await?;
    ensure!(!marks(&all)?.is_empty(), "a program that runs leaves no mark: nothing would be proved");
    for trap in TRAPS {
        let dir = work.join(trap.name);
        let repository = Repository::new(&dir.join("r"), &work, trap.name)?;
        (trap.lay)(&repository).context(trap.name)?;
        let path = format!("{}/r", trap.name);
        let events = stage
            .run(
                &json!([
                    ["GitStatus", {"path": path}],
                    ["GitDiff", {"path": path}],
                    ["GitCommit", {"path": path, "message": "by the agent", "paths": [format!("{path}/file")]}],
                    ["GitPush", {"path": path}],
                ])
                .to_string(),
            )
            .await?;
        let outcomes = look::outcomes(&events);
        assert_eq!(outcomes.len(), 4, "{}: {outcomes:?}", trap.name);
        let found = marks(&all)?;
        assert!(found.is_empty(), "{}: {found:?} ran, {outcomes:?}", trap.name);
        // The control: the same repository under plain git.
        let fresh = Repository::new(&dir.join("control"), &work, trap.name)?;
        (trap.lay)(&fresh).context(trap.name)?;
        let mut spring = git(&fresh.dir);
        let mut child = spring
            .args(trap.springs)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // Most commands of git read nothing, and may have ended already.
            let _ = std::io::Write::write_all(&mut stdin, b"url=https://localhost:1/r.git\n\n");
        }
        child.wait()?;
        let sprung = marks(&all)?;
        assert!(
            !sprung.is_empty(),
            "{}: plain git does not spring the trap, so nothing is proved",
            trap.name
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_honest_repository_is_served() -> Result<()> {
    let mut stage = stage().await?;
    let work = stage.host.workspace();
    let repository = Repository::new(&work.join("r"), &work, "none")?;
    repository.git(&["clone", "-q", "--bare", ".", "../origin.git"])?;
    repository.set("remote.origin.url", &work.join("origin.git").display().to_string())?;
    let commit = json!([
        ["GitStatus", {"path": "r"}],
        ["GitDiff", {"path": "r"}],
        ["GitCommit", {"path": "r", "message": "by the agent", "paths": ["r/file"]}],
    ]);
    stage.run(&commit.to_string()).await?;
    let push = json!([["GitPush", {"path": "r", "remote": "origin", "branch": "main"}]]);
    stage.peer.start(&stage.session, &push.to_string(), unasked()).await?;
    // A remote that is a directory of this machine is asked about in any case.
    let question = stage.peer.question().await?;
    stage.peer.approve(&question).await?;
    stage.peer.until_task_ends().await?;
    let events = stage.history().await?;
    let outcomes = look::outcomes(&events);
    let why: Vec<_> =
        look::completed(&events).into_iter().filter_map(|done| done.result.error.as_ref()).collect();
    assert!(outcomes.iter().all(|(_, status, _)| *status == ToolStatus::Succeeded), "{outcomes:?}: {why:?}");
    for place in ["r", "origin.git"] {
        let log = git(&work.join(place)).args(["log", "--format=%s", "-1", "main"]).output()?;
        assert_eq!(String::from_utf8_lossy(&log.stdout).trim(), "by the agent", "{place}");
    }
    Ok(())
}
