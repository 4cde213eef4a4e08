//! Links: where the host's page is found, and what a link says.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lanyard_pairing::identity::Fingerprint;
use lanyard_pairing::link::MAX_LINK_ADDRESSES;
use lanyard_pairing::{LinkSecret, PairingLink};
use lanyard_protocol::health::DiscoveryState;
use lanyard_transport::discovery::local_name;

use super::actor::{Actor, Surface};

/// Where the page is served to other machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) text: String,
    /// By the host's name, not by an address.
    pub(super) named: bool,
}

/// The origins of the host's page, likeliest first: by its name while that is announced, then by its addresses.
pub(super) fn origins(surface: &Surface, host: Fingerprint) -> Vec<Origin> {
    let bound = surface.endpoint.local_address();
    let announced = surface.advertiser.as_ref().map(|advertiser| advertiser.health().state);
    let name =
        (announced == Some(DiscoveryState::Advertising)).then(|| local_name(&host).to_ascii_lowercase());
    let mut addresses = (surface.reachable)(bound);
    if addresses.is_empty() {
        addresses.push(bound);
    }
    listed(name.as_deref(), bound.port(), &addresses)
}

fn listed(name: Option<&str>, port: u16, addresses: &[SocketAddr]) -> Vec<Origin> {
    // As browsers write it: without the port that goes without saying.
    let text = |host: &dyn Display, port: u16| match port {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    };
    let by_name = name.map(|name| Origin { text: text(&name, port), named: true });
    // A browser takes no address that means something on one machine only.
    let scoped = |address: &&SocketAddr| match address.ip() {
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
        IpAddr::V4(_) => false,
    };
    let plain = addresses.iter().filter(|address| !scoped(address));
    let by_address = plain.map(|address| {
        let text = match address.ip() {
            IpAddr::V4(ip) => text(&ip, address.port()),
            IpAddr::V6(ip) => text(&format_args!("[{ip}]"), address.port()),
        };
        Origin { text, named: false }
    });
    by_name.into_iter().chain(by_address).collect()
}

/// What a browser or a person typed, as it is listed: browsers write hosts in small letters and no slash at the end.
pub(super) fn normal(origin: &str) -> String {
    origin.trim().trim_end_matches('/').to_ascii_lowercase()
}

/// The origin of the owner's page, on this machine's loopback address. `localhost` only where both families are the host's:
/// a browser tries `::1` first, and where the host has IPv4 alone another user's program may listen there, and be given
/// the link.
pub(super) fn own_origin(bound: SocketAddr) -> String {
    match (bound.ip(), bound.port()) {
        (IpAddr::V6(ip), port) if ip.is_unspecified() => format!("http://localhost:{port}"),
        (IpAddr::V4(ip), port) if ip.is_unspecified() => format!("http://{}:{port}", Ipv4Addr::LOCALHOST),
        (IpAddr::V4(ip), port) => format!("http://{ip}:{port}"),
        (IpAddr::V6(ip), port) => format!("http://[{ip}]:{port}"),
    }
}

impl Actor {
    /// The link with this secret to the page at this origin.
    pub(super) fn link(&self, surface: &Surface, secret: LinkSecret, origin: &str) -> String {
        let mut addresses = (surface.reachable)(surface.endpoint.local_address());
        addresses.truncate(MAX_LINK_ADDRESSES);
        let host = self.parts.identity.fingerprint();
        PairingLink { host, secret, addresses }.to_url(origin)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::{listed, normal, own_origin};

    #[test]
    fn by_name_first_then_by_the_addresses_a_browser_takes() {
        let addresses: Vec<SocketAddr> =
            ["192.168.1.7:7717", "[fe80::1]:7717", "[2001:db8::1]:7717"].map(|a| a.parse().unwrap()).into();
        let texts = |name| -> Vec<String> {
            listed(name, 7717, &addresses).into_iter().map(|origin| origin.text).collect()
        };
        let by_address = ["https://192.168.1.7:7717", "https://[2001:db8::1]:7717"];
        assert_eq!(texts(None), by_address);
        let all = texts(Some("lanyard-k7qx92md.local"));
        assert_eq!(all[0], "https://lanyard-k7qx92md.local:7717");
        assert_eq!(all[1..], by_address);
        assert!(listed(Some("n.local"), 1, &addresses)[0].named);
        assert_eq!(listed(Some("n.local"), 443, &[])[0].text, "https://n.local");
        let usual: SocketAddr = "[2001:db8::1]:443".parse().unwrap();
        assert_eq!(listed(None, 443, &[usual])[0].text, "https://[2001:db8::1]");
    }

    #[test]
    fn the_owners_page_is_at_an_address_that_nobody_else_can_have() {
        for (bound, origin) in [
            ("[::]:7717", "http://localhost:7717"),
            ("0.0.0.0:7717", "http://127.0.0.1:7717"),
            ("127.0.0.1:7717", "http://127.0.0.1:7717"),
            ("127.0.0.2:7717", "http://127.0.0.2:7717"),
            ("[::1]:7717", "http://[::1]:7717"),
        ] {
            assert_eq!(own_origin(bound.parse().unwrap()), origin, "{bound}");
        }
    }

    #[test]
    fn an_origin_is_compared_as_browsers_write_it() {
        assert_eq!(normal(" HTTPS://Lanyard-ABC.local:7717/ "), "https://lanyard-abc.local:7717");
    }
}
