//! A phone that lay locked in a pocket comes back and has missed nothing.

use anyhow::{Context, Result, ensure};
use lanyard_tests::browser::Network;
use lanyard_tests::gateway::errands;

use crate::scene::{self, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_phone_misses_nothing() -> Result<()> {
    let scene = Scene::of("Long Night").await?;
    let phone = scene.phone().await?;
    let session = scene.gives(&errands::asking("n")).await?;
    scene::opens(&phone, &session).await?;
    phone.button("Approve once").await?;
    phone.frozen(true).await?;
    phone.network(Network::Offline).await?;
    // The night: what waits is answered elsewhere, and other tasks follow in the same session.
    let mut owner = scene.host.connect().await?;
    let question = scene.questions().await?.first().cloned().context("nothing waits")?;
    let id = question["request"]["approvalId"].as_str().or(question["approvalId"].as_str());
    scene.host.asks(&["approve", id.with_context(|| question.to_string())?]).await?;
    for round in 0..3 {
        scene::until("the task has ended", async || {
            Ok(scene.log(&session).await?.last().is_some_and(|event| event.body.ends_task()))
        })
        .await?;
        owner.start(&session, &errands::telling(&format!("night-{round}")), Default::default()).await?;
    }
    tokio::time::sleep(scene::locked_for()).await;
    let new = scene.gives(&errands::asking("morning")).await?;
    scene::until("a question waits", async || Ok(!scene.questions().await?.is_empty())).await?;
    phone.network(Network::Plain).await?;
    phone.frozen(false).await?;
    // Everything once, in order; and the new question is in sight.
    phone.sees("Line 60 of night-2").await?;
    phone.sees("That was all.").await?;
    scene::ended(&phone, 4).await?;
    scene::is_whole(&phone, &scene.log(&session).await?).await?;
    phone.sees("approved by the owner at the machine").await?;
    phone.press_row("Approvals").await?;
    phone.sees("asked-morning").await?;
    phone.press("Approve once").await?;
    scene::opens(&phone, &new).await?;
    phone.sees(errands::ASKED).await?;
    scene::ended(&phone, 1).await?;
    scene::is_whole(&phone, &scene.log(&new).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_killed_meanwhile_asks_again() -> Result<()> {
    let mut scene = Scene::of("Power Cut").await?;
    let phone = scene.phone().await?;
    let session = scene.gives(&errands::asking("p")).await?;
    scene::opens(&phone, &session).await?;
    phone.button("Approve once").await?;
    phone.frozen(true).await?;
    phone.network(Network::Offline).await?;
    scene.host.host_killed().await?;
    scene.host.host_up().await?;
    phone.network(Network::Plain).await?;
    phone.frozen(false).await?;
    // The question still waits, and the answer to it counts.
    phone.loses("reconnecting").await?;
    phone.press("Approve once").await?;
    phone.sees(errands::ASKED).await?;
    scene::ended(&phone, 1).await?;
    scene::is_whole(&phone, &scene.log(&session).await?).await?;
    ensure!(scene.host.workspace().join(errands::asked_file("p")).exists());
    Ok(())
}
