//! Reading queries and bodies, bounded, with errors that name the member at fault.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{StatusCode, header};
use lanyard_governance_api::endpoint::{Body as Carries, Endpoint};
use lanyard_governance_api::limits::{MAX_BATCH_BYTES, MAX_JSON_BYTES};
use lanyard_protocol::ErrorCode;
use serde::de::DeserializeOwned;

use crate::fault::Fault;

/// Endpoints that take batches, or a prompt whose characters are up to six times as long in JSON, and may be sent more.
const BATCHES: &[&str] = &[
    "PostAudit",
    "PostServiceAudit",
    "PostTelemetry",
    "PostTraces",
    "AppendEvents",
    "CreateTask",
    "PutTool",
    "ReportJob",
    "InvokeTool",
    "SettleTool",
];

/// Longest body of whoever has not said who calls: a token and a certificate request.
const MAX_PUBLIC_BYTES: usize = 16 << 10;

/// How long a body may take. 8 MiB come within it at 3 Mbit/s; a host on a slower line sends smaller batches.
const WHOLE: Duration = Duration::from_secs(30);

/// The query of a request.
pub(super) fn query<T: DeserializeOwned>(parts: &Parts) -> Result<T, Fault> {
    let read = axum::extract::Query::<T>::try_from_uri(&parts.uri);
    read.map(|query| query.0).map_err(|e| Fault::invalid(format!("the query cannot be read: {}", source(&e))))
}

/// The JSON body of a request; `{}` where the endpoint takes none.
pub(super) async fn json<T: DeserializeOwned>(
    endpoint: &Endpoint,
    parts: &Parts,
    body: Body,
) -> Result<T, Fault> {
    let bytes = match endpoint.request {
        Carries::Json => {
            let is_json = |value: &http::HeaderValue| {
                value.to_str().is_ok_and(|text| text.trim_start().starts_with("application/json"))
            };
            // Forms of other pages cannot set it.
            if !parts.headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
                return Err(Fault::invalid("the body must be sent as application/json"));
            }
            bounded(endpoint, body).await?
        }
        _ => Bytes::from_static(b"{}"),
    };
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|e| Fault::invalid(format!("the body cannot be read at {}: {}", e.path(), e.inner())))?;
    reader.end().map_err(|e| Fault::invalid(format!("the body goes on after its end: {e}")))?;
    Ok(value)
}

async fn bounded(endpoint: &Endpoint, body: Body) -> Result<Bytes, Fault> {
    let limit = match endpoint {
        _ if endpoint.access.public => MAX_PUBLIC_BYTES,
        _ if BATCHES.contains(&endpoint.id) => MAX_BATCH_BYTES,
        _ => MAX_JSON_BYTES,
    };
    let Ok(read) = tokio::time::timeout(WHOLE, axum::body::to_bytes(body, limit)).await else {
        return Err(Fault::invalid(format!("the body did not come within {} seconds", WHOLE.as_secs())));
    };
    match read {
        Ok(bytes) => Ok(bytes),
        Err(error) if source(&error).contains("length limit") => {
            Err(Fault::new(ErrorCode::PayloadTooLarge, format!("the body is longer than {limit} bytes")))
        }
        Err(error) => {
            tracing::debug!(%error, status = %StatusCode::BAD_REQUEST, "a body ended early");
            Err(Fault::invalid("the body ended before it was whole"))
        }
    }
}

/// The innermost text of an error.
fn source(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(next) = innermost.source() {
        innermost = next;
    }
    innermost.to_string()
}
