//! Addresses that may be linked: http and https, to a host that is shown.

/// Longest address that is linked; longer ones stay text.
const MAX_HREF_BYTES: usize = 2_048;

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The whole address: visible ASCII only.
    pub href: String,
    /// The host (and port) a browser will go to, in lower case.
    pub host: String,
}

impl Target {
    /// Checks an address. Refused are other schemes, names and passwords before the host, hosts that are not plain
    /// ASCII, and every character that browsers drop or reinterpret.
    pub fn parse(raw: &str) -> Option<Self> {
        let plain = |c: char| {
            c.is_ascii_graphic() && !matches!(c, '\\' | '"' | '<' | '>' | '`' | '{' | '}' | '^' | '|')
        };
        if raw.len() > MAX_HREF_BYTES || !raw.chars().all(plain) {
            return None;
        }
        let colon = raw.find("://")?;
        let scheme = &raw[..colon];
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        let rest = &raw[colon + 3..];
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let of_hosts = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        let named = authority.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
        (named && authority.chars().all(of_hosts))
            .then(|| Self { href: raw.to_owned(), host: authority.to_ascii_lowercase() })
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn only_plain_web_addresses_are_linked() {
        for (raw, host) in [
            ("https://Example.org/a?b=c#d", "example.org"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("HTTPS://a.b", "a.b"),
        ] {
            assert_eq!(Target::parse(raw).unwrap().host, host, "{raw}");
        }
        for raw in [
            "javascript:alert(1)",
            "javascript://x/%0aalert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "//evil.example",
            "https://google.com@evil.example/",
            "https:\\\\evil.example",
            "https://a\u{202e}b.example",
            "https://exаmple.org",
            "https://",
            "https:///x",
            "https://-x",
            "java\nscript:x",
            " https://a",
        ] {
            assert_eq!(Target::parse(raw), None, "{raw}");
        }
        assert_eq!(Target::parse(&format!("https://a/{}", "x".repeat(3_000))), None);
    }
}
