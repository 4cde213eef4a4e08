//! Addresses are few, change, or fail.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use lanyard_tests::lan::{Family, Lan};
use lanyard_tests::machine::Way;

use crate::scene::{Scene, reached_at};
use crate::work::{Connection, Work};

/// No IPv4 and no router: what two machines with one cable between them have.
pub(crate) async fn link_local_only() -> Result<()> {
    let scene = Scene::of(Family::LinkLocalV6, 1, 2).await?;
    for (device, way) in scene.devices.iter().zip([Way::Name, Way::Link]) {
        device.pairs_with(scene.host(), way).await?;
        let address = reached_at(device, "host0").await?;
        ensure!(address.starts_with("[fe80::"), "{address}");
        let mut work = Work::begin(device, scene.host(), "host0", device.name()).await?;
        work.is_seen(scene.host()).await?;
        work.ends(device, scene.host(), Connection::Same).await?;
    }
    Ok(())
}

/// The connection moves with the device.
pub(crate) async fn device_moves() -> Result<()> {
    let mut scene = Scene::of(Family::Both, 1, 1).await?;
    scene.device().pairs_with(scene.host(), Way::Address(scene.v4(0))).await?;
    let mut work = Work::begin(scene.device(), scene.host(), "host0", "w").await?;
    for last in [99, 98] {
        scene.lan.change_address(1, Ipv4Addr::new(10, 77, 0, last))?;
        work.goes_on(scene.host()).await?;
        work.is_seen(scene.host()).await?;
    }
    let shown = scene.host().asks(&["devices", "list"]).await?;
    ensure!(shown["devices"][0]["connections"].as_u64() >= Some(3), "{shown}");
    work.ends(scene.device(), scene.host(), Connection::Same).await
}

/// The address the device remembers leads nowhere; it hears the new one.
pub(crate) async fn host_moves() -> Result<()> {
    let mut scene = Scene::of(Family::Both, 1, 1).await?;
    scene.device().pairs_with(scene.host(), Way::Address(scene.v4(0))).await?;
    let mut work = Work::begin(scene.device(), scene.host(), "host0", "w").await?;
    scene.lan.change_address(0, Ipv4Addr::new(10, 77, 0, 99))?;
    work.is_seen(scene.host()).await?;
    work.ends(scene.device(), scene.host(), Connection::New).await?;
    let address = reached_at(scene.device(), "host0").await?;
    ensure!(address != scene.v4(0).to_string(), "{address}");
    Ok(())
}

/// Wire and Wi-Fi, each a network of its own, and one of them fails.
pub(crate) async fn two_interfaces() -> Result<()> {
    let mut lan = Lan::of(2, Family::Both)?;
    lan.add_nic(0, Some(Ipv4Addr::new(10, 78, 0, 1)))?;
    lan.add_nic(1, Some(Ipv4Addr::new(10, 78, 0, 2)))?;
    let mut scene = Scene::on(lan, 1, 1).await?;
    // Heard on both, it is one host all the same.
    scene.device().pairs_with(scene.host(), Way::Name).await?;
    let mut work = Work::begin(scene.device(), scene.host(), "host0", "w").await?;
    for (machine, plugged) in [(0, false), (0, true), (1, false), (1, true)] {
        scene.lan.set_cable(machine, plugged)?;
        work.goes_on(scene.host()).await?;
        work.is_seen(scene.host()).await?;
    }
    work.ends(scene.device(), scene.host(), Connection::Any).await
}
