//! The binary header of the PROXY protocol (version 2), as bytes: no sockets, no clock. It is the first thing that anybody
//! who reaches the port of a trusted proxy can have influence on, so it is also a fuzz target.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, section 2.2.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// What every header begins with, and this many bytes long it says how much follows.
pub(crate) const START_BYTES: usize = 16;

/// Most bytes after the start. Addresses take 216 at most; what proxies add (names, checksums, their own marks) is a few
/// hundred, and is not looked at.
pub(crate) const MAX_REST_BYTES: usize = 1_024;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Why a header is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("this is no header of the PROXY protocol, version 2")]
    Signature,
    #[error("version {0} of the PROXY protocol is not known")]
    Version(u8),
    #[error("the command {0} of the PROXY protocol is not known")]
    Command(u8),
    #[error("the address family {0:#04x} is not one of a stream")]
    Family(u8),
    #[error("the header goes on for {0} bytes, and {MAX_REST_BYTES} are the most")]
    TooLong(usize),
    #[error("the header ends before the addresses that it announces")]
    TooShort,
}

/// The start of a header, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    addresses: Addresses,
    rest: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Addresses {
    /// The proxy's own connection, or one it knows no addresses of.
    None,
    V4,
    V6,
}

impl Start {
    /// Reads the start.
    pub(crate) fn read(bytes: &[u8; START_BYTES]) -> Result<Self, HeaderError> {
        let (signature, [kind, family, high, low]) =
            (&bytes[..12], [bytes[12], bytes[13], bytes[14], bytes[15]]);
        if signature != SIGNATURE {
            return Err(HeaderError::Signature);
        }
        if kind >> 4 != 2 {
            return Err(HeaderError::Version(kind >> 4));
        }
        let rest = usize::from(u16::from_be_bytes([high, low]));
        if rest > MAX_REST_BYTES {
            return Err(HeaderError::TooLong(rest));
        }
        let addresses = match (kind & 0x0f, family) {
            // Its own connection, for one to see whether we live: whatever the family.
            (0, _) => Addresses::None,
            // Unspecified, and streams of unix sockets.
            (1, 0x00 | 0x31) => Addresses::None,
            (1, 0x11) => Addresses::V4,
            (1, 0x21) => Addresses::V6,
            (1, other) => return Err(HeaderError::Family(other)),
            (other, _) => return Err(HeaderError::Command(other)),
        };
        if rest < addresses.bytes() {
            return Err(HeaderError::TooShort);
        }
        Ok(Self { addresses, rest })
    }

    /// Bytes that follow, at most [`MAX_REST_BYTES`].
    pub(crate) fn rest_bytes(self) -> usize {
        self.rest
    }

    /// From where the connection came, with the bytes that follow; `None` where it is the proxy's own.
    pub(crate) fn source(self, rest: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
        let short = |_| HeaderError::TooShort;
        let addresses = rest.get(..self.addresses.bytes()).ok_or(HeaderError::TooShort)?;
        // Source address, destination address, source port, destination port.
        Ok(match self.addresses {
            Addresses::None => None,
            Addresses::V4 => {
                let all: [u8; 12] = addresses.try_into().map_err(short)?;
                let ip = Ipv4Addr::new(all[0], all[1], all[2], all[3]);
                Some(SocketAddr::from((ip, u16::from_be_bytes([all[8], all[9]]))))
            }
            Addresses::V6 => {
                let all: [u8; 36] = addresses.try_into().map_err(short)?;
                let ip: [u8; 16] = all[..16].try_into().map_err(short)?;
                Some(SocketAddr::from((Ipv6Addr::from(ip), u16::from_be_bytes([all[32], all[33]]))))
            }
        })
    }
}

impl Addresses {
    /// How long they are at least.
    fn bytes(self) -> usize {
        match self {
            Self::None => 0,
            Self::V4 => 12,
            Self::V6 => 36,
        }
    }
}
