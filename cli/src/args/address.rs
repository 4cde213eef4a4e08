//! `--address`: where a host is, with or without its port.

use std::net::{IpAddr, SocketAddr};

use lanyard_transport::DEFAULT_PORT;

/// Reads `IP`, `IP:PORT`, `[IPv6]:PORT`, `fe80::1%3`; without a port the usual one is meant.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let parsed = text
        .parse::<SocketAddr>()
        .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DEFAULT_PORT)))
        .or_else(|_| format!("[{bare}]:{DEFAULT_PORT}").parse::<SocketAddr>());
    match parsed {
        Ok(address) if address.port() == 0 => Err("port 0 is no port of a host".to_owned()),
        Ok(address) => Ok(address),
        Err(_) => Err(format!(
            "{text:?} is no address: write 192.168.1.7, 192.168.1.7:7717, [fd00::7]:7717 or \
             [fe80::7%3]:7717 (3 is the number of the interface, see `ip link`)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn with_and_without_a_port() {
        for (text, read) in [
            ("192.168.1.7", "192.168.1.7:7717"),
            ("192.168.1.7:1", "192.168.1.7:1"),
            ("fd00::7", "[fd00::7]:7717"),
            ("[fd00::7]", "[fd00::7]:7717"),
            ("[fd00::7]:1", "[fd00::7]:1"),
            ("fe80::7%3", "[fe80::7%3]:7717"),
            ("[fe80::7%3]:1", "[fe80::7%3]:1"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), read, "{text}");
        }
        for text in ["", "nas", "1.2.3", "1.2.3.4:x", "1.2.3.4:0", "[::1", "::1%eth0"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
