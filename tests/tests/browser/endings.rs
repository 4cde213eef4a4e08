//! Ends of a pairing, and ends that are none: a host that stops, moves on to new keys, or is not itself any more.

use anyhow::{Result, ensure};
use lanyard_tests::browser::{Device, Network};
use lanyard_tests::gateway::errands;

use crate::scene::{self, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stops_is_waited_for_and_new_keys_are_followed() -> Result<()> {
    let mut scene = Scene::of("Restless").await?;
    let phone = scene.phone().await?;
    phone.sees("What should this machine do?").await?;
    // Killed: shown at once, in the way of nobody who reads, and back by itself.
    scene.host.host_killed().await?;
    phone.sees("reconnecting").await?;
    phone.sees("What should this machine do?").await?;
    scene.host.host_up().await?;
    phone.loses("reconnecting").await?;
    // New keys: nobody notices.
    let before = scene.host.host_id().await?;
    scene.host.asks(&["identity", "rotate"]).await?;
    let after = scene.host.host_id().await?;
    ensure!(before != after);
    phone.goes("#/settings").await?;
    phone.sees(&after).await?;
    phone.goes("#/sessions").await?;
    scene::give(&phone, &errands::asking("k")).await?;
    phone.press("Approve once").await?;
    phone.sees(errands::ASKED).await?;
    // Also after the page was loaded anew.
    phone.client().refresh().await?;
    phone.sees(errands::ASKED).await?;
    // Another host at the same address is never taken for it.
    scene.host.host_killed().await?;
    scene.host.reinstall()?;
    scene.host.host_up().await?;
    phone.sees("Something else answers in place of Restless").await?;
    phone.sees("Nothing was sent").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pairing_ends_from_either_side() -> Result<()> {
    let scene = Scene::of("Parting").await?;
    let phone = scene.phone().await?;
    // From the device: nothing is left of it on the host.
    phone.goes("#/settings").await?;
    phone.press("Unpair this device").await?;
    phone.press("Unpair").await?;
    phone.sees("This device is no longer paired with Parting").await?;
    ensure!(scene.devices().await?.is_empty());
    phone.press("Pair again").await?;
    phone.field("Code on the host's screen").await?;
    phone.client().refresh().await?;
    phone.field("Code on the host's screen").await?;

    // It can be paired again; removed while it is away, it is told when it comes back.
    let mut window = scene.host.opens_window().await?;
    phone.open(&window.link).await?;
    scene::let_in(&phone, &scene.host, &mut window).await?;
    phone.frozen(true).await?;
    phone.network(Network::Offline).await?;
    scene.host.asks(&["devices", "revoke", &scene.device().await?]).await?;
    phone.network(Network::Plain).await?;
    phone.frozen(false).await?;
    phone.sees("Parting does not know this device").await?;
    phone.press("Pair again").await?;
    let mut window = scene.host.opens_window().await?;
    phone.open(&window.link).await?;
    scene::let_in(&phone, &scene.host, &mut window).await?;
    drop(window);

    // Turned away, a device is told by whom.
    let other = scene.browser.page(Device::SmallPhone).await?;
    let mut window = scene.host.opens_window().await?;
    other.open(&window.link).await?;
    other.sees("Waiting for the host").await?;
    let question = window.question().await?;
    scene.host.asks(&["pairings", "deny", question["pairingId"].as_str().unwrap_or_default()]).await?;
    other.sees("The host's owner said no").await?;
    other.press("Type a code").await?;
    other.field("Code on the host's screen").await?;
    Ok(())
}
