//! What stands before every service: request ids, security headers, pace, answers for what is not there.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use lanyard_governance_foundation::caller::Caller;
use lanyard_governance_foundation::clock::random;
use lanyard_governance_foundation::pace::Pace;
use lanyard_governance_foundation::web::RequestId;
use lanyard_governance_foundation::{Clock, Fault};
use lanyard_protocol::ErrorCode;
use tracing::Instrument as _;

use crate::serve::From;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id of a caller's own that is taken over.
const MAX_REQUEST_ID: usize = 64;

/// Headers of every answer; who has set one of its own keeps it.
const ALWAYS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Who is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Person(String, String),
    Agent(String, String),
    Address(IpAddr),
}

/// How often one caller may call.
#[derive(Debug, Clone)]
pub(crate) struct Limit(Arc<Pace<Who>>);

impl Limit {
    /// So many requests a second in the long run, four times as many at once.
    pub(crate) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self(Arc::new(Pace::new(per_second, per_second * 4.0)))
    }
}

/// After authentication: an installation serves everybody, not the one who calls most.
pub(crate) async fn limit(State(limit): State<Limit>, request: Request, next: Next) -> Response {
    let who = match request.extensions().get::<Caller>() {
        Some(Caller::Person(p)) => Some(Who::Person(p.tenant.to_string(), p.user.to_string())),
        Some(Caller::Agent(a)) => Some(Who::Agent(a.tenant.to_string(), a.agent.to_string())),
        Some(Caller::Service { .. }) => None,
        _ => request.extensions().get::<From>().map(|from| Who::Address(network(from.0.ip()))),
    };
    match who.map_or(Ok(()), |who| limit.0.take(&who, Instant::now())) {
        Ok(()) => next.run(request).await,
        Err(seconds) => {
            Fault::slow_down("too many requests; wait a moment and go on", seconds).into_response()
        }
    }
}

/// Who has one address of IPv6 has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from(u128::from(v6) >> 64 << 64)),
        },
        v4 => v4,
    }
}

/// Outermost: names the request, and looks after the headers of its answer.
pub(crate) async fn frame(State(clock): State<Arc<dyn Clock>>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    let fits = |id: &&str| {
        !id.is_empty()
            && id.len() <= MAX_REQUEST_ID
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let id = match given.filter(fits) {
        Some(id) => id.to_owned(),
        None => match random::<8>() {
            Ok(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Err(fault) => return fault.into_response(),
        },
    };
    request.extensions_mut().insert(RequestId(id.clone()));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", %id, %method, path);
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let _entered = span.enter();
    tracing::debug!(status = response.status().as_u16(), millis = started.elapsed().as_millis(), "answered");
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    // Hosts learn the server's time from it; only this clock counts.
    let now = UNIX_EPOCH + Duration::from_millis(u64::try_from(clock.now().as_millis()).unwrap_or(0));
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(now)) {
        headers.insert(header::DATE, date);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// Where there is nothing.
pub(crate) async fn nothing_here(request: Request) -> Response {
    let path = request.uri().path();
    if request.method() == http::Method::GET && (path == "/" || path.starts_with("/console")) {
        return crate::console::serve(request).await;
    }
    Fault::no_endpoint(path).into_response()
}

/// Where there is something, but not by this method.
pub(crate) async fn another_method(request: Request) -> Response {
    let text = format!(
        "{} does not take {}; /openapi.json says what it takes",
        request.uri().path(),
        request.method()
    );
    let mut response = Fault::new(ErrorCode::InvalidRequest, text).into_response();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}
