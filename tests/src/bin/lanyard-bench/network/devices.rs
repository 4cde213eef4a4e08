//! A thousand devices of one host: their pairings in a row, and what each costs in memory once it is connected.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use lanyard_protocol::device::PairingMethod;
use lanyard_protocol::method::SubscribeHost;
use lanyard_tests::device::{Owner, TestDevice};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::pairings::Pairings;
use crate::memory::resident;
use crate::table::Table;

const DEVICES: usize = 1_000;

/// Pairings by code with one host; its limit is thirty.
const CODES: usize = 25;

/// Devices that connect at the same time.
const AT_A_TIME: usize = 50;

/// Long enough for what the connecting left to do.
const IDLE: Duration = Duration::from_secs(1);

/// Sockets of the devices and connections of the owner, with room.
const FILES: u64 = 4 * DEVICES as u64;

pub(super) async fn measure(table: &mut Table) -> Result<()> {
    let files = getrlimit(Resource::Nofile);
    let allowed = files.maximum.map_or(FILES, |most| most.min(FILES));
    if files.current.is_some_and(|now| now < allowed) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), ..files })?;
    }
    let host = super::host().await?;
    let mut owner = Owner::at(&host.socket()?).await?;
    tokio::time::sleep(IDLE).await;
    let unpaired = resident(&host)?;
    let mut pairings = Pairings::new()?;
    let devices = by_turns(&mut pairings, &mut owner, host.address().await?).await?;
    pairings.report(table, "pairing")?;
    tokio::time::sleep(IDLE).await;
    let paired = resident(&host)?;
    per_device(table, "memory: a paired device, not connected", unpaired, paired, devices.len());

    let mut connections = Vec::new();
    for some in devices.chunks(AT_A_TIME) {
        connections.extend(try_join_all(some.iter().map(|device| device.connect())).await?);
    }
    tokio::time::sleep(IDLE).await;
    let connected = resident(&host)?;
    per_device(table, "memory: a connected device, idle", paired, connected, devices.len());
    for some in connections.chunks_mut(AT_A_TIME) {
        try_join_all(some.iter_mut().map(|device| device.call(SubscribeHost::default()))).await?;
    }
    tokio::time::sleep(IDLE).await;
    let following = resident(&host)?;
    per_device(table, "memory: a connected device, following", paired, following, devices.len());
    table.memory(&format!("memory: host with {} devices connected", devices.len()), following, None)
}

/// Pairs the devices with the host by link and, in between, as many others by code. Those go to hosts that are given up
/// when they take no more codes: no host has more than thirty attempts an hour.
async fn by_turns(
    pairings: &mut Pairings,
    owner: &mut Owner,
    address: SocketAddr,
) -> Result<Vec<TestDevice>> {
    let mut devices = Vec::new();
    for _ in 0..DEVICES / CODES {
        let other = super::host().await?;
        let (mut its_owner, its_address) = (Owner::at(&other.socket()?).await?, other.address().await?);
        for _ in 0..CODES {
            pairings.one(&mut its_owner, &[its_address], PairingMethod::Code).await?;
            devices.extend(pairings.one(owner, &[address], PairingMethod::Link).await?);
        }
    }
    Ok(devices)
}

fn per_device(table: &mut Table, name: &str, before: u64, after: u64, devices: usize) {
    // Rounded towards zero where the host gave memory back meanwhile.
    table.number(name, after.saturating_sub(before) as f64 / 1e3 / devices as f64, "kB");
}
