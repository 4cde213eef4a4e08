//! Whom a request means, and whether that is us: the check against DNS rebinding, cross-site requests and spoofed names.
//!
//! A browser sends whatever its user's link says. It is answered only under the host's own names: its `.local` name, the
//! very address the connection came to, and `localhost` for somebody on this machine.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};

/// Protocol of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The same for a WebSocket.
    fn socket(self) -> &'static str {
        match self {
            Self::Http => "ws",
            Self::Https => "wss",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A name or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    /// In lower case.
    Name(String),
    Address(IpAddr),
}

impl Named {
    fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let address = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(IpAddr::V6(address)));
        }
        if let Ok(address) = text.parse() {
            return Some(Self::Address(IpAddr::V4(address)));
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        let plain = !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(fits);
        plain.then(|| Self::Name(text.to_ascii_lowercase()))
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Address(address) => address.to_canonical().is_loopback(),
        }
    }
}

/// Longest name in DNS (RFC 1035 §3.1), in bytes.
const MAX_NAME: usize = 253;

/// Scheme, name and port: what a browser keeps apart from all others. Its parts are checked, so its text is harmless in
/// a header and in a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: Scheme,
    named: Named,
    port: u16,
}

impl Origin {
    /// Of an address that browsers can open. A link-local IPv6 address is none: it needs a zone, which URLs have not.
    pub(super) fn at(address: IpAddr, port: u16) -> Self {
        Self { scheme: Scheme::Https, named: Named::Address(address.to_canonical()), port }
    }

    /// Of a name.
    pub(super) fn named(name: &str, port: u16) -> Self {
        Self { scheme: Scheme::Https, named: Named::Name(name.to_ascii_lowercase()), port }
    }

    /// The value of an `Origin` header.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = [Scheme::Http, Scheme::Https].into_iter().find(|known| known.as_str() == scheme)?;
        Self::with_authority(scheme, authority)
    }

    /// The value of a `Host` header.
    fn with_authority(scheme: Scheme, authority: &str) -> Option<Self> {
        // Within brackets, colons belong to the address.
        let end = authority.rfind(']').map_or(0, |at| at + 1);
        let (named, port) = match authority.get(end..)?.find(':') {
            Some(colon) => {
                let (named, port) = authority.split_at(end + colon);
                let digits = port.strip_prefix(':')?;
                let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                (named, plain.then(|| digits.parse().ok())??)
            }
            None => (authority, scheme.default_port()),
        };
        Some(Self { scheme, named: Named::parse(named)?, port })
    }

    #[cfg(test)]
    pub(super) fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// The same place by HTTPS.
    pub(super) fn secured(&self) -> Self {
        Self { scheme: Scheme::Https, ..self.clone() }
    }

    /// The origin of a WebSocket to the same place, for browsers whose `'self'` does not mean it.
    pub(super) fn socket(&self) -> String {
        self.to_string().replacen(self.scheme.as_str(), self.scheme.socket(), 1)
    }
}

impl std::fmt::Display for Origin {
    /// As browsers write it: the port only where it is not the scheme's own.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://", self.scheme.as_str())?;
        match &self.named {
            Named::Name(name) => f.write_str(name)?,
            Named::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Named::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        if self.port == self.scheme.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// The way a request came; nothing of it is said by the browser.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) scheme: Scheme,
    /// The other end, IPv4 as such.
    pub(super) peer: IpAddr,
    /// Our end, IPv4 as such.
    pub(super) local: IpAddr,
    pub(super) port: u16,
}

/// What somebody is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// The page, under this origin.
    Served(Origin),
    /// Only where else the page is: it came without encryption.
    Elsewhere(Origin),
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// No `Host`, several, or none that can be read.
    #[error("it does not say which host it means")]
    NoHost,
    /// Another name, address or port.
    #[error("it means another host")]
    OtherHost,
    /// The request is meant for a proxy.
    #[error("it takes this host for a proxy")]
    Proxy,
    /// Another page, or nobody knows which, is asking.
    #[error("another page asks")]
    OtherOrigin,
}

/// Whether a request means this host, and what it may be shown. `name` is the host's own `.local` name.
///
/// # Errors
/// See [`Refusal`].
pub(super) fn standing(
    way: &Way,
    name: &str,
    target: &Uri,
    headers: &HeaderMap,
) -> Result<Standing, Refusal> {
    if target.authority().is_some() || target.scheme().is_some() {
        return Err(Refusal::Proxy);
    }
    let host = only(headers, HOST).ok_or(Refusal::NoHost)?;
    let meant = Origin::with_authority(way.scheme, host).ok_or(Refusal::NoHost)?;
    if meant.port != way.port {
        return Err(Refusal::OtherHost);
    }
    // On this machine, and by a name that means this machine: neither alone is enough. A page elsewhere whose name leads
    // to 127.0.0.1 has its own name in `Host`; somebody elsewhere can write `localhost`, and does not come by loopback.
    let at_home = way.peer.is_loopback() && way.local.is_loopback() && meant.named.is_loopback();
    let own = match &meant.named {
        Named::Name(named) => named == name,
        Named::Address(address) => address.to_canonical() == way.local,
    };
    match way.scheme {
        Scheme::Http if at_home => Ok(Standing::Served(meant)),
        Scheme::Http if own => Ok(Standing::Elsewhere(meant.secured())),
        Scheme::Https if at_home || own => Ok(Standing::Served(meant)),
        Scheme::Http | Scheme::Https => Err(Refusal::OtherHost),
    }
}

/// Whether the page itself asks, for requests whose `Origin` every browser sends (WebSocket, POST).
///
/// # Errors
/// [`Refusal::OtherOrigin`], also where nothing says who asks.
pub(super) fn asked_by_page(own: &Origin, headers: &HeaderMap) -> Result<(), Refusal> {
    let same = only(headers, ORIGIN).and_then(Origin::parse).is_some_and(|origin| origin == *own);
    if same && site(headers).is_none_or(|site| site == SAME_ORIGIN) {
        Ok(())
    } else {
        Err(Refusal::OtherOrigin)
    }
}

/// The same for GET: browsers send no `Origin` with one to their own origin, but then say so in `Sec-Fetch-Site`
/// (Fetch Metadata; every browser since 2023), which no page can set.
///
/// # Errors
/// [`Refusal::OtherOrigin`], also where nothing says who asks.
pub(super) fn read_by_page(own: &Origin, headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(ORIGIN) {
        return asked_by_page(own, headers);
    }
    if site(headers) == Some(SAME_ORIGIN) { Ok(()) } else { Err(Refusal::OtherOrigin) }
}

const SAME_ORIGIN: &str = "same-origin";

/// What a browser says of the page that asks; a header that cannot be read counts as another page.
fn site(headers: &HeaderMap) -> Option<&str> {
    headers.contains_key("sec-fetch-site").then(|| only(headers, "sec-fetch-site").unwrap_or("unreadable"))
}

/// The value of a header that is there exactly once.
fn only(headers: &HeaderMap, name: impl axum::http::header::AsHeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}
