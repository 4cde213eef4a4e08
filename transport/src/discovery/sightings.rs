//! What was heard, put together: no sockets, no clock.
//!
//! Anybody on the network may say anything, as often as they like. So what is read is little, and what is kept is
//! bounded; nothing here says that a host is known, paired or to be trusted.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use mdns_sd::{ScopedIp, TxtProperties};

use super::{MAX_ADDRESSES, SERVICE, Sighting, addresses, names};

/// Most hosts remembered at a time. No home or office has that many; a flood of made-up ones ends here.
const MAX_HOSTS: usize = 256;

/// Characters of a short id, see [`lanyard_pairing::Fingerprint::short`].
const SHORT_ID: usize = 7;

/// What the TXT record is read for. Anything else in it is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) short_id: String,
    pub(super) version: Option<u16>,
}

impl Claims {
    /// `None` without a well-formed id: it is then no host of ours.
    pub(super) fn read(txt: &TxtProperties) -> Option<Self> {
        let short_id = txt.get_property_val_str("id")?;
        let base32 = |byte: u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
        if short_id.len() != SHORT_ID || !short_id.bytes().all(base32) {
            return None;
        }
        let version = txt.get_property_val_str("v").unwrap_or_default();
        // `u16::from_str` would take a sign.
        let version = version.bytes().all(|b| b.is_ascii_digit()).then(|| version.parse().ok()).flatten();
        Some(Self { short_id: short_id.to_owned(), version })
    }
}

/// Hosts heard and not yet gone, by instance.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    hosts: BTreeMap<String, Sighting>,
}

impl Sightings {
    /// Takes in what was resolved. Returns the host when it is new, has another id than before, or has an address
    /// that it did not have.
    pub(super) fn hear<'a>(
        &mut self,
        fullname: &str,
        txt: &TxtProperties,
        port: u16,
        addresses: impl IntoIterator<Item = &'a ScopedIp>,
    ) -> Option<Sighting> {
        let Claims { short_id, version } = Claims::read(txt)?;
        let name = names::instance(fullname)?;
        let name = if name.is_empty() { short_id.clone() } else { name };
        let mut addresses: Vec<_> =
            addresses.into_iter().filter_map(|address| dialable(address, port)).collect();
        addresses.sort_by_key(|address| (addresses::class(address.ip()), *address));
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() {
            return None;
        }
        let key = fullname.to_ascii_lowercase();
        let known = self.hosts.get(&key).filter(|known| known.short_id == short_id);
        if let Some(known) = known {
            if addresses.iter().all(|address| known.addresses.contains(address)) {
                return None;
            }
            // What is said now comes first, so that old addresses can never keep new ones out.
            addresses.extend(
                known.addresses.iter().filter(|old| !addresses.contains(old)).copied().collect::<Vec<_>>(),
            );
            addresses.truncate(MAX_ADDRESSES);
        } else if self.hosts.len() >= MAX_HOSTS && !self.hosts.contains_key(&key) {
            return None;
        }
        let sighting = Sighting { name, short_id, version, addresses };
        self.hosts.insert(key, sighting.clone());
        Some(sighting)
    }

    /// It said goodbye, or was silent for too long: it is told again when it comes back.
    pub(super) fn forget(&mut self, fullname: &str) {
        self.hosts.remove(&fullname.to_ascii_lowercase());
    }

    pub(super) fn all(&self) -> Vec<Sighting> {
        let mut all: Vec<_> = self.hosts.values().cloned().collect();
        all.sort_by(|a, b| (&a.name, &a.short_id).cmp(&(&b.name, &b.short_id)));
        all
    }
}

/// An address that can be one of another machine's. Packets are sent there before anybody has proven anything, so
/// everything that would go to this machine, to many machines or nowhere is left out.
fn dialable(address: &ScopedIp, port: u16) -> Option<SocketAddr> {
    let ip = address.to_ip_addr();
    if port == 0 || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() {
        return None;
    }
    match (address, ip) {
        (_, IpAddr::V4(v4)) => (!v4.is_broadcast()).then(|| SocketAddr::new(ip, port)),
        // A mapped address is an IPv4 address in a coat; none of the above has looked under it.
        (_, IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => None,
        (ScopedIp::V6(scoped), IpAddr::V6(v6)) if v6.is_unicast_link_local() => {
            // Without the interface it leads nowhere.
            let scope = scoped.scope_id().index;
            (scope != 0).then(|| SocketAddrV6::new(v6, port, 0, scope).into())
        }
        _ => Some(SocketAddr::new(ip, port)),
    }
}

/// For the fuzz target: the first bytes are the port and the length of the instance's name; that name and the TXT record
/// follow. Heard twice, at two addresses. Panics when a promise of this module is broken.
#[doc(hidden)]
pub fn fuzz_discovery(input: &[u8]) {
    let Some(([high, low, length], rest)) = input.split_first_chunk() else { return };
    let (name, txt) = rest.split_at(usize::from(*length).min(rest.len()));
    let fullname = format!("{}.{SERVICE}", String::from_utf8_lossy(name));
    let txt = TxtProperties::from(txt);
    let port = u16::from_be_bytes([*high, *low]);
    let mut sightings = Sightings::default();
    let addresses = [[10, 0, 0, 1], [192, 168, 0, 1]].map(|ip| ScopedIp::from(IpAddr::from(ip)));
    for (heard, address) in addresses.iter().enumerate() {
        let told = sightings.hear(&fullname, &txt, port, [address]);
        assert_eq!(told.is_some(), port != 0 && Claims::read(&txt).is_some());
        let Some(told) = told else { continue };
        assert_eq!(told.addresses.len(), heard + 1);
        assert!(!told.name.is_empty() && told.name.len() <= 63 && !told.name.contains(char::is_control));
        assert!(!told.name.contains(lanyard_protocol::visible::is_invisible));
        assert_eq!(told.short_id.len(), SHORT_ID);
        assert_eq!(names::host_name(&told.short_id).len(), 22, "the id is fit for a host name");
        assert!(sightings.hear(&fullname, &txt, port, [address]).is_none(), "nothing has grown");
    }
    sightings.forget(&fullname);
    assert!(sightings.all().is_empty());
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use mdns_sd::IntoTxtProperties;
    use proptest::prelude::*;

    use super::*;

    fn txt(properties: &[(&str, &str)]) -> TxtProperties {
        properties.into_txt_properties()
    }

    fn v4(last: u8) -> ScopedIp {
        IpAddr::V4(Ipv4Addr::new(192, 168, 1, last)).into()
    }

    fn full(name: &str) -> String {
        format!("{name}.{SERVICE}")
    }

    /// An IPv6 address heard on the interface with that index.
    fn v6(ip: &str, index: u32) -> ScopedIp {
        let addr = if_addrs::IfAddr::V6(if_addrs::Ifv6Addr {
            ip: ip.parse().unwrap(),
            netmask: std::net::Ipv6Addr::UNSPECIFIED,
            prefixlen: 64,
            broadcast: None,
        });
        let (name, oper_status) = (format!("eth{index}"), if_addrs::IfOperStatus::Up);
        (&if_addrs::Interface { name, addr, index: Some(index), oper_status, is_p2p: false }).into()
    }

    #[test]
    fn an_id_is_seven_characters_of_lower_case_base32() {
        for bad in ["", "abcdef", "abcdefgh", "ABCDEFG", "abcdef1", "abcdef-", "abcdef ", "abcdeé", "../../x"]
        {
            assert_eq!(Claims::read(&txt(&[("id", bad), ("v", "1")])), None, "{bad:?}");
        }
        assert_eq!(Claims::read(&txt(&[("v", "1")])), None);
        assert!(Claims::read(&txt(&[("id", "abc2347")])).is_some());
    }

    #[test]
    fn a_version_that_is_none_is_left_out() {
        for (said, version) in
            [("1", Some(1)), ("65535", Some(65535)), ("65536", None), ("+1", None), ("", None), ("1.0", None)]
        {
            assert_eq!(
                Claims::read(&txt(&[("id", "abcdefg"), ("v", said)])).unwrap().version,
                version,
                "{said}"
            );
        }
    }

    #[test]
    fn a_host_is_told_when_it_is_new_and_when_it_grows() {
        let mut heard = Sightings::default();
        let claims = txt(&[("id", "abcdefg"), ("v", "1")]);
        let first = heard.hear(&full("Studio"), &claims, 7717, &[v4(1)]).unwrap();
        assert_eq!((first.name.as_str(), first.version), ("Studio", Some(1)));
        assert!(heard.hear(&full("studio"), &claims, 7717, &[v4(1)]).is_none(), "the same, in other letters");
        let grown = heard.hear(&full("Studio"), &claims, 7717, &[v6("fe80::1", 3)]).unwrap();
        let told: Vec<_> = grown.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["[fe80::1%3]:7717", "192.168.1.1:7717"]);
        assert!(heard.hear(&full("Studio"), &claims, 7717, &[v4(1), v6("fe80::1", 3)]).is_none());
        assert!(
            heard.hear(&full("Studio"), &claims, 7718, &[v4(1)]).is_some(),
            "another port is another address"
        );
        heard.forget(&full("STUDIO"));
        assert!(heard.hear(&full("Studio"), &claims, 7717, &[v4(1)]).is_some(), "it came back");
    }

    #[test]
    fn two_hosts_of_one_name_are_two() {
        let mut heard = Sightings::default();
        heard.hear(&full("Studio"), &txt(&[("id", "aaaaaaa")]), 1, &[v4(1)]).unwrap();
        heard.hear(&full("Studio (2)"), &txt(&[("id", "bbbbbbb")]), 1, &[v4(2)]).unwrap();
        assert_eq!(heard.all().len(), 2);
        // Somebody else takes the name over: none of the old addresses count for the new id.
        let other = heard.hear(&full("Studio"), &txt(&[("id", "ccccccc")]), 1, &[v4(3)]).unwrap();
        assert_eq!((other.short_id.as_str(), other.addresses.len()), ("ccccccc", 1));
    }

    #[test]
    fn addresses_that_lead_to_nobody_are_left_out() {
        let bad = [
            "127.0.0.1",
            "0.0.0.0",
            "224.0.0.251",
            "255.255.255.255",
            "::1",
            "::",
            "ff02::fb",
            "::ffff:10.0.0.1",
        ];
        for ip in bad {
            assert_eq!(dialable(&ip.parse::<IpAddr>().unwrap().into(), 7717), None, "{ip}");
        }
        assert_eq!(
            dialable(&"fe80::1".parse::<IpAddr>().unwrap().into(), 7717),
            None,
            "without its interface"
        );
        assert_eq!(dialable(&v4(1), 0), None, "port 0");
        assert_eq!(dialable(&v6("fd00::1", 3), 1), Some("[fd00::1]:1".parse().unwrap()));
        assert_eq!(dialable(&v6("fe80::1", 3), 1), Some("[fe80::1%3]:1".parse().unwrap()));
    }

    #[test]
    fn a_flood_fills_what_there_is_and_no_more() {
        let mut heard = Sightings::default();
        let claims = txt(&[("id", "abcdefg")]);
        let real = full("real");
        heard.hear(&real, &claims, 1, &[v4(1)]).unwrap();
        for n in 0..2 * MAX_HOSTS {
            heard.hear(&full(&format!("fake{n}")), &claims, 1, &[v4(2)]);
        }
        assert_eq!(heard.all().len(), MAX_HOSTS);
        for n in 0..100 {
            heard.hear(&real, &claims, 1, &[v4(n)]);
        }
        let last = heard.all().into_iter().find(|s| s.name == "real").unwrap();
        assert_eq!(last.addresses.len(), MAX_ADDRESSES);
        assert_eq!(last.addresses[0], "192.168.1.99:1".parse().unwrap(), "the newest is among them");
    }

    #[test]
    fn a_sighting_has_nothing_that_a_device_could_hold_on_to() {
        let mut heard = Sightings::default();
        let spoofed = txt(&[
            ("id", "abcdefg"),
            ("v", "1"),
            ("key", "MCowBQYDK2VwAyEA"),
            ("fp", "sha256:00"),
            ("path", "/api"),
            ("paired", "1"),
        ]);
        // Every field, so that one more does not come in unseen: a name, a claimed short id, a number, addresses.
        // The id is too short to stand for a key; whoever answers there has to prove the one that was paired.
        let Sighting { name, short_id, version, addresses } =
            heard.hear(&full("Studio"), &spoofed, 7717, &[v4(1)]).unwrap();
        assert_eq!((name.as_str(), short_id.len(), version, addresses.len()), ("Studio", 7, Some(1), 1));
    }

    proptest! {
        #[test]
        fn whatever_is_heard_the_promises_hold(input in proptest::collection::vec(any::<u8>(), 0..300)) {
            fuzz_discovery(&input);
        }

        #[test]
        fn whatever_a_host_of_ours_is_called_the_promises_hold(name in any::<String>(), port in any::<u16>()) {
            let mut input = port.to_be_bytes().to_vec();
            let name: String = name.chars().take(60).collect();
            input.push(u8::try_from(name.len().min(255)).unwrap());
            input.extend(name.as_bytes());
            input.extend(b"\x0aid=abcdefg\x03v=1");
            fuzz_discovery(&input);
        }
    }
}
