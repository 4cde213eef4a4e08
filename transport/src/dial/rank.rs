//! The order in which addresses are tried.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use if_addrs::{IfAddr, Interface};

use super::{Candidate, Source};
use crate::peer::unmapped;

/// How the names of adapters begin that lead to containers, virtual machines and tunnels.
const VIRTUAL: &[&str] =
    &["docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "tun", "tap", "utun", "wg", "tailscale", "zt"];

/// Orders candidates and drops repetitions. What a person typed and what worked last time come first, as given. Then
/// what the link says, then what was heard: private IPv4, other IPv4, IPv6, link-local IPv6. Addresses on a network of
/// one of this machine's virtual adapters come last and are not filtered. A link-local address without a scope, as a
/// link carries it, is tried on each adapter.
pub fn rank(candidates: Vec<Candidate>) -> Vec<Candidate> {
    // Without the list nothing is known to be virtual, and addresses without scope stay so and fail.
    ranked(candidates, &if_addrs::get_if_addrs().unwrap_or_default())
}

fn ranked(candidates: Vec<Candidate>, interfaces: &[Interface]) -> Vec<Candidate> {
    let mut ranked: Vec<Candidate> = candidates
        .into_iter()
        .flat_map(|candidate| {
            scoped(unmapped(candidate.address), interfaces)
                .into_iter()
                .map(move |address| Candidate { address, source: candidate.source })
        })
        .collect();
    // Stable: what is equal stays as it came.
    ranked.sort_by_key(|candidate| match candidate.source {
        Source::Given | Source::LastKnown => (false, candidate.source, Class::Private),
        Source::Link | Source::Discovered => {
            let address = candidate.address;
            (on_virtual_network(address, interfaces), candidate.source, Class::of(address.ip()))
        }
    });
    let mut seen = std::collections::HashSet::new();
    ranked.retain(|candidate| seen.insert(candidate.address));
    ranked
}

/// What kind of address it is, likeliest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Private,
    OtherV4,
    V6,
    LinkLocal,
}

impl Class {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) if v4.is_private() || v4.is_loopback() => Class::Private,
            IpAddr::V4(v4) if v4.is_link_local() => Class::LinkLocal,
            IpAddr::V4(_) => Class::OtherV4,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Class::LinkLocal,
            IpAddr::V6(_) => Class::V6,
        }
    }
}

fn scoped(address: SocketAddr, interfaces: &[Interface]) -> Vec<SocketAddr> {
    let SocketAddr::V6(v6) = address else { return vec![address] };
    if v6.scope_id() != 0 || !v6.ip().is_unicast_link_local() {
        return vec![address];
    }
    let mut on_each: Vec<SocketAddr> = interfaces
        .iter()
        .filter(|interface| matches!(interface.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local()))
        .filter(|interface| !is_virtual(interface))
        .filter_map(|interface| interface.index)
        .map(|index| SocketAddrV6::new(*v6.ip(), v6.port(), 0, index).into())
        .collect();
    if on_each.is_empty() {
        on_each.push(address);
    }
    on_each
}

fn is_virtual(interface: &Interface) -> bool {
    VIRTUAL.iter().any(|prefix| interface.name.starts_with(prefix))
}

/// Whether the address is on a network of a virtual adapter and of no other.
fn on_virtual_network(address: SocketAddr, interfaces: &[Interface]) -> bool {
    let mut reaching = interfaces.iter().filter(|interface| reaches(interface, address)).peekable();
    reaching.peek().is_some() && reaching.all(is_virtual)
}

fn reaches(interface: &Interface, address: SocketAddr) -> bool {
    match (&interface.addr, address) {
        (IfAddr::V4(own), SocketAddr::V4(other)) => same_v4(own.ip, *other.ip(), own.netmask),
        (IfAddr::V6(own), SocketAddr::V6(other)) if other.ip().is_unicast_link_local() => {
            own.ip.is_unicast_link_local() && interface.index == Some(other.scope_id())
        }
        (IfAddr::V6(own), SocketAddr::V6(other)) => same_v6(own.ip, *other.ip(), own.netmask),
        _ => false,
    }
}

fn same_v4(own: Ipv4Addr, other: Ipv4Addr, mask: Ipv4Addr) -> bool {
    own.to_bits() & mask.to_bits() == other.to_bits() & mask.to_bits()
}

fn same_v6(own: Ipv6Addr, other: Ipv6Addr, mask: Ipv6Addr) -> bool {
    own.to_bits() & mask.to_bits() == other.to_bits() & mask.to_bits()
}

#[cfg(test)]
mod tests {
    use if_addrs::{IfOperStatus, Ifv4Addr, Ifv6Addr};

    use super::*;

    fn interface(name: &str, index: u32, ip: &str) -> Interface {
        let addr = match ip.parse().unwrap() {
            IpAddr::V4(ip) => IfAddr::V4(Ifv4Addr {
                ip,
                netmask: Ipv4Addr::new(255, 255, 255, 0),
                prefixlen: 24,
                broadcast: None,
            }),
            IpAddr::V6(ip) => IfAddr::V6(Ifv6Addr {
                ip,
                netmask: "ffff:ffff:ffff:ffff::".parse().unwrap(),
                prefixlen: 64,
                broadcast: None,
            }),
        };
        Interface {
            name: name.to_owned(),
            addr,
            index: Some(index),
            oper_status: IfOperStatus::Up,
            is_p2p: false,
            #[cfg(windows)]
            adapter_name: String::new(),
        }
    }

    fn order(candidates: &[(&str, Source)], interfaces: &[Interface]) -> Vec<String> {
        let candidates = candidates
            .iter()
            .map(|(address, source)| Candidate { address: address.parse().unwrap(), source: *source })
            .collect();
        ranked(candidates, interfaces).iter().map(|candidate| candidate.address.to_string()).collect()
    }

    #[test]
    fn sources_come_before_classes_and_classes_before_chance() {
        let order = order(
            &[
                ("[fe80::1%2]:1", Source::Link),
                ("192.168.1.9:1", Source::Discovered),
                ("[fd00::1]:1", Source::Link),
                ("203.0.113.5:1", Source::Link),
                ("192.168.1.7:1", Source::Link),
                ("[fd00::5]:1", Source::LastKnown),
                ("203.0.113.9:1", Source::Given),
            ],
            &[],
        );
        let expected = [
            "203.0.113.9:1",
            "[fd00::5]:1",
            "192.168.1.7:1",
            "203.0.113.5:1",
            "[fd00::1]:1",
            "[fe80::1%2]:1",
            "192.168.1.9:1",
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn virtual_networks_come_last_unless_they_worked() {
        let interfaces = [interface("wlan0", 2, "192.168.1.2"), interface("docker0", 3, "172.17.0.1")];
        let link = [("172.17.0.9:1", Source::Link), ("192.168.1.9:1", Source::Discovered)];
        assert_eq!(order(&link, &interfaces), ["192.168.1.9:1", "172.17.0.9:1"]);
        let known = [("172.17.0.9:1", Source::LastKnown), ("192.168.1.9:1", Source::Discovered)];
        assert_eq!(order(&known, &interfaces), ["172.17.0.9:1", "192.168.1.9:1"]);
    }

    #[test]
    fn repetitions_are_dropped_however_they_are_written() {
        let order = order(
            &[
                ("[::ffff:192.168.1.7]:1", Source::Discovered),
                ("192.168.1.7:1", Source::LastKnown),
                ("192.168.1.7:2", Source::Link),
            ],
            &[],
        );
        assert_eq!(order, ["192.168.1.7:1", "192.168.1.7:2"]);
    }

    #[test]
    fn a_link_local_address_without_scope_is_tried_on_each_real_adapter() {
        let interfaces = [
            interface("eth0", 2, "fe80::2"),
            interface("wlan0", 5, "fe80::5"),
            interface("veth1", 7, "fe80::7"),
            interface("eth0", 2, "192.168.1.2"),
        ];
        assert_eq!(order(&[("[fe80::1]:9", Source::Link)], &interfaces), ["[fe80::1%2]:9", "[fe80::1%5]:9"]);
        assert_eq!(order(&[("[fe80::1%7]:9", Source::Link)], &interfaces), ["[fe80::1%7]:9"]);
        assert_eq!(order(&[("[fe80::1]:9", Source::Link)], &[]), ["[fe80::1]:9"]);
    }
}
