//! Pairing, again and again.

use anyhow::{Context, Result, ensure};
use lanyard_protocol::method::Health;
use lanyard_tests::lan::Family;
use lanyard_tests::machine::Way;

use crate::scene::Scene;

/// Half of them while packets are lost. The device is new each time but the last, when it comes back as it is.
pub(crate) async fn many() -> Result<()> {
    let count = if std::env::var_os("LANYARD_LONG").is_some() { 1000 } else { 12 };
    let mut scene = Scene::of(Family::Both, 1, 1).await?;
    for number in 0..count {
        if number == count / 2 {
            scene.lan.lose(5)?;
        }
        let (host, device) = (scene.host(), scene.device());
        // Typed codes are limited to thirty an hour; links are not.
        let way = if number % 50 == 1 { Way::Address(scene.v4(0)) } else { Way::Link };
        let pairing = async {
            device.pairs_with(host, way).await?;
            device.asks(&["health", "--host", "host0"]).await
        };
        pairing.await.with_context(|| format!("pairing {number}"))?;
        let devices = host.asks(&["devices", "list"]).await?;
        ensure!(devices["devices"].as_array().map(Vec::len) == Some(1), "{devices}");
        ensure!(devices["devices"][0]["provisionalUntil"].is_null(), "it has shown that it knows: {devices}");
        if number % 2 == 0 {
            let id = devices["devices"][0]["deviceId"].as_str().context("no id")?;
            host.types(&["devices", "revoke", id]).await?.ok()?;
            device.reinstall()?;
        } else {
            device.types(&["unpair", "host0"]).await?.ok()?;
        }
    }
    let counters = scene.host().connect().await?.call(Health {}).await?.network.counters;
    ensure!(counters.pairings == count && counters.pairing_aborts.is_empty(), "{counters:?}");
    Ok(())
}
