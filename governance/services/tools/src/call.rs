//! Calling a tool: one request, no redirects, a bounded answer, a bounded time.

use std::time::Duration;

use axum::body::Body;
use lanyard_governance_api::artifact::{ArtifactQuery, ArtifactType};
use lanyard_governance_api::endpoint::PutArtifact;
use lanyard_governance_foundation::caller::Agent;
use lanyard_protocol::limits::MAX_TOOL_OUTPUT_BYTES;
use lanyard_protocol::tool::{ToolRequest, ToolResult, ToolStatus, artifact_uri};
use lanyard_protocol::{ErrorCode, WireError};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::definitions::Tool;
use crate::grant::Granted;
use crate::runs::indeterminate;
use crate::seal::Belongs;
use crate::{State, address};

/// Longest answer of a tool, in bytes.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Tells the tool which call it is; a tool that keeps it can tell a repetition by others from a new call.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a tool answered.
enum Answer {
    /// It did what was asked.
    Done(Vec<u8>),
    /// It ran, or was never reached, and failed.
    Failed(String, Vec<u8>),
    /// Nobody knows.
    Unknown(&'static str),
}

/// Seconds a call has.
pub(crate) fn seconds(tool: &Tool, granted: Granted) -> u32 {
    granted.max_seconds.unwrap_or(u32::MAX).min(tool.timeout_seconds).max(1)
}

/// Calls the tool, to its end. Not cancel-safe: dropped, it may have taken effect.
pub(crate) async fn run(
    state: &State,
    agent: &Agent,
    request: &ToolRequest,
    tool: &Tool,
    granted: Granted,
) -> ToolResult {
    let failed = |message: String| {
        ToolResult::of(request, ToolStatus::Failed)
            .with_error(WireError::new(ErrorCode::ToolExecutionFailed, message))
    };
    // The installation may have become stricter since the tool was defined.
    if let Err(fault) = address::check(tool.url.as_str(), state.settings.reach) {
        return failed(format!("the tool's address is not allowed: {}", fault.wire.message));
    }
    let authorization = match open(state, agent, tool) {
        Ok(authorization) => authorization,
        Err(message) => return failed(message.to_owned()),
    };
    let (status, error, output) = match ask(state, request, tool, granted, authorization).await {
        Answer::Unknown(why) => return indeterminate(request, why),
        Answer::Failed(message, output) => (ToolStatus::Failed, Some(message), output),
        Answer::Done(output) => (ToolStatus::Succeeded, None, output),
    };
    let mut result = ToolResult::of(request, status);
    result.error = error.map(|message| WireError::new(ErrorCode::ToolExecutionFailed, message));
    shown(state, agent, request, granted, output, &mut result).await;
    result
}

fn open(state: &State, agent: &Agent, tool: &Tool) -> Result<Option<HeaderValue>, &'static str> {
    let Some(sealed) = &tool.authorization else { return Ok(None) };
    let origin = address::origin(&tool.url);
    let belongs = Belongs { tenant: &agent.tenant, tool: &tool.spec.name, origin: &origin };
    let secret =
        state.settings.key.open(sealed, belongs).and_then(|secret| HeaderValue::from_str(&secret).ok());
    let Some(mut secret) = secret else {
        return Err(
            "the tool's authorization cannot be read with this installation's key; an administrator must set it again",
        );
    };
    secret.set_sensitive(true);
    Ok(Some(secret))
}

async fn ask(
    state: &State,
    request: &ToolRequest,
    tool: &Tool,
    granted: Granted,
    authorization: Option<HeaderValue>,
) -> Answer {
    let mut post = state
        .settings
        .client
        .post(tool.url.clone())
        .timeout(Duration::from_secs(u64::from(seconds(tool, granted))))
        .header(IDEMPOTENCY_KEY, request.tool_call_id.as_str())
        .json(&request.arguments);
    if let Some(authorization) = authorization {
        post = post.header(AUTHORIZATION, authorization);
    }
    let mut response = match post.send().await {
        Ok(response) => response,
        Err(error) if error.is_connect() || error.is_builder() => {
            tracing::info!(%error, tool = tool.spec.name, "a tool cannot be reached");
            return Answer::Failed("the tool could not be reached; it was not called".to_owned(), Vec::new());
        }
        Err(error) if error.is_timeout() => return Answer::Unknown("did not answer in time"),
        Err(error) => {
            tracing::info!(%error, tool = tool.spec.name, "a call of a tool broke off");
            return Answer::Unknown("the connection broke");
        }
    };
    let status = response.status();
    if status.is_redirection() {
        return Answer::Failed(format!("the tool answered {status}; redirects are not followed"), Vec::new());
    }
    let mut output = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if output.len() + chunk.len() > MAX_ANSWER_BYTES => {
                let message = format!("the tool answered with more than {MAX_ANSWER_BYTES} bytes");
                return Answer::Failed(message, Vec::new());
            }
            Ok(Some(chunk)) => output.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) if error.is_timeout() => return Answer::Unknown("did not finish its answer in time"),
            Err(_) => return Answer::Unknown("its answer broke off"),
        }
    }
    match status.is_success() {
        true => Answer::Done(output),
        false => Answer::Failed(format!("the tool answered {status}"), output),
    }
}

/// Puts the output into the result; what is too long for the model is kept whole as an artifact.
async fn shown(
    state: &State,
    agent: &Agent,
    request: &ToolRequest,
    granted: Granted,
    output: Vec<u8>,
    result: &mut ToolResult,
) {
    let text = match String::from_utf8(output) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    let allowed = granted.max_output_bytes.and_then(|bytes| usize::try_from(bytes).ok());
    let limit = allowed.unwrap_or(usize::MAX).min(MAX_TOOL_OUTPUT_BYTES);
    if text.len() <= limit {
        result.output_text = Some(text);
        return;
    }
    let note = match keep(state, agent, request, &text).await {
        Ok(uri) => {
            let note = format!("\n[cut: {} bytes in all, kept as {uri}]", text.len());
            result.artifact_uris.push(uri);
            note
        }
        Err(fault) => {
            tracing::warn!(%fault, "the output of a tool cannot be kept");
            format!("\n[cut: {} bytes in all; the rest could not be kept]", text.len())
        }
    };
    // The note counts as output, and is left out where there is hardly room for any.
    let note = if note.len() * 2 <= limit { note } else { String::new() };
    let mut end = limit - note.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    result.output_text = Some(format!("{}{note}", text.get(..end).unwrap_or_default()));
}

async fn keep(
    state: &State,
    agent: &Agent,
    request: &ToolRequest,
    text: &str,
) -> Result<String, lanyard_governance_foundation::Fault> {
    let query = ArtifactQuery {
        artifact_type: ArtifactType::ToolOutput,
        session_id: request.session_id.clone(),
        task_id: Some(request.task_id.clone()),
        step_id: Some(request.step_id.clone()),
        tool_call_id: Some(request.tool_call_id.clone()),
        seq: None,
        sha256: None,
    };
    let path = [("workspace_id", request.workspace_id.as_str())];
    let body = Body::from(text.to_owned());
    let peers = &state.foundation.peers;
    let kept = peers.call_with_bytes::<PutArtifact>(Some(&agent.tenant), &path, &query, body).await?;
    Ok(artifact_uri(&kept.artifact_id))
}
