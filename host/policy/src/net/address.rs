//! Which addresses are public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// An address that a name must not lead to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{address} is {kind}, not a public address: to allow it, name the address itself in allowedDomains")]
pub struct PrivateAddress {
    /// The address.
    pub address: IpAddr,
    /// What it is, in words.
    pub kind: &'static str,
}

/// Refuses every address that is not globally reachable (IANA special-purpose registries, RFC 6890), and the
/// metadata services of clouds. Called with each address a name resolved to, right before connecting.
///
/// # Errors
/// [`PrivateAddress`] for loopback, private, link-local, multicast, documentation, translation and metadata
/// addresses.
pub fn allowed_address(address: IpAddr) -> Result<(), PrivateAddress> {
    let kind = match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    };
    kind.map_or(Ok(()), |kind| Err(PrivateAddress { address, kind }))
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, d] = address.octets();
    Some(match (a, b, c) {
        (0, ..) => "an address of this network",
        (10, ..) | (192, 168, _) => "a private address",
        (172, 16..=31, _) => "a private address",
        (100, 64..=127, _) => "a carrier-internal address",
        (127, ..) => "a loopback address",
        (169, 254, _) => "a link-local address",
        (192, 0, 0) => "a protocol-internal address",
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => "a documentation address",
        (192, 88, 99) => "a relay address",
        (198, 18..=19, _) => "a benchmarking address",
        (224..=239, ..) => "a multicast address",
        (240..=255, ..) => "a reserved address",
        // The only metadata service of a large cloud outside the ranges above (Azure).
        (168, 63, 129) if d == 16 => "a cloud metadata address",
        _ => return None,
    })
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    let low = u32::from(segments[6]) << 16 | u32::from(segments[7]);
    let embedded = Ipv4Addr::from(low);
    match segments {
        [0, 0, 0, 0, 0, 0xffff, ..] => special_v4(embedded),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        // The network's own translation of a public IPv4 address (RFC 6052) is as public as that address.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => special_v4(embedded),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xfc00..=0xfdff, ..] => Some("a private address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        [0x2002, ..] => Some("a 6to4 address"),
        [0x2001, 0..=0x01ff, ..] => Some("a protocol-internal address"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => Some("a documentation address"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("not a global unicast address"),
    }
}
