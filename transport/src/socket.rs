//! Sockets: for both IP families where there are two, and what the system knows about them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// Bytes the kernel keeps for us while we are busy; what it allows counts. Its default loses packets of a single burst.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Connections the kernel keeps until they are accepted; a browser opens six at once.
const BACKLOG: i32 = 128;

/// A protocol with ports.
#[derive(Debug)]
pub(crate) struct PortTables {
    /// As people know it.
    pub(crate) name: &'static str,
    /// Where Linux lists its sockets.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "other systems have no such tables"))]
    tables: [&'static str; 2],
}

pub(crate) const UDP: PortTables = PortTables { name: "UDP", tables: ["/proc/net/udp", "/proc/net/udp6"] };
pub(crate) const TCP: PortTables = PortTables { name: "TCP", tables: ["/proc/net/tcp", "/proc/net/tcp6"] };

/// Binds by UDP. `[::]` means both families, and IPv4 alone on a machine without IPv6.
///
/// # Errors
/// What the system says of the address asked for.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    both_families(address, |address| {
        let socket = unbound(address, Type::DGRAM, Protocol::UDP)?;
        // A smaller buffer is slower, not wrong.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        socket.bind(&address.into())?;
        Ok(socket.into())
    })
}

/// Listens by TCP, at the same addresses as [`bind`]. Not blocking.
///
/// # Errors
/// What the system says of the address asked for.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    both_families(address, |address| {
        let socket = unbound(address, Type::STREAM, Protocol::TCP)?;
        // Connections of an earlier host linger for a minute; on Windows the option would share the port instead.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    })
}

fn both_families<S>(address: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<S>) -> io::Result<S> {
    let error = match bind(address) {
        Ok(socket) => return Ok(socket),
        Err(error) => error,
    };
    // Taken and forbidden are answers; anything else may be a machine without IPv6.
    let family_missing = !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied);
    if address.ip() == Ipv6Addr::UNSPECIFIED && family_missing {
        return bind((Ipv4Addr::UNSPECIFIED, address.port()).into()).map_err(|_| error);
    }
    Err(error)
}

fn unbound(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

/// The address this machine would send from. Sends nothing.
///
/// # Errors
/// There is no way there, in the system's words.
pub(crate) fn source_for(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let probe = UdpSocket::bind((any, 0))?;
    probe.connect(remote)?;
    Ok(probe.local_addr()?.ip())
}

/// Name and number of the process that has a port, as far as this user may see it.
#[cfg(target_os = "linux")]
pub(crate) fn holder(protocol: &PortTables, port: u16) -> Option<String> {
    let inodes: Vec<String> = protocol
        .tables
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| inodes_of(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let number: u32 = process.file_name().to_str()?.parse().ok()?;
        // Other users' processes are closed to us.
        let mut files = std::fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files.find(|file| {
            let target = std::fs::read_link(file.path()).unwrap_or_default();
            inodes.iter().any(|inode| target.as_os_str() == inode.as_str())
        })?;
        let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        Some(format!("{} (process {number})", name.trim()))
    })
}

/// Elsewhere the system does not tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn holder(_: &PortTables, _: u16) -> Option<String> {
    None
}

/// Inodes of the sockets with a local port, from a table of `/proc/net` (proc_net(5)).
#[cfg(target_os = "linux")]
fn inodes_of(table: &str, port: u16) -> Vec<u64> {
    let inode = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (_, local) = fields.nth(1)?.rsplit_once(':')?;
        let inode = fields.nth(7)?.parse().ok()?;
        (u16::from_str_radix(local, 16) == Ok(port)).then_some(inode)
    };
    table.lines().skip(1).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_means_both_families() {
        let socket = bind((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"4", ("127.0.0.1", port)).unwrap();
        assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 1);
        if let Ok(sender) = UdpSocket::bind("[::1]:0") {
            sender.send_to(b"6", (Ipv6Addr::LOCALHOST, port)).unwrap();
            assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 1);
        }
    }

    #[test]
    fn any_address_means_both_families_by_tcp_too() {
        let listener = listen((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        if UdpSocket::bind("[::1]:0").is_ok() {
            std::net::TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn finds_who_has_a_port() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let found = holder(&UDP, socket.local_addr().unwrap().port()).unwrap();
        assert!(found.ends_with(&format!("(process {})", std::process::id())), "{found}");
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let found = holder(&TCP, listener.local_addr().unwrap().port()).unwrap();
        assert!(found.ends_with(&format!("(process {})", std::process::id())), "{found}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn reads_a_socket_table() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            \x20 392: 0100007F:1E25 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 31337 2 0000000000000000 0\n\
            broken\n\
            \x20 393: 0100007F:1E26 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 31338 2 0000000000000000 0\n";
        assert_eq!(inodes_of(table, 7717), [31337]);
    }

    #[test]
    fn tells_the_source_address() {
        let target = "127.0.0.1:9".parse().unwrap();
        assert_eq!(source_for(target).unwrap(), IpAddr::from([127, 0, 0, 1]));
    }
}
