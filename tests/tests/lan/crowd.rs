//! Everybody with everybody.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use lanyard_tests::lan::Family;
use lanyard_tests::machine::Way;

use crate::scene::Scene;
use crate::work::{Connection, Work};

/// Three hosts and three devices: each device finds all hosts, is paired with each, and works on all of them at once.
pub(crate) async fn three_by_three() -> Result<()> {
    let scene = Scene::of(Family::Both, 3, 3).await?;
    for device in &scene.devices {
        let mut names = Vec::new();
        // A host that was asked by others within this second answers later.
        while names.len() < 3 {
            let heard = device.asks(&["discover"]).await?;
            names
                .extend(heard["hosts"].as_array().into_iter().flatten().map(|host| host["name"].to_string()));
            names.sort();
            names.dedup();
        }
        ensure!(names == [r#""host0""#, r#""host1""#, r#""host2""#], "{names:?}");
        for (host, way) in scene.hosts.iter().zip([Way::Link, Way::Name, Way::Link]) {
            ensure!(device.pairs_with(host, way).await? == host.name());
        }
    }
    let pairs: Vec<_> =
        scene.devices.iter().flat_map(|device| scene.hosts.iter().map(move |host| (device, host))).collect();
    let begun = pairs.iter().map(|(device, host)| Work::begin(device, host, host.name(), device.name()));
    let mut works = try_join_all(begun).await?;
    try_join_all(works.iter_mut().zip(&pairs).map(|(work, (_, host))| work.is_seen(host))).await?;
    let ends =
        works.into_iter().zip(&pairs).map(|(work, (device, host))| work.ends(device, host, Connection::Same));
    try_join_all(ends).await?;
    for host in &scene.hosts {
        let shown = host.asks(&["devices", "list"]).await?;
        ensure!(shown["devices"].as_array().map(Vec::len) == Some(3), "{shown}");
    }
    Ok(())
}
