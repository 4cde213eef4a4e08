//! What a call says: streamed while it runs, cut for the model and kept whole once it has ended.

use std::sync::{Mutex, PoisonError};

use lanyard_ports::journal::JournalError;
use lanyard_protocol::event::{EventBody, SessionEvent, ToolOutputDelta};
use lanyard_protocol::id::{EventId, StreamId};
use lanyard_protocol::tool::{ToolResult, artifact_uri};
use lanyard_tools::OutputSink;

use crate::call::Call;
use crate::record::fresh_id;
use crate::router::RouterParts;

/// Sends output on as ephemeral events.
pub(crate) fn sink(call: &Call) -> OutputSink {
    let stream: Result<StreamId, _> = fresh_id(&*call.parts.ids, "out");
    let Ok(stream_id) = stream else { return OutputSink::silent() };
    let (parts, request) = (call.parts.clone(), call.request.clone());
    let sent = Mutex::new(0u64);
    OutputSink::new(move |text| {
        let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(event_id) = fresh_id::<EventId>(&*parts.ids, "evt") else { return };
        let delta = ToolOutputDelta {
            tool_call_id: request.tool_call_id.clone(),
            stream_id: stream_id.clone(),
            offset: *sent,
            text: text.to_owned(),
        };
        *sent += text.len() as u64;
        parts.deltas.delta(SessionEvent {
            event_id,
            seq: None,
            workspace_id: request.workspace_id.clone(),
            session_id: request.session_id.clone(),
            task_id: Some(request.task_id.clone()),
            step_id: Some(request.step_id.clone()),
            timestamp: parts.clock.now(),
            body: EventBody::ToolOutputDelta(delta),
        });
    })
}

/// Puts an output into a result, as much of it as fits; the whole of one that does not is kept as an artifact.
pub(crate) async fn keep(
    parts: &RouterParts,
    result: &mut ToolResult,
    whole: String,
    cap: usize,
) -> Result<(), JournalError> {
    let short = lanyard_tools::shorten(&whole, cap);
    if short.truncated {
        let (artifacts, session) = (parts.artifacts.clone(), result.session_id.clone());
        let kept = tokio::task::spawn_blocking(move || artifacts.put(&session, whole.as_bytes())).await;
        let id = kept.unwrap_or_else(|e| Err(JournalError::Refused(e.to_string())))?;
        result.artifact_uris.push(artifact_uri(&id));
    }
    result.output_text = Some(short.text);
    Ok(())
}
