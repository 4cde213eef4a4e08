//! The connection to one endpoint, and the only code that handles the token: sent to that endpoint, taken out of
//! whatever comes back.

use std::fmt;
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response};
use url::Url;

use super::complaint::Complaint;
use super::http;
use crate::endpoint::{Endpoint, Token};
use crate::owner::{Judge, Stranger};
use crate::retry::Fault;

/// Bytes of an error body that are read.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// How LiteLLM passes on what the provider behind it asked for.
const PROVIDER_RETRY_AFTER: &str = "llm_provider-retry-after";

/// See the module. The client behind it is made with the first request.
pub(super) struct Link {
    pub(super) endpoint: Endpoint,
    tokens: RwLock<Tokens>,
    /// Asked before each request who would get it.
    judge: Judge,
    client: OnceLock<Client>,
    connect: Duration,
}

/// The token in use, and the one before: answers to requests that carried it may still be on their way.
#[derive(Debug, Clone, Default)]
struct Tokens {
    current: Option<Token>,
    before: Option<Token>,
}

impl Tokens {
    fn redact(&self, text: &str) -> String {
        let both = [&self.current, &self.before].into_iter().flatten();
        both.fold(text.to_owned(), |text, token| token.redact(&text))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("endpoint", &self.endpoint)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(endpoint: Endpoint, token: Option<Token>, judge: Judge, connect: Duration) -> Self {
        if token.is_some() && !endpoint.is_encrypted() && !endpoint.is_loopback() {
            tracing::warn!(%endpoint, "the gateway token travels unencrypted; use https");
        }
        let tokens = RwLock::new(Tokens { current: token, before: None });
        Self { endpoint, tokens, judge, client: OnceLock::new(), connect }
    }

    /// Whether requests carry a token.
    pub(super) fn has_token(&self) -> bool {
        self.tokens().current.is_some()
    }

    /// The token that the next request carries.
    pub(super) fn token(&self) -> Option<Token> {
        self.tokens().current
    }

    /// From the next request on, another token.
    pub(super) fn swap_token(&self, token: Token) {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        if tokens.current.as_ref() != Some(&token) {
            tokens.before = tokens.current.replace(token);
        }
    }

    fn tokens(&self) -> Tokens {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The list of models.
    pub(super) fn get_models(&self) -> Result<RequestBuilder, Fault> {
        self.request(Method::GET, self.endpoint.models())
    }

    /// A chat completion.
    pub(super) fn post_chat(&self) -> Result<RequestBuilder, Fault> {
        self.request(Method::POST, self.endpoint.chat_completions())
    }

    fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, Fault> {
        (self.judge)(&self.endpoint).map_err(|stranger| match stranger {
            // It may be starting again.
            Stranger::Nobody(_) => Fault::Unreachable(stranger.to_string()),
            Stranger::Foreign { .. } | Stranger::Unknown { .. } => Fault::Setup(stranger.to_string()),
        })?;
        let request = self.client()?.request(method, url);
        let Some(token) = self.token() else { return Ok(request) };
        let mut value = HeaderValue::from_str(&token.bearer())
            .map_err(|_| Fault::Setup("the gateway token cannot be sent in a header".to_owned()))?;
        value.set_sensitive(true);
        Ok(request.header(AUTHORIZATION, value))
    }

    fn client(&self) -> Result<&Client, Fault> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = http::client(&self.endpoint, self.connect)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Sends a request; anything but success becomes a fault.
    pub(super) async fn accepted(&self, request: RequestBuilder) -> Result<Response, Fault> {
        let response = request.send().await.map_err(|e| Fault::Unreachable(http::in_words(&e)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let header = |name: &str| {
            response.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok()).map(str::to_owned)
        };
        let retry_after = header(RETRY_AFTER.as_str()).or_else(|| header(PROVIDER_RETRY_AFTER));
        let location = header(LOCATION.as_str());
        let body = http::beginning_of(response, MAX_ERROR_BYTES, self.connect).await;
        let complaint = match location.filter(|_| status.is_redirection()) {
            Some(location) => Complaint::plain(status.as_u16(), &format!("to {location}")),
            None => Complaint::of_response(status.as_u16(), &self.redacted(body)),
        };
        Err(self.without_token(Fault::Complaint { complaint, retry_after }))
    }

    /// Gateways quote the token they do not accept. Taken out before anything is cut, and again afterwards because
    /// JSON may have escaped it.
    fn redacted(&self, body: Vec<u8>) -> Vec<u8> {
        if !self.has_token() {
            return body;
        }
        self.tokens().redact(&String::from_utf8_lossy(&body)).into_bytes()
    }

    /// The fault without the token in its words.
    pub(super) fn without_token(&self, mut fault: Fault) -> Fault {
        if let Fault::Complaint { complaint, .. } = &mut fault {
            complaint.message = self.tokens().redact(&complaint.message);
        }
        fault
    }
}
