//! Races on real sockets.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use super::*;
use crate::lab::{LabHost, device, given, keys, signing};

/// Somebody who never answers.
fn black_hole() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test]
async fn dead_addresses_before_the_right_one_do_not_matter() {
    let host = LabHost::start(1, &[2]);
    let (_hole, silent) = black_hole();
    let candidates = [
        // No packet can be sent there: reserved, no port, no scope.
        given("240.0.0.1:7717".parse().unwrap()),
        given("127.0.0.1:0".parse().unwrap()),
        given("[ff0e::1]:0".parse().unwrap()),
        given(silent),
        given(host.address()),
    ];
    let peer = device(2).session(&candidates, signing(1)).await.unwrap();
    assert_eq!(peer.address(), host.address());
}

#[tokio::test]
async fn another_host_at_an_old_address_does_not_matter() {
    let other = LabHost::start(5, &[2]);
    let host = LabHost::start(1, &[2]);
    let candidates = [given(other.address()), given(host.address())];
    let peer = device(2).session(&candidates, signing(1)).await.unwrap();
    assert_eq!((peer.address(), peer.key()), (host.address(), &signing(1)));
}

#[tokio::test]
async fn another_key_is_told_apart_from_silence() {
    let other = LabHost::start(5, &[2]);
    let candidates = [given("127.0.0.1:0".parse().unwrap()), given(other.address())];
    let error = device(2).session(&candidates, signing(1)).await.unwrap_err();
    assert!(matches!(error, DialError::OtherKey { address } if address == other.address()), "{error:?}");
    let error = device(2).pairing(&candidates, Expect::Key(signing(1))).await.unwrap_err();
    assert!(matches!(error, DialError::OtherKey { .. }), "{error:?}");
}

#[tokio::test]
async fn a_refusal_at_one_address_does_not_hide_another_host_with_the_key() {
    let forgetful = LabHost::start(1, &[]);
    let host = LabHost::start(1, &[2]);
    let candidates = [given(forgetful.address()), given(host.address())];
    let peer = device(2).session(&candidates, signing(1)).await.unwrap();
    assert_eq!(peer.address(), host.address());
}

#[tokio::test]
async fn pairing_takes_anybody_and_says_whom() {
    let host = LabHost::start(1, &[]);
    let peer = device(2).pairing(&[given(host.address())], Expect::Anybody).await.unwrap();
    assert_eq!(peer.key(), &signing(1));
}

/// A host of another version.
async fn dial_version(version: u16) -> DialError {
    let config = limits::host(tls::host(&keys(1)).unwrap());
    let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = endpoint.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let connection = endpoint.accept().await.unwrap().await.unwrap();
        welcome::say_version(&connection, version).await.unwrap();
        Ended::from(connection.closed().await)
    });
    let error = device(2).session(&[given(address)], signing(1)).await.unwrap_err();
    assert_eq!(serving.await.unwrap(), Ended::ByPeer(CloseCode::Protocol));
    error
}

#[tokio::test]
async fn another_version_is_named_and_who_is_to_be_updated() {
    let newer = dial_version(PROTOCOL_VERSION + 1).await.to_string();
    assert!(newer.ends_with("update this program"), "{newer}");
    let older = dial_version(PROTOCOL_VERSION - 1).await.to_string();
    assert!(older.ends_with("update the host"), "{older}");
}

#[tokio::test]
async fn a_host_that_does_not_welcome_is_not_connected_to() {
    let config = limits::host(tls::host(&keys(1)).unwrap());
    let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = endpoint.local_addr().unwrap();
    tokio::spawn(async move {
        let connection = endpoint.accept().await.unwrap().await.unwrap();
        let mut stream = connection.open_uni().await.unwrap();
        stream.write_all(b"\0\0\0\x01x").await.unwrap();
        stream.finish().unwrap();
        connection.closed().await
    });
    let error = device(2).session(&[given(address)], signing(1)).await.unwrap_err();
    let DialError::Unreachable(lines) = &error else { panic!("{error:?}") };
    assert!(lines[0].1.contains("welcome"), "{error}");
}

#[tokio::test]
async fn a_moved_socket_keeps_its_connections() {
    let mut host = LabHost::start(1, &[2]);
    let dialer = device(2);
    let peer = host.session_of(&dialer).await.unwrap();
    let seen = host.device().await;
    let before = seen.address();
    dialer.rebind().unwrap();
    for round in 0..100 {
        // What is said at once may still go through the socket before.
        if round >= 3 && seen.address() != before {
            break;
        }
        let (mut send, mut recv) = peer.open().await.unwrap();
        send.write_all(b"still here").await.unwrap();
        send.finish().unwrap();
        let (mut back, mut question) = seen.accept().await.unwrap();
        back.write_all(&question.read_to_end(99).await.unwrap()).await.unwrap();
        back.finish().unwrap();
        assert_eq!(recv.read_to_end(99).await.unwrap(), b"still here");
    }
    assert_ne!(seen.address(), before, "the host knows the new address");
    assert_eq!(dialer.moves(), 1);
}

#[tokio::test]
async fn without_an_answer_the_error_names_every_address() {
    let error = device(2).session(&[given("127.0.0.1:0".parse().unwrap())], signing(1)).await.unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:0 ("), "{error}");
    assert!(matches!(device(2).session(&[], signing(1)).await, Err(DialError::NoCandidates)));
}

#[tokio::test]
async fn an_address_without_a_way_is_told_in_the_systems_words() {
    // On an adapter that does not exist.
    let nowhere = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 7717, 0, 0x7fff_fff0);
    let error = device(2).session(&[given(nowhere.into())], signing(1)).await.unwrap_err();
    let DialError::Unreachable(lines) = &error else { panic!("{error:?}") };
    assert_ne!(lines[0].1, "no answer", "{error}");
}

#[test]
fn a_dialer_may_be_shared() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Dialer>();
    shared::<Arc<Dialer>>();
}
