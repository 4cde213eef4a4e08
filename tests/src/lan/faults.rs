//! What a bad switch does to packets.

use anyhow::{Result, ensure};

use super::space::Space;

/// What is wrong with a switch; nothing, by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// IPv4 multicast and mDNS over IPv6 are dropped. IPv6's own neighbour discovery, multicast too, goes on: without
    /// it nothing at all would.
    pub no_multicast: bool,
    /// So many of a hundred packets are lost, at random.
    pub loss_percent: u8,
}

impl Faults {
    /// Replaces the switch's rules as one.
    pub(super) fn apply(self, switch: &Space) -> Result<()> {
        ensure!(self.loss_percent <= 100, "{} of a hundred", self.loss_percent);
        let mut rules = String::new();
        if self.no_multicast {
            rules.push_str("ip daddr 224.0.0.0/4 counter drop\nip6 daddr ff02::fb counter drop\n");
        }
        match self.loss_percent {
            0 => {}
            100 => rules.push_str("counter drop\n"),
            some => rules.push_str(&format!("numgen random mod 100 < {some} counter drop\n")),
        }
        let script = format!(
            "table bridge lab\ndelete table bridge lab\n\
             table bridge lab {{\nchain passing {{\ntype filter hook forward priority 0\n{rules}}}\n}}\n"
        );
        switch.feed("nft", &["-f", "-"], &script)
    }

    /// Loss counts packets, so packets must not travel in bundles that are cut only later.
    pub(super) fn apply_to_port(self, switch: &Space, port: &str, machine: &Space, nic: &str) -> Result<()> {
        if self.loss_percent == 0 {
            return Ok(());
        }
        for (space, device) in [(switch, port), (machine, nic)] {
            let bundling = ["tso", "off", "gso", "off", "gro", "off", "tx-udp-segmentation", "off"];
            let words: Vec<_> = ["-K", device].into_iter().chain(bundling).collect();
            space.run("ethtool", &words)?;
        }
        Ok(())
    }

    /// The sum of the rules' counters.
    pub(super) fn dropped(self, switch: &Space) -> Result<u64> {
        if self == Self::default() {
            return Ok(0);
        }
        let rules = switch.run("nft", &["list", "table", "bridge", "lab"])?;
        let counts = rules.split("packets ").skip(1).filter_map(|rest| rest.split_whitespace().next());
        Ok(counts.map(str::parse::<u64>).sum::<Result<_, _>>()?)
    }
}
