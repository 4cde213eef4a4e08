//! The two steps on the wire: find the CA that the token names, then send the token to whoever it vouches for.

use std::time::Duration;

use bytes::Bytes;
use lanyard_governance_api::endpoint::{Call, ExchangeToken, GetCa};
use lanyard_governance_api::enrolment::{ExchangeRequest, IssuedIdentity, MachineInfo};
use lanyard_protocol::codec;
use reqwest::Client;
use rustls::pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};
use url::Url;
use zeroize::{Zeroize, Zeroizing};

use super::{EnrolError, Token};
use crate::backoff::{Backoff, random};
use crate::central::http::{self, Outgoing, Sending};
use crate::central::{CallError, ServerClock};
use crate::identity::{Pending, certificates};
use crate::tls;

/// For each step.
const STEP: Duration = Duration::from_secs(30);

/// How often the exchange is tried before a person is told: some seconds, in which a centre restarts.
const TRIES: u32 = 4;

/// Longest chain of CA certificates, and longest identity.
const MAX_ANSWER: usize = 256 << 10;

/// A client that reaches the centre of the token and nobody else.
pub(super) async fn client(
    central: &Url,
    ca_hash: Option<[u8; 32]>,
    clock: &ServerClock,
) -> Result<Client, EnrolError> {
    let url = central.origin().ascii_serialization();
    let fault = |reason: String| EnrolError::Identity(format!("no connection could be set up: {reason}"));
    let Some(ca_hash) = ca_hash else { return http::client(None).map_err(fault) };
    let anybody = tls::unverified().map_err(|error| fault(error.to_string()))?;
    let anybody = http::client(Some(anybody)).map_err(fault)?;
    // Nothing that is said here is believed but what has the right hash: not even the time.
    let distrusted = ServerClock::default();
    let outgoing = outgoing::<GetCa>(central, Sending::Nothing);
    let pem =
        within(&anybody, &outgoing, &distrusted).await.map_err(|error| EnrolError::of_call(&url, error))?;
    let found = std::str::from_utf8(&pem).map_err(|error| error.to_string()).and_then(certificates);
    let found = found.map_err(|reason| EnrolError::NotACentre { url: url.clone(), reason })?;
    let named = |certificate: &CertificateDer<'_>| <[u8; 32]>::from(Sha256::digest(certificate)) == ca_hash;
    let Some(ca) = found.into_iter().find(named) else { return Err(EnrolError::OtherCa(url)) };
    let config = tls::pinned(&[ca], None, clock).map_err(|error| fault(error.to_string()))?;
    http::client(Some(config)).map_err(fault)
}

/// Sends the token with the request, again and again in the same words while nobody answers.
pub(super) async fn exchange(
    client: &Client,
    pending: &Pending,
    token: &Token,
    machine: MachineInfo,
    clock: &ServerClock,
) -> Result<IssuedIdentity, EnrolError> {
    let url = pending.central.origin().ascii_serialization();
    let request = ExchangeRequest {
        token: token.whole.reveal().to_owned(),
        csr_pem: pending.csr_pem.clone(),
        nonce: pending.nonce.clone(),
        machine,
    };
    let body = codec::to_json(&request).map(|body| Zeroizing::new(body.into_bytes()));
    wipe(request);
    let body = Bytes::from_owner(body.map_err(|error| EnrolError::Identity(error.to_string()))?);
    let outgoing = outgoing::<ExchangeToken>(&pending.central, Sending::Json(body));
    let mut backoff = Backoff::new();
    let answer = loop {
        match within(client, &outgoing, clock).await {
            Err(error) if error.retryable() && backoff.failures() + 1 < TRIES => {
                sleep(backoff.next(random(), error.retry_after().map(|asked| asked.min(STEP)))).await;
            }
            other => break other,
        }
    };
    let issued: Result<IssuedIdentity, _> = answer.and_then(|bytes| parse(&bytes));
    let issued = issued.map_err(|error| EnrolError::of_call(&url, error))?;
    clock.learn(issued.server_time);
    if issued.nonce != pending.nonce {
        return Err(EnrolError::NotACentre {
            url,
            reason: "the answer belongs to another request".to_owned(),
        });
    }
    Ok(issued)
}

/// The token in a request that was encoded is needed no more.
fn wipe(mut request: ExchangeRequest) {
    request.token.zeroize();
}

fn outgoing<C: Call>(central: &Url, body: Sending) -> Outgoing {
    let mut url = central.clone();
    url.set_path(C::ENDPOINT.path);
    Outgoing { method: http::method(C::ENDPOINT.method), url, body, accept: "*/*" }
}

async fn within(client: &Client, outgoing: &Outgoing, clock: &ServerClock) -> Result<Bytes, CallError> {
    let whole = async { http::read(http::send(client, outgoing, None, clock).await?, MAX_ANSWER).await };
    let late = || CallError::unreachable(format!("no answer within {} seconds", STEP.as_secs()));
    timeout(STEP, whole).await.unwrap_or_else(|_| Err(late()))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(bytes).map_err(|error| CallError::Protocol(error.to_string()))
}
