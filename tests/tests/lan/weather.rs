//! The network itself is bad.

use anyhow::Result;
use lanyard_tests::lan::Family;
use lanyard_tests::machine::Way;

use crate::scene::Scene;
use crate::work::{Connection, Work};
use crate::{pass, seconds};

/// An access point that passes no multicast on: nothing is heard, and nothing needs to be.
pub(crate) async fn no_multicast() -> Result<()> {
    let mut lan = lanyard_tests::lan::Lan::of(3, Family::Both)?;
    lan.drop_multicast(true)?;
    let scene = Scene::on(lan, 1, 2).await?;
    let host = scene.host();
    let [by_link, by_address] = &scene.devices[..] else { anyhow::bail!("two devices") };
    let heard = by_link.asks(&["discover"]).await?;
    anyhow::ensure!(heard["hosts"].as_array().is_some_and(Vec::is_empty), "{heard}");
    let window = host.opens_window().await?;
    let words = by_link.join_words(host, &window, Way::Name);
    let lost = by_link.types(&words.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    anyhow::ensure!(lost.code == Some(5), "{lost:?}");
    for way_out in ["no host called host0 was heard", "lanyard join --address IP:PORT", "lanyard join LINK"] {
        anyhow::ensure!(lost.err.contains(way_out), "{lost:?}");
    }
    window.closes().await?;
    by_link.pairs_with(host, Way::Link).await?;
    by_address.pairs_with(host, Way::Address(scene.v4(0))).await?;
    for (number, device) in scene.devices.iter().enumerate() {
        let mut work = Work::begin(device, host, "host0", &format!("w{number}")).await?;
        work.is_seen(host).await?;
        work.ends(device, host, Connection::Same).await?;
    }
    Ok(())
}

pub(crate) async fn five_percent_loss() -> Result<()> {
    loses(5).await
}

pub(crate) async fn thirty_percent_loss() -> Result<()> {
    loses(30).await
}

/// Loses packets for fifteen seconds of work, and until the end.
async fn loses(percent: u8) -> Result<()> {
    let mut scene = Scene::pair().await?;
    let mut work = Work::begin(scene.device(), scene.host(), "host0", "w").await?;
    scene.lan.lose(percent)?;
    for _ in 0..3 {
        pass(seconds(5)).await;
        work.goes_on(scene.host()).await?;
        work.is_seen(scene.host()).await?;
    }
    anyhow::ensure!(scene.lan.dropped()? > 0, "nothing was lost");
    let expected = if percent < 10 { Connection::Same } else { Connection::Any };
    work.ends(scene.device(), scene.host(), expected).await
}

/// The host's own interface: its IPv6 addresses go and come back.
pub(crate) async fn down_for_two_seconds() -> Result<()> {
    let mut scene = Scene::pair().await?;
    let mut work = Work::begin(scene.device(), scene.host(), "host0", "w").await?;
    for _ in 0..2 {
        scene.lan.set_link(0, false)?;
        pass(seconds(2)).await;
        work.goes_on(scene.host()).await?;
        scene.lan.set_link(0, true)?;
        work.is_seen(scene.host()).await?;
    }
    work.ends(scene.device(), scene.host(), Connection::Same).await
}

/// The device's cable: longer than silence is borne, so that both sides give the connection up.
pub(crate) async fn down_for_a_minute() -> Result<()> {
    let mut scene = Scene::pair().await?;
    let mut work = Work::begin(scene.device(), scene.host(), "host0", "w").await?;
    scene.lan.set_cable(1, false)?;
    pass(seconds(60)).await;
    work.goes_on(scene.host()).await?;
    scene.lan.set_cable(1, true)?;
    work.is_seen(scene.host()).await?;
    work.ends(scene.device(), scene.host(), Connection::New).await
}
