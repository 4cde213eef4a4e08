//! A small local network on one machine: a switch and some machines, each a network namespace of its own.
//!
//! Everything in it is real but the cables: bridge, interfaces, addresses, multicast, neighbour discovery. The namespaces
//! have no names, so that tests side by side never meet; they live as long as a process of ours holds them, and that
//! process ends with the test, however the test ends. This machine's own network is not touched.
//!
//! Needs `ip`, `nft` and `ethtool`, and the right to make namespaces: see [`Lan::available`].

mod faults;
mod space;

use std::ffi::OsStr;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub use faults::Faults;
use space::Space;

/// Most machines of a network: as many as one test can tell apart.
const MAX_MACHINES: usize = 32;

/// Which addresses the machines have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// 10.77.0.1 and up, and link-local IPv6.
    Both,
    /// Link-local IPv6 alone.
    LinkLocalV6,
}

/// See the module. Its machines count from 0, and 10.77.0.1 belongs to machine 0.
#[derive(Debug)]
pub struct Lan {
    switch: Space,
    machines: Vec<Machine>,
    faults: Faults,
}

#[derive(Debug)]
struct Machine {
    space: Space,
    nics: usize,
}

impl Lan {
    /// Whether networks can be made here; else why not, for a test that has to be skipped.
    ///
    /// # Errors
    /// The reason, in a sentence.
    pub fn available() -> Result<(), String> {
        for (program, package) in [
            ("ip", "iproute2"),
            ("unshare", "util-linux"),
            ("nsenter", "util-linux"),
            ("nft", "nftables"),
            ("ethtool", "ethtool"),
        ] {
            if !space::is_installed(program) {
                return Err(format!("`{program}` is not installed (package {package})"));
            }
        }
        Self::new(1).map(drop).map_err(|error| format!("network namespaces cannot be made here: {error:#}"))
    }

    /// [`Lan::available`] for a test: says on standard error why it is skipped.
    pub fn is_missing() -> bool {
        skipped(Self::available())
    }

    /// Whether an Avahi can be run on a machine; says on standard error why not. It wants to be root, and not the root
    /// of a user namespace.
    pub fn is_without_avahi() -> bool {
        skipped(
            match ["avahi-daemon", "dbus-daemon"].into_iter().find(|program| !space::is_installed(program)) {
                Some(program) => Err(format!("`{program}` is not installed (package avahi-daemon)")),
                None if !space::is_root() => Err("Avahi runs as root only".to_owned()),
                None => Ok(()),
            },
        )
    }

    /// A network of so many machines, with IPv4 and link-local IPv6.
    ///
    /// # Errors
    /// The system refuses; [`Lan::available`] says the same beforehand.
    pub fn new(machines: usize) -> Result<Self> {
        Self::of(machines, Family::Both)
    }

    /// A network of so many machines, each with one interface, `eth0`.
    ///
    /// # Errors
    /// The system refuses; [`Lan::available`] says the same beforehand.
    pub fn of(machines: usize, family: Family) -> Result<Self> {
        ensure!(machines <= MAX_MACHINES, "at most {MAX_MACHINES} machines");
        let switch = Space::new(None)?;
        switch.ip(&[
            "link set lo up",
            "link add br0 type bridge stp_state 0 mcast_snooping 0 forward_delay 0",
            "link set br0 up",
        ])?;
        let mut lan = Self { switch, machines: Vec::new(), faults: Faults::default() };
        for _ in 0..machines {
            lan.add_machine(family)?;
        }
        Ok(lan)
    }

    fn add_machine(&mut self, family: Family) -> Result<()> {
        let space = Space::new(Some(&self.switch))?;
        // An address can be used at once, instead of after a second of asking whether somebody has it.
        for knob in ["ipv6/conf/all/accept_dad", "ipv6/conf/default/accept_dad"] {
            space.set(knob, "0")?;
        }
        // Taking the first address away does not take the others of its network with it.
        space.set("ipv4/conf/default/promote_secondaries", "1")?;
        space.ip(&["link set lo up"])?;
        let number = self.machines.len();
        self.machines.push(Machine { space, nics: 0 });
        let address = (family == Family::Both).then(|| self.address(number));
        self.add_nic(number, address)?;
        Ok(())
    }

    /// Gives a machine one more interface on the same switch; returns its name, `eth1` and so on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn add_nic(&mut self, machine: usize, address: Option<Ipv4Addr>) -> Result<String> {
        let number = self.machine(machine)?.nics;
        let (port, nic) = (format!("m{machine}n{number}"), format!("eth{number}"));
        let pid = self.machine(machine)?.space.pid();
        self.switch.ip(&[
            &format!("link add {port} type veth peer name {nic} netns {pid}"),
            &format!("link set {port} master br0"),
            &format!("link set {port} up"),
        ])?;
        let space = &self.machine(machine)?.space;
        if let Some(address) = address {
            space.ip(&[&format!("addr add {address}/24 brd + dev {nic}")])?;
        }
        space.ip(&[&format!("link set {nic} up")])?;
        self.machines.get_mut(machine).context("no such machine")?.nics += 1;
        self.route_multicast(machine)?;
        self.faults.apply_to_port(&self.switch, &port, &self.machine(machine)?.space, &nic)?;
        Ok(nic)
    }

    /// Programs that do not name an interface send multicast through the first.
    fn route_multicast(&self, machine: usize) -> Result<()> {
        let space = &self.machine(machine)?.space;
        if space.run("ip", &["-4", "addr", "show", "dev", "eth0", "scope", "global"])?.is_empty() {
            return Ok(());
        }
        space.ip(&["route replace 224.0.0.0/4 dev eth0"])
    }

    fn machine(&self, number: usize) -> Result<&Machine> {
        self.machines.get(number).with_context(|| format!("the network has no machine {number}"))
    }

    /// A command that runs on a machine. Its process is the program's own, so that killing it kills the program; whatever
    /// still runs on the machine when the network goes is killed then.
    ///
    /// # Panics
    /// There is no such machine.
    pub fn command_in(&self, machine: usize, program: impl AsRef<OsStr>) -> Command {
        self.machines[machine].space.command(program)
    }

    /// The IPv4 address a machine was born with.
    pub fn address(&self, machine: usize) -> Ipv4Addr {
        let last = u8::try_from(machine + 1).unwrap_or(u8::MAX);
        Ipv4Addr::new(10, 77, 0, last)
    }

    /// The link-local address of a machine's first interface. Whoever dials it adds a scope: the number of the interface
    /// on *their* machine, see [`Lan::scope`].
    ///
    /// # Errors
    /// It has none.
    pub fn link_local(&self, machine: usize) -> Result<Ipv6Addr> {
        let shown = self
            .machine(machine)?
            .space
            .run("ip", &["-6", "-o", "addr", "show", "dev", "eth0", "scope", "link"])?;
        let address = shown.split_whitespace().skip_while(|word| *word != "inet6").nth(1);
        let address = address.and_then(|cidr| cidr.split('/').next()).context("no link-local address")?;
        Ok(address.parse()?)
    }

    /// The number of a machine's interface `eth0`.
    ///
    /// # Errors
    /// It has none.
    pub fn scope(&self, machine: usize) -> Result<u32> {
        let shown = self.machine(machine)?.space.run("ip", &["-o", "link", "show", "dev", "eth0"])?;
        Ok(shown.split(':').next().context("no interface")?.trim().parse()?)
    }

    /// Gives a machine another IPv4 address (in 10.77.0.0/24, or in a network of its own) and takes the others away.
    ///
    /// # Errors
    /// The system refuses.
    pub fn change_address(&mut self, machine: usize, address: Ipv4Addr) -> Result<()> {
        let space = &self.machine(machine)?.space;
        let shown = space.run("ip", &["-4", "-o", "addr", "show", "dev", "eth0"])?;
        let old = shown
            .lines()
            .filter_map(|line| line.split_whitespace().nth(3))
            .map(|a| format!("addr del {a} dev eth0"));
        let mut words = vec![format!("addr add {address}/24 brd + dev eth0")];
        words.extend(old);
        space.ip(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
        self.route_multicast(machine)
    }

    /// Switches a machine's interface `eth0` off (its IPv6 addresses go) or on again, as `ip link set` does.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_link(&mut self, machine: usize, up: bool) -> Result<()> {
        let space = &self.machine(machine)?.space;
        space.ip(&[&format!("link set eth0 {}", if up { "up" } else { "down" })])?;
        if up { self.route_multicast(machine) } else { Ok(()) }
    }

    /// Pulls a machine's cable out of the switch (its addresses stay), or puts it in again.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_cable(&mut self, machine: usize, plugged: bool) -> Result<()> {
        self.switch.ip(&[&format!("link set m{machine}n0 {}", if plugged { "up" } else { "down" })])
    }

    /// Keeps the machines from each other, as access points do with "client isolation": of two isolated ones neither
    /// hears the other.
    ///
    /// # Errors
    /// The system refuses.
    pub fn isolate(&mut self, machine: usize, isolated: bool) -> Result<()> {
        let state = if isolated { "on" } else { "off" };
        self.switch.ip(&[&format!("link set m{machine}n0 type bridge_slave isolated {state}")])
    }

    /// What the switch does to packets, from now on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_faults(&mut self, faults: Faults) -> Result<()> {
        faults.apply(&self.switch)?;
        self.faults = faults;
        for (number, machine) in self.machines.iter().enumerate() {
            for nic in 0..machine.nics {
                let (port, nic) = (format!("m{number}n{nic}"), format!("eth{nic}"));
                faults.apply_to_port(&self.switch, &port, &machine.space, &nic)?;
            }
        }
        Ok(())
    }

    /// The switch drops what is sent to multicast groups, or passes it on again.
    ///
    /// # Errors
    /// The system refuses.
    pub fn drop_multicast(&mut self, drop: bool) -> Result<()> {
        self.set_faults(Faults { no_multicast: drop, ..self.faults })
    }

    /// The switch loses so many of a hundred packets, at random.
    ///
    /// # Errors
    /// The system refuses.
    pub fn lose(&mut self, percent: u8) -> Result<()> {
        self.set_faults(Faults { loss_percent: percent, ..self.faults })
    }

    /// How many packets the switch has dropped since its faults were last changed.
    ///
    /// # Errors
    /// The system refuses.
    pub fn dropped(&self) -> Result<u64> {
        self.faults.dropped(&self.switch)
    }
}

fn skipped(available: Result<(), String>) -> bool {
    if let Err(why) = &available {
        // Not with `eprintln!`, which the test runner keeps to itself when the test passes. Nobody may be reading.
        let _ = writeln!(std::io::stderr(), "skipped: {why}");
    }
    available.is_err()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    use super::*;

    /// Whether one machine finds the other's hardware address: the system asks the network, and says how that ended.
    fn reaches(lan: &Lan, from: usize, to: usize) -> bool {
        let space = &lan.machine(from).unwrap().space;
        let to = lan.address(to);
        // Asks once and gives up soon, instead of three times in three seconds.
        space.set("ipv4/neigh/eth0/mcast_solicit", "1").unwrap();
        space.set("ipv4/neigh/eth0/retrans_time_ms", "300").unwrap();
        space.run("ip", &["neigh", "flush", "all"]).unwrap();
        loop {
            // Anything sent there makes it ask. Without a cable there is nowhere to send.
            let sent = space.run("bash", &["-c", &format!("echo > /dev/udp/{to}/9")]);
            let state = space.run("ip", &["neigh", "show", "to", &to.to_string()]).unwrap();
            if state.contains("FAILED") || sent.is_err() {
                return false;
            }
            if state.contains("lladdr") {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    #[test]
    fn machines_reach_each_other_unless_they_are_kept_apart() {
        if Lan::is_missing() {
            return;
        }
        let mut lan = Lan::new(3).unwrap();
        assert!(reaches(&lan, 0, 1) && reaches(&lan, 1, 2));
        lan.isolate(0, true).unwrap();
        lan.isolate(1, true).unwrap();
        assert!(!reaches(&lan, 0, 1), "two isolated ones");
        assert!(reaches(&lan, 0, 2), "an isolated one and another");
        lan.isolate(0, false).unwrap();
        assert!(reaches(&lan, 0, 1));
        lan.lose(100).unwrap();
        assert!(!reaches(&lan, 0, 1));
        assert!(lan.dropped().unwrap() > 0);
        lan.lose(0).unwrap();
        lan.drop_multicast(true).unwrap();
        assert!(reaches(&lan, 0, 1), "broadcast and neighbour discovery go on");
    }

    #[test]
    fn networks_side_by_side_do_not_meet() {
        if Lan::is_missing() {
            return;
        }
        let (first, second) = (Lan::new(1).unwrap(), Lan::new(2).unwrap());
        assert!(reaches(&second, 0, 1));
        assert!(!reaches(&first, 0, 1), "that address is of the other network");
    }

    #[test]
    fn an_address_is_replaced_and_an_interface_added() {
        if Lan::is_missing() {
            return;
        }
        let mut lan = Lan::new(2).unwrap();
        lan.change_address(1, Ipv4Addr::new(10, 77, 0, 200)).unwrap();
        assert!(!reaches(&lan, 0, 1));
        lan.change_address(1, lan.address(1)).unwrap();
        assert!(reaches(&lan, 0, 1));
        assert_eq!(lan.add_nic(0, Some(Ipv4Addr::new(10, 78, 0, 1))).unwrap(), "eth1");
        let link_local = lan.link_local(0).unwrap();
        lan.set_link(0, false).unwrap();
        assert!(lan.link_local(0).is_err());
        lan.set_link(0, true).unwrap();
        assert_eq!(lan.link_local(0).unwrap(), link_local);
    }

    #[test]
    fn what_runs_on_a_machine_ends_with_the_network() {
        if Lan::is_missing() {
            return;
        }
        let lan = Lan::new(1).unwrap();
        // A program, and one that it has started and left alone.
        let mut command = lan.command_in(0, "sh");
        let command = command.args(["-c", "setsid sleep 1000 & echo started; exec sleep 1000"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        drop(lan);
        assert!(!child.wait().unwrap().success());
        // The pipe ends when nobody holds it any more.
        assert_eq!(out.read_to_end(&mut Vec::new()).unwrap(), 0);
    }
}
