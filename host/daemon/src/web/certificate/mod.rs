//! The certificates of the page: who they are for, how they are kept, and which one a connection gets.
//!
//! Nobody vouches for them. What they are worth is that they stay the same: a browser that was told once to take one
//! does not warn again, so a new warning means something. Therefore each name and each address of the host has a
//! certificate of its own, all under one key: an address that comes or goes (another network, a tunnel, tomorrow's
//! temporary IPv6 address) changes nothing for those who use another one.
//!
//! The name's certificate can be replaced at run time by one that browsers do trust ([`store::CertificateStore::trust`]).

mod issue;
mod store;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

pub(in crate::web) use issue::{instant, serial};
pub(in crate::web) use store::fingerprint;
pub(crate) use store::{Certificate, CertificateError, CertificateStore, Trusted};

/// Whom a certificate speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Subject {
    /// The host's `.local` name; also `localhost`.
    Name(String),
    /// One of its addresses.
    Address(IpAddr),
}

impl Subject {
    /// Of an address a connection came to. All of a machine's loopback addresses are one.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V4(v4) if v4.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(v6) if v6.is_loopback() => Ipv6Addr::LOCALHOST.into(),
            other => other,
        })
    }

    /// What stands in the certificate (RFC 5280 §4.2.1.6).
    fn names(&self) -> Vec<String> {
        match self {
            Self::Name(name) => vec![name.clone(), "localhost".to_owned()],
            Self::Address(address) => vec![address.to_string()],
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}
