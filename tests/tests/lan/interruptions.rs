//! The host or the device is away for a while.

use anyhow::{Result, ensure};
use lanyard_protocol::method::Health;
use lanyard_tests::lan::Family;
use lanyard_tests::machine::Way;
use lanyard_tests::newcomer::Signal;
use serde_json::Value;

use crate::scene::Scene;
use crate::work::{Connection, Work};
use crate::{pass, seconds};

/// With SIGKILL, as in a power cut: the program that streamed is gone with it, and the task goes on with its next step.
pub(crate) async fn host_is_killed() -> Result<()> {
    let mut scene = Scene::pair().await?;
    let work = Work::begin(scene.device(), scene.host(), "host0", "w").await?;
    scene.host_mut().host_killed().await?;
    scene.host_mut().host_up().await?;
    work.ends(scene.device(), scene.host(), Connection::New).await
}

/// With `lanyard stop`, as for an update.
pub(crate) async fn host_is_restarted() -> Result<()> {
    let mut scene = Scene::pair().await?;
    let work = Work::begin(scene.device(), scene.host(), "host0", "w").await?;
    scene.host().types(&["stop"]).await?.ok()?;
    let ended = scene.host_mut().host_ends().await?;
    ensure!(ended.code == Some(0), "{ended:?}");
    scene.host_mut().host_up().await?;
    work.ends(scene.device(), scene.host(), Connection::New).await
}

/// A closed lid: every process of the device stands still.
pub(crate) async fn device_sleeps() -> Result<()> {
    let scene = Scene::pair().await?;
    let mut work = Work::begin(scene.device(), scene.host(), "host0", "w").await?;
    work.signal(Signal::STOP)?;
    pass(seconds(90)).await;
    let network = scene.host().connect().await?.call(Health {}).await?.network;
    ensure!(network.devices_connected == 0, "the host has noticed: {network:?}");
    work.goes_on(scene.host()).await?;
    work.signal(Signal::CONT)?;
    work.is_seen(scene.host()).await?;
    work.ends(scene.device(), scene.host(), Connection::New).await
}

/// A code and a link run out with their window.
pub(crate) async fn code_expires() -> Result<()> {
    let scene = Scene::of(Family::Both, 1, 1).await?;
    let (host, device) = (scene.host(), scene.device());
    let window = host.opens_window().await?;
    let (by_code, by_link) = (
        device.join_words(host, &window, Way::Address(scene.v4(0))),
        device.join_words(host, &window, Way::Link),
    );
    // It ends by itself when its window does.
    let ended = window.pair.end().await?;
    ensure!(ended.code == Some(1), "{ended:?}");
    for words in [by_code, by_link] {
        let mut words: Vec<_> = words.iter().map(String::as_str).collect();
        words.push("--json");
        let late = device.types(&words).await?;
        let said: Value = serde_json::from_str(&late.out)?;
        let text = "the code has expired: run `lanyard pair` on the host again and use the new code";
        ensure!(late.code == Some(1) && said["message"] == text, "{late:?}");
    }
    device.pairs_with(host, Way::Link).await.map(drop)
}
