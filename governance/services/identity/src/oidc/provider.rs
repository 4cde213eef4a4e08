//! The provider itself: its settings, requests to it, and what it says of itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lanyard_governance_foundation::Fault;
use lanyard_protocol::Timestamp;
use openidconnect::core::CoreProviderMetadata;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse, IssuerUrl, RedirectUrl};

/// How long the provider's keys and addresses are taken as they were, in milliseconds: keys are announced about that
/// long before they are used.
const KEPT_MILLIS: u64 = 3_600_000;

/// Between two times of asking again, in milliseconds: tokens that nobody can verify make no load at the provider.
const PAUSE_MILLIS: u64 = 60_000;

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

/// A provider; what it says of itself is fetched at the first sign-in, so that central starts without it,
/// and again every hour and when a token is signed with an unknown key: providers change their keys.
#[derive(Clone)]
pub struct Oidc {
    pub(super) settings: Arc<OidcSettings>,
    pub(super) http: Http,
    known: Arc<Mutex<Option<Known>>>,
    /// When it was last asked again. Held while it is, so that many who wait ask once.
    renewed: Arc<tokio::sync::Mutex<Option<Timestamp>>>,
}

/// What a provider said of itself, its keys among it.
struct Known {
    metadata: CoreProviderMetadata,
    at: Timestamp,
}

impl std::fmt::Debug for Oidc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.settings.fmt(f)
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error(transparent)]
    Request(#[from] reqwest::Error),
    #[error("the provider's answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
    #[error(transparent)]
    Build(#[from] http::Error),
}

/// Requests to the provider: no redirects, bounded answers.
#[derive(Debug, Clone)]
pub(super) struct Http(reqwest::Client);

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
        Ok(Self {
            settings: Arc::new(settings),
            http: Http(http),
            known: Arc::default(),
            renewed: Arc::default(),
        })
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// What the provider says of itself, at most an hour old while it answers.
    pub(super) async fn metadata(&self, now: Timestamp) -> Result<CoreProviderMetadata, Fault> {
        let fresh = self.known().as_ref().map(|known| apart(now, known.at) < KEPT_MILLIS);
        match fresh {
            Some(true) => self.kept(),
            Some(false) => self.renewed(now).await,
            None => self.fetched(now).await,
        }
    }

    /// What the provider says of itself now; what it said before if it was asked again within the last minute, or does
    /// not answer: nobody signs in then in any case, because tokens come from it.
    ///
    /// Dropped while it asks, it has not asked: whoever hangs up does not keep others from asking.
    pub(super) async fn renewed(&self, now: Timestamp) -> Result<CoreProviderMetadata, Fault> {
        let mut renewed = self.renewed.lock().await;
        if renewed.is_none_or(|at| apart(now, at) >= PAUSE_MILLIS) {
            let answer = self.fetched(now).await;
            *renewed = Some(now);
            if answer.is_ok() {
                return answer;
            }
        }
        self.kept()
    }

    async fn fetched(&self, now: Timestamp) -> Result<CoreProviderMetadata, Fault> {
        let issuer = IssuerUrl::new(self.settings.issuer.clone())
            .map_err(|e| Fault::internal("the provider's address", &e))?;
        let metadata = CoreProviderMetadata::discover_async(issuer, &self.http).await.map_err(|error| {
            tracing::warn!(%error, issuer = %self.settings.issuer, "the identity provider cannot be asked");
            unanswered()
        })?;
        *self.known() = Some(Known { metadata: metadata.clone(), at: now });
        Ok(metadata)
    }

    fn kept(&self) -> Result<CoreProviderMetadata, Fault> {
        self.known().as_ref().map(|known| known.metadata.clone()).ok_or_else(unanswered)
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn redirect(&self) -> Result<RedirectUrl, Fault> {
        RedirectUrl::new(format!("{}/login/oidc/callback", self.settings.public_url))
            .map_err(|e| Fault::internal("our own address", &e))
    }
}

fn unanswered() -> Fault {
    Fault::unavailable("the identity provider does not answer; try again in a minute")
}

/// Milliseconds between two instants, whichever is the later: a clock may be set back.
fn apart(one: Timestamp, other: Timestamp) -> u64 {
    one.as_millis().abs_diff(other.as_millis())
}
