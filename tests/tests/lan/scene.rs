//! A network with hosts that run and devices that are paired with them.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use lanyard_tests::lan::{Family, Lan};
use lanyard_tests::machine::{Machine, Way};

use crate::MODEL;

/// The port hosts listen at unless told otherwise.
pub(crate) const PORT: u16 = 7717;

/// See the module. The hosts come first among the machines of the network.
pub(crate) struct Scene {
    pub(crate) lan: Lan,
    pub(crate) hosts: Vec<Machine>,
    pub(crate) devices: Vec<Machine>,
}

impl Scene {
    /// Hosts that run, each with its model, and devices that know none of them.
    pub(crate) async fn of(family: Family, hosts: usize, devices: usize) -> Result<Self> {
        Self::on(Lan::of(hosts + devices, family)?, hosts, devices).await
    }

    /// [`Scene::of`] on a network that is there.
    pub(crate) async fn on(lan: Lan, hosts: usize, devices: usize) -> Result<Self> {
        let mut scene = Self { lan, hosts: Vec::new(), devices: Vec::new() };
        for number in 0..hosts {
            scene.add_host(number, &format!("host{number}")).await?;
        }
        for number in 0..devices {
            scene.devices.push(Machine::on(&scene.lan, hosts + number, &format!("device{number}"))?);
        }
        Ok(scene)
    }

    /// Starts a host on a machine of the network.
    pub(crate) async fn add_host(&mut self, number: usize, name: &str) -> Result<()> {
        let mut host = Machine::on(&self.lan, number, name)?;
        host.has_model(MODEL).await?;
        host.host_up().await?;
        self.hosts.push(host);
        Ok(())
    }

    /// One host and one device, paired by the link.
    pub(crate) async fn pair() -> Result<Self> {
        let scene = Self::of(Family::Both, 1, 1).await?;
        scene.device().pairs_with(scene.host(), Way::Link).await?;
        Ok(scene)
    }

    /// The first host.
    pub(crate) fn host(&self) -> &Machine {
        &self.hosts[0]
    }

    /// The first host, to be changed.
    pub(crate) fn host_mut(&mut self) -> &mut Machine {
        &mut self.hosts[0]
    }

    /// The first device.
    pub(crate) fn device(&self) -> &Machine {
        &self.devices[0]
    }

    /// Where a host is reached over IPv4.
    pub(crate) fn v4(&self, host: usize) -> SocketAddr {
        (self.lan.address(host), PORT).into()
    }
}

/// Where a paired host was last reached, as the device shows it.
pub(crate) async fn reached_at(device: &Machine, host: &str) -> Result<String> {
    let shown = device.asks(&["hosts", "list"]).await?;
    let hosts = shown["hosts"].as_array().context("no list")?;
    let row = hosts.iter().find(|row| row["name"] == host).with_context(|| format!("{host} in {shown}"))?;
    anyhow::ensure!(row["status"] == "reachable", "{row}");
    Ok(row["detail"].as_str().context("no address")?.to_owned())
}
