//! Host names and the patterns of a policy bundle that match them.

use std::net::IpAddr;

use thiserror::Error;
use url::Host;

use super::HttpHost;

/// Longest name, RFC 1035.
const MAX_NAME_BYTES: usize = 253;

/// Longest label, RFC 1035.
const MAX_LABEL_BYTES: usize = 63;

/// Why a text is no host name or pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DomainFault {
    #[error("{0:?} has an empty or overlong label")]
    Label(String),
    #[error("{0:?} is not a host name: {1}")]
    Name(String, String),
    #[error("{0:?}: `*` may only stand as `*.` before a name; leave the list out to allow every host")]
    Wildcard(String),
    #[error("{0:?}: a pattern is a host, without scheme, port or path")]
    NotAHost(String),
}

/// One entry of `allowedDomains` or `blockedDomains`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DomainPattern {
    /// `example.com`: this name.
    Exact(String),
    /// `*.example.com`: every name below, not the name itself.
    Below(String),
    /// An address.
    Address(IpAddr),
}

impl DomainPattern {
    /// Reads a pattern; names are brought into the same form as those of requests.
    ///
    /// # Errors
    /// [`DomainFault`] for anything that is neither a host nor `*.` and a host.
    pub fn parse(text: &str) -> Result<Self, DomainFault> {
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok(Self::Address(address));
        }
        if text.contains(['/', ':', '@', '?', '#', '%']) {
            return Err(DomainFault::NotAHost(text.to_owned()));
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name.contains('*') {
            return Err(DomainFault::Wildcard(text.to_owned()));
        }
        match Host::parse(name) {
            Ok(Host::Domain(name)) => {
                let name = normal_name(&name)?;
                Ok(if below { Self::Below(name) } else { Self::Exact(name) })
            }
            Ok(_) => Err(DomainFault::NotAHost(text.to_owned())),
            Err(why) => Err(DomainFault::Name(text.to_owned(), why.to_string())),
        }
    }

    /// Whether an allowing list means this host.
    pub fn allows(&self, host: &HttpHost) -> bool {
        match (self, host) {
            (Self::Exact(wanted), HttpHost::Name(name)) => wanted == name,
            (Self::Below(parent), HttpHost::Name(name)) => is_below(name, parent),
            (Self::Address(wanted), HttpHost::Address(address)) => wanted == address,
            _ => false,
        }
    }

    /// Whether a blocking list means this host: a blocked name blocks what lies below it as well, and a blocked
    /// subtree blocks its top, so that no subdomain is forgotten.
    pub fn blocks(&self, host: &HttpHost) -> bool {
        match (self, host) {
            (Self::Exact(blocked) | Self::Below(blocked), HttpHost::Name(name)) => {
                name == blocked || is_below(name, blocked)
            }
            _ => self.allows(host),
        }
    }
}

fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|head| head.ends_with('.'))
}

/// One trailing dot (the DNS root) removed, labels checked; `name` is lower-case ASCII already.
pub(super) fn normal_name(name: &str) -> Result<String, DomainFault> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = |label: &str| !label.is_empty() && label.len() <= MAX_LABEL_BYTES;
    if name.len() > MAX_NAME_BYTES || !name.split('.').all(fits) {
        return Err(DomainFault::Label(name.to_owned()));
    }
    Ok(name.to_owned())
}
