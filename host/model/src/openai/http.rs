//! The HTTP side: client, timeouts, bounded bodies, faults in words.

use std::time::Duration;

use reqwest::{Client, Response, redirect, retry};

use crate::endpoint::Endpoint;
use crate::retry::Fault;
use crate::show::quoted;

/// How long a gateway may be silent. Values are generous: a silent gateway is usually a working one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// Until connected, name lookup and TLS included.
    pub connect: Duration,
    /// From request to the first byte of the answer.
    pub first_byte: Duration,
    /// Between bytes afterwards.
    pub idle: Duration,
    /// For the whole answer.
    pub total: Duration,
    /// For the list of models.
    pub list: Duration,
    /// For a server on this machine to show that it is there.
    pub probe: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            // Three lost SYNs (1 + 2 + 4 s) on a bad network.
            connect: Duration::from_secs(10),
            // A model on a CPU reads a prompt of 30,000 tokens for minutes before it says a word.
            first_byte: Duration::from_secs(300),
            // Reasoning models pause, providers behind gateways stall; above two minutes the stream is dead.
            idle: Duration::from_secs(120),
            // A stream that drips for ever is ended; the longest real answers take some ten minutes.
            total: Duration::from_secs(1_800),
            // Nothing is computed for it.
            list: Duration::from_secs(10),
            // A loopback connection is there at once or refused; a server may be busy answering somebody.
            probe: Duration::from_secs(1),
        }
    }
}

/// Builds the client for one endpoint. For plain http no certificates are loaded, which takes milliseconds.
pub(crate) fn client(endpoint: &Endpoint, connect: Duration) -> Result<Client, Fault> {
    // reqwest panics without a provider.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(Fault::Setup("no TLS provider is installed in this process".to_owned()));
    }
    let mut builder = Client::builder()
        .user_agent(concat!("lanyard/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect)
        .tcp_keepalive(Duration::from_secs(30))
        // A redirect would carry prompt and token to a place nobody configured.
        .redirect(redirect::Policy::none())
        // `crate::retry` decides.
        .retry(retry::never());
    if endpoint.is_loopback() {
        builder = builder.no_proxy();
    }
    if !endpoint.is_encrypted() {
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|e| Fault::Setup(in_words(&e)))
}

/// Reads a body of at most `max` bytes; what is beyond is left unread. Silence and a broken connection end it too:
/// used for bodies that are only quoted.
pub(crate) async fn beginning_of(mut response: Response, max: usize, idle: Duration) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < max {
        match tokio::time::timeout(idle, response.chunk()).await {
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk[..chunk.len().min(max - body.len())]),
            Ok(Ok(None) | Err(_)) | Err(_) => break,
        }
    }
    body
}

/// Lets a finished answer end, so that its connection can serve the next call. Bounded: a server that goes on
/// talking loses the connection instead.
pub(crate) async fn finish(mut response: Response) {
    const PATIENCE: Duration = Duration::from_millis(50);
    const MAX_CHUNKS: usize = 4;
    for _ in 0..MAX_CHUNKS {
        let Ok(Ok(Some(_))) = tokio::time::timeout(PATIENCE, response.chunk()).await else { return };
    }
}

/// An error of the HTTP client with its causes and without the address, which the message names anyway.
pub(crate) fn in_words(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    let text = match words.pop() {
        _ if error.is_timeout() => "no connection in time".to_owned(),
        // The innermost cause is the one that says something ("connection refused").
        Some(text) => text,
        None => error.to_string(),
    };
    quoted(&text, 200)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::client;
    use crate::endpoint::Endpoint;
    use crate::retry::Fault;

    #[test]
    fn without_a_tls_provider_there_is_an_error_and_no_panic() {
        // Nothing in this test binary installs one.
        let endpoint = Endpoint::parse("http://127.0.0.1:1").unwrap();
        let error = client(&endpoint, Duration::from_secs(1)).unwrap_err();
        assert!(matches!(error, Fault::Setup(text) if text.contains("TLS provider")));
    }
}
