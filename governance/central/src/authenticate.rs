//! Who calls, before any service is asked: client certificate, bearer, cookie, or another service of the installation.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, Method, Uri, header};
use lanyard_governance_api::id::TenantId;
use lanyard_governance_foundation::caller::Caller;
use lanyard_governance_foundation::peers::TENANT_HEADER;
use lanyard_governance_foundation::refusals::Refused;
use lanyard_governance_foundation::{Fault, Lookup, Refusals, credentials};
use sha2::{Digest as _, Sha256};

/// The cookie of a sign-in, set by the Identity service.
const COOKIE: &str = "lanyard_session";

/// Header with the console's key. Pages of other origins cannot send it without being asked about (CORS), and nobody here
/// says yes.
const CONSOLE: &str = "x-lanyard-console";

/// The same for streams and downloads, which take no header; GET only. Taken off before a service sees the query.
const IN_QUERY: &str = "console=";

/// The client certificate a connection came with, DER.
#[derive(Debug, Clone)]
pub(crate) struct PeerCertificate(pub(crate) Arc<[u8]>);

/// What authentication needs.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pub(crate) lookup: Lookup,
    pub(crate) refusals: Refusals,
    /// SHA-256 of the key that services of this installation share.
    pub(crate) service_key: [u8; 32],
    /// The installation's key.
    pub(crate) key: [u8; 32],
}

/// Puts the [`Caller`] into the request's extensions, and sees to it that no answer outlives what it was asked with.
pub(crate) async fn authenticate(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    // Boxed, so that what a look at the database needs is not held for as long as the request lasts.
    match Box::pin(gate.caller(&parts)).await {
        Ok((caller, credential)) => {
            if let Some(uri) = without_key(&parts) {
                parts.uri = uri;
            }
            parts.extensions.insert(caller.clone());
            let answer = next.run(Request::from_parts(parts, body)).await;
            if let Some(refused) = answer.extensions().get::<Refused>() {
                gate.refusals.note_credential(&caller, refused);
            }
            match credential {
                Some(hash) => gate.lookup.guard(hash, &caller, answer),
                None => answer,
            }
        }
        Err(fault) => fault.into_response(),
    }
}

impl Gate {
    /// Who calls, and the hash of the credential that says so.
    async fn caller(&self, request: &Parts) -> Result<(Caller, Option<[u8; 32]>), Fault> {
        let headers = &request.headers;
        if let Some(secret) = bearer(headers) {
            let hash = credentials::hash(secret.as_bytes());
            if same(&hash, &self.service_key) {
                return Ok((Caller::Service { tenant: tenant(headers)? }, None));
            }
            return self.known(hash).await;
        }
        if let Some(secret) = cookie(headers) {
            let (caller, hash) = self.known(credentials::cookie_hash(secret)).await?;
            // A cookie without its key is nobody's: on public endpoints that is enough, elsewhere it is told.
            if caller != Caller::Nobody && self.is_the_console(request, secret) {
                return Ok((caller, hash));
            }
        }
        if let Some(certificate) = request.extensions.get::<PeerCertificate>() {
            return self.known(Sha256::digest(&certificate.0).into()).await;
        }
        Ok((Caller::Nobody, None))
    }

    /// A browser sends the cookie with whatever causes a request, and to every port of a machine. So the key that goes with
    /// it has to come too, which only the console's own origin can read.
    fn is_the_console(&self, request: &Parts, secret: &str) -> bool {
        let headers = &request.headers;
        let site = headers.get("sec-fetch-site");
        let other_site = site.is_some_and(|site| site != "same-origin" && site != "none");
        let given = headers.get(CONSOLE).and_then(|key| key.to_str().ok()).or_else(|| key_in_query(request));
        let key = credentials::console_key(&self.key, secret);
        let hash = |text: &str| credentials::hash(text.as_bytes());
        !other_site && given.is_some_and(|given| same(&hash(given), &hash(&key)))
    }

    async fn known(&self, hash: [u8; 32]) -> Result<(Caller, Option<[u8; 32]>), Fault> {
        Ok((self.lookup.authenticate(hash).await?, Some(hash)))
    }
}

fn key_in_query(request: &Parts) -> Option<&str> {
    if request.method != Method::GET {
        return None;
    }
    request.uri.query()?.split('&').find_map(|pair| pair.strip_prefix(IN_QUERY))
}

/// The address without the key, where it has one.
fn without_key(request: &Parts) -> Option<Uri> {
    key_in_query(request)?;
    let rest: Vec<&str> =
        request.uri.query()?.split('&').filter(|pair| !pair.starts_with(IN_QUERY)).collect();
    let path = request.uri.path();
    let text = if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) };
    text.parse().ok()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn tenant(headers: &HeaderMap) -> Result<Option<TenantId>, Fault> {
    let Some(value) = headers.get(TENANT_HEADER) else { return Ok(None) };
    let parse = || TenantId::new(value.to_str().ok()?).ok();
    parse().map(Some).ok_or_else(|| Fault::invalid("x-lanyard-tenant names no tenant"))
}

/// Hashes of secrets, so that the time a comparison takes says nothing about the secret.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a == b
}
