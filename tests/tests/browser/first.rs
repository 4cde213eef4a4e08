//! The first five minutes, and a night in the pocket: from the QR code to a command approved with one thumb, through a
//! locked phone, to the end of the pairing.

use anyhow::{Result, ensure};
use lanyard_tests::browser::{Network, Page};
use lanyard_tests::gateway::errands;

use crate::scene::{self, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_from_the_qr_code_to_the_end() -> Result<()> {
    let scene = Scene::of("Study Linux").await?;
    let page = scene.phone().await?;
    scene::give(&page, &errands::streaming("a")).await?;

    // A file change is asked about with its exact content.
    page.sees("second").await?;
    page.sees("Answer within").await?;
    page.press("Approve change").await?;
    // Then a command, word for word; a shell text that is not understood is never remembered.
    page.sees("echo line").await?;
    page.press("Approve").await?;
    page.sees("line 3").await?;

    // The phone is locked, out of reach meanwhile, and the task goes on without it.
    page.frozen(true).await?;
    page.network(Network::Offline).await?;
    tokio::time::sleep(scene::locked_for()).await;
    scene.host.touch(&errands::enough("a"))?;
    page.network(Network::Plain).await?;
    page.frozen(false).await?;
    // What it missed is there, and the question that came meanwhile waits.
    page.sees("2nd").await?;
    page.press("Approve change").await?;
    page.sees(errands::STREAMED).await?;
    // Nothing but that the connection was cut off.
    let complaints = page.complaints().await?;
    let cut = ["ERR_INTERNET_DISCONNECTED", "Page entered Back-Forward Cache"];
    let known = |complaint: &String| cut.iter().any(|words| complaint.contains(words));
    ensure!(complaints.iter().all(known), "{complaints:#?}");

    // Removed on the host, it is told so.
    let id = scene.device().await?;
    scene.host.asks(&["devices", "revoke", &id]).await?;
    page.sees("removed").await?;
    page.picture(&Page::pictures()?.join("flow-removed.png")).await?;
    Ok(())
}
