//! This machine's own addresses: which there are, which are likely to be reached, and when they change.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use if_addrs::Interface;

use super::MAX_ADDRESSES;

/// Addresses of this machine at which devices may reach `port`, likeliest first: private IPv4, other IPv4, IPv6, link-local
/// last; loopback never; virtual adapters (Docker, VPN) after real ones. At most [`MAX_ADDRESSES`]; none when the system
/// does not tell.
///
/// A link-local IPv6 address carries the number of this machine's interface, which means nothing elsewhere.
pub fn own_addresses(port: u16) -> Vec<SocketAddr> {
    // A caller that shows addresses has nothing to show then; why is in [`super::obstacle`].
    ranked(if_addrs::get_if_addrs().unwrap_or_default(), port)
}

/// An address as this machine can dial it: a link-local IPv6 address without a scope (from a link, or typed) once for each
/// interface it may be behind, anything else as it is.
pub fn with_scopes(address: SocketAddr) -> Vec<SocketAddr> {
    let v6 = match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => v6,
        other => return vec![other],
    };
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut own: Vec<_> = interfaces.into_iter().filter(|i| i.is_oper_up() && !i.is_loopback()).collect();
    own.sort_by_key(|interface| (is_virtual(interface), interface.index));
    own.dedup_by_key(|interface| interface.index);
    let scopes = own.iter().filter_map(|interface| interface.index);
    scopes.take(MAX_ADDRESSES).map(|s| SocketAddrV6::new(*v6.ip(), v6.port(), 0, s).into()).collect()
}

fn ranked(mut interfaces: Vec<Interface>, port: u16) -> Vec<SocketAddr> {
    interfaces.retain(|i| i.is_oper_up() && !i.is_loopback() && !i.ip().is_unspecified());
    interfaces.sort_by_key(|i| (is_virtual(i), class(i.ip()), i.index, i.ip()));
    let mut addresses = Vec::new();
    for interface in interfaces {
        let address = match interface.ip() {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                SocketAddrV6::new(ip, port, 0, interface.index.unwrap_or(0)).into()
            }
            ip => SocketAddr::new(ip, port),
        };
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

/// How likely an address is to be reached from the same network, likeliest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    PrivateV4,
    OtherV4,
    V6,
    /// 169.254.0.0/16: nobody gave the machine an address.
    LinkLocalV4,
    LinkLocalV6,
}

pub(super) fn class(ip: IpAddr) -> Class {
    match ip {
        IpAddr::V4(ip) if ip.is_private() => Class::PrivateV4,
        IpAddr::V4(ip) if ip.is_link_local() => Class::LinkLocalV4,
        IpAddr::V4(_) => Class::OtherV4,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Class::LinkLocalV6,
        IpAddr::V6(_) => Class::V6,
    }
}

/// Whether an interface leads into this machine itself or through a tunnel. Told by its name, since no system has a flag
/// for it; a wrong guess costs a place in the order, nothing more.
fn is_virtual(interface: &Interface) -> bool {
    const PREFIXES: &[&str] = &[
        // Containers.
        "docker",
        "br-",
        "veth",
        "cni",
        "flannel",
        "cali",
        "cilium",
        "lxc",
        "lxd",
        "incus",
        "podman",
        "kube",
        // Virtual machines.
        "virbr",
        "vnet",
        "vmnet",
        "vboxnet",
        "vethernet",
        "virtualbox",
        "vmware",
        "hyper-v",
        "wsl",
        "bridge1",
        "vmenet", // Tunnels.
        "tun",
        "tap",
        "wg",
        "tailscale",
        "utun",
        "zt",
        "ppp",
        "ipsec",
        "gif",
        "stf",
        "nordlynx",
        "ham",
        "zerotier",
        // Apple's peer-to-peer links.
        "awdl",
        "llw",
    ];
    let name = interface.name.to_ascii_lowercase();
    interface.is_p2p || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The interfaces that mDNS can use, as they were at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Name and address of each.
    usable: BTreeSet<(String, IpAddr)>,
    /// Something is up, and all of it is point to point.
    pub(super) only_tunnels: bool,
}

impl Reach {
    /// Looks. Takes well under a millisecond and blocks for that long.
    ///
    /// # Errors
    /// The system does not list its interfaces.
    pub(super) fn now() -> io::Result<Self> {
        if_addrs::get_if_addrs().map(Self::of)
    }

    fn of(interfaces: Vec<Interface>) -> Self {
        let up: Vec<_> = interfaces.into_iter().filter(|i| i.is_oper_up() && !i.is_loopback()).collect();
        let some = !up.is_empty();
        // The responder leaves point-to-point interfaces out; most of them carry no multicast.
        let usable: BTreeSet<_> =
            up.into_iter().filter(|i| !i.is_p2p()).map(|i| (i.name.clone(), i.ip())).collect();
        Self { only_tunnels: some && usable.is_empty(), usable }
    }

    /// For tests of those who look.
    #[cfg(test)]
    pub(super) fn at<'a>(usable: impl IntoIterator<Item = (&'a str, IpAddr)>) -> Self {
        let usable = usable.into_iter().map(|(name, ip)| (name.to_owned(), ip)).collect();
        Self { usable, only_tunnels: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.usable.is_empty()
    }

    /// Names of the interfaces, for people.
    pub(super) fn names(&self) -> String {
        let names: BTreeSet<_> = self.usable.iter().map(|(name, _)| name.as_str()).collect();
        let shown: Vec<_> = names.iter().take(4).copied().collect();
        let more = names.len() - shown.len();
        if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use if_addrs::{IfAddr, IfOperStatus, Ifv4Addr, Ifv6Addr};

    use super::*;

    fn interface(name: &str, index: u32, ip: &str) -> Interface {
        let addr = match ip.parse().unwrap() {
            IpAddr::V4(ip) => {
                IfAddr::V4(Ifv4Addr { ip, netmask: Ipv4Addr::BROADCAST, prefixlen: 24, broadcast: None })
            }
            IpAddr::V6(ip) => IfAddr::V6(Ifv6Addr { ip, netmask: ip, prefixlen: 64, broadcast: None }),
        };
        let oper_status = IfOperStatus::Up;
        Interface { name: name.to_owned(), addr, index: Some(index), oper_status, is_p2p: false }
    }

    #[test]
    fn the_likeliest_address_comes_first_and_virtual_adapters_last() {
        let mut all = vec![
            interface("wg0", 8, "10.8.0.2"),
            interface("docker0", 3, "172.17.0.1"),
            interface("eth0", 2, "fe80::1"),
            interface("eth0", 2, "169.254.9.9"),
            interface("eth0", 2, "2001:db8::1"),
            interface("eth0", 2, "203.0.113.5"),
            interface("wlan0", 4, "192.168.1.5"),
            interface("lo", 1, "127.0.0.1"),
            interface("lo", 1, "::1"),
            interface("eth0", 2, "203.0.113.5"),
        ];
        let mut down = interface("eth1", 9, "192.168.9.9");
        down.oper_status = IfOperStatus::Unknown;
        all.push(down);
        let ranked: Vec<_> = ranked(all, 7717).iter().map(ToString::to_string).collect();
        assert_eq!(
            ranked,
            [
                "192.168.1.5:7717",
                "203.0.113.5:7717",
                "[2001:db8::1]:7717",
                "169.254.9.9:7717",
                "[fe80::1%2]:7717",
                "172.17.0.1:7717",
                "10.8.0.2:7717",
            ]
        );
    }

    #[test]
    fn many_addresses_are_cut_and_virtual_ones_give_way_first() {
        let mut all: Vec<_> = (0..40).map(|n| interface("veth7", 7, &format!("10.0.0.{n}"))).collect();
        all.push(interface("eth0", 2, "192.168.1.5"));
        let ranked = ranked(all, 1);
        assert_eq!(ranked.len(), MAX_ADDRESSES);
        assert_eq!(ranked[0], "192.168.1.5:1".parse().unwrap());
    }

    #[test]
    fn a_tunnel_alone_is_named() {
        let mut tunnel = interface("tun0", 5, "10.8.0.2");
        tunnel.is_p2p = true;
        let reach = Reach::of(vec![interface("lo", 1, "127.0.0.1"), tunnel]);
        assert!(reach.is_empty() && reach.only_tunnels);
        let reach = Reach::of(vec![interface("lo", 1, "127.0.0.1")]);
        assert!(reach.is_empty() && !reach.only_tunnels);
    }

    #[test]
    fn interfaces_are_named_once_and_not_all_of_hundreds() {
        let mut all = vec![interface("eth0", 2, "192.168.1.5"), interface("eth0", 2, "fe80::1")];
        assert_eq!(Reach::of(all.clone()).names(), "eth0");
        all.extend((0..9).map(|n| interface(&format!("veth{n}"), 3, "fe80::2")));
        assert_eq!(Reach::of(all).names(), "eth0, veth0, veth1, veth2 and 6 more");
    }

    #[test]
    fn only_a_link_local_address_without_scope_is_spread_out() {
        for text in ["192.168.1.5:1", "[2001:db8::1]:1", "[fe80::1%7]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(with_scopes(address), [address]);
        }
        let spread = with_scopes("[fe80::1]:1".parse().unwrap());
        assert!(spread.len() <= MAX_ADDRESSES);
        assert!(spread.iter().all(|a| matches!(a, SocketAddr::V6(v6) if v6.scope_id() != 0)));
    }
}
