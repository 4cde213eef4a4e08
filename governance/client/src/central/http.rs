//! The HTTP side: clients, sending, bounded reading, faults in words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use http::StatusCode;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderValue, LOCATION, RETRY_AFTER,
};
use lanyard_governance_api::endpoint;
use lanyard_protocol::{ErrorCode, WireError};
use reqwest::{Client, Method, Response, redirect, retry};
use rustls::ClientConfig;
use url::Url;
use zeroize::Zeroizing;

use super::{BodyStream, CallError, ServerClock};
use crate::secret::Secret;
use crate::tls;

/// Until connected, name lookup and TLS included: three lost SYNs (1 + 2 + 4 s) on a bad network.
const CONNECT: Duration = Duration::from_secs(10);

/// How long an idle connection is kept. Below what proxies keep them for, so that they rarely end under a request.
const IDLE: Duration = Duration::from_secs(30);

/// Longest refusal read.
const MAX_REFUSAL: usize = 64 << 10;

/// Longest text quoted from a fault.
const MAX_WORDS: usize = 200;

/// Names the request in the logs of both sides.
const REQUEST_ID: &str = "x-request-id";

/// What is sent.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) body: Sending,
    pub(crate) accept: &'static str,
}

/// Its body.
pub(crate) enum Sending {
    Nothing,
    Json(Bytes),
    Stream { make: Box<dyn Fn() -> BodyStream + Send + Sync>, length: u64 },
}

impl Sending {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Json(json) => json.len() as u64,
            Self::Stream { length, .. } => *length,
        }
    }
}

/// The same method as the HTTP client names it.
pub(crate) fn method(method: endpoint::Method) -> Method {
    match method {
        endpoint::Method::Get => Method::GET,
        endpoint::Method::Post => Method::POST,
        endpoint::Method::Put => Method::PUT,
        endpoint::Method::Patch => Method::PATCH,
        endpoint::Method::Delete => Method::DELETE,
    }
}

/// A client over TLS as configured; without, one for plain HTTP that reaches nothing but this machine.
pub(crate) fn client(tls: Option<ClientConfig>) -> Result<Client, String> {
    let builder = Client::builder()
        .user_agent(concat!("lanyard/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .tcp_keepalive(Duration::from_secs(30))
        .tcp_nodelay(true)
        .pool_idle_timeout(IDLE)
        // A redirect would carry proof and content to a place nobody configured.
        .redirect(redirect::Policy::none())
        // The callers decide.
        .retry(retry::never());
    let builder = match tls {
        Some(tls) => builder.https_only(true).tls_backend_preconfigured(tls),
        None => {
            let trusting_nobody = tls::nobody().map_err(|error| error.to_string())?;
            // `localhost` is this machine, whatever a name service says. Port 0 stands for the address's own.
            let here = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            builder
                .no_proxy()
                .resolve_to_addrs("localhost", &here.map(|ip| SocketAddr::new(ip, 0)))
                .tls_backend_preconfigured(trusting_nobody)
        }
    };
    builder.build().map_err(|error| in_words(&error))
}

/// Sends once, learns what the answer says of the server's clock, and gives back the answer if it is a success.
pub(crate) async fn send(
    client: &Client,
    outgoing: &Outgoing,
    bearer: Option<&Secret>,
    clock: &ServerClock,
) -> Result<Response, CallError> {
    let mut request = client
        .request(outgoing.method.clone(), outgoing.url.clone())
        .header(ACCEPT, outgoing.accept)
        .header(REQUEST_ID, format!("{:016x}{:016x}", crate::backoff::random(), crate::backoff::random()));
    if let Some(bearer) = bearer {
        let text = Zeroizing::new(format!("Bearer {}", bearer.reveal()));
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| CallError::Protocol("the token is no header's value".to_owned()))?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    request = match &outgoing.body {
        Sending::Nothing => request,
        Sending::Json(json) => request.header(CONTENT_TYPE, "application/json").body(json.clone()),
        Sending::Stream { make, length } => request
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, *length)
            .body(reqwest::Body::wrap_stream(make())),
    };
    let response = request.send().await.map_err(|error| CallError::Unreachable {
        reason: in_words(&error),
        retry_after: None,
        sent: !error.is_connect(),
    })?;
    if let Some(date) = response.headers().get(DATE).and_then(|date| date.to_str().ok()) {
        clock.learn_date(date);
    }
    match response.status() {
        status if status.is_success() => Ok(response),
        status if status.is_redirection() => {
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
            let told = format!("it redirects to {}, and redirects are not followed", quoted(to));
            Err(CallError::Protocol(told))
        }
        status => Err(refusal(status, response, clock).await),
    }
}

/// What a failure's answer says. One that is not the centre's own is a proxy's: the centre was not reached.
async fn refusal(status: StatusCode, response: Response, clock: &ServerClock) -> CallError {
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = seconds.map(Duration::from_secs);
    let body = match read(response, MAX_REFUSAL).await {
        Ok(body) => body,
        Err(error @ CallError::Unreachable { .. }) => return error,
        Err(_) => Bytes::new(),
    };
    match serde_json::from_slice::<WireError>(&body) {
        Ok(error) => {
            clock.learn_refusal(&error);
            match error.code {
                ErrorCode::AgentRevoked => CallError::Revoked(error.message),
                _ => CallError::Refused { status: status.as_u16(), error, retry_after },
            }
        }
        Err(_) if matches!(status.as_u16(), 408 | 421 | 429 | 502..=504) => CallError::Unreachable {
            reason: format!("something before it answered {status}"),
            retry_after,
            sent: true,
        },
        Err(_) => {
            let begins = quoted(&String::from_utf8_lossy(&body));
            CallError::Protocol(format!("{status} without an error of the contract: {begins}"))
        }
    }
}

/// Reads a body of at most `most` bytes.
///
/// # Errors
/// [`CallError::Unreachable`] when it is cut, [`CallError::Protocol`] when it is longer.
pub(crate) async fn read(mut response: Response, most: usize) -> Result<Bytes, CallError> {
    let too_long = || CallError::Protocol(format!("it is longer than {most} bytes"));
    let announced = response.content_length().unwrap_or(0);
    if announced > most as u64 {
        return Err(too_long());
    }
    let mut body = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(chunk) =
        response.chunk().await.map_err(|error| CallError::unreachable(in_words(&error)))?
    {
        if body.len() + chunk.len() > most {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// An error of the HTTP client with its innermost cause and without the address.
pub(crate) fn in_words(error: &reqwest::Error) -> String {
    let mut text = None;
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = Some(inner.to_string());
        cause = inner.source();
    }
    match text {
        _ if error.is_timeout() => "no connection in time".to_owned(),
        Some(text) if text.contains("invalid peer certificate") => {
            format!("its certificate is not the one this host was enrolled with ({})", quoted(&text))
        }
        Some(text) => quoted(&text),
        None => quoted(&error.to_string()),
    }
}

/// Foreign text, short and without anything that a terminal obeys.
fn quoted(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WORDS).collect()
}

/// Digits that were never used before.
///
/// # Errors
/// The system has no randomness.
pub(crate) fn nonce() -> Result<String, CallError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| CallError::Protocol(format!("this system has no randomness: {error}")))?;
    Ok(HEXLOWER.encode(&bytes))
}
