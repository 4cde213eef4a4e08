//! Typed routes: a handler per endpoint of the table, behind the endpoint's own access rule and body limit.

mod read;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodFilter;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use lanyard_governance_api::endpoint::{Body as Carries, Call, Endpoint, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caller::Caller;
use crate::fault::Fault;
use crate::refusals::Refused;

/// The request's id, for answers and the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

/// A request that was admitted and read.
#[derive(Debug)]
pub struct Ask<C: Call> {
    /// Who calls.
    pub caller: Caller,
    /// Parameters of the path.
    pub path: PathParams,
    /// The query.
    pub query: C::Query,
    /// The body.
    pub body: C::Request,
    /// Its headers.
    pub headers: HeaderMap,
}

/// A request that was admitted and whose body is not read yet.
#[derive(Debug)]
pub struct RawAsk<C: Call> {
    /// Who calls.
    pub caller: Caller,
    /// Parameters of the path.
    pub path: PathParams,
    /// The query.
    pub query: C::Query,
    /// The body, streamed; bounded by whoever reads it.
    pub body: Body,
    /// Its headers.
    pub headers: HeaderMap,
}

/// Parameters of a path.
#[derive(Debug, Clone, Default)]
pub struct PathParams(BTreeMap<String, String>);

impl PathParams {
    /// A parameter as an id or a number. One that is not well-formed names nothing: 404.
    pub fn get<T: std::str::FromStr>(&self, name: &str) -> Result<T, Fault> {
        let text = self.0.get(name).map_or("", String::as_str);
        text.parse().map_err(|_| Fault::not_found(&name.trim_end_matches("_id").replace('_', " "), text))
    }
}

/// Routes of one service over its state.
#[derive(Debug)]
pub struct Routes<S> {
    state: S,
    router: Router,
    served: Vec<&'static str>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes yet.
    pub fn new(state: S) -> Self {
        Self { state, router: Router::new(), served: Vec::new() }
    }

    /// Serves an endpoint that takes JSON or nothing and answers JSON or nothing.
    #[must_use]
    pub fn on<C, H, F>(self, handler: H) -> Self
    where
        C: Call + Send + 'static,
        C::Query: DeserializeOwned + Send,
        C::Request: DeserializeOwned + Send,
        C::Response: Serialize + Send,
        H: Fn(S, Ask<C>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<C::Response, Fault>> + Send,
    {
        self.on_with_headers::<C, _, _>(move |state, ask| {
            let answer = handler(state, ask);
            async move { Ok((HeaderMap::new(), answer.await?)) }
        })
    }

    /// The same, with headers of its own on the answer.
    #[must_use]
    pub fn on_with_headers<C, H, F>(self, handler: H) -> Self
    where
        C: Call + Send + 'static,
        C::Query: DeserializeOwned + Send,
        C::Request: DeserializeOwned + Send,
        C::Response: Serialize + Send,
        H: Fn(S, Ask<C>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<(HeaderMap, C::Response), Fault>> + Send,
    {
        let state = self.state.clone();
        self.route::<C, _, _>(move |parts, path, caller, body| {
            let (state, handler) = (state.clone(), handler.clone());
            async move {
                let endpoint = C::ENDPOINT;
                let query = read::query(&parts)?;
                let body = Box::pin(read::json(&endpoint, &parts, body)).await?;
                let ask = Ask { caller, path, query, body, headers: headers(parts) };
                let (headers, answer) = handler(state, ask).await?;
                let mut response = answered(&endpoint, &answer);
                response.headers_mut().extend(headers);
                Ok(response)
            }
        })
    }

    /// Serves an endpoint whose body or answer is a stream.
    #[must_use]
    pub fn on_raw<C, H, F>(self, handler: H) -> Self
    where
        C: Call + Send + 'static,
        C::Query: DeserializeOwned + Send,
        H: Fn(S, RawAsk<C>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response, Fault>> + Send,
    {
        let state = self.state.clone();
        self.route::<C, _, _>(move |parts, path, caller, body| {
            let (state, handler) = (state.clone(), handler.clone());
            async move {
                let query = read::query(&parts)?;
                handler(state, RawAsk { caller, path, query, body, headers: headers(parts) }).await
            }
        })
    }

    fn route<C, H, F>(mut self, serve: H) -> Self
    where
        C: Call + 'static,
        H: Fn(Parts, PathParams, Caller, Body) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response, Fault>> + Send,
    {
        let endpoint: Endpoint = C::ENDPOINT;
        let serve = Arc::new(serve);
        let handler = move |params: RawPathParams, request: Request| {
            let serve = serve.clone();
            async move {
                let (parts, body) = request.into_parts();
                let params = params.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
                let params = PathParams(params);
                // Nobody said who calls: nobody.
                let caller = parts.extensions.get::<Caller>().cloned().unwrap_or(Caller::Nobody);
                let own = params.0.get("agent_id").map(String::as_str);
                if let Err(fault) = caller.admit(&endpoint, own) {
                    return turned_away(&endpoint, &caller, fault);
                }
                serve(parts, params, caller, body).await.unwrap_or_else(IntoResponse::into_response)
            }
        };
        let filter = match endpoint.method {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
            Method::Put => MethodFilter::PUT,
            Method::Patch => MethodFilter::PATCH,
            Method::Delete => MethodFilter::DELETE,
        };
        self.router = self.router.route(endpoint.path, axum::routing::on(filter, handler));
        self.served.push(endpoint.id);
        self
    }

    /// The routes, and the ids of the endpoints they serve.
    pub fn finish(self) -> (Router, Vec<&'static str>) {
        (self.router, self.served)
    }
}

/// The answer to a caller who was not admitted, marked for whoever records that of known callers.
fn turned_away(endpoint: &Endpoint, caller: &Caller, fault: Fault) -> Response {
    let reason = fault.wire.message.clone();
    let mut response = fault.into_response();
    if *caller != Caller::Nobody {
        response.extensions_mut().insert(Refused { endpoint: endpoint.id, reason });
    }
    response
}

/// The headers alone. All of a head lies in the buffer that it was read into, so whoever waits for long lets go of it.
fn headers(parts: Parts) -> HeaderMap {
    parts.headers
}

fn answered<T: Serialize>(endpoint: &Endpoint, answer: &T) -> Response {
    let status = StatusCode::from_u16(endpoint.success).unwrap_or(StatusCode::OK);
    match endpoint.response {
        Carries::Empty => status.into_response(),
        _ => (status, axum::Json(answer)).into_response(),
    }
}
