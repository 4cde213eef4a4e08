//! The host is killed with SIGKILL at every commit of a task and around every tool, and started again.
//!
//! Whatever the moment: no event a client has seen is lost or different, no program runs twice, files are whole, an
//! outcome nobody can know is said to be unknown, and the task comes to its end by itself.

mod task;

use anyhow::{Context, Result, ensure};
use task::{CrashHost, Fate, Mode};

/// More points than a task has; a matrix that gets here no longer sees the end of the task.
const MOST_POINTS: u64 = 200;

/// Kills the host the N-th time it reaches a point, for every N there is. Returns what was unknown afterwards.
async fn every(point: &str, mode: Mode) -> Result<Vec<Vec<String>>> {
    let mut unknown = Vec::new();
    for number in 1..MOST_POINTS {
        let fault = format!("{point}:{number}");
        let mut host = CrashHost::new(mode)?;
        let fate = host.run_until(&fault).await.with_context(|| fault.clone())?;
        if fate == Fate::Completed {
            ensure!(!unknown.is_empty(), "{point} was never reached");
            println!("{point}, {mode:?}: killed at {} places", unknown.len());
            return Ok(unknown);
        }
        unknown.push(host.recovers().await.with_context(|| format!("{fault}\n{}", host.log()))?);
    }
    anyhow::bail!("{point} has no end");
}

#[tokio::test]
async fn before_every_commit() -> Result<()> {
    every("commit.before", Mode::Unasked).await.map(drop)
}

#[tokio::test]
async fn after_every_commit() -> Result<()> {
    every("commit.after", Mode::Unasked).await.map(drop)
}

#[tokio::test]
async fn before_every_commit_with_questions() -> Result<()> {
    every("commit.before", Mode::Asked).await.map(drop)
}

#[tokio::test]
async fn after_every_commit_with_questions() -> Result<()> {
    every("commit.after", Mode::Asked).await.map(drop)
}

/// Between STARTED and FINISHED: reads and writes of known content find out, the rest stays unknown.
#[tokio::test]
async fn around_every_tool() -> Result<()> {
    for point in ["tool.before", "tool.after"] {
        assert_eq!(every(point, Mode::Unasked).await?, [&[][..], &[], &[], &["RunCommand"], &[]], "{point}");
    }
    Ok(())
}

#[tokio::test]
async fn around_every_answer_of_the_model() -> Result<()> {
    every("agent.answered", Mode::Unasked).await?;
    every("agent.reported", Mode::Unasked).await.map(drop)
}

#[tokio::test]
async fn a_question_survives_with_its_id_and_is_answered_once() -> Result<()> {
    CrashHost::new(Mode::Asked)?.question_survives().await
}

/// At random moments, hundreds of times; LANYARD_LONG=1.
#[tokio::test]
async fn at_any_moment() -> Result<()> {
    let times = if std::env::var_os("LANYARD_LONG").is_some() { 300 } else { 6 };
    let mut completed = 0;
    for time in 0..times {
        let mut host = CrashHost::new(if time % 2 == 0 { Mode::Unasked } else { Mode::Asked })?;
        // Spread over the length of a task, in an order that does not depend on a random source.
        let after = std::time::Duration::from_millis((time * 37 + 11) % 230);
        let fate = host.run_for(after).await.with_context(|| format!("killed after {after:?}"))?;
        completed += u32::from(fate == Fate::Completed);
        host.recovers().await.with_context(|| format!("killed after {after:?}\n{}", host.log()))?;
    }
    println!("{completed} of {times} tasks had ended before the blow");
    Ok(())
}
