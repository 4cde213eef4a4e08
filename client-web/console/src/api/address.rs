//! Paths and queries from endpoints and their parameters. Pure.

use lanyard_governance_api::endpoint::Call;
use serde::Serialize;
use serde_json::Value;

/// The path of an endpoint with its parameters filled in, in the order in which they stand there.
pub(crate) fn path<C: Call>(values: &[&str]) -> String {
    let mut values = values.iter();
    let mut path = String::new();
    for part in C::ENDPOINT.path.split('/').skip(1) {
        path.push('/');
        match part.strip_prefix('{') {
            Some(_) => path.push_str(&encoded(values.next().copied().unwrap_or_default())),
            None => path.push_str(part),
        }
    }
    path
}

/// A query as it stands behind the path, with its `?`; empty where nothing is asked for. Members that are absent are
/// left out.
pub(crate) fn query(query: &impl Serialize) -> String {
    let Ok(Value::Object(members)) = serde_json::to_value(query) else { return String::new() };
    let mut text = String::new();
    for (name, value) in members {
        let value = match value {
            Value::Null => continue,
            Value::String(text) => text,
            other => other.to_string(),
        };
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(&encoded(&name));
        text.push('=');
        text.push_str(&encoded(&value));
    }
    text
}

/// Percent-encoded but for what RFC 3986 leaves unreserved.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// The reverse; none where it is not text.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanyard_governance_api::audit::{AuditQuery, ExportFormat};
    use lanyard_governance_api::endpoint::{DecidePairing, ListAgents};
    use lanyard_governance_api::page::Nothing;
    use lanyard_protocol::Timestamp;
    use lanyard_protocol::envelope::Severity;

    #[test]
    fn parameters_are_filled_in_and_cannot_leave_their_place() {
        assert_eq!(path::<ListAgents>(&[]), "/agents");
        assert_eq!(
            path::<DecidePairing>(&["a-1", "p/../x?y"]),
            "/agents/a-1/pairings/p%2F..%2Fx%3Fy/decision"
        );
    }

    #[test]
    fn queries_hold_what_is_asked_for_and_nothing_else() {
        assert_eq!(query(&Nothing {}), "");
        assert_eq!(query(&AuditQuery::default()), "");
        let asked = AuditQuery {
            text: Some("rm & Co".to_owned()),
            severity: Some(Severity::Warning),
            from: Some(Timestamp::from_millis(0)),
            limit: Some(50),
            format: Some(ExportFormat::CloudEvents),
            ..AuditQuery::default()
        };
        let said = query(&asked);
        assert!(said.starts_with('?') && said.matches('?').count() == 1, "{said}");
        for part in
            ["text=rm%20%26%20Co", "severity=warning", "limit=50", "format=cloud_events", "from=1970-01-01T"]
        {
            assert!(said.contains(part), "{said} has no {part}");
        }
        assert!(!said.contains("nextToken"), "{said}");
    }

    #[test]
    fn what_was_encoded_is_read_again() {
        for text in ["", "a b", "50% off?#1/ä", "\u{202e}"] {
            assert_eq!(decoded(&encoded(text)).as_deref(), Some(text));
        }
        for bad in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }
}
