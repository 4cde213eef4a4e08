//! Where a gateway is, and the token that only it is sent.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Why an address cannot be used. The address is not repeated where it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not an absolute URL.
    #[error("{text:?} is not the address of a gateway ({problem}); it looks like https://gateway.example/v1")]
    NotUrl {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Another scheme than http or https.
    #[error("a gateway is reached over http or https, not {0:?}")]
    Scheme(String),
    /// `user:password@`.
    #[error("the address of the gateway must not hold a user name or password; use LANYARD_GATEWAY_TOKEN")]
    Credentials,
    /// `?…` or `#…`.
    #[error("the address of the gateway must end with its path; leave out everything from '?' or '#' on")]
    Query,
}

/// The base address of an OpenAI-compatible API.
///
/// `http://host:port`, `…/v1`, `…/v1/`, `…/v1/chat/completions` and `…/v1/models` mean the same; any other path is
/// taken as it is (`https://host/openai` leads to `https://host/openai/chat/completions`).
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, host, port and a path without a slash at its end.
    base: Url,
}

impl Endpoint {
    /// Checks and normalises an address.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let text = text.trim();
        let mut base = Url::parse(text)
            .map_err(|e| EndpointError::NotUrl { text: without_userinfo(text), problem: e.to_string() })?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme(base.scheme().to_owned()));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(EndpointError::Credentials);
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(EndpointError::Query);
        }
        let path = base.path().trim_end_matches('/');
        let path = path.strip_suffix("/chat/completions").or(path.strip_suffix("/models")).unwrap_or(path);
        let path = match path.trim_end_matches('/') {
            "" => "/v1".to_owned(),
            path => path.to_owned(),
        };
        base.set_path(&path);
        Ok(Self { base })
    }

    /// Where calls are sent.
    pub(crate) fn chat_completions(&self) -> Url {
        self.below("chat/completions")
    }

    /// Where the offered models are listed.
    pub(crate) fn models(&self) -> Url {
        self.below("models")
    }

    /// Whether the host is this machine by its address or by the name `localhost`.
    pub fn is_loopback(&self) -> bool {
        match self.base.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        }
    }

    /// The addresses and the port of this machine it stands for; `None` when it is elsewhere.
    pub(crate) fn loopback(&self) -> Option<(Vec<IpAddr>, u16)> {
        if !self.is_loopback() {
            return None;
        }
        let addresses = match self.base.host()? {
            Host::Ipv4(address) => vec![address.into()],
            Host::Ipv6(address) => vec![address.into()],
            Host::Domain(_) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        };
        Some((addresses, self.base.port_or_known_default()?))
    }

    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.base.scheme() == "https"
    }

    fn below(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        url
    }
}

/// What did not parse as a URL may still hold a password in front of an `@`.
fn without_userinfo(text: &str) -> String {
    crate::show::quoted(text.rsplit('@').next().unwrap_or_default(), 200)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.as_str())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

/// Why a text is not a token. The text itself is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing there.
    #[error("the gateway token is empty; set LANYARD_GATEWAY_TOKEN to it, or leave the variable out")]
    Empty,
    /// A character that cannot be sent in a header.
    #[error(
        "the gateway token holds a character that cannot be sent in a header (a line break, a space, a letter \
             outside ASCII); copy it again"
    )]
    BadCharacter,
}

/// Token for the gateway. Never printed: `Debug` shows that there is one, nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Checks that the text can be sent; white space around it is dropped.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokenError::BadCharacter);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text itself, for whoever gave it out.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The value of the `Authorization` header.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// The text with every occurrence of the token taken out: gateways repeat what they were sent.
    pub(crate) fn redact(&self, text: &str) -> String {
        text.replace(&self.0, "[token]")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, EndpointError, Token, TokenError};

    #[test]
    fn every_way_to_write_the_address_means_the_same() {
        for text in [
            "http://gw:4000",
            "http://gw:4000/",
            " http://gw:4000/v1 ",
            "http://gw:4000/v1/",
            "http://gw:4000/v1/chat/completions",
            "http://gw:4000/v1/chat/completions/",
            "http://gw:4000/v1/models",
            "HTTP://GW:4000/v1",
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(endpoint.to_string(), "http://gw:4000/v1", "{text}");
            assert_eq!(endpoint.chat_completions().as_str(), "http://gw:4000/v1/chat/completions");
            assert_eq!(endpoint.models().as_str(), "http://gw:4000/v1/models");
        }
        let other = Endpoint::parse("https://gw/v1beta/openai/").unwrap();
        assert_eq!(other.chat_completions().as_str(), "https://gw/v1beta/openai/chat/completions");
    }

    #[test]
    fn addresses_that_are_not_are_refused_without_repeating_secrets() {
        assert!(matches!(Endpoint::parse("gateway"), Err(EndpointError::NotUrl { .. })));
        assert!(matches!(Endpoint::parse(""), Err(EndpointError::NotUrl { .. })));
        assert_eq!(Endpoint::parse("file:///etc/passwd"), Err(EndpointError::Scheme("file".into())));
        assert_eq!(Endpoint::parse("http://gw/v1?key=1"), Err(EndpointError::Query));
        assert_eq!(Endpoint::parse("http://gw/v1#x"), Err(EndpointError::Query));
        for text in ["http://me:hunter2@gw/v1", "http://me:hunter2@gw:99999999/v1"] {
            let error = Endpoint::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn this_machine_is_known_by_address() {
        for (text, loopback) in [
            ("http://127.0.0.1:1", true),
            ("http://127.8.8.8", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("http://localhost.example.com", false),
            ("http://128.0.0.1", false),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().is_loopback(), loopback, "{text}");
        }
    }

    #[test]
    fn a_token_is_checked_and_never_shown() {
        let token = Token::new(" sk-1234\n").unwrap();
        assert_eq!(token.bearer(), "Bearer sk-1234");
        assert!(!format!("{token:?}").contains("1234"));
        assert_eq!(token.redact("key sk-1234 is wrong"), "key [token] is wrong");
        assert_eq!(Token::new(" \n"), Err(TokenError::Empty));
        for bad in ["a b", "a\nb", "schlüssel", "a\0"] {
            assert_eq!(Token::new(bad), Err(TokenError::BadCharacter));
        }
    }
}
