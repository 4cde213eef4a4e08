//! HttpRequest: one request to one address. Redirects are reported, not followed: each new address is a new call,
//! judged like the first.

mod client;
mod send;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use lanyard_policy::demand::Demand;
use lanyard_policy::net::HttpTarget;
use lanyard_policy::visible;
use lanyard_ports::journal::Replay;
use lanyard_ports::router::Lane;
use lanyard_protocol::approval::{ApprovalDetail, HttpDetail, RiskLevel};
use lanyard_protocol::json::Json;
use lanyard_protocol::policy::Capability;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use crate::arguments;
use crate::catalog::{Parameter, ParameterKind, Tool};
use crate::execute::Operation;
use crate::plan::{Draft, PlanError, Planning};

pub use client::{HttpClient, HttpSetupError};
pub(crate) use send::Send;

const NAME: &str = "HttpRequest";

/// The verbs sent. CONNECT and TRACE are for proxies and debugging.
const METHODS: &[&str] = &["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];

/// Bytes of a body: what a person can still look over, and no way to upload a disk.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Headers of one request.
const MAX_HEADERS: usize = 32;

/// Bytes of all headers together; servers refuse more than 8 to 16 KiB.
const MAX_HEADER_BYTES: usize = 8 << 10;

/// Headers that belong to the connection, or would make another request of this one. `Authorization` and `Cookie`
/// are allowed: they are shown in the approval like everything else.
const REFUSED_HEADERS: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(crate) static HTTP_REQUEST: Tool = Tool {
    name: NAME,
    description: "Sends one HTTP request and answers with the status line, the main headers and the body as text. \
                  Redirects are not followed: the new address is in `location`. Private and local addresses are refused \
                  unless policy names them.",
    capabilities: &[Capability::NetworkHttp],
    parameters: &[
        Parameter::required("method", ParameterKind::OneOf(METHODS), "The verb."),
        Parameter::required("url", ParameterKind::Text, "The whole address, with http:// or https://."),
        Parameter::optional("headers", ParameterKind::Map, "Headers to send."),
        Parameter::optional("body", ParameterKind::Text, "The body to send."),
    ],
    plan,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Arguments {
    method: String,
    url: String,
    headers: Option<BTreeMap<String, String>>,
    body: Option<String>,
}

fn plan(planning: &Planning<'_>, json: &Json) -> Result<Draft, PlanError> {
    let Arguments { method, url, headers, body } = arguments::read(NAME, json)?;
    if !planning.terms.allow_network {
        return Err(PlanError::denied("this task may not use the network: start it with allowNetwork"));
    }
    if !METHODS.contains(&method.as_str()) {
        return Err(PlanError::argument(NAME, "method", format!("it must be one of {}", METHODS.join(", "))));
    }
    let verb = Method::from_bytes(method.as_bytes())
        .map_err(|_| PlanError::argument(NAME, "method", "it is not an HTTP method"))?;
    let target =
        HttpTarget::parse(&url).map_err(|fault| PlanError::argument(NAME, "url", fault.to_string()))?;
    if let Some(body) = &body {
        arguments::at_most(NAME, "body", body, MAX_BODY_BYTES)?;
    }
    let headers = headers.unwrap_or_default();
    let parsed = parse_headers(&headers)?;
    let host = target.host().to_string();
    let reads = matches!(verb, Method::GET | Method::HEAD | Method::OPTIONS) && body.is_none();
    Ok(Draft {
        // What is judged is what is requested, not another spelling of it.
        first: Demand::Http { method: method.clone(), url: target.as_str().to_owned() },
        more: Vec::new(),
        contents: Vec::new(),
        summary: format!("{method} {}", visible::clipped_line(target.as_str(), 300)),
        risk: if reads { RiskLevel::Medium } else { RiskLevel::High },
        detail: ApprovalDetail::Http(HttpDetail {
            method,
            url: target.as_str().to_owned(),
            headers: headers.iter().map(|(name, value)| format!("{name}: {value}")).collect(),
            body: body.clone(),
        }),
        lane: if reads { Lane::Read } else { Lane::Barrier },
        // Even a GET may do something at the other end.
        replay: Replay::Opaque,
        baselines: Vec::new(),
        operation: Operation::Http(Box::new(Send {
            method: verb,
            target,
            headers: parsed,
            body,
            source: format!("http:{host}"),
        })),
    })
}

fn parse_headers(headers: &BTreeMap<String, String>) -> Result<HeaderMap, PlanError> {
    let refuse = |reason: String| PlanError::argument(NAME, "headers", reason);
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        return Err(refuse(format!("at most {MAX_HEADERS} headers and {MAX_HEADER_BYTES} bytes together")));
    }
    let mut parsed = HeaderMap::new();
    for (name, value) in headers {
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| refuse(format!("{name:?} is no header name")))?;
        if REFUSED_HEADERS.contains(&key.as_str()) || key.as_str().starts_with("proxy-") {
            return Err(refuse(format!("{name} is set by the host, not by a call")));
        }
        let value = HeaderValue::from_str(value).map_err(|_| {
            refuse(format!("the value of {name} holds line ends or other control characters"))
        })?;
        parsed.insert(key, value);
    }
    Ok(parsed)
}
