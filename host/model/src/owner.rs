//! Who listens on a port of this machine. A server that was found, not named by the owner, is used only when it belongs
//! to the host's own user or to the system.
//!
//! Any local user may listen on the usual port of a server that is not running, and would be sent every prompt with
//! what was read from files, and would answer with calls of tools.
//!
//! The kernel's tables name the user of each listening socket (proc_net(5)). They are looked at before each request; a
//! listener that changes between the look and the connection is not noticed.

use std::net::IpAddr;

use crate::endpoint::Endpoint;

/// Users below this number belong to the system: services, not people (`UID_MIN` of login.defs(5)).
#[cfg(any(target_os = "linux", test))]
const FIRST_PERSON: u32 = 1_000;

/// Bytes of a table that are read. Listening sockets come first, before the thousands of connections of a busy machine.
#[cfg(target_os = "linux")]
const MAX_TABLE_BYTES: u64 = 4 << 20;

/// Judges who would be sent a request.
pub(crate) type Judge = fn(&Endpoint) -> Result<(), Stranger>;

/// Why a listener is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stranger {
    /// Nothing is seen to listen; perhaps it is about to.
    #[error("nobody listens on port {0} of this machine")]
    Nobody(u16),
    /// Another user's.
    #[error(
        "port {port} of this machine belongs to user id {uid}, who is neither the host's user nor the system; set \
         model.endpoint if that server is meant"
    )]
    Foreign {
        /// The port.
        port: u16,
        /// Whose it is.
        uid: u32,
    },
    /// The system does not tell.
    #[error(
        "who listens at {endpoint} cannot be told ({problem}); set model.endpoint to use it all the same"
    )]
    Unknown {
        /// Where.
        endpoint: String,
        /// Why not.
        problem: String,
    },
}

/// A server the owner named is used whoever runs it.
#[expect(clippy::unnecessary_wraps, reason = "it stands beside judges that refuse")]
pub(crate) fn named_by_owner(_: &Endpoint) -> Result<(), Stranger> {
    Ok(())
}

/// A server that was found: every listener that a connection could reach must be trusted.
#[cfg(target_os = "linux")]
pub(crate) fn found(endpoint: &Endpoint) -> Result<(), Stranger> {
    let unknown = |problem: String| Stranger::Unknown { endpoint: endpoint.to_string(), problem };
    let Some((addresses, port)) = endpoint.loopback() else {
        return Err(unknown("it is not on this machine".to_owned()));
    };
    let mut owners = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = match read_table(table) {
            // A system without IPv6 has no such table.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && table.ends_with('6') => continue,
            text => text.map_err(|error| unknown(format!("{table}: {error}")))?,
        };
        owners.extend(listeners(&text, &addresses, port).map_err(unknown)?);
    }
    let judged = judge(&owners, rustix::process::geteuid().as_raw(), port);
    if let Err(stranger @ Stranger::Foreign { .. }) = &judged {
        tracing::warn!(%endpoint, "a server on this machine is ignored: {stranger}");
    }
    judged
}

/// Other systems are not asked: whatever answers on the usual port is used, as every other client there does.
#[cfg(not(target_os = "linux"))]
pub(crate) fn found(endpoint: &Endpoint) -> Result<(), Stranger> {
    static NOTE: std::sync::Once = std::sync::Once::new();
    NOTE.call_once(|| tracing::warn!(%endpoint, "who listens on local ports is not checked on this system"));
    Ok(())
}

#[cfg(target_os = "linux")]
fn read_table(path: &str) -> std::io::Result<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_TABLE_BYTES).read_to_end(&mut bytes)?;
    // A cut line is no line.
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(end);
    String::from_utf8(bytes).map_err(std::io::Error::other)
}

#[cfg(any(target_os = "linux", test))]
fn judge(owners: &[u32], me: u32, port: u16) -> Result<(), Stranger> {
    if owners.is_empty() {
        return Err(Stranger::Nobody(port));
    }
    match owners.iter().find(|uid| **uid != me && **uid >= FIRST_PERSON) {
        Some(uid) => Err(Stranger::Foreign { port, uid: *uid }),
        None => Ok(()),
    }
}

/// Users of the sockets in a table that take connections to one of the addresses.
#[cfg(any(target_os = "linux", test))]
fn listeners(table: &str, addresses: &[IpAddr], port: u16) -> Result<Vec<u32>, String> {
    /// State of a socket that takes connections (`TCP_LISTEN`).
    const LISTEN: &str = "0A";
    let mut owners = Vec::new();
    for line in table.lines().skip(1) {
        let unreadable = || format!("a line of the kernel's table cannot be read: {line:?}");
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, _, state, _, _, _, uid, ..] = fields.as_slice() else { return Err(unreadable()) };
        if *state != LISTEN {
            continue;
        }
        let (address, at) = socket(local).ok_or_else(unreadable)?;
        if at == port && addresses.iter().any(|wanted| takes(address, *wanted)) {
            owners.push(uid.parse().map_err(|_| unreadable())?);
        }
    }
    Ok(owners)
}

/// Whether a socket bound to `bound` may be given connections to `wanted`. One bound to all IPv6 addresses takes IPv4
/// too unless told otherwise, which the table does not say.
#[cfg(any(target_os = "linux", test))]
fn takes(bound: IpAddr, wanted: IpAddr) -> bool {
    bound == wanted || (bound.is_unspecified() && (bound.is_ipv6() || wanted.is_ipv4()))
}

/// `0100007F:2CAA`: words of the address in the machine's byte order, then the port.
#[cfg(any(target_os = "linux", test))]
fn socket(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let address = match bytes.as_slice() {
        bytes if bytes.len() == 4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        bytes => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    Some((address.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const ME: u32 = 1_001;
    const OLLAMA: u16 = 11_434;

    /// A line as the kernel writes it.
    fn line(address: IpAddr, port: u16, state: &str, uid: u32) -> String {
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let words = bytes.chunks(4).map(|w| format!("{:08X}", u32::from_ne_bytes([w[0], w[1], w[2], w[3]])));
        format!(
            "   0: {}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid:5}        0 107 1\n",
            words.collect::<String>()
        )
    }

    fn table(lines: &[String]) -> String {
        format!("  sl  local_address rem_address   st tx_queue rx_queue\n{}", lines.concat())
    }

    fn owners(lines: &[String]) -> Vec<u32> {
        listeners(&table(lines), &[IpAddr::from(Ipv4Addr::LOCALHOST)], OLLAMA).unwrap()
    }

    #[test]
    fn my_own_roots_and_the_systems_servers_are_used_and_no_other_persons() {
        for (uids, judged) in [
            (vec![ME], Ok(())),
            (vec![0], Ok(())),
            (vec![998], Ok(())),
            (vec![1_000], Err(Stranger::Foreign { port: OLLAMA, uid: 1_000 })),
            (vec![65_534], Err(Stranger::Foreign { port: OLLAMA, uid: 65_534 })),
            (vec![ME, 1_002], Err(Stranger::Foreign { port: OLLAMA, uid: 1_002 })),
            (vec![], Err(Stranger::Nobody(OLLAMA))),
        ] {
            assert_eq!(judge(&uids, ME, OLLAMA), judged, "{uids:?}");
        }
    }

    #[test]
    fn every_listener_a_connection_could_reach_counts_and_no_other() {
        let v4 = |text: &str| IpAddr::from(text.parse::<Ipv4Addr>().unwrap());
        let v6 = |text: &str| IpAddr::from(text.parse::<Ipv6Addr>().unwrap());
        let lines = [
            line(v4("127.0.0.1"), OLLAMA, "0A", 1),
            line(v4("0.0.0.0"), OLLAMA, "0A", 2),
            line(v6("::"), OLLAMA, "0A", 3),
            line(v6("::ffff:127.0.0.1"), OLLAMA, "0A", 4),
            line(v6("::ffff:0.0.0.0"), OLLAMA, "0A", 5),
            line(v6("::1"), OLLAMA, "0A", 101),
            line(v4("127.0.0.2"), OLLAMA, "0A", 102),
            line(v4("127.0.0.1"), 1_234, "0A", 103),
            line(v4("127.0.0.1"), OLLAMA, "01", 104),
        ];
        assert_eq!(owners(&lines), [1, 2, 3, 4, 5]);
        let six = listeners(&table(&lines), &[IpAddr::from(Ipv6Addr::LOCALHOST)], OLLAMA).unwrap();
        assert_eq!(six, [3, 101]);
    }

    #[test]
    fn a_real_line_is_read() {
        if cfg!(target_endian = "little") {
            let real = "   1: 0100007F:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000   997        0 8";
            assert_eq!(owners(&[real.to_owned()]), [997]);
        }
    }

    #[test]
    fn a_table_that_cannot_be_read_is_no_yes() {
        for bad in [
            "nonsense",
            "0: 0100007F 0 0A 0 0 0 7",
            "0: 0100007F:2CAA 0 0A 0 0 0 you",
            "0: 01:2CAA 0 0A 0 0 0 7",
        ] {
            let text = format!("head\n{bad}\n");
            assert!(listeners(&text, &[IpAddr::from(Ipv4Addr::LOCALHOST)], OLLAMA).is_err(), "{bad}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_is_asked() {
        let at = |address: &str| Endpoint::parse(&format!("http://{address}")).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        assert_eq!(found(&at(&here.to_string())), Ok(()));
        assert_eq!(found(&at(&format!("localhost:{}", here.port()))), Ok(()));
        drop(listener);
        assert_eq!(found(&at(&here.to_string())), Err(Stranger::Nobody(here.port())));
        assert!(matches!(found(&at("192.0.2.1:80")), Err(Stranger::Unknown { .. })));
    }
}
