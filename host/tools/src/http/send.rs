//! Sends a planned request and renders the answer.

use std::error::Error;
use std::time::Duration;

use lanyard_policy::net::HttpTarget;
use lanyard_policy::visible;
use lanyard_protocol::error::{ErrorCode, WireError};
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, Version};

use super::client::NameError;
use crate::execute::{Bounds, Outcome};
use crate::text::{is_binary, lossy};
use crate::workspace::Workspace;

/// Bytes of an answer that are read; the rest is left on the wire.
const MAX_ANSWER_BYTES: usize = 5 << 20;

/// Characters shown of one header of the answer.
const MAX_HEADER_CHARS: usize = 500;

/// Headers of an answer that help the model; the rest is noise or none of its business.
const SHOWN_HEADERS: &[&str] = &[
    "allow",
    "content-length",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "link",
    "location",
    "retry-after",
    "www-authenticate",
];

/// A request ready to be sent.
#[derive(Debug)]
pub(crate) struct Send {
    pub(super) method: Method,
    pub(super) target: HttpTarget,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<String>,
    pub(super) source: String,
}

impl Send {
    pub(crate) async fn run(self: Box<Self>, workspace: &Workspace, bounds: &Bounds) -> Outcome {
        let source = self.source.clone();
        tokio::select! {
            biased;
            () = bounds.cancel.cancelled() => Outcome::cancelled(source),
            answer = self.exchange(workspace, bounds) => match answer {
                Ok(text) => Outcome::succeeded(source, text),
                Err(error) => Outcome::error(source, explain(&error)),
            },
        }
    }

    async fn exchange(
        self: Box<Self>,
        workspace: &Workspace,
        bounds: &Bounds,
    ) -> Result<String, reqwest::Error> {
        let mut request =
            workspace.http.client().request(self.method, self.target.as_str()).headers(self.headers);
        if let Some(body) = self.body {
            request = request.body(body);
        }
        if let Some(seconds) = bounds.limits.max_execution_time_seconds {
            request = request.timeout(Duration::from_secs(seconds.into()));
        }
        let mut answer = request.send().await?;
        let mut body = Vec::new();
        let mut cut = false;
        while let Some(chunk) = answer.chunk().await? {
            let room = MAX_ANSWER_BYTES - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                cut = true;
                break;
            }
        }
        Ok(render(&answer, &body, cut))
    }
}

fn render(answer: &Response, body: &[u8], cut: bool) -> String {
    let status = answer.status();
    let version = match answer.version() {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    };
    let mut text = format!("{version} {} {}\n", status.as_u16(), status.canonical_reason().unwrap_or(""));
    for name in SHOWN_HEADERS {
        for value in answer.headers().get_all(*name) {
            let value = String::from_utf8_lossy(value.as_bytes());
            text.push_str(&format!("{name}: {}\n", visible::clipped_line(&value, MAX_HEADER_CHARS)));
        }
    }
    text.push('\n');
    if is_binary(body) {
        text.push_str(&format!("[not text: {} bytes of data]\n", body.len()));
    } else {
        let (body, replaced) = lossy(body);
        text.push_str(&body);
        if replaced {
            text.push_str("\n[bytes that are not UTF-8 are shown as \u{fffd}]\n");
        }
    }
    if cut {
        text.push_str(&format!(
            "\n[the answer goes on: only the first {MAX_ANSWER_BYTES} bytes were read]\n"
        ));
    }
    if status.is_redirection() {
        text.push_str("\n[redirects are not followed: request the new address with another call]\n");
    }
    text
}

/// A failed exchange in words: reqwest keeps the reason at the end of a chain.
fn explain(error: &reqwest::Error) -> WireError {
    let mut reasons: Vec<String> = Vec::new();
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(refused @ NameError::Private { .. }) = cause.downcast_ref::<NameError>() {
            return WireError::new(ErrorCode::CapabilityDenied, refused.to_string());
        }
        // The first one repeats the address, which may hold secrets.
        if reasons.len() < 4 && !cause.is::<reqwest::Error>() {
            reasons.push(cause.to_string());
        }
        next = cause.source();
    }
    let what = if error.is_timeout() {
        "the request took too long"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the request failed"
    };
    reasons.dedup();
    let reasons = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(": ")) };
    WireError::new(ErrorCode::ToolExecutionFailed, visible::clipped_line(&format!("{what}{reasons}"), 600))
}
