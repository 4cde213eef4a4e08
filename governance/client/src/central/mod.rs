//! The typed client: `governance/api`'s calls over HTTP, as this host.
//!
//! Over TLS the host is its certificate, and the centre is whoever has one of the pinned CA. On loopback HTTP it is an
//! access token, got by proof of possession of the same key. Nothing here follows a redirect, waits for ever, or reads an
//! answer without end.

mod access;
mod clock;
mod error;
pub(crate) mod http;
mod proof;
mod route;
pub(crate) mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use lanyard_governance_api::endpoint::{Body, Call, Endpoint};
use lanyard_governance_api::id::AgentId;
use lanyard_protocol::codec;
use reqwest::{Client, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

pub use clock::ServerClock;
pub use error::CallError;
pub use state::SetupError;

use crate::identity::{Identity, IdentityStore};
use crate::reach::Reach;
use crate::secret::Secret;
use http::{Outgoing, Sending};
use state::Inner;

/// Step in which [`Reach::last_ok`] moves, so that its watchers are not woken by every call, in milliseconds.
pub const REACH_STEP_MILLIS: u64 = 1_000;

/// For one call, from the first packet to the last, without what [`SLOWEST`] allows for its body.
const CALL: Duration = Duration::from_secs(30);

/// Bytes a second of the slowest uplink that is waited for.
const SLOWEST: u64 = 32 << 10;

/// Longest answer read: a policy bundle and a page of records stay far below.
const MAX_ANSWER: usize = 8 << 20;

/// The centre, as this host. Clones share connections, tokens and what was learned of the server's clock.
#[derive(Debug, Clone)]
pub struct Central {
    pub(crate) inner: Arc<Inner>,
}

/// By what a call shows who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credential {
    /// By nothing, or by what its body proves.
    None,
    /// By the service token: heartbeats only.
    Heartbeat,
    /// By the certificate, or an access token.
    Agent,
}

/// One call, ready to be sent as often as needed.
pub(crate) struct Prepared {
    outgoing: Outgoing,
    credential: Credential,
    limit: Duration,
    name: &'static str,
}

impl Central {
    /// The centre of an identity. Connects to nothing yet. A renewed identity is kept in `store`.
    ///
    /// # Errors
    /// The identity's certificates cannot be used.
    pub fn new(identity: Identity, store: IdentityStore) -> Result<Self, SetupError> {
        Self::with_clock(identity, store, ServerClock::default())
    }

    /// The same over a clock of the caller's, for tests.
    ///
    /// # Errors
    /// As [`Central::new`].
    pub fn with_clock(
        identity: Identity,
        store: IdentityStore,
        clock: ServerClock,
    ) -> Result<Self, SetupError> {
        Ok(Self { inner: Arc::new(Inner::new(identity, store, clock)?) })
    }

    /// The identity in use now; a renewal replaces it.
    pub fn identity(&self) -> Identity {
        self.inner.connection().identity.clone()
    }

    /// The host's name at the centre.
    pub fn agent_id(&self) -> &AgentId {
        &self.inner.agent_id
    }

    /// The server's clock as reckoned.
    pub fn clock(&self) -> &ServerClock {
        &self.inner.clock
    }

    /// Whether the centre is reached. Kept by the heartbeat and by every call that is answered.
    pub fn reach(&self) -> watch::Receiver<Reach> {
        self.inner.reach.subscribe()
    }

    /// Calls an endpoint. The path's parameters are given by name; `agent_id` is this host unless it is given.
    /// Cancel-safe in so far as a call that was dropped may or may not have had its effect.
    ///
    /// # Errors
    /// See [`CallError`]. Nothing is repeated but a call whose access token had run out.
    pub async fn call<C: Call>(
        &self,
        path_params: &[(&str, &str)],
        query: &C::Query,
        request: &C::Request,
    ) -> Result<C::Response, CallError>
    where
        C::Query: Serialize,
        C::Request: Serialize,
        C::Response: DeserializeOwned,
    {
        let prepared = self.prepare::<C>(path_params, query, encode::<C>(request)?)?;
        self.finish::<C>(prepared).await
    }

    /// Calls an endpoint that answers with bytes, of which it reads so many as of any answer.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get_bytes<C: Call>(
        &self,
        path_params: &[(&str, &str)],
        query: &C::Query,
    ) -> Result<Bytes, CallError>
    where
        C::Query: Serialize,
    {
        let prepared = self.prepare::<C>(path_params, query, Sending::Nothing)?;
        self.answer(&prepared).await
    }

    /// Calls an endpoint that takes bytes, `length` of them. `body` makes the stream anew each time the call is sent,
    /// which is at most twice.
    ///
    /// # Errors
    /// See [`CallError`]. A stream of another length, or one that fails, counts as a connection that was cut.
    pub async fn put_bytes<C: Call>(
        &self,
        path_params: &[(&str, &str)],
        query: &C::Query,
        body: impl Fn() -> BodyStream + Send + Sync + 'static,
        length: u64,
    ) -> Result<C::Response, CallError>
    where
        C::Query: Serialize,
        C::Response: DeserializeOwned,
    {
        let body = Sending::Stream { make: Box::new(body), length };
        let prepared = self.prepare::<C>(path_params, query, body)?;
        self.finish::<C>(prepared).await
    }

    /// The same with a body that was encoded already.
    pub(crate) async fn call_encoded<C: Call>(
        &self,
        query: &C::Query,
        body: Bytes,
    ) -> Result<C::Response, CallError>
    where
        C::Query: Serialize,
        C::Response: DeserializeOwned,
    {
        let prepared = self.prepare::<C>(&[], query, Sending::Json(body))?;
        self.finish::<C>(prepared).await
    }

    /// A call by another credential than the host's own.
    pub(crate) async fn call_by<C: Call>(
        &self,
        credential: Credential,
        request: &C::Request,
    ) -> Result<C::Response, CallError>
    where
        C::Query: Serialize + Default,
        C::Request: Serialize,
        C::Response: DeserializeOwned,
    {
        let mut prepared = self.prepare::<C>(&[], &C::Query::default(), encode::<C>(request)?)?;
        prepared.credential = credential;
        self.finish::<C>(prepared).await
    }

    /// A call that may wait at the server for as long as `waits`; its answer's bytes.
    pub(crate) async fn poll<C: Call>(&self, query: &C::Query, waits: Duration) -> Result<Bytes, CallError>
    where
        C::Query: Serialize,
    {
        let mut prepared = self.prepare::<C>(&[], query, Sending::Nothing)?;
        prepared.limit += waits;
        self.answer(&prepared).await
    }

    /// Opens a stream of events; the answer is read by the caller, without a limit of time but its own.
    pub(crate) async fn open<C: Call>(&self, query: &C::Query) -> Result<Response, CallError>
    where
        C::Query: Serialize,
    {
        let prepared = self.prepare::<C>(&[], query, Sending::Nothing)?;
        let opened = timeout(prepared.limit, self.attempt(&prepared)).await;
        self.note(opened.unwrap_or_else(|_| Err(too_slow(&prepared))))
    }

    /// Waits; shorter when the centre was away and is reached again. Cancel-safe.
    pub(crate) async fn pause(&self, wait: Duration) {
        let mut reach = self.reach();
        let back = async {
            // The sender is this very client: neither of these ends before its time.
            let _ = reach.wait_for(|reach| reach.failing_since.is_some()).await;
            let _ = reach.wait_for(|reach| reach.failing_since.is_none()).await;
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = back => {}
        }
    }

    fn prepare<C: Call>(
        &self,
        path_params: &[(&str, &str)],
        query: &C::Query,
        body: Sending,
    ) -> Result<Prepared, CallError>
    where
        C::Query: Serialize,
    {
        let Endpoint { method, path, id, response, .. } = C::ENDPOINT;
        let url = route::url(&self.inner.origin, path, path_params, self.agent_id(), query)
            .map_err(|reason| CallError::Protocol(format!("{id}: {reason}")))?;
        let accept = if response == Body::Events { "text/event-stream" } else { "application/json" };
        let limit = CALL + Duration::from_secs(body.length() / SLOWEST);
        let outgoing = Outgoing { method: http::method(method), url, body, accept };
        Ok(Prepared { outgoing, credential: Credential::Agent, limit, name: id })
    }

    async fn finish<C: Call>(&self, prepared: Prepared) -> Result<C::Response, CallError>
    where
        C::Response: DeserializeOwned,
    {
        let bytes = self.answer(&prepared).await?;
        let json: &[u8] = if C::ENDPOINT.response == Body::Empty { b"{}" } else { &bytes };
        serde_json::from_slice(json)
            .map_err(|error| CallError::Protocol(format!("{}: {error}", prepared.name)))
    }

    /// Sends, and reads the whole answer, within the limit.
    async fn answer(&self, prepared: &Prepared) -> Result<Bytes, CallError> {
        let whole = async {
            let response = self.attempt(prepared).await?;
            http::read(response, MAX_ANSWER).await
        };
        let answer = timeout(prepared.limit, whole).await;
        self.note(answer.unwrap_or_else(|_| Err(too_slow(prepared))))
    }

    /// Sends with the credential, and once more with a new access token when the old one is no longer taken.
    async fn attempt(&self, prepared: &Prepared) -> Result<Response, CallError> {
        let connection = self.inner.connection();
        match prepared.credential {
            Credential::None => self.once(&connection.plain, prepared, None).await,
            Credential::Heartbeat => {
                let token = &connection.identity.service_token;
                self.once(&connection.plain, prepared, Some(token)).await
            }
            Credential::Agent if connection.identity.uses_tls() => {
                let connection = self.with_valid_certificate(connection).await?;
                self.once(&connection.proven, prepared, None).await
            }
            Credential::Agent => {
                let token = self.access_token(None).await?;
                match self.once(&connection.plain, prepared, Some(&token)).await {
                    Err(CallError::Refused { status: 401, .. }) => {
                        let token = self.access_token(Some(&token)).await?;
                        self.once(&connection.plain, prepared, Some(&token)).await
                    }
                    other => other,
                }
            }
        }
    }

    async fn once(
        &self,
        client: &Client,
        prepared: &Prepared,
        bearer: Option<&Secret>,
    ) -> Result<Response, CallError> {
        http::send(client, &prepared.outgoing, bearer, &self.inner.clock).await
    }

    /// Tells the watchers what a call says of the centre.
    fn note<T>(&self, outcome: Result<T, CallError>) -> Result<T, CallError> {
        match &outcome {
            Ok(_) => self.inner.reached(),
            Err(CallError::Unreachable { .. }) => self.inner.doubt.notify_one(),
            Err(CallError::Revoked(reason)) => self.inner.revoked(reason),
            Err(CallError::Refused { .. } | CallError::Protocol(_)) => {}
        }
        outcome
    }
}

/// A body as it is sent.
pub type BodyStream = std::pin::Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

fn encode<C: Call>(request: &C::Request) -> Result<Sending, CallError>
where
    C::Request: Serialize,
{
    if C::ENDPOINT.request != Body::Json {
        return Ok(Sending::Nothing);
    }
    let json = codec::to_json(request);
    json.map(|json| Sending::Json(Bytes::from(json)))
        .map_err(|error| CallError::Protocol(format!("{}: {error}", C::ENDPOINT.id)))
}

fn too_slow(prepared: &Prepared) -> CallError {
    CallError::unreachable(format!(
        "{} was not answered within {} seconds",
        prepared.name,
        prepared.limit.as_secs()
    ))
}
