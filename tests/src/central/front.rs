//! What stands before an installation whose services run in several processes: each request goes to the process that
//! runs its service, by the table of endpoints.

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lanyard_governance_api::endpoint::{ENDPOINTS, Service};
use tokio::task::JoinHandle;

#[derive(Clone)]
struct Ways {
    by_service: HashMap<Service, SocketAddr>,
    client: Client<HttpConnector, Body>,
}

/// See the module. Ends when dropped.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Front {
    /// Listens on loopback.
    ///
    /// # Errors
    /// No port.
    pub async fn before(by_service: HashMap<Service, SocketAddr>) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let ways = Ways { by_service, client: Client::builder(TokioExecutor::new()).build_http() };
        let router = Router::new().fallback(forward).with_state(ways);
        let task = tokio::spawn(async move {
            // Ends with the test.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(State(ways): State<Ways>, request: Request) -> Response {
    match send(&ways, request).await {
        Ok(answer) => answer,
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

async fn send(ways: &Ways, mut request: Request) -> Result<Response> {
    let path = request.uri().path().to_owned();
    let service = service_of(request.method().as_str(), &path).with_context(|| path.clone())?;
    let address = ways.by_service.get(&service).context("a service that nobody runs")?;
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    *request.uri_mut() = format!("http://{address}{target}").parse::<Uri>()?;
    let answer = ways.client.request(request).await?;
    Ok(answer.map(Body::new))
}

/// The endpoint with the most literal parts wins: `/policies/current` is no policy's id.
fn service_of(method: &str, path: &str) -> Option<Service> {
    let literals = |template: &str| template.split('/').filter(|part| !part.starts_with('{')).count();
    let fits = |template: &str| {
        template.split('/').count() == path.split('/').count()
            && template
                .split('/')
                .zip(path.split('/'))
                .all(|(wanted, part)| wanted.starts_with('{') || wanted == part)
    };
    let found = ENDPOINTS.iter().filter(|e| e.method.as_str() == method && fits(e.path));
    found.max_by_key(|e| literals(e.path)).map(|e| e.service)
}
