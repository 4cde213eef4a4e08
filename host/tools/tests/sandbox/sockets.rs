//! Sockets: no unix socket by any way, no network unless allowed.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

use crate::fixture::{Fixture, inside, outside};
use crate::probe::Answer;

const DENIED: Answer = Answer::Errno(libc::EACCES);

/// The one thing that keeps an agent from approving itself.
#[test]
fn no_unix_socket_can_be_reached_even_in_an_allowed_directory() {
    let fixture = Fixture::new();
    for (directory, network) in [(&fixture.work, true), (&fixture.work, false), (&fixture.state, true)] {
        let path = directory.join(format!("host{network}.sock"));
        let path = path.to_str().unwrap();
        let _listener = UnixListener::bind(path).unwrap();
        let mut spec = fixture.spec();
        spec.network = network;
        let confinement = fixture.sandbox.prepare(&spec).unwrap();
        outside("connect", &[path]).expect();
        assert_eq!(inside(&confinement, "connect", &[path]), DENIED, "{path}");
    }
}

#[test]
fn no_abstract_socket_can_be_reached() {
    let fixture = Fixture::new();
    let name = format!("lanyard-test-{}", fixture.work.display());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    outside("connect_abstract", &[&name]).expect();
    assert_eq!(fixture.inside("connect_abstract", &[&name]), DENIED);
}

#[test]
fn no_unix_socket_can_be_offered() {
    let fixture = Fixture::new();
    let path = |name: &str| fixture.work.join(name).to_str().unwrap().to_owned();
    outside("bind", &[&path("a")]).expect();
    assert_eq!(fixture.inside("bind", &[&path("b")]), DENIED);
}

/// A datagram pair is a unix socket made without `socket`.
#[test]
fn a_socket_pair_reaches_no_named_socket() {
    let fixture = Fixture::new();
    let path = fixture.work.join("datagrams.sock");
    let path = path.to_str().unwrap();
    let listener = UnixDatagram::bind(path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut byte = [0];
    outside("pair_then_send_to", &[path]).expect();
    assert_eq!(listener.recv(&mut byte).unwrap(), 1);
    assert_eq!(fixture.inside("pair_then_send_to", &[path]), DENIED);
    assert!(listener.recv(&mut byte).is_err());
    // Pairs of streams, which programs talk to their own children by, stay.
    fixture.inside("stream_pair", &[]).expect();
}

#[test]
fn the_network_is_closed_unless_allowed() {
    let fixture = Fixture::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addresses = [("tcp", tcp.local_addr().unwrap()), ("udp", udp.local_addr().unwrap())];
    let mut spec = fixture.spec();
    spec.network = true;
    let open = fixture.sandbox.prepare(&spec).unwrap();
    for (attempt, address) in addresses {
        let address = address.to_string();
        outside(attempt, &[&address]).expect();
        inside(&open, attempt, &[&address]).expect();
        assert_eq!(fixture.inside(attempt, &[&address]), DENIED, "{attempt}");
    }
}

#[test]
fn the_network_means_ip_and_nothing_else() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec();
    spec.network = true;
    let open = fixture.sandbox.prepare(&spec).unwrap();
    let socket = |family: i32, protocol: i32| {
        let words = [libc::SYS_socket.to_string(), family.to_string(), "3".into(), protocol.to_string()];
        inside(&open, "syscall", &words.each_ref().map(String::as_str))
    };
    socket(libc::AF_NETLINK, libc::NETLINK_ROUTE).expect();
    for (family, protocol) in [
        (libc::AF_NETLINK, libc::NETLINK_KOBJECT_UEVENT),
        (libc::AF_PACKET, 0),
        (libc::AF_VSOCK, 0),
        (libc::AF_ALG, 0),
        (libc::AF_BLUETOOTH, 0),
    ] {
        assert_eq!(socket(family, protocol), DENIED, "family {family}");
    }
}
