//! Signing in at an OpenID Connect provider: authorization code with PKCE, state tied to the browser by a cookie.
//!
//! Nobody becomes somebody by a provider's word alone: a person is recognised by issuer and subject, and at the first
//! time by a verified address that an administrator has invited.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::{TenantId, UserId};
use lanyard_governance_foundation::{Fault, RawAsk, Statement, Tx, credentials};
use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreUserInfoClaims};
use openidconnect::{
    AsyncHttpClient, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndUserEmail, HttpRequest,
    HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, TokenResponse as _,
};

use crate::State;
use crate::cookie::{self, SameSite};
use crate::links::sign_in;
use crate::people::LINK_ISSUER;

/// How long somebody may take at the provider, in seconds.
const FLOW_SECONDS: u32 = 600;

/// Sign-ins under way at once, in the whole installation.
const MAX_FLOWS: u64 = 10_000;

/// Longest answer of a provider, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// A provider, as configured.
#[derive(Clone)]
pub struct OidcSettings {
    /// Issuer URL; its discovery document is fetched from below it.
    pub issuer: String,
    /// Our id there.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: Option<String>,
    /// Where browsers reach us, without a path.
    pub public_url: String,
}

impl std::fmt::Debug for OidcSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcSettings").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Why a provider cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// Its address is not one.
    #[error("the OIDC issuer {0:?} is not an https URL (http is taken on loopback only)")]
    Issuer(String),
    /// No HTTP client.
    #[error("requests to the provider cannot be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// A provider; what it says of itself is fetched at the first sign-in, so that central starts without it.
#[derive(Clone)]
pub struct Oidc {
    settings: Arc<OidcSettings>,
    http: Http,
    metadata: Arc<OnceLock<CoreProviderMetadata>>,
}

impl std::fmt::Debug for Oidc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.settings.fmt(f)
    }
}

#[derive(Debug, thiserror::Error)]
enum HttpError {
    #[error(transparent)]
    Request(#[from] reqwest::Error),
    #[error("the provider's answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
    #[error(transparent)]
    Build(#[from] http::Error),
}

/// Requests to the provider: no redirects, bounded answers.
#[derive(Debug, Clone)]
struct Http(reqwest::Client);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + Sync + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(send(self.0.clone(), request))
    }
}

async fn send(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let (parts, body) = request.into_parts();
    let sent = client.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
    let mut answer = sent.send().await?;
    let mut built = http::Response::builder().status(answer.status());
    if let Some(headers) = built.headers_mut() {
        headers.clone_from(answer.headers());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(HttpError::TooLong);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(built.body(bytes)?)
}

impl Oidc {
    /// Checks the settings; talks to nobody.
    pub fn new(settings: OidcSettings) -> Result<Self, OidcError> {
        let loopback = |host: &str| {
            host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        };
        let allowed = url::Url::parse(&settings.issuer).is_ok_and(|url| {
            let host = url.host_str().unwrap_or("").trim_matches(['[', ']']).to_owned();
            url.scheme() == "https" || (url.scheme() == "http" && loopback(&host))
        });
        if !allowed {
            return Err(OidcError::Issuer(settings.issuer));
        }
        let http = reqwest::Client::builder()
            // A provider that redirects would have us call whom it names.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(15))
            .build()?;
        Ok(Self { settings: Arc::new(settings), http: Http(http), metadata: Arc::default() })
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// What the provider says of itself; asked once, and again until it has answered.
    async fn metadata(&self) -> Result<CoreProviderMetadata, Fault> {
        if let Some(known) = self.metadata.get() {
            return Ok(known.clone());
        }
        let issuer = IssuerUrl::new(self.settings.issuer.clone())
            .map_err(|e| Fault::internal("the provider's address", &e))?;
        let fetched = CoreProviderMetadata::discover_async(issuer, &self.http).await.map_err(|error| {
            tracing::warn!(%error, issuer = %self.settings.issuer, "the identity provider cannot be asked");
            Fault::unavailable("the identity provider does not answer; try again in a minute")
        })?;
        Ok(self.metadata.get_or_init(|| fetched).clone())
    }

    fn redirect(&self) -> Result<RedirectUrl, Fault> {
        RedirectUrl::new(format!("{}/login/oidc/callback", self.settings.public_url))
            .map_err(|e| Fault::internal("our own address", &e))
    }
}

macro_rules! client {
    ($oidc:expr) => {
        CoreClient::from_provider_metadata(
            $oidc.metadata().await?,
            ClientId::new($oidc.settings.client_id.clone()),
            $oidc.settings.client_secret.clone().map(ClientSecret::new),
        )
        .set_redirect_uri($oidc.redirect()?)
    };
}

fn provider(state: &State) -> Result<Oidc, Fault> {
    state.settings.oidc.clone().ok_or_else(|| Fault::not_found("identity provider", "configured here"))
}

/// Sends a browser to the provider.
pub(crate) async fn start(state: State, _ask: RawAsk<ep::StartOidc>) -> Result<Response, Fault> {
    let oidc = provider(&state)?;
    let client = client!(oidc);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = client
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
        .add_scope(Scope::new("email".to_owned()))
        .add_scope(Scope::new("profile".to_owned()))
        .set_pkce_challenge(challenge);
    let (url, csrf, nonce) = flow.url();
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.across_write().await?;
    let counted = tx.one(Statement::new("SELECT COUNT(*) AS n FROM oidc_flows")).await?;
    if counted.map(|row| row.count("n")).transpose()?.unwrap_or(0) >= MAX_FLOWS {
        return Err(Fault::slow_down("too many sign-ins are under way; try again in a minute", 60));
    }
    let sql = "INSERT INTO oidc_flows (state, nonce, verifier, expires_at) VALUES ($1, $2, $3, $4)";
    let hash = credentials::hash(csrf.secret().as_bytes());
    let statement = Statement::new(sql).bind(hash.as_slice()).bind(nonce.secret().as_str());
    let until = now.plus_millis(i64::from(FLOW_SECONDS) * 1_000);
    tx.run(statement.bind(verifier.secret().as_str()).bind(until)).await?;
    tx.commit().await?;
    let url_of_us = &state.settings.public_url;
    let headers = cookie::set(cookie::FLOW, csrf.secret(), FLOW_SECONDS.into(), SameSite::Lax, url_of_us)?;
    redirect(url.as_str(), headers)
}

fn redirect(to: &str, mut headers: HeaderMap) -> Result<Response, Fault> {
    let to = HeaderValue::from_str(to).map_err(|e| Fault::internal("a redirect cannot be written", &e))?;
    headers.insert(header::LOCATION, to);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

/// Takes a browser back from the provider.
pub(crate) async fn finish(state: State, ask: RawAsk<ep::FinishOidc>) -> Result<Response, Fault> {
    let oidc = provider(&state)?;
    if let Some(error) = &ask.query.error {
        let detail: String = ask.query.error_description.as_deref().unwrap_or("").chars().take(300).collect();
        return Err(Fault::unknown_caller(format!("the identity provider said no: {error} {detail}")));
    }
    let again =
        || Fault::invalid("this sign-in was not begun in this browser, or took too long; begin again");
    let returned = ask.query.state.as_deref().ok_or_else(again)?;
    // The state must be the one of this browser, or somebody could sign another person in as himself.
    if cookie::get(&ask.headers, cookie::FLOW) != Some(returned) {
        return Err(again());
    }
    if ask
        .query
        .iss
        .as_deref()
        .is_some_and(|iss| iss.trim_end_matches('/') != oidc.issuer().trim_end_matches('/'))
    {
        return Err(Fault::unknown_caller("another provider answered than was asked"));
    }
    let (nonce, verifier) = take_flow(&state, returned).await?.ok_or_else(again)?;
    let code = ask.query.code.ok_or_else(again)?;
    let client = client!(oidc);
    let refused = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, "the identity provider's answer was refused");
        Fault::unknown_caller("the identity provider's answer could not be verified; begin again")
    };
    let exchange = client.exchange_code(AuthorizationCode::new(code)).map_err(|e| refused(&e))?;
    let tokens =
        exchange.set_pkce_verifier(verifier).request_async(&oidc.http).await.map_err(|e| refused(&e))?;
    let id_token = tokens.id_token().ok_or_else(|| refused(&"no ID token"))?;
    let claims = id_token.claims(&client.id_token_verifier(), &nonce).map_err(|e| refused(&e))?;
    let mut who = Who {
        issuer: claims.issuer().to_string(),
        subject: claims.subject().to_string(),
        email: verified(claims.email(), claims.email_verified()),
    };
    if who.email.is_none() {
        // Providers need not put addresses into the ID token (OpenID Connect Core §5.4).
        let asked = client.user_info(tokens.access_token().clone(), Some(claims.subject().clone()));
        let asked = asked.map_err(|e| refused(&e))?;
        let info: CoreUserInfoClaims = asked.request_async(&oidc.http).await.map_err(|e| refused(&e))?;
        who.email = verified(info.email(), info.email_verified());
    }
    let headers = let_in(&state, &who).await?;
    let ended = cookie::set(cookie::FLOW, "", 0, SameSite::Lax, &state.settings.public_url)?;
    let mut response = redirect("/console/", headers)?;
    for value in ended.get_all(header::SET_COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, value.clone());
    }
    Ok(response)
}

/// Takes a begun sign-in; each counts once.
async fn take_flow(state: &State, returned: &str) -> Result<Option<(Nonce, PkceCodeVerifier)>, Fault> {
    let mut tx = state.foundation.database.across_write().await?;
    let sql = "DELETE FROM oidc_flows WHERE state = $1 AND expires_at > $2 RETURNING nonce, verifier";
    let hash = credentials::hash(returned.as_bytes());
    let statement = Statement::new(sql).bind(hash.as_slice()).bind(state.foundation.clock.now());
    let row = tx.one(statement).await?;
    tx.commit().await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((Nonce::new(row.text("nonce")?), PkceCodeVerifier::new(row.text("verifier")?))))
}

/// Somebody, as the provider knows them.
struct Who {
    issuer: String,
    subject: String,
    /// Lower-case; verified by the provider.
    email: Option<String>,
}

fn verified(email: Option<&EndUserEmail>, is: Option<bool>) -> Option<String> {
    email.filter(|_| is == Some(true)).map(|email| email.as_str().to_lowercase())
}

async fn let_in(state: &State, who: &Who) -> Result<HeaderMap, Fault> {
    let mut tx = state.foundation.database.across_write().await?;
    let Some(user) = recognised(&mut tx, who).await? else {
        let who = who.email.as_deref().unwrap_or("this account has no verified address, and it");
        return Err(Fault::forbidden(format!("{who} is not invited here; ask an administrator")));
    };
    let sql = "SELECT tenant_id FROM memberships WHERE user_id = $1 ORDER BY tenant_id LIMIT 1";
    let row = tx.one(Statement::new(sql).bind_id(&user)).await?;
    let row = row.ok_or_else(|| Fault::forbidden("you are in no tenant any more; ask an administrator"))?;
    let tenant: TenantId = row.id("tenant_id")?;
    let (headers, _) = sign_in(&mut tx, state, &tenant, &user, "oidc").await?;
    tx.commit().await?;
    Ok(headers)
}

/// The person of a subject, or, the first time, of an invited address.
async fn recognised(tx: &mut Tx, who: &Who) -> Result<Option<UserId>, Fault> {
    let (issuer, subject) = (who.issuer.as_str(), who.subject.as_str());
    if issuer == LINK_ISSUER {
        return Ok(None);
    }
    let sql = "SELECT user_id FROM users WHERE issuer = $1 AND subject = $2";
    if let Some(row) = tx.one(Statement::new(sql).bind(issuer).bind(subject)).await? {
        return Ok(Some(row.id("user_id")?));
    }
    let Some(email) = who.email.as_deref() else { return Ok(None) };
    let sql = "UPDATE users SET issuer = $1, subject = $2 WHERE user_id = (SELECT user_id FROM users \
               WHERE email = $3 AND issuer IS NULL AND operator = 0 ORDER BY created_at, user_id LIMIT 1) \
               RETURNING user_id";
    let row = tx.one(Statement::new(sql).bind(issuer).bind(subject).bind(email)).await?;
    Ok(row.map(|row| row.id("user_id")).transpose()?)
}
