//! Where the host listens for devices.

use std::net::{Ipv6Addr, SocketAddr};

use lanyard_transport::DEFAULT_PORT;
use serde::Deserialize;

/// An address, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Listen {
    /// Nothing is bound: only the local socket leads to the host.
    Off,
    /// Bound by UDP. `[::]` serves IPv4 too; port 0 takes a free one.
    At(SocketAddr),
}

impl Default for Listen {
    fn default() -> Self {
        Self::At(SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT)))
    }
}

impl Listen {
    /// The address, unless it is off.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

/// Why a text says not where to listen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address with a port, like [::]:7717 or 192.168.1.7:7717, nor off")]
pub struct ListenError(String);

impl std::str::FromStr for Listen {
    type Err = ListenError;
    fn from_str(text: &str) -> Result<Self, ListenError> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| ListenError(text.to_owned()))
    }
}

impl TryFrom<String> for Listen {
    type Error = ListenError;
    fn try_from(text: String) -> Result<Self, ListenError> {
        text.parse()
    }
}
