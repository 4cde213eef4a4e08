//! Where a tool may be: public addresses over TLS, unless the installation allows more.
//!
//! A name is checked when it is looked up for a connection, and the connection goes to the addresses that were checked:
//! a name that later means another address gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lanyard_governance_foundation::Fault;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::settings::Reach;

/// Longest URL of a tool.
const MAX_URL_BYTES: usize = 2_000;

/// Checks the URL of a tool.
pub(crate) fn check(text: &str, reach: Reach) -> Result<Url, Fault> {
    if text.len() > MAX_URL_BYTES {
        return Err(Fault::invalid(format!("url has at most {MAX_URL_BYTES} bytes")));
    }
    let url = Url::parse(text).map_err(|e| Fault::invalid(format!("url is not one: {e}")))?;
    let Some(host) = url.host() else { return Err(Fault::invalid("url names no host")) };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::invalid(
            "url holds a user name; what the tool is authorised with goes into authorization",
        ));
    }
    if url.fragment().is_some() {
        return Err(Fault::invalid("url has a fragment, which is never sent"));
    }
    let here = is_loopback(&host);
    match url.scheme() {
        "https" => {}
        "http" if here && reach.loopback_http => {}
        "http" if here => {
            return Err(Fault::invalid(
                "this installation allows no plain http, not even to its own machine; use https",
            ));
        }
        _ => return Err(Fault::invalid("url begins with https://")),
    }
    let literal = match host {
        Host::Ipv4(address) => Some(IpAddr::V4(address)),
        Host::Ipv6(address) => Some(IpAddr::V6(address)),
        Host::Domain(_) => None,
    };
    if let Some(address) = literal
        && !allowed(address, here, reach)
    {
        return Err(Fault::invalid(format!(
            "{address} is not a public address, and this installation allows only those"
        )));
    }
    Ok(url)
}

/// Scheme, host and port.
pub(crate) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => name.eq_ignore_ascii_case("localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Whether a connection may go there. `named_here`: the URL itself says that it is this machine.
fn allowed(address: IpAddr, named_here: bool, reach: Reach) -> bool {
    reach.private || is_public(address) || (reach.loopback_http && named_here && address.is_loopback())
}

/// Whether an address belongs to the public internet. What is reserved, or carries another address inside, counts by
/// what it leads to.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = address.is_unspecified()
        || a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        // Shared by providers (RFC 6598), protocol assignments, benchmarks, the future.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240;
    !reserved
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let low = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        // IPv4 inside: mapped, translated (RFC 6052), 6to4.
        [0, 0, 0, 0, 0, 0xffff, a, b] | [0x64, 0xff9b, 0, 0, 0, 0, a, b] => is_public_v4(low(a, b)),
        [0x2002, a, b, ..] => is_public_v4(low(a, b)),
        // Of what is left, only 2000::/3 is handed out; in it, protocol assignments (Teredo too) and documentation.
        [0x2001, b, ..] if b < 0x200 || b == 0xdb8 => false,
        [0x3fff, b, ..] if b < 0x1000 => false,
        [a, ..] => (0x2000..0x4000).contains(&a),
    }
}

/// Looks names up, and hands on only addresses that may be connected to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublicOnly(pub(crate) Reach);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let here = name.as_str().eq_ignore_ascii_case("localhost");
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.filter(|found| allowed(found.ip(), here, reach)).collect();
            if found.is_empty() {
                return Err(format!("{} leads to no public address", name.as_str()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for public in ["8.8.8.8", "1.1.1.1", "100.63.0.1", "172.32.0.1", "2606:4700::1111", "2002:808:808::1"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for not in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "::7f00:1",
            "fec0::1",
            "100::1",
        ] {
            assert!(!is_public(not.parse().unwrap()), "{not}");
        }
    }

    #[test]
    fn urls_are_public_https_unless_the_installation_allows_more() {
        let none = Reach::default();
        let beside = Reach { loopback_http: true, ..none };
        let private = Reach { private: true, ..none };
        assert!(check("https://tools.example.com/x?y=1", none).is_ok());
        for bad in [
            "",
            "tools",
            "ftp://x",
            "http://tools.example.com",
            "http://localhost:1/",
            "https://127.0.0.1/",
            "https://10.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://user:pw@example.com/",
            "https://example.com/#x",
        ] {
            assert!(check(bad, none).is_err(), "{bad}");
        }
        assert!(check(&format!("https://example.com/{}", "x".repeat(2_000)), none).is_err());
        for here in ["http://localhost:1/", "http://127.0.0.1:1/", "http://[::1]:1/", "https://127.0.0.1/"] {
            assert!(check(here, beside).is_ok(), "{here}");
        }
        assert!(check("https://10.0.0.1/", beside).is_err());
        assert!(check("http://tools.example.com", beside).is_err());
        assert!(check("https://10.0.0.1/", private).is_ok());
        assert!(check("http://10.0.0.1/", private).is_err());
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_connected_to() {
        let resolve = |reach| PublicOnly(reach).resolve("localhost".parse().unwrap());
        let refused = resolve(Reach::default()).await.err().unwrap();
        assert!(refused.to_string().contains("no public address"), "{refused}");
        assert!(resolve(Reach { loopback_http: true, ..Reach::default() }).await.is_ok());
        assert!(resolve(Reach { private: true, ..Reach::default() }).await.is_ok());
    }
}
