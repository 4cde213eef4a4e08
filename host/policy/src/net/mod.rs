//! Where a request may go: addresses in one normal form, names matched by label, private networks refused.
//!
//! The name is judged before the call. What it resolves to can change in between (rebinding), so whoever connects
//! asks [`allowed_address`] about each address at that moment, and follows no redirect: a new target is a new call.

mod address;
mod domain;

#[cfg(test)]
mod tests;

use std::{fmt, net::IpAddr};

use thiserror::Error;
use url::{Host, Url};

pub use address::{PrivateAddress, allowed_address};
pub use domain::{DomainFault, DomainPattern};

use crate::visible::is_invisible;

/// Longest address accepted; servers refuse longer ones, and a longer one cannot be reviewed.
const MAX_URL_BYTES: usize = 2048;

/// Why a text is no address a request may be sent to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UrlFault {
    #[error("the address is longer than {MAX_URL_BYTES} bytes")]
    TooLong,
    #[error("the address contains the character U+{0:04X}, which has no place in one")]
    Character(u32),
    #[error("only http:// and https:// addresses are requested")]
    Scheme,
    #[error("the address carries a user name or password before `@`: send credentials in a header")]
    Userinfo,
    #[error("the host of the address is not understood: {0}")]
    Host(String),
    #[error("the IP address is written in an unusual form: write it as {0}")]
    AddressForm(IpAddr),
    #[error("port 0 cannot be connected to")]
    Port,
}

/// A judged-form HTTP address: what is shown, matched and connected to are the same thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    url: Url,
    host: HttpHost,
}

/// The host of an [`HttpTarget`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HttpHost {
    /// A name: lower-case ASCII (punycode where needed), no trailing dot.
    Name(String),
    /// An address written out.
    Address(IpAddr),
}

impl fmt::Display for HttpHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl HttpTarget {
    /// Reads an absolute address.
    ///
    /// # Errors
    /// [`UrlFault`] for anything with more than one reading (6-security.md, item 25).
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlFault::TooLong);
        }
        // The URL standard drops tabs and line ends and reads `\` as `/`; other parsers do not.
        if let Some(c) =
            text.chars().find(|c| c.is_control() || c.is_whitespace() || is_invisible(*c) || *c == '\\')
        {
            return Err(UrlFault::Character(c.into()));
        }
        let after_scheme = strip_scheme(text).ok_or(UrlFault::Scheme)?;
        let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() {
            // The URL standard would skip further slashes and take a part of the path for the host.
            return Err(UrlFault::Host("it is empty".into()));
        }
        if authority.contains('@') {
            return Err(UrlFault::Userinfo);
        }
        if authority.contains('%') {
            return Err(UrlFault::Host("`%` in a host name".into()));
        }
        let url = Url::parse(text).map_err(|why| UrlFault::Host(why.to_string()))?;
        Self::from_url(url, authority)
    }

    fn from_url(mut url: Url, authority: &str) -> Result<Self, UrlFault> {
        let host = match url.host() {
            None => return Err(UrlFault::Host("it is empty".into())),
            Some(Host::Ipv4(address)) => {
                let written = authority.split(':').next().unwrap_or_default();
                if written != address.to_string() {
                    return Err(UrlFault::AddressForm(address.into()));
                }
                HttpHost::Address(address.into())
            }
            Some(Host::Ipv6(address)) => HttpHost::Address(address.into()),
            Some(Host::Domain(name)) => {
                HttpHost::Name(domain::normal_name(name).map_err(|why| UrlFault::Host(why.to_string()))?)
            }
        };
        if url.port() == Some(0) {
            return Err(UrlFault::Port);
        }
        if let HttpHost::Name(name) = &host {
            url.set_host(Some(name)).map_err(|why| UrlFault::Host(why.to_string()))?;
        }
        url.set_fragment(None);
        Ok(Self { url, host })
    }

    /// The host.
    pub fn host(&self) -> &HttpHost {
        &self.host
    }

    /// The address as it will be requested, without fragment.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }
}

fn strip_scheme(text: &str) -> Option<&str> {
    ["https://", "http://"]
        .iter()
        .find(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .map(|scheme| &text[scheme.len()..])
}
