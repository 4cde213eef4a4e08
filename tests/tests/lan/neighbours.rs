//! Others are on the network, and on the machine.

use anyhow::{Context, Result, ensure};
use lanyard_protocol::method::FindHosts;
use lanyard_tests::lan::{Family, Lan};
use lanyard_tests::machine::{Machine, Way};
use tokio::process::Child;

use crate::scene::Scene;
use crate::work::{Connection, Work};

/// Avahi holds the mDNS port of both machines first.
pub(crate) async fn beside_avahi() -> Result<()> {
    if Lan::is_without_avahi() {
        return Ok(());
    }
    let lan = Lan::of(2, Family::Both)?;
    let mut daemons = Vec::new();
    for number in 0..2 {
        daemons.push(avahi(&Machine::on(&lan, number, "avahi")?, number).await?);
    }
    let scene = Scene::on(lan, 1, 1).await?;
    scene.device().pairs_with(scene.host(), Way::Name).await?;
    let mut work = Work::begin(scene.device(), scene.host(), "host0", "w").await?;
    work.is_seen(scene.host()).await?;
    work.ends(scene.device(), scene.host(), Connection::Same).await?;
    for daemon in &mut daemons {
        ensure!(daemon.try_wait()?.is_none(), "Avahi did not survive it");
    }
    Ok(())
}

/// A real Avahi with directories of its own.
async fn avahi(machine: &Machine, number: usize) -> Result<Child> {
    use tokio::io::{AsyncBufReadExt, BufReader};
    const SCRIPT: &str = r#"
        set -e
        mount --make-rprivate /
        mount -t tmpfs none /run
        mount -t tmpfs none /etc/avahi
        mkdir -p /run/dbus /run/avahi-daemon /etc/avahi/services
        printf '[server]\nhost-name=%s\nuse-ipv4=yes\nuse-ipv6=yes\n' "$NAME" > /etc/avahi/avahi-daemon.conf
        dbus-daemon --system --nopidfile --fork
        exec avahi-daemon --no-drop-root --no-rlimits --no-chroot 2>&1
    "#;
    let mut command = machine.program("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT]).env("NAME", format!("machine{number}"));
    let mut daemon = command.stdout(std::process::Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(daemon.stdout.take().context("a pipe was asked for")?).lines();
    let mut said = Vec::new();
    while let Some(line) = lines.next_line().await? {
        if line.contains("Server startup complete") {
            // Its pipe is read to the end, or it would wait for that.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(daemon);
        }
        said.push(line);
    }
    anyhow::bail!("Avahi does not start: {said:#?}")
}

/// The name is for people; what counts is the key.
pub(crate) async fn two_of_one_name() -> Result<()> {
    let mut scene = Scene::on(Lan::of(3, Family::Both)?, 0, 0).await?;
    for number in 0..2 {
        scene.add_host(number, "studio").await?;
    }
    let device = Machine::on(&scene.lan, 2, "device")?;
    let [first, second] = &scene.hosts[..] else { anyhow::bail!("two hosts") };
    ensure!(device.pairs_with(first, Way::Link).await? == "studio");
    ensure!(device.pairs_with(second, Way::Address(scene.v4(1))).await? == "studio-2");
    let unclear = device.types(&["health"]).await?;
    ensure!(unclear.code == Some(2) && unclear.err.contains("--host NAME"), "{unclear:?}");
    for (host, alias) in [(first, "studio"), (second, "studio-2")] {
        let known = device.asks(&["identity", "--host", alias]).await?;
        ensure!(known["hostId"] == host.host_id().await?.as_str(), "{known}");
        let mut work = Work::begin(&device, host, alias, "w").await?;
        work.is_seen(host).await?;
        work.ends(&device, host, Connection::Same).await?;
    }
    for host in [first, second] {
        let shown = host.asks(&["sessions"]).await?;
        ensure!(shown["sessions"].as_array().map(Vec::len) == Some(2), "each has its own tasks: {shown}");
    }
    Ok(())
}

/// A page can lead to the other hosts; the host it comes from is not among them.
pub(crate) async fn hosts_hear_each_other() -> Result<()> {
    let scene = Scene::of(Family::Both, 3, 0).await?;
    let mut peer = scene.host().connect().await?;
    let expected: Vec<String> = (1..3).map(|number| format!("https://{}", scene.v4(number))).collect();
    let heard = async {
        loop {
            let hosts = peer.call(FindHosts {}).await?.hosts;
            let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
            ensure!(!names.contains(&"host0"), "{names:?}");
            let there = |origin: &String| hosts.iter().any(|host| host.origins.contains(origin));
            if names == ["host1", "host2"] && expected.iter().all(there) {
                return Ok(hosts);
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    };
    let hosts = tokio::time::timeout(lanyard_tests::host::PATIENCE, heard).await??;
    for host in &hosts {
        let by_name = host.origins.first().context("no origin")?;
        ensure!(by_name.starts_with("https://lanyard-") && by_name.ends_with(".local:7717"), "{host:?}");
        ensure!(
            host.origins.iter().all(|origin| !origin.contains('%') && !origin.contains("[fe80")),
            "{host:?}"
        );
    }
    Ok(())
}
