//! Somebody announces under mDNS what is not so. Nobody believes it.

use anyhow::{Context, Result, ensure};
use lanyard_tests::lan::Lan;
use lanyard_tests::machine::{Machine, Way};
use serde_json::Value;

use crate::MDNS;
use crate::scene::Scene;

/// Somebody with a host of their own, on the third machine.
struct Impostor {
    machine: Machine,
    announcer: tokio::process::Child,
}

impl Impostor {
    /// Announces the true host's name and id, at their own address.
    async fn of(lan: &Lan, host: &Machine) -> Result<Self> {
        let mut machine = Machine::on(lan, 2, "evil")?;
        machine.set("LANYARD_DISCOVERY", "false");
        machine.host_up().await?;
        let mut announce = machine.program(MDNS);
        announce.args(["advertise", host.name(), &host.host_id().await?, "7717"]);
        announce.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        Ok(Self { announcer: announce.spawn()?, machine })
    }

    /// Waits until a device hears the true host's id from the impostor's address.
    async fn is_heard(&mut self, device: &Machine, at: &str) -> Result<Value> {
        loop {
            ensure!(self.announcer.try_wait()?.is_none(), "the announcer has ended");
            let heard = device.asks(&["discover"]).await?;
            let mut hosts = heard["hosts"].as_array().context("no list")?.iter();
            if let Some(found) = hosts.find(|host| host["addresses"].to_string().contains(at)) {
                return Ok(found.clone());
            }
        }
    }

    /// Nothing was given to it.
    async fn got_nothing(&self) -> Result<()> {
        let devices = self.machine.asks(&["devices", "list"]).await?;
        let sessions = self.machine.asks(&["sessions"]).await?;
        ensure!(devices["devices"] == Value::Array(Vec::new()), "{devices}");
        ensure!(sessions["sessions"] == Value::Array(Vec::new()), "{sessions}");
        Ok(())
    }
}

fn known(device: &Machine) -> String {
    std::fs::read_to_string(device.state_dir().join("hosts.toml")).unwrap_or_default()
}

/// The true host is off; the impostor claims its id, and answers.
pub(crate) async fn paired_device_is_not_fooled() -> Result<()> {
    let mut scene = Scene::on(Lan::new(3)?, 1, 1).await?;
    let v4 = scene.v4(0);
    scene.device().pairs_with(scene.host(), Way::Address(v4)).await?;
    let before = known(scene.device());
    let mut impostor = Impostor::of(&scene.lan, scene.host()).await?;
    scene.host_mut().host_killed().await?;
    let heard = impostor.is_heard(scene.device(), "10.77.0.3:7717").await?;
    ensure!(heard["pairedAs"] == "host0", "it claims to be the true one: {heard}");
    let tried = scene.device().types(&["run", "stream w", "--host", "host0"]).await?;
    ensure!(tried.code == Some(5) && tried.err.contains("host0 cannot be reached"), "{tried:?}");
    impostor.got_nothing().await?;
    // Also at the very address that is remembered.
    scene.lan.set_cable(0, false)?;
    scene.lan.change_address(2, scene.lan.address(0))?;
    let mut tried = scene.device().types(&["run", "stream w", "--host", "host0"]).await?;
    while tried.err.contains("cannot be reached") {
        // The device's own table of neighbours still leads to the true host's interface.
        tried = scene.device().types(&["run", "stream w", "--host", "host0"]).await?;
    }
    ensure!(tried.code == Some(5) && tried.err.contains("identity changed"), "{tried:?}");
    ensure!(tried.err.contains("an impostor answers") && tried.err.contains("lanyard join"), "{tried:?}");
    impostor.got_nothing().await?;
    ensure!(known(scene.device()) == before, "nothing new is believed");
    // The true one is taken as before.
    scene.lan.change_address(2, std::net::Ipv4Addr::new(10, 77, 0, 33))?;
    scene.lan.set_cable(0, true)?;
    scene.host_mut().host_up().await?;
    scene.device().asks(&["health", "--host", "host0"]).await.map(drop)
}

/// A device that is new: it hears the impostor and types the true host's code at it; and scans the true host's link.
pub(crate) async fn joining_device_is_not_fooled() -> Result<()> {
    let scene = Scene::on(Lan::new(3)?, 1, 1).await?;
    let (host, device) = (scene.host(), scene.device());
    let mut impostor = Impostor::of(&scene.lan, host).await?;
    impostor.is_heard(device, "10.77.0.3:7717").await?;
    let window = host.opens_window().await?;
    // The impostor expects a device too; it does not know the code.
    let bait = impostor.machine.opens_window().await?;
    let at_impostor = "10.77.0.3:7717".parse()?;
    for (way, address) in [(Way::Address(at_impostor), None), (Way::Link, Some("10.77.0.3:7717"))] {
        let mut typed = device.join_words(host, &window, way);
        if let Some(address) = address {
            // As if the link's own addresses led nowhere: what was heard is tried first.
            typed.extend(["--address".to_owned(), address.to_owned()]);
        }
        let typed: Vec<_> = typed.iter().map(String::as_str).collect();
        let tried = device.types(&typed).await?;
        let words = "the code is wrong, or somebody interferes with the connection";
        ensure!(tried.code == Some(1) && tried.err.contains(words), "{tried:?}");
        ensure!(
            !known(device).contains("[[host]]") && !known(device).contains("[[pending]]"),
            "{}",
            known(device)
        );
    }
    impostor.got_nothing().await?;
    let pending = impostor.machine.asks(&["pairings", "list"]).await?;
    ensure!(pending["pending"] == Value::Array(Vec::new()), "{pending}");
    bait.closes().await?;
    window.closes().await?;
    device.pairs_with(host, Way::Address(scene.v4(0))).await.map(drop)
}
