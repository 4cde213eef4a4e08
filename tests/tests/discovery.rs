//! Finding hosts by name, between real network namespaces: what is found, what survives, and what is said about it.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lanyard_pairing::Fingerprint;
use lanyard_tests::lan::{Family, Lan};
use serde_json::Value;

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `lanyard-mdns` on a machine. Killed when dropped.
struct Mdns {
    child: Child,
    lines: Receiver<Value>,
}

impl Mdns {
    fn run(lan: &Lan, machine: usize, words: &[&str]) -> Result<Self> {
        let mut command = lan.command_in(machine, env!("CARGO_BIN_EXE_lanyard-mdns"));
        Self::spawn(command.args(words))
    }

    fn spawn(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let out = BufReader::new(child.stdout.take().context("a pipe was asked for")?);
        let (told, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // The test may have stopped listening.
                let _ = told.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        Ok(Self { child, lines })
    }

    fn advertise(lan: &Lan, machine: usize, name: &str, number: u8, port: u16) -> Result<Self> {
        Self::run(lan, machine, &["advertise", name, &number.to_string(), &port.to_string()])
    }

    /// Starts to listen, and listens when this returns.
    fn browse(lan: &Lan, machine: usize) -> Result<Self> {
        let browser = Self::run(lan, machine, &["browse"])?;
        browser.until("listening", |line| line["listening"] == true)?;
        Ok(browser)
    }

    /// The first line that is wanted.
    fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let end = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if wanted(&line) {
                return Ok(line);
            }
            seen.push(line.to_string());
        }
        bail!("waited in vain for {what}; heard {seen:#?}")
    }

    /// Waits until a host is told with that address, and returns what was told.
    fn finds(&self, number: u8, address: &str) -> Result<Value> {
        self.until(&format!("{} at {address}", id(number)), |line| {
            line["id"] == id(number)
                && line["addresses"].as_array().is_some_and(|all| all.iter().any(|a| a == address))
        })
    }

    /// Waits until a host is told to be gone.
    fn loses(&self, number: u8) -> Result<Value> {
        self.until(&format!("the end of {}", id(number)), |line| line["gone"] == id(number))
    }

    fn is(&self, state: &str, detail: &str) -> Result<Value> {
        self.until(&format!("{state}: {detail}"), |line| {
            line["state"] == state && line["detail"].as_str().is_some_and(|said| said.contains(detail))
        })
    }

    /// What was said and not looked at.
    fn unread(&self) -> Vec<Value> {
        self.lines.try_iter().collect()
    }

    fn runs(&mut self) -> Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "it has ended: {:?}", self.unread());
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it in order.
    fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        ensure!(self.child.wait()?.success(), "it failed: {:?}", self.unread());
        Ok(())
    }
}

impl Drop for Mdns {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn id(number: u8) -> String {
    Fingerprint::from_bytes([number; 32]).short()
}

/// Waits for something only the network's own machinery shows.
fn wait_for(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !done()? {
        ensure!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[test]
fn a_host_is_found_with_every_kind_of_address_and_answers_for_its_name() -> Result<()> {
    if Lan::is_missing() {
        return Ok(());
    }
    let lan = Lan::new(2)?;
    let host = Mdns::advertise(&lan, 0, "Mia's studio.local", 1, 7717)?;
    let browser = Mdns::browse(&lan, 1)?;
    let seen = browser.finds(1, "10.77.0.1:7717")?;
    assert_eq!((seen["name"].as_str(), &seen["version"]), (Some("Mia's studio-local"), &Value::from(1)));
    // The scope is the number of the listener's interface, not of the host's.
    let link_local = format!("[{}%{}]:7717", lan.link_local(0)?, lan.scope(1)?);
    if !seen["addresses"].to_string().contains(&link_local) {
        browser.finds(1, &link_local)?;
    }
    host.is("advertising", "on eth0")?;
    let asked = Mdns::run(&lan, 1, &["ask", &format!("lanyard-{}.local", id(1))])?;
    asked.until("the address of its name", |line| line["address"] == "10.77.0.1")?;
    host.stop()
}

#[test]
fn link_local_ipv6_is_enough() -> Result<()> {
    if Lan::is_missing() {
        return Ok(());
    }
    let lan = Lan::of(2, Family::LinkLocalV6)?;
    let host = Mdns::advertise(&lan, 0, "studio", 1, 7717)?;
    let browser = Mdns::browse(&lan, 1)?;
    let link_local = format!("[{}%{}]:7717", lan.link_local(0)?, lan.scope(1)?);
    let seen = browser.finds(1, &link_local)?;
    assert_eq!(seen["addresses"].as_array().map(Vec::len), Some(1), "{seen}");
    host.is("advertising", "on eth0")?;
    Ok(())
}

#[test]
fn two_hosts_of_one_name_are_both_found() -> Result<()> {
    if Lan::is_missing() {
        return Ok(());
    }
    let lan = Lan::new(3)?;
    let first = Mdns::advertise(&lan, 0, "studio", 1, 7717)?;
    first.is("advertising", "\"studio\"")?;
    let second = Mdns::advertise(&lan, 1, "studio", 2, 7717)?;
    second.is("advertising", "\"studio (2)\"")?;
    let browser = Mdns::browse(&lan, 2)?;
    let mut names = Vec::new();
    while names.len() < 2 {
        let seen = browser.until("both", |line| line["addresses"].to_string().contains("10.77.0."))?;
        let text = |key: &str| seen[key].as_str().unwrap_or_default().to_owned();
        let pair = (text("name"), text("id"));
        if !names.contains(&pair) {
            names.push(pair);
        }
    }
    names.sort();
    assert_eq!(names, [("studio".to_owned(), id(1)), ("studio (2)".to_owned(), id(2))]);
    Ok(())
}

#[test]
fn two_interfaces_on_one_network_are_still_one_host() -> Result<()> {
    if Lan::is_missing() {
        return Ok(());
    }
    let mut lan = Lan::new(2)?;
    lan.add_nic(0, Some(Ipv4Addr::new(10, 78, 0, 1)))?;
    lan.add_nic(1, Some(Ipv4Addr::new(10, 78, 0, 2)))?;
    let host = Mdns::advertise(&lan, 0, "studio", 1, 7717)?;
    let browser = Mdns::browse(&lan, 1)?;
    // It hears itself and may give itself another name; whoever looks at the id finds one host.
    let mut addresses = String::new();
    while !(addresses.contains("10.77.0.1:7717") && addresses.contains("10.78.0.1:7717")) {
        let seen = browser.until("both addresses", |line| line["addresses"].is_array())?;
        assert_eq!(seen["id"], id(1));
        addresses.push_str(&seen["addresses"].to_string());
    }
    host.is("advertising", "on eth0, eth1")?;
    Ok(())
}

#[test]
fn where_multicast_is_dropped_nothing_is_found_and_nothing_breaks() -> Result<()> {
    if Lan::is_missing() {
        return Ok(());
    }
    let mut lan = Lan::new(2)?;
    lan.drop_multicast(true)?;
    let mut host = Mdns::advertise(&lan, 0, "studio", 1, 7717)?;
    let mut browser = Mdns::browse(&lan, 1)?;
    host.is("advertising", "")?;
    // Announcements and questions were sent, and went nowhere.
    wait_for("lost packets", || Ok(lan.dropped()? >= 10))?;
    assert_eq!(browser.unread(), Vec::<Value>::new());
    host.runs()?;
    browser.runs()?;
    lan.drop_multicast(false)?;
    browser.finds(1, "10.77.0.1:7717")?;
    Ok(())
}

#[test]
fn thirty_percent_loss_only_takes_longer() -> Result<()> {
    if Lan::is_missing() {
        return Ok(());
    }
    let mut lan = Lan::new(2)?;
    lan.lose(30)?;
    let _host = Mdns::advertise(&lan, 0, "studio", 1, 7717)?;
    Mdns::browse(&lan, 1)?.finds(1, "10.77.0.1:7717")?;
    Ok(())
}

#[test]
fn interfaces_that_go_and_come_back_are_used_again() -> Result<()> {
    if Lan::is_missing() {
        return Ok(());
    }
    // Each of these waits for the other side to look at its interfaces, so they wait side by side.
    let scenarios: [fn() -> Result<()>; 4] =
        [host_flaps, listener_flaps, no_interface_at_first, address_changes];
    std::thread::scope(|scope| {
        let running = scenarios.map(|scenario| scope.spawn(scenario));
        for scenario in running {
            scenario.join().map_err(|_| anyhow::anyhow!("it panicked"))??;
        }
        Ok(())
    })
}

fn host_flaps() -> Result<()> {
    let mut lan = Lan::new(2)?;
    let mut host = Mdns::advertise(&lan, 0, "studio", 1, 7717)?;
    host.is("advertising", "on eth0")?;
    for _ in 0..2 {
        lan.set_link(0, false)?;
        let said = host.is("failed", "no network interface is up")?;
        assert!(said["detail"].to_string().contains("QR code or its address"), "{said}");
        lan.set_link(0, true)?;
        host.is("advertising", "on eth0")?;
        Mdns::browse(&lan, 1)?.finds(1, "10.77.0.1:7717")?;
    }
    host.runs()
}

fn listener_flaps() -> Result<()> {
    let mut lan = Lan::new(2)?;
    let _host = Mdns::advertise(&lan, 0, "studio", 1, 7717)?;
    let browser = Mdns::browse(&lan, 1)?;
    browser.finds(1, "10.77.0.1:7717")?;
    let own = Mdns::advertise(&lan, 1, "desk", 2, 7717)?;
    own.is("advertising", "")?;
    lan.set_cable(1, false)?;
    own.is("failed", "no network interface is up")?;
    browser.loses(1)?;
    lan.set_cable(1, true)?;
    own.is("advertising", "")?;
    browser.finds(1, "10.77.0.1:7717")?;
    Mdns::browse(&lan, 0)?.finds(2, "10.77.0.2:7717")?;
    Ok(())
}

fn no_interface_at_first() -> Result<()> {
    let mut lan = Lan::new(2)?;
    lan.set_link(0, false)?;
    lan.set_link(1, false)?;
    let mut host = Mdns::advertise(&lan, 0, "studio", 1, 7717)?;
    let browser = Mdns::browse(&lan, 1)?;
    host.is("failed", "no network interface is up")?;
    host.runs()?;
    lan.set_link(0, true)?;
    lan.set_link(1, true)?;
    host.is("advertising", "on eth0")?;
    browser.finds(1, "10.77.0.1:7717")?;
    Ok(())
}

fn address_changes() -> Result<()> {
    let mut lan = Lan::new(2)?;
    let _host = Mdns::advertise(&lan, 0, "studio", 1, 7717)?;
    let browser = Mdns::browse(&lan, 1)?;
    browser.finds(1, "10.77.0.1:7717")?;
    lan.change_address(0, Ipv4Addr::new(10, 77, 0, 99))?;
    // Those who listen hear of it, and the new address comes first.
    let seen = browser.finds(1, "10.77.0.99:7717")?;
    assert_eq!(seen["addresses"][0], "10.77.0.99:7717", "{seen}");
    Ok(())
}

#[test]
fn a_port_that_somebody_keeps_is_named_and_waited_for() -> Result<()> {
    if Lan::is_missing() {
        return Ok(());
    }
    let lan = Lan::new(2)?;
    let holder = Mdns::run(&lan, 0, &["hold"])?;
    holder.until("the port", |line| line["holding"] == true)?;
    let mut host = Mdns::advertise(&lan, 0, "studio", 1, 7717)?;
    let said = host.is("failed", "UDP port 5353 is taken")?;
    assert!(said["detail"].to_string().contains("tried again in 1 s"), "{said}");
    let refused = Mdns::run(&lan, 0, &["browse"])?;
    refused.until("why", |line| line["error"].to_string().contains("--address IP:PORT"))?;
    host.runs()?;
    holder.stop()?;
    host.is("advertising", "on eth0")?;
    Mdns::browse(&lan, 1)?.finds(1, "10.77.0.1:7717")?;
    Ok(())
}

#[test]
fn a_killed_host_harms_nobody_and_a_stopped_one_says_goodbye() -> Result<()> {
    if Lan::is_missing() {
        return Ok(());
    }
    let lan = Lan::new(2)?;
    let mut host = Mdns::advertise(&lan, 0, "studio", 1, 7717)?;
    let mut browser = Mdns::browse(&lan, 1)?;
    browser.finds(1, "10.77.0.1:7717")?;
    host.kill()?;
    // It comes back with its name: nobody is left to claim that.
    let host = Mdns::advertise(&lan, 0, "studio", 1, 7718)?;
    let seen = browser.finds(1, "10.77.0.1:7718")?;
    assert_eq!(seen["name"], "studio");
    browser.runs()?;
    host.stop()?;
    browser.loses(1)?;
    let _host = Mdns::advertise(&lan, 0, "studio", 1, 7718)?;
    browser.finds(1, "10.77.0.1:7718")?;
    Ok(())
}

#[test]
fn avahi_on_the_same_machine_and_lanyard_both_work() -> Result<()> {
    if Lan::is_missing() || Lan::is_without_avahi() {
        return Ok(());
    }
    let lan = Lan::new(3)?;
    // On the first machine Avahi is there before, on the second it comes after.
    let _avahi = avahi(&lan, 0, "zebra")?;
    let first = Mdns::advertise(&lan, 0, "studio", 1, 7717)?;
    let second = Mdns::advertise(&lan, 1, "desk", 2, 7717)?;
    second.is("advertising", "")?;
    let _avahi = avahi(&lan, 1, "yak")?;
    first.is("advertising", "")?;
    for machine in [2, 0] {
        // Also from a machine where Avahi runs: the port is shared.
        let browser = Mdns::browse(&lan, machine)?;
        let mut missing = vec![id(1), id(2), "zebraaa".to_owned(), "yakaaaa".to_owned()];
        while !missing.is_empty() {
            let seen = browser
                .until(&format!("{missing:?}"), |line| line["addresses"].to_string().contains("10.77.0."))?;
            missing.retain(|id| seen["id"] != *id);
        }
    }
    Ok(())
}

/// A real Avahi on a machine, with directories of its own, that announces a host of ours as a file says. Its processes
/// end with standard input or with the network.
fn avahi(lan: &Lan, machine: usize, name: &str) -> Result<Mdns> {
    const SCRIPT: &str = r#"
        set -e
        mount --make-rprivate /
        mount -t tmpfs none /run
        mount -t tmpfs none /etc/avahi
        mkdir -p /run/dbus /run/avahi-daemon /etc/avahi/services
        printf '%s' "$SERVICE" > /etc/avahi/services/lanyard.service
        printf '[server]\nhost-name=%s\nuse-ipv4=yes\nuse-ipv6=yes\n' "$NAME" > /etc/avahi/avahi-daemon.conf
        dbus-daemon --system --nopidfile --nofork & bus=$!
        until [ -S /run/dbus/system_bus_socket ]; do sleep 0.05; done
        avahi-daemon --no-drop-root --no-rlimits --no-chroot 2>&1 & avahi=$!
        cat > /dev/null
        kill $avahi $bus
    "#;
    let service = format!(
        "<service-group><name>{name}</name><service><type>_lanyard._udp</type><port>7717</port>\
         <txt-record>v=1</txt-record><txt-record>id={name:a<7}</txt-record></service></service-group>"
    );
    let mut command = lan.command_in(machine, "unshare");
    command.args(["--mount", "sh", "-c", SCRIPT]).env("SERVICE", service).env("NAME", name);
    let avahi = Mdns::spawn(&mut command)?;
    avahi.until("Avahi", |line| line.as_str().is_some_and(|l| l.contains("successfully established")))?;
    Ok(avahi)
}

#[test]
fn names_are_shown_without_what_hides_or_moves_the_cursor() -> Result<()> {
    if Lan::is_missing() {
        return Ok(());
    }
    let lan = Lan::new(2)?;
    let _host = Mdns::advertise(&lan, 0, "\u{202e}oidu\u{1b}[2Jts\u{200b}", 1, 7717)?;
    let seen = Mdns::browse(&lan, 1)?.finds(1, "10.77.0.1:7717")?;
    assert_eq!(seen["name"], "oidu[2Jts");
    Ok(())
}
