//! Who gets in and how far, on real sockets.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::dial::{DialError, Expect};
use crate::lab::{LabHost, at_once, device, given, keys, signing};
use crate::limits::MAX_HANDSHAKES;

/// A connection made by hand, with whatever ALPN.
async fn raw(number: u8, alpn: &[u8], host: SocketAddr) -> Result<quinn::Connection, quinn::ConnectionError> {
    let (config, _) = tls::device(&tls::certified(&keys(number)).unwrap(), alpn, Expect::Anybody).unwrap();
    client().connect_with(limits::device(config), host, tls::NO_NAME).unwrap().await
}

fn client() -> quinn::Endpoint {
    quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap()
}

#[tokio::test]
async fn both_ends_prove_their_keys_and_share_a_binding() {
    let mut host = LabHost::start(1, &[2]);
    let device = host.session_of(&device(2)).await.unwrap();
    let seen = host.device().await;
    assert_eq!((device.key(), seen.key()), (&signing(1), &signing(2)));
    assert_eq!(device.channel().unwrap().binding, seen.channel().unwrap().binding);
    assert_eq!(device.address(), host.address());
    let (mut send, _recv) = device.open().await.unwrap();
    send.write_all(b"hello").await.unwrap();
    send.finish().unwrap();
    let (_, mut recv) = seen.accept().await.unwrap();
    assert_eq!(recv.read_to_end(9).await.unwrap(), b"hello");
}

#[tokio::test]
async fn two_connections_of_one_device_have_different_bindings() {
    let host = LabHost::start(1, &[2]);
    let dialer = device(2);
    let first = host.session_of(&dialer).await.unwrap().channel().unwrap();
    let second = host.session_of(&dialer).await.unwrap().channel().unwrap();
    assert_ne!(first.binding, second.binding);
}

#[tokio::test]
async fn an_unpaired_device_is_told_so_when_it_connects() {
    let mut host = LabHost::start(1, &[2]);
    let error = host.session_of(&device(3)).await.unwrap_err();
    let DialError::Refused { address, reason } = &error else { panic!("{error:?}") };
    assert_eq!((*address, reason), (host.address(), &Ended::ByPeer(CloseCode::NotPaired)));
    assert!(error.to_string().contains("pair again"), "{error}");
    assert_eq!(host.arrival().await.unwrap_err(), Refused::NotPaired);
}

#[tokio::test]
async fn a_stranger_reaches_the_pairing_protocol_and_nothing_else() {
    let mut host = LabHost::start(1, &[]);
    let stranger = raw(9, ALPN_PAIRING, host.address()).await.unwrap();
    let seen = host.stranger().await;
    assert_eq!(seen.key(), &signing(9));
    let open = [stranger.open_bi().await.unwrap(), stranger.open_bi().await.unwrap()];
    assert!(at_once(stranger.open_bi()).is_none(), "a third stream is granted");
    assert!(at_once(stranger.open_uni()).is_none(), "a one-way stream is granted");
    assert_eq!(stranger.max_datagram_size(), None, "datagrams are taken");
    assert!(at_once(stranger.accept_uni()).is_none(), "a stranger is welcomed");
    drop(open);
}

#[tokio::test]
async fn a_stranger_cannot_fill_the_hosts_memory() {
    let mut host = LabHost::start(1, &[]);
    let stranger = raw(9, ALPN_PAIRING, host.address()).await.unwrap();
    let _seen = host.stranger().await;
    let (mut first, _recv) = stranger.open_bi().await.unwrap();
    let (mut second, _recv) = stranger.open_bi().await.unwrap();
    // Nobody reads. A write that has to wait waits for the host's credit.
    let mut taken = 0;
    for stream in [&mut first, &mut second] {
        while let Some(written) = at_once(stream.write(&[0; 4096])) {
            taken += written.unwrap();
            assert!(taken <= 1 << 20, "a stranger may send whatever it likes");
        }
    }
    assert_eq!(taken, 64 * 1024, "bytes that a host keeps of a stranger");
}

#[tokio::test]
async fn another_protocol_or_no_key_gets_no_further() {
    let mut host = LabHost::start(1, &[2]);
    let error = raw(2, b"h3", host.address()).await.unwrap_err();
    assert!(Ended::from(error).to_string().contains("not a Lanyard host"));
    assert!(matches!(host.arrival().await, Err(Refused::Failed(_))));

    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(tls::tests::trusting())
            .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_SESSION.to_vec()];
    let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    let connecting =
        client().connect_with(limits::device(config), host.address(), tls::NO_NAME).unwrap().await;
    if let Ok(connection) = connecting {
        // TLS 1.3: the client is done before the host has missed its key.
        connection.closed().await;
    }
    assert!(matches!(host.arrival().await, Err(Refused::Failed(_))));
}

#[tokio::test]
async fn new_keys_are_for_new_connections() {
    let mut host = LabHost::start(1, &[2]);
    let dialer = device(2);
    let before = host.session_of(&dialer).await.unwrap();
    let seen = host.device().await;
    host.endpoint.use_keys(&keys(4)).unwrap();
    let error = host.session_of(&dialer).await.unwrap_err();
    assert!(matches!(error, DialError::OtherKey { address } if address == host.address()), "{error:?}");
    host.number = 4;
    assert_eq!(host.session_of(&dialer).await.unwrap().key(), &signing(4));
    // The old connection lives.
    let (mut send, _recv) = before.open().await.unwrap();
    send.write_all(b"!").await.unwrap();
    assert!(seen.accept().await.is_ok());
}

#[tokio::test]
async fn a_taken_port_names_its_holder() {
    let host = LabHost::start(1, &[]);
    let taken = HostEndpoint::bind(host.address(), &keys(2)).unwrap_err();
    let text = taken.to_string();
    assert!(matches!(taken, BindError::Taken { .. }));
    assert!(text.contains("--listen"), "{text}");
    #[cfg(target_os = "linux")]
    assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
    // 192.0.2.0/24 is for documentation (RFC 5737): nobody has it.
    let foreign = HostEndpoint::bind("192.0.2.1:0".parse().unwrap(), &keys(2)).unwrap_err();
    assert!(matches!(foreign, BindError::Address { .. }), "{foreign}");
}

#[tokio::test]
async fn devices_learn_that_the_host_stops() {
    let mut host = LabHost::start(1, &[2]);
    let device = host.session_of(&device(2)).await.unwrap();
    let _seen = host.device().await;
    host.endpoint.close(Duration::from_secs(5)).await;
    assert_eq!(device.ended().await, Ended::ByPeer(CloseCode::Stopping));
    assert!(host.endpoint.knock().await.is_none());
}

#[tokio::test]
async fn places_for_pairing_are_few_and_come_back() {
    let mut host = LabHost::start(1, &[2]);
    let mut strangers = Vec::new();
    for _ in 0..MAX_PAIRING {
        let stranger = raw(9, ALPN_PAIRING, host.address()).await.unwrap();
        strangers.push((stranger, host.stranger().await));
    }
    let surplus = raw(9, ALPN_PAIRING, host.address()).await.unwrap();
    assert_eq!(Ended::from(surplus.closed().await), Ended::ByPeer(CloseCode::TooMany));
    assert_eq!(host.arrival().await.unwrap_err(), Refused::TooMany);
    // Devices that are known are not touched by it.
    host.session_of(&device(2)).await.unwrap();
    host.device().await;
    strangers.pop();
    let _next = raw(9, ALPN_PAIRING, host.address()).await.unwrap();
    host.stranger().await;
}

/// First packets of handshakes that go no further, each its own.
async fn half_open(count: usize) -> Vec<Vec<u8>> {
    let sink = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (key, client) = (tls::certified(&keys(9)).unwrap(), client());
    let mut connecting = Vec::new();
    let (mut seen, mut packets) = (HashSet::new(), Vec::new());
    for _ in 0..count {
        let (config, _) = tls::device(&key, ALPN_SESSION, Expect::Anybody).unwrap();
        let config = limits::device(config);
        connecting.push(client.connect_with(config, sink.local_addr().unwrap(), tls::NO_NAME).unwrap());
        let fresh = loop {
            let mut packet = vec![0; 1500];
            let length = sink.recv(&mut packet).await.unwrap();
            packet.truncate(length);
            // The destination's connection id (RFC 9000 §17.2) tells attempts from repetitions.
            let id = packet[6..6 + usize::from(packet[5])].to_vec();
            if seen.insert(id) {
                break packet;
            }
        };
        packets.push(fresh);
    }
    packets
}

#[tokio::test]
async fn a_flood_of_half_open_handshakes_does_not_stop_a_paired_device() {
    let count = if std::env::var_os("LANYARD_LONG").is_some() { 1000 } else { 200 };
    let packets = half_open(count).await;
    let mut host = LabHost::start(1, &[2]);
    let attacker = UdpSocket::bind("127.0.0.1:0").unwrap();
    for packet in packets {
        attacker.send_to(&packet, host.address()).unwrap();
        tokio::task::yield_now().await;
    }
    let device = host.session_of(&device(2)).await.unwrap();
    assert_eq!(host.device().await.key(), &signing(2));
    // The device came after the flood, so the host has seen all of that.
    let taken = host.endpoint.handshakes.taken();
    assert!(taken <= RETRY_ABOVE, "{taken} forged handshakes have a place");
    attacker.set_nonblocking(true).unwrap();
    let mut packet = [0; 1500];
    let answers = std::iter::from_fn(|| attacker.recv(&mut packet).ok().map(|_| packet[0]));
    // Long header of type 3 (RFC 9000 §17.2.5).
    assert!(answers.filter(|first| first & 0xf0 == 0xf0).count() > 0, "nobody was asked to show its address");
    drop(device);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stands_still_is_given_up() {
    let packet = half_open(1).await.remove(0);
    let mut host = LabHost::start(1, &[2]);
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&packet, host.address()).unwrap();
    let begin = Instant::now();
    assert_eq!(host.arrival().await.unwrap_err(), Refused::TimedOut);
    assert_eq!(begin.elapsed().as_secs(), HANDSHAKE.as_secs());
    assert_eq!(host.endpoint.handshakes.taken(), 0);
}

#[tokio::test]
async fn an_old_handshake_makes_room_when_all_places_are_taken() {
    let packet = half_open(1).await.remove(0);
    let endpoint = HostEndpoint::bind("127.0.0.1:0".parse().unwrap(), &keys(1)).unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&packet, endpoint.local_address()).unwrap();
    let knock = endpoint.knock().await.unwrap();
    let admitted = tokio::spawn(async move { knock.admit(&crate::lab::Paired::default()).await });
    tokio::time::pause();
    tokio::time::advance(limits::HANDSHAKE_GRACE).await;
    let begin = Instant::now();
    let _others: Vec<_> = (0..MAX_HANDSHAKES).map(|_| endpoint.handshakes.take().unwrap()).collect();
    assert_eq!(admitted.await.unwrap().unwrap_err(), Refused::TimedOut);
    // The clock stands still: had it waited for its own time, the clock would have gone on to that.
    assert!(begin.elapsed() < HANDSHAKE / 2);
}

#[test]
fn quinn_has_the_fixes_for_memory_exhaustion() {
    // RUSTSEC-2026-0185 and -0341; `cargo deny` says the same of later ones.
    let lock = include_str!("../../../Cargo.lock");
    let (_, rest) = lock.split_once("name = \"quinn-proto\"\nversion = \"0.11.").unwrap();
    let patch: u32 = rest.split_once('"').unwrap().0.parse().unwrap();
    assert!(patch >= 17, "quinn-proto 0.11.{patch}");
}

#[tokio::test]
async fn a_host_on_both_families_is_reached_on_both() {
    let mut host = LabHost::start_at("[::]:0".parse().unwrap(), 1, &[2]);
    let dialer = device(2);
    host.session_of(&dialer).await.unwrap();
    assert!(host.device().await.address().is_ipv4(), "IPv4 looks like IPv4");
    if UdpSocket::bind("[::1]:0").is_ok() {
        let v6 = given(("::1".parse::<std::net::IpAddr>().unwrap(), host.address().port()).into());
        let peer = dialer.session(&[v6], signing(1)).await.unwrap();
        assert_eq!(peer.address(), v6.address);
        host.device().await;
    }
}
