//! What proxies say, and what they must not.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use tokio::io::AsyncReadExt as _;

use super::header::{HeaderError, MAX_REST_BYTES, START_BYTES, Start};
use super::{Network, ProxyError, source};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn header(kind: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[kind, family], &length, rest].concat()
}

/// As a proxy writes it, with something of its own at the end.
fn written(from: SocketAddr, more: &[u8]) -> Vec<u8> {
    let (family, addresses) = match from.ip() {
        IpAddr::V4(ip) => (0x11, [ip.octets(), [10, 0, 0, 1]].concat()),
        IpAddr::V6(ip) => (0x21, [ip.octets(), [9; 16]].concat()),
    };
    let ports = [from.port().to_be_bytes(), 8787_u16.to_be_bytes()].concat();
    header(0x21, family, &[&addresses, &ports, more].concat())
}

fn decoded(bytes: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    let (start, rest) = bytes.split_first_chunk::<START_BYTES>().unwrap();
    let start = Start::read(start)?;
    start.source(rest.get(..start.rest_bytes()).unwrap_or(rest))
}

#[test]
fn what_is_no_header_is_told_by_its_fault() {
    let v4 = [0; 12];
    for (bytes, fault) in [
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec(), HeaderError::Signature),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaa".to_vec(), HeaderError::Signature),
        (header(0x11, 0x11, &v4), HeaderError::Version(1)),
        (header(0x22, 0x11, &v4), HeaderError::Command(2)),
        (header(0x21, 0x12, &v4), HeaderError::Family(0x12)),
        (header(0x21, 0x11, &v4[..11]), HeaderError::TooShort),
        (header(0x21, 0x21, &[0; 35]), HeaderError::TooShort),
        (header(0x21, 0x11, &[0; MAX_REST_BYTES + 1]), HeaderError::TooLong(MAX_REST_BYTES + 1)),
    ] {
        assert_eq!(decoded(&bytes), Err(fault));
    }
    // Its own connection, whatever it says besides; one of which it knows nothing; a unix socket.
    for (kind, family) in [(0x20, 0x11), (0x20, 0), (0x20, 0xff), (0x21, 0), (0x21, 0x31)] {
        assert_eq!(decoded(&header(kind, family, &[7; 216])), Ok(None));
    }
}

#[test]
fn networks_are_read_and_everybody_is_none() {
    let is_in =
        |network: &str, address: &str| network.parse::<Network>().unwrap().contains(address.parse().unwrap());
    assert!(is_in("10.1.2.3", "10.1.2.3") && is_in("10.1.2.3", "::ffff:10.1.2.3"));
    assert!(!is_in("10.1.2.3", "10.1.2.4") && !is_in("10.1.2.3", "::a01:203"));
    assert!(is_in("10.1.0.0/16", "10.1.255.255") && !is_in("10.1.0.0/16", "10.2.0.0"));
    assert!(is_in("fd00::/8", "fdff::1") && !is_in("fd00::/8", "fe00::1"));
    assert!(is_in("128.0.0.0/1", "255.0.0.1") && !is_in("128.0.0.0/1", "127.0.0.1"));
    for wrong in ["", "proxy", "10.0.0.0/33", "::/129", "10.0.0.0/x", "10.0.0.0/", "0.0.0.0/0", "::/0"] {
        assert!(wrong.parse::<Network>().is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn what_follows_a_header_is_left_for_whoever_reads_next() {
    let (proxy, client) = ("10.0.0.9:1".parse().unwrap(), "203.0.113.7:4711".parse().unwrap());
    let sent = [written(client, b"own"), b"GET /".to_vec()].concat();
    let mut stream = sent.as_slice();
    let proxies = ["10.0.0.9".parse().unwrap()];
    assert_eq!(source(&proxies, &mut stream, proxy).await.unwrap(), client);
    assert_eq!(stream, b"GET /");
    // Nobody else is asked for one: what he sends is his request.
    let mut stream = sent.as_slice();
    let other = "10.0.0.8:1".parse().unwrap();
    assert_eq!(source(&proxies, &mut stream, other).await.unwrap(), other);
    assert_eq!(stream, sent);
    // A proxy's own connection comes from the proxy.
    let own = header(0x20, 0, &[]);
    assert_eq!(source(&proxies, &mut own.as_slice(), proxy).await.unwrap(), proxy);
}

#[tokio::test(start_paused = true)]
async fn a_named_proxy_must_say_it_and_soon() {
    let (proxy, proxies) = ("10.0.0.9:1".parse().unwrap(), ["10.0.0.0/8".parse().unwrap()]);
    let refused = source(&proxies, &mut &b"GET / HTTP/1.1\r\n\r\n"[..], proxy).await;
    assert!(matches!(refused, Err(ProxyError::Header(HeaderError::Signature))));
    let refused = source(&proxies, &mut &SIGNATURE[..], proxy).await;
    assert!(matches!(refused, Err(ProxyError::Io(_))));
    // The end is never sent.
    let (silent, _held) = tokio::io::duplex(64);
    let refused = source(&proxies, &mut SIGNATURE.chain(silent), proxy).await;
    assert!(matches!(refused, Err(ProxyError::Slow)));
}

proptest! {
    #[test]
    fn what_a_proxy_wrote_is_read_again(
        ip in any::<IpAddr>(), port in any::<u16>(), more in prop::collection::vec(any::<u8>(), 0..900)
    ) {
        let from = SocketAddr::new(ip, port);
        prop_assert_eq!(decoded(&written(from, &more)), Ok(Some(from)));
    }

    #[test]
    fn whatever_comes_no_more_is_asked_for_than_the_bound(
        kind in any::<u8>(), family in any::<u8>(), rest in prop::collection::vec(any::<u8>(), 0..1_100)
    ) {
        let bytes = header(kind, family, &rest);
        if let Ok(start) = Start::read(bytes.first_chunk().unwrap()) {
            prop_assert!(start.rest_bytes() == rest.len() && rest.len() <= MAX_REST_BYTES);
            prop_assert!(start.source(&rest).is_ok());
        }
    }
}
