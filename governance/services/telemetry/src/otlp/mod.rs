//! Spans on their way to a tracing system: OTLP over HTTP with protobuf bodies, GenAI conventions.
//!
//! What waits is a table, filled in the transaction that stores the span and emptied when the receiver has answered: a
//! span may arrive twice, never not at all, unless the receiver is away for longer than raw spans are kept (14 days),
//! which is also what bounds the table. (A cursor over the spans would not do: transactions do not commit in the order
//! in which they began, and what commits late would lie behind it.) One replica delivers at a time.

mod deliver;
mod encode;
mod proto;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

pub use encode::{Exported, trace_request};

pub(crate) use deliver::forward;
#[cfg(test)]
pub(crate) use deliver::{Courier, Pace};
#[cfg(test)]
pub(crate) use proto::{Part, read};

/// Wakes whoever forwards spans.
pub(crate) const TOPIC: &str = "telemetry:outgoing";

/// Longest wait for a receiver's answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where spans go.
#[derive(Clone)]
pub struct OtlpSettings {
    url: String,
    headers: HeaderMap,
    client: reqwest::Client,
    timeout: Duration,
}

impl std::fmt::Debug for OtlpSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers hold credentials.
        f.debug_struct("OtlpSettings").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why spans cannot be forwarded like this.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The endpoint is no address.
    #[error("the OTLP endpoint {0:?} is not an http:// or https:// URL, like https://collector.example:4318")]
    Endpoint(String),
    /// A header cannot be sent.
    #[error("{0:?} is not the name of an HTTP header, or its value cannot be sent")]
    Header(String),
    /// No HTTP client can be made.
    #[error("no HTTP client can be made for OTLP: {0}")]
    Client(#[from] reqwest::Error),
}

impl OtlpSettings {
    /// Checks the settings; talks to nobody. `endpoint` is the receiver's base URL (`/v1/traces` is added, unless it ends
    /// with it); the headers are sent with every request. A process that speaks TLS has chosen its cryptography before.
    pub fn new(endpoint: &str, headers: &[(String, String)]) -> Result<Self, OtlpError> {
        let wrong = || OtlpError::Endpoint(endpoint.to_owned());
        let parsed = reqwest::Url::parse(endpoint).map_err(|_| wrong())?;
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
            return Err(wrong());
        }
        let base = endpoint.trim_end_matches('/');
        let url = if base.ends_with("/v1/traces") { base.to_owned() } else { format!("{base}/v1/traces") };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let wrong = || OtlpError::Header(name.clone());
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            map.append(key, value);
        }
        let client = reqwest::Client::builder()
            // Credentials go to whom they were meant for.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { url, headers: map, client, timeout: TIMEOUT })
    }

    /// The same with less patience.
    #[cfg(test)]
    pub(crate) fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}
