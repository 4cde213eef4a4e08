//! Pairings one after the other, by code and by link: how many succeed, and the software's part of their time. The
//! approver answers at once, as no person does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lanyard_protocol::device::{PairingMethod, PairingWindow};
use lanyard_tests::device::{Owner, TestDevice};
use lanyard_transport::keyfile;
use tempfile::TempDir;

use crate::table::{Samples, Table};

/// Failures told in full; more of them are counted only.
const TOLD: usize = 5;

/// Pairings of fresh devices, and what became of them.
pub(super) struct Pairings {
    /// Where the devices keep what has to survive them.
    dir: TempDir,
    begun: usize,
    code: Vec<Duration>,
    link: Vec<Duration>,
    failures: Vec<String>,
}

impl Pairings {
    /// None yet.
    pub(super) fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("lanyard-bench-").tempdir()?;
        Ok(Self { dir, begun: 0, code: Vec::new(), link: Vec::new(), failures: Vec::new() })
    }

    /// Pairs one; `None` when that failed. By the link also where the host gives no code, which is after thirty within
    /// an hour.
    pub(super) async fn one(
        &mut self,
        owner: &mut Owner,
        addresses: &[SocketAddr],
        wanted: PairingMethod,
    ) -> Result<Option<TestDevice>> {
        let number = self.begun;
        self.begun += 1;
        let mut device = TestDevice::new(&format!("device {number}"))?;
        let window = owner.open_window().await.with_context(|| format!("window {number}"))?;
        let method = if window.code.is_some() { wanted } else { PairingMethod::Link };
        let file = self.dir.path().join(number.to_string());
        let started = Instant::now();
        let paired = pair(&mut device, owner, &window, method, addresses, &file).await;
        let took = started.elapsed();
        if let Err(error) = paired {
            self.failures.push(format!("pairing {number}, {method:?}: {error:#}"));
            return Ok(None);
        }
        match method {
            PairingMethod::Code => self.code.push(took),
            PairingMethod::Link => self.link.push(took),
        }
        Ok(Some(device))
    }

    /// Rows for all of them.
    pub(super) fn report(&self, table: &mut Table, name: &str) -> Result<()> {
        for failure in self.failures.iter().take(TOLD) {
            eprintln!("  {failure}");
        }
        let worked = self.begun - self.failures.len();
        let percent = 100.0 * worked as f64 / self.begun as f64;
        table.number(&format!("{name}: worked, of {}", self.begun), percent, "%");
        for (method, times) in [("code", &self.code), ("link", &self.link)] {
            if !times.is_empty() {
                table.times(&format!("{name}: by {method}, software's part"), &Samples::of(times)?, None);
            }
        }
        Ok(())
    }
}

/// From the dial until both sides have it on disk, with the writes a real device makes.
async fn pair(
    device: &mut TestDevice,
    owner: &mut Owner,
    window: &PairingWindow,
    method: PairingMethod,
    addresses: &[SocketAddr],
    file: &Path,
) -> Result<()> {
    let waiting = device.join(window, method, addresses).await?;
    keyfile::write(file, &serde_json::to_vec(waiting.pending())?)?;
    owner.approve(&device.id()?, &waiting).await?;
    device.finish(waiting).await?;
    let home = device.home()?;
    Ok(keyfile::write(file, &serde_json::to_vec(&(&home.host, home.address, &home.grant))?)?)
}

/// Pairings with a host that runs somewhere else, such as in another network namespace behind a link that loses
/// packets; its local socket is reached through the file system.
pub(crate) struct Elsewhere {
    socket: PathBuf,
    addresses: Vec<SocketAddr>,
    count: usize,
}

impl Elsewhere {
    /// From the words `SOCKET ADDRESS[,ADDRESS…] COUNT`.
    pub(crate) fn from_words(words: &mut impl Iterator<Item = String>) -> Result<Self> {
        let mut word = |what: &str| words.next().with_context(|| format!("{what} is missing"));
        let socket = word("the path of the host's socket")?.into();
        let addresses = word("an address of the host")?;
        let addresses = addresses.split(',').map(str::parse).collect::<Result<_, _>>().context(addresses)?;
        let count = word("the number of pairings")?.parse().context("the number of pairings")?;
        Ok(Self { socket, addresses, count })
    }

    pub(crate) async fn measure(&self) -> Result<Table> {
        let mut owner = Owner::at(&self.socket).await?;
        let mut pairings = Pairings::new()?;
        for number in 0..self.count {
            let wanted = [PairingMethod::Code, PairingMethod::Link][number % 2];
            pairings.one(&mut owner, &self.addresses, wanted).await?;
        }
        let mut table = Table::default();
        pairings.report(&mut table, "pairing")?;
        Ok(table)
    }
}
