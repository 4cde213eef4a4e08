//! Links: what one says, and where the owner's page is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lanyard_pairing::link::MAX_LINK_ADDRESSES;
use lanyard_pairing::{LinkSecret, PairingLink};

use super::actor::{Actor, Surface};

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
    /// Where links lead, likeliest first; by the host's name first while that is announced. Empty: there is no page.
    pub(super) fn origins(&self) -> Vec<String> {
        (self.parts.origins)(self.discovery().state)
    }

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
    use super::{normal, own_origin};

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
