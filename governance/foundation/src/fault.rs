//! What goes wrong while a request is served: a text for the caller, detail for the log.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use lanyard_governance_api::status;
use lanyard_protocol::{ErrorCode, WireError};

/// An error on its way to the caller.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{wire}")]
pub struct Fault {
    /// What the caller is told.
    pub wire: WireError,
    /// Status, where it is not the code's own.
    status: Option<StatusCode>,
    /// Seconds after which to try again.
    retry_after: Option<u32>,
}

/// Member of the details that marks a 404 for a whole endpoint.
const NO_ENDPOINT: &str = "noEndpoint";

impl Fault {
    /// An error with the code's own status.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { wire: WireError::new(code, message), status: None, retry_after: None }
    }

    /// 400: the request cannot be understood or asks for something impossible.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// 401: who calls is not known.
    pub fn unknown_caller(message: impl Into<String>) -> Self {
        let status = Some(StatusCode::UNAUTHORIZED);
        Self { status, ..Self::new(ErrorCode::Unauthorized, message) }
    }

    /// 403: the caller is known, and may not.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unauthorized, message)
    }

    /// 404, the same whether the thing does not exist or belongs to another tenant.
    pub fn not_found(what: &str, id: impl std::fmt::Display) -> Self {
        Self::new(ErrorCode::ResourceNotFound, format!("there is no {what} {id}"))
    }

    /// 409: the thing is in another state than the request needs.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Conflict, message)
    }

    /// 429, and when to come back.
    pub fn slow_down(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let retry_after = Some(retry_after_seconds);
        Self { retry_after, ..Self::new(ErrorCode::RateLimited, message) }
    }

    /// 503: something that this service needs cannot be reached.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(ErrorCode::CentralUnavailable, message) }
    }

    /// 500. The cause goes to the log, not to the caller.
    pub fn internal(what: &str, cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "{what}");
        Self::new(ErrorCode::InternalError, format!("{what}; the server's log has the detail"))
    }

    /// An error that another service answered with.
    pub fn answered(wire: WireError, status: u16) -> Self {
        Self { wire, status: StatusCode::from_u16(status).ok(), retry_after: None }
    }

    /// Adds one member to the details.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.wire = self.wire.with(key, value);
        self
    }

    /// Of another service's answer: whether the same call would be refused again, because of what it holds. A wrong key, an
    /// address that leads elsewhere (404, 405) and too many calls are not.
    pub fn is_about_content(&self) -> bool {
        let status = self.status();
        status.is_client_error() && !matches!(status.as_u16(), 401 | 403..=405 | 407 | 408 | 421 | 425 | 429)
    }

    /// 404 for a whole endpoint: this process, or this version, does not serve it.
    pub fn no_endpoint(path: &str) -> Self {
        Self::not_found("endpoint", path).with(NO_ENDPOINT, true)
    }

    /// Of another service's answer: it does not know the thing. An address that leads elsewhere answers with 404 too, and
    /// says nothing about the thing.
    pub fn is_absent(&self) -> bool {
        use ErrorCode::{ApprovalNotFound, ResourceNotFound, SessionNotFound};
        let elsewhere = self.wire.details.0.get(NO_ENDPOINT).is_some();
        matches!(self.wire.code, ResourceNotFound | SessionNotFound | ApprovalNotFound) && !elsewhere
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        let own = StatusCode::from_u16(status::of(self.wire.code));
        self.status.or(own.ok()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<WireError> for Fault {
    fn from(wire: WireError) -> Self {
        Self { wire, status: None, retry_after: None }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = (self.status(), axum::Json(&self.wire)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
