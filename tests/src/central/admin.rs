//! A person with a sign-in, and any other caller with a bearer: typed calls over the table of endpoints.

use anyhow::{Context, Result};
use lanyard_governance_api::endpoint::{Body, Call, LoginByLink};
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::people::LinkLogin;
use lanyard_protocol::WireError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What was answered instead of the thing asked for.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{status}: {error}")]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub error: WireError,
}

/// Somebody with a bearer credential, or with none.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where central is.
    pub base: String,
    /// The credential.
    pub token: Option<String>,
    http: reqwest::Client,
}

impl Admin {
    /// Somebody with a credential, or with none.
    ///
    /// # Errors
    /// No HTTP client.
    pub fn with(base: &str, token: Option<&str>) -> Result<Self> {
        super::cryptography();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { base: base.to_owned(), token: token.map(str::to_owned), http })
    }

    /// Somebody else by the same HTTP client: making one reads the system's certificates.
    #[must_use]
    pub fn as_somebody(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// Signs in by a link.
    ///
    /// # Errors
    /// The link is not taken.
    pub async fn by_link(base: &str, link: &str) -> Result<Self> {
        let nobody = Self::with(base, None)?;
        let body = LinkLogin { token: link.to_owned() };
        let signed_in = nobody.call::<LoginByLink>(&[], &Nothing {}, &body).await?;
        Self::with(base, signed_in.token.as_deref())
    }

    /// Somebody in a browser: with its cookie and, unless it was stolen without, the console's key.
    ///
    /// # Errors
    /// No HTTP client.
    pub fn in_console(base: &str, cookie: &str, key: Option<&str>) -> Result<Self> {
        let mut nobody = Self::with(base, None)?;
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert("cookie", format!("lanyard_session={cookie}").parse()?);
        if let Some(key) = key {
            headers.insert("x-lanyard-console", key.parse()?);
        }
        nobody.http = reqwest::Client::builder().default_headers(headers).build()?;
        Ok(nobody)
    }

    /// Calls an endpoint. `path` gives the parameters of its path, in order.
    ///
    /// # Errors
    /// [`Refused`] when central says no; anything else when it does not answer.
    pub async fn call<C: Call>(
        &self,
        path: &[&str],
        query: &C::Query,
        body: &C::Request,
    ) -> Result<C::Response>
    where
        C::Query: Serialize,
        C::Request: Serialize,
        C::Response: DeserializeOwned,
    {
        let bytes = match C::ENDPOINT.request {
            Body::Json => serde_json::to_vec(body)?,
            _ => Vec::new(),
        };
        let (status, answer) = self.send::<C>(path, query, bytes).await?;
        if !(200..300).contains(&status) {
            let error = serde_json::from_slice(&answer)
                .with_context(|| format!("{status}: {}", String::from_utf8_lossy(&answer)))?;
            return Err(Refused { status, error }.into());
        }
        let answer: &[u8] = if answer.is_empty() { b"{}" } else { &answer };
        serde_json::from_slice(answer)
            .with_context(|| format!("{}: {}", C::ENDPOINT.id, String::from_utf8_lossy(answer)))
    }

    /// Calls an endpoint without query and body.
    ///
    /// # Errors
    /// As [`Admin::call`].
    pub async fn get<C>(&self, path: &[&str]) -> Result<C::Response>
    where
        C: Call<Request = Nothing>,
        C::Query: Serialize + Default,
        C::Response: DeserializeOwned,
    {
        self.call::<C>(path, &C::Query::default(), &Nothing {}).await
    }

    /// Calls an endpoint with a body and without query.
    ///
    /// # Errors
    /// As [`Admin::call`].
    pub async fn post<C>(&self, path: &[&str], body: &C::Request) -> Result<C::Response>
    where
        C: Call<Query = Nothing>,
        C::Request: Serialize,
        C::Response: DeserializeOwned,
    {
        self.call::<C>(path, &Nothing {}, body).await
    }

    /// Calls an endpoint with any bytes; status and body as they come.
    ///
    /// # Errors
    /// Central does not answer.
    pub async fn send<C: Call>(
        &self,
        path: &[&str],
        query: &C::Query,
        body: Vec<u8>,
    ) -> Result<(u16, Vec<u8>)>
    where
        C::Query: Serialize,
    {
        let mut values = path.iter();
        let mut target = String::new();
        for part in C::ENDPOINT.path.split('/').skip(1) {
            let value = if part.starts_with('{') { values.next().copied().unwrap_or_default() } else { part };
            target.push('/');
            target.push_str(value);
        }
        let mut url = url::Url::parse(&format!("{}{target}", self.base))?;
        if let serde_json::Value::Object(members) = serde_json::to_value(query)? {
            for (name, value) in members.into_iter().filter(|(_, value)| !value.is_null()) {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                url.query_pairs_mut().append_pair(&name, &text);
            }
        }
        let method = reqwest::Method::from_bytes(C::ENDPOINT.method.as_str().as_bytes())?;
        let kind =
            if C::ENDPOINT.request == Body::Bytes { "application/octet-stream" } else { "application/json" };
        let mut request = self.http.request(method, url).header("content-type", kind).body(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.bytes().await?.to_vec()))
    }
}
