//! Where a centre may be: https anywhere, plain http on this machine alone.

use url::{Host, Url};

/// Why an address is not one of a centre.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no address.
    #[error("{0:?} is not an address; it looks like https://central.example:8787")]
    Malformed(String),
    /// Another scheme, or more than scheme, host and port.
    #[error("{0} is not the address of a centre: it is https://HOST[:PORT], without user, path or query")]
    NotACentre(String),
    /// Plain http to another machine.
    #[error(
        "{0} is not encrypted and not on this machine: whoever is in between could read and change everything; use https"
    )]
    Plain(String),
}

/// Checks an address.
pub(crate) fn parse(text: &str) -> Result<Url, AddressError> {
    let url = Url::parse(text.trim()).map_err(|_| AddressError::Malformed(text.trim().to_owned()))?;
    let origin = || url.origin().ascii_serialization();
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    match (url.scheme(), url.host()) {
        ("https" | "http", Some(_)) if !bare => Err(AddressError::NotACentre(origin())),
        ("https", Some(_)) => Ok(url),
        ("http", Some(host)) if is_this_machine(&host) => Ok(url),
        ("http", Some(_)) => Err(AddressError::Plain(origin())),
        _ => Err(AddressError::NotACentre(text.trim().to_owned())),
    }
}

/// Loopback addresses, and the one name that RFC 6761 keeps for them.
fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
        Host::Domain(name) => *name == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_anywhere_and_http_here() {
        for text in [
            "https://central.example",
            "https://10.0.0.1:8787/",
            "https://[2001:db8::1]",
            "http://127.0.0.1:8787",
            "http://127.9.9.9",
            "http://[::1]:8787",
            " http://localhost:8787 ",
            "HTTP://LOCALHOST",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        for text in [
            "http://central.example",
            "http://10.0.0.1",
            "http://0.0.0.0:8787",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://[::ffff:10.0.0.1]",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert!(matches!(parse(text), Err(AddressError::Plain(_))), "{text}");
        }
        for text in [
            "https://user@central.example",
            "https://:secret@central.example",
            "https://central.example/path",
            "https://central.example/?q",
            "https://central.example/#f",
            "ftp://central.example",
            "file:///etc/passwd",
            "http://127.0.0.1@evil.example",
        ] {
            let error = parse(text).unwrap_err();
            assert!(matches!(error, AddressError::NotACentre(_)), "{text}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        for text in ["", "central.example", "https://", "//x"] {
            assert!(matches!(parse(text), Err(AddressError::Malformed(_))), "{text}");
        }
    }
}
