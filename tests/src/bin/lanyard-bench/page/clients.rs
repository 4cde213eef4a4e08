//! What a hundred browser clients cost a host in memory. The floor: as many devices over QUIC, at a host of their own.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use lanyard_protocol::device::PairingMethod;
use lanyard_protocol::method::SubscribeHost;
use lanyard_tests::device::{Owner, TestDevice};
use lanyard_tests::host::TestHost;

use super::wire::Tab;
use crate::memory::resident;
use crate::network;
use crate::table::Table;

const CLIENTS: usize = 100;

/// Clients that connect at the same time.
const AT_A_TIME: usize = 10;

/// Long enough for what the connecting left to do.
const IDLE: Duration = Duration::from_secs(1);

pub(super) async fn measure(table: &mut Table) -> Result<()> {
    let native = native().await?;
    let browsers = browsers().await?;
    native.report(table, "floor: QUIC devices", None)?;
    browsers.report(table, "browser clients", Some(&native))
}

/// A host and the devices it is paired with, none of them connected.
async fn paired() -> Result<(TestHost, Vec<TestDevice>)> {
    let host = network::host().await?;
    let mut owner = Owner::at(&host.socket()?).await?;
    let address = host.address().await?;
    let mut devices = Vec::new();
    for number in 0..CLIENTS {
        let mut device = TestDevice::new(&format!("client {number}"))?;
        device.pair(&mut owner, &[address], PairingMethod::Link).await?;
        devices.push(device);
    }
    Ok((host, devices))
}

async fn native() -> Result<Cost> {
    let (host, devices) = paired().await?;
    let before = settled(&host).await?;
    let mut connections = Vec::new();
    for some in devices.chunks(AT_A_TIME) {
        connections.extend(try_join_all(some.iter().map(|device| device.connect())).await?);
    }
    let connected = settled(&host).await?;
    for some in connections.chunks_mut(AT_A_TIME) {
        try_join_all(some.iter_mut().map(|device| device.call(SubscribeHost::default()))).await?;
    }
    Ok(Cost { before, connected, following: settled(&host).await? })
}

async fn browsers() -> Result<Cost> {
    let (host, devices) = paired().await?;
    let before = settled(&host).await?;
    let mut tabs = Vec::new();
    for some in devices.chunks(AT_A_TIME) {
        tabs.extend(try_join_all(some.iter().map(Tab::of)).await?);
    }
    let connected = settled(&host).await?;
    for some in tabs.chunks_mut(AT_A_TIME) {
        try_join_all(some.iter_mut().map(|tab| tab.call(SubscribeHost::default()))).await?;
    }
    Ok(Cost { before, connected, following: settled(&host).await? })
}

async fn settled(host: &TestHost) -> Result<u64> {
    tokio::time::sleep(IDLE).await;
    resident(host)
}

/// Resident bytes of a host: with its clients paired, connected, and following its log.
struct Cost {
    before: u64,
    connected: u64,
    following: u64,
}

impl Cost {
    /// Kilobytes for each client.
    fn each(&self, after: u64) -> f64 {
        // Rounded towards zero where the host gave memory back meanwhile.
        after.saturating_sub(self.before) as f64 / 1e3 / CLIENTS as f64
    }

    fn report(&self, table: &mut Table, who: &str, floor: Option<&Self>) -> Result<()> {
        table.memory(&format!("{who}: host with {CLIENTS} of them"), self.following, None)?;
        if let Some(floor) = floor {
            table.set_against(self.following as f64 / floor.following as f64, "as many over QUIC");
        }
        let states = [
            ("connected, each", self.each(self.connected), floor.map(|floor| floor.each(floor.connected))),
            ("following, each", self.each(self.following), floor.map(|floor| floor.each(floor.following))),
        ];
        for (state, cost, floor) in states {
            table.number(&format!("{who}: {state}"), cost, "kB");
            // A host that gave back more than they cost has nothing to compare with.
            if let Some(floor) = floor.filter(|floor| *floor > 0.0) {
                table.set_against(cost / floor, "over QUIC");
            }
        }
        Ok(())
    }
}
