//! What keeps a machine from being found by name, in words: the cause and, where there is one, the remedy.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

use super::addresses::Reach;

/// Why this host is not found by name.
#[derive(Debug, thiserror::Error)]
pub(super) enum Obstacle {
    #[error("no network interface is up: connect this machine to a network")]
    NoInterface,
    #[error(
        "only point-to-point interfaces (a VPN) are up, and they carry no multicast: connect a local network"
    )]
    OnlyTunnels,
    #[error("the system does not list its network interfaces ({0})")]
    Interfaces(io::Error),
    #[error(
        "UDP port 5353 is taken by a program that does not share it ({0}): end it (`ss -ulpn` names it; \
         with Avahi, set disallow-other-stacks=no)"
    )]
    Port(io::Error),
    #[error("the mDNS responder cannot be started ({0})")]
    Start(mdns_sd::Error),
    #[error("the mDNS responder has ended by itself")]
    Ended,
    #[error("the mDNS responder does not answer any more")]
    Stuck,
    #[error("the announcement does not get out on {0}")]
    Unheard(String),
    #[error("the announcement was refused ({0})")]
    Refused(mdns_sd::Error),
}

/// What stands in the way of discovery on this machine just now, in a sentence; `None` when nothing is seen. Multicast
/// that an access point swallows cannot be seen from here. Blocks for well under a millisecond.
pub fn obstacle() -> Option<String> {
    look().err().map(|obstacle| obstacle.to_string())
}

/// # Errors
/// The first obstacle found.
pub(super) fn look() -> Result<Reach, Obstacle> {
    port()?;
    let reach = Reach::now().map_err(Obstacle::Interfaces)?;
    match reach.is_empty() {
        true if reach.only_tunnels => Err(Obstacle::OnlyTunnels),
        true => Err(Obstacle::NoInterface),
        false => Ok(reach),
    }
}

/// Whether the port can be shared. The responder itself would go on without a socket and say nothing.
///
/// # Errors
/// [`Obstacle::Port`].
pub(super) fn port() -> Result<(), Obstacle> {
    let v4 = bind(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, mdns_sd::MDNS_PORT).into());
    let v6 = bind(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, mdns_sd::MDNS_PORT).into());
    match (v4, v6) {
        // Many machines have one family only. A port that is taken in one of them is worth saying all the same.
        (Ok(()), Ok(())) => Ok(()),
        (Ok(()), Err(error)) | (Err(error), Ok(())) if error.kind() != io::ErrorKind::AddrInUse => Ok(()),
        (Err(error), _) | (_, Err(error)) => Err(Obstacle::Port(error)),
    }
}

/// Opens a socket as the responder does, and closes it.
fn bind(domain: Domain, address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_obstacle_is_one_sentence_that_fits_into_another() {
        let io = || io::Error::from_raw_os_error(98);
        let failed = || mdns_sd::Error::Msg("poll".to_owned());
        for obstacle in [
            Obstacle::NoInterface,
            Obstacle::OnlyTunnels,
            Obstacle::Interfaces(io()),
            Obstacle::Port(io()),
            Obstacle::Start(failed()),
            Obstacle::Ended,
            Obstacle::Stuck,
            Obstacle::Unheard("eth0".to_owned()),
            Obstacle::Refused(failed()),
        ] {
            let text = obstacle.to_string();
            assert!(!text.ends_with('.') && !text.contains(['\n', '\t']) && !text.contains("  "), "{text:?}");
        }
    }
}
