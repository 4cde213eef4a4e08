//! The network side: a device over QUIC against plain quinn in the same minute, the way back after a break, many
//! devices, many pairings, and strangers at the door.

mod bulk;
mod calls;
mod devices;
mod events;
mod flood;
pub(crate) mod pairings;
pub(crate) mod raw;
mod reconnect;
pub(crate) mod tls;

use anyhow::{Context, Result};
use lanyard_protocol::device::PairingMethod;
use lanyard_tests::device::TestDevice;
use lanyard_tests::host::{HostOptions, TestHost};

use crate::table::Table;
use raw::Floor;

pub(crate) async fn measure(table: &mut Table) -> Result<()> {
    let floor = Floor::start()?;
    eprintln!("  handshakes and requests");
    calls::measure(table, &floor).await.context("handshakes and requests")?;
    eprintln!("  events");
    events::measure(table).await.context("events")?;
    eprintln!("  bulk");
    bulk::measure(table, &floor).await.context("bulk")?;
    eprintln!("  reconnecting");
    reconnect::measure(table).await.context("reconnecting")?;
    eprintln!("  pairings, devices");
    devices::measure(table).await.context("pairings, devices")?;
    eprintln!("  strangers");
    flood::measure(table).await.context("strangers")
}

/// A host that never asks its model.
pub(crate) async fn host() -> Result<TestHost> {
    TestHost::with(quiet()).await
}

/// Its options. A configured gateway, so that no time is spent on looking for a local one.
pub(crate) fn quiet() -> HostOptions {
    HostOptions { gateway: Some("http://127.0.0.1:9/v1".into()), ..HostOptions::default() }
}

/// A device paired with a host on this machine.
pub(crate) async fn device(host: &TestHost, name: &str) -> Result<TestDevice> {
    let mut device = TestDevice::new(name)?;
    device.pair_with(host, PairingMethod::Link).await.with_context(|| format!("pairing {name:?}"))?;
    Ok(device)
}
