//! The way from one service to another: HTTP, in one process without a socket.
//!
//! In one process the request goes to the other service's router with its caller already set; across processes to the
//! other's address with the installation's service key, which only services hold.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderName, Request, header};
use lanyard_governance_api::endpoint::{Body as Carries, Call, Endpoint, Service};
use lanyard_governance_api::id::TenantId;
use lanyard_protocol::WireError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::ServiceExt as _;

use crate::caller::Caller;
use crate::fault::Fault;

/// Names the tenant a service acts for. Honoured beside the service key only.
pub const TENANT_HEADER: HeaderName = HeaderName::from_static("x-lanyard-tenant");

/// Longest call of another service.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest answer of another service, in bytes.
const MAX_ANSWER: usize = 16 << 20;

/// Where the services are. Cheap to clone.
#[derive(Clone, Default)]
pub struct Peers {
    here: Arc<OnceLock<HashMap<Service, Router>>>,
    elsewhere: Arc<HashMap<Service, Remote>>,
}

/// A service in another process.
#[derive(Clone)]
pub struct Remote {
    /// Like `https://policy.internal:8787`.
    pub base: String,
    /// The installation's service key.
    pub key: String,
    /// With the installation's CA as its root.
    pub client: reqwest::Client,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Peers")
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Peers {
    /// With services in other processes.
    pub fn new(elsewhere: HashMap<Service, Remote>) -> Self {
        Self { here: Arc::default(), elsewhere: Arc::new(elsewhere) }
    }

    /// Tells which services run in this process. Once, before the first request is served.
    pub fn set_here(&self, routers: HashMap<Service, Router>) {
        if self.here.set(routers).is_err() {
            tracing::error!("the services of this process were told twice; the first stand");
        }
    }

    /// Calls another service for a tenant. `path` gives the parameters of the path, by name.
    pub async fn call<C: Call>(
        &self,
        tenant: Option<&TenantId>,
        path: &[(&str, &str)],
        query: &C::Query,
        body: &C::Request,
    ) -> Result<C::Response, Fault>
    where
        C::Query: Serialize,
        C::Request: Serialize,
        C::Response: DeserializeOwned,
    {
        let body = match C::ENDPOINT.request {
            Carries::Json => Body::from(
                serde_json::to_vec(body).map_err(|e| Fault::internal("a call cannot be written", &e))?,
            ),
            _ => Body::empty(),
        };
        let answer = self.send(&C::ENDPOINT, tenant, path, query, body).await?;
        let answer: &[u8] = if answer.is_empty() { b"{}" } else { &answer };
        serde_json::from_slice(answer)
            .map_err(|e| Fault::internal("another service's answer cannot be read", &e))
    }

    /// Calls an endpoint that takes bytes.
    pub async fn call_with_bytes<C: Call>(
        &self,
        tenant: Option<&TenantId>,
        path: &[(&str, &str)],
        query: &C::Query,
        body: Body,
    ) -> Result<C::Response, Fault>
    where
        C::Query: Serialize,
        C::Response: DeserializeOwned,
    {
        let answer = self.send(&C::ENDPOINT, tenant, path, query, body).await?;
        serde_json::from_slice(&answer)
            .map_err(|e| Fault::internal("another service's answer cannot be read", &e))
    }

    async fn send<Q: Serialize>(
        &self,
        endpoint: &Endpoint,
        tenant: Option<&TenantId>,
        path: &[(&str, &str)],
        query: &Q,
        body: Body,
    ) -> Result<Vec<u8>, Fault> {
        let target = target(endpoint, path, query)?;
        let sent = async {
            match self.here.get().and_then(|here| here.get(&endpoint.service)) {
                Some(router) => inside(router, endpoint, tenant, &target, body).await,
                None => match self.elsewhere.get(&endpoint.service) {
                    Some(remote) => remote.send(endpoint, tenant, &target, body).await,
                    None => Err(Fault::unavailable(format!(
                        "the {} service is not configured in this installation",
                        endpoint.service.as_str()
                    ))),
                },
            }
        };
        match tokio::time::timeout(TIMEOUT, sent).await {
            Ok(sent) => sent,
            Err(_) => {
                Err(Fault::unavailable(format!("the {} service does not answer", endpoint.service.as_str())))
            }
        }
    }
}

/// Path and query.
fn target<Q: Serialize>(endpoint: &Endpoint, path: &[(&str, &str)], query: &Q) -> Result<String, Fault> {
    let mut target = endpoint.path.to_owned();
    for (name, value) in path {
        // Ids need no escaping; anything else is not an id.
        lanyard_protocol::id::check(value)
            .map_err(|e| Fault::invalid(format!("{name} {value:?} is not an id: {e}")))?;
        target = target.replace(&format!("{{{name}}}"), value);
    }
    let query = axum_query(query)?;
    if !query.is_empty() {
        target.push('?');
        target.push_str(&query);
    }
    Ok(target)
}

/// The query as text. Members are texts, numbers, booleans or absent.
fn axum_query<Q: Serialize>(query: &Q) -> Result<String, Fault> {
    let value = serde_json::to_value(query).map_err(|e| Fault::internal("a query cannot be written", &e))?;
    let mut pairs = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let text = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        pairs.push(format!("{name}={}", escaped(&text)));
    }
    Ok(pairs.join("&"))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

async fn inside(
    router: &Router,
    endpoint: &Endpoint,
    tenant: Option<&TenantId>,
    target: &str,
    body: Body,
) -> Result<Vec<u8>, Fault> {
    let request = Request::builder()
        .method(endpoint.method.as_str())
        .uri(target)
        .header(header::CONTENT_TYPE, "application/json")
        .extension(Caller::Service { tenant: tenant.cloned() })
        .body(body)
        .map_err(|e| Fault::internal("a call cannot be made", &e))?;
    let response = match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), MAX_ANSWER)
        .await
        .map_err(|e| Fault::internal("another service's answer ended early", &e))?;
    answered(status.as_u16(), bytes.to_vec())
}

impl Remote {
    async fn send(
        &self,
        endpoint: &Endpoint,
        tenant: Option<&TenantId>,
        target: &str,
        body: Body,
    ) -> Result<Vec<u8>, Fault> {
        let method = reqwest::Method::from_bytes(endpoint.method.as_str().as_bytes())
            .map_err(|e| Fault::internal("a call cannot be made", &e))?;
        let mut request = self
            .client
            .request(method, format!("{}{target}", self.base))
            .bearer_auth(&self.key)
            .header(header::CONTENT_TYPE, "application/json")
            .body(reqwest::Body::wrap_stream(body.into_data_stream()));
        if let Some(tenant) = tenant {
            request = request.header(TENANT_HEADER, tenant.as_str());
        }
        let unreachable = |error: reqwest::Error| {
            tracing::warn!(%error, service = endpoint.service.as_str(), "another service cannot be reached");
            Fault::unavailable(format!("the {} service cannot be reached", endpoint.service.as_str()))
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        if status == 401 {
            // About us, and not about whoever asked us.
            let (base, service) = (&self.base, endpoint.service.as_str());
            tracing::error!(
                base,
                service,
                "another process does not take this one's service.key: are they the same?"
            );
            return Err(Fault::unavailable(format!("the {service} service cannot be asked")));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(Fault::internal("another service's answer is too long", &endpoint.id));
            }
            bytes.extend_from_slice(&chunk);
        }
        answered(status, bytes)
    }
}

fn answered(status: u16, bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
    if (200..300).contains(&status) {
        return Ok(bytes);
    }
    match serde_json::from_slice::<WireError>(&bytes) {
        Ok(wire) => Err(Fault::answered(wire, status)),
        Err(error) => {
            // A proxy's own words, perhaps: its status still says what kind of refusal it is.
            let fault = Fault::internal("another service answered with an error that cannot be read", &error);
            Err(Fault::answered(fault.wire, status))
        }
    }
}
