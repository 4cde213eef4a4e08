//! Questions to ask of a list of events.

use lanyard_protocol::approval::ApprovalRequest;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::{EventBody, SessionEvent, ToolCompleted};
use lanyard_protocol::tool::ToolStatus;

/// Names of the events, ephemeral ones left out.
pub fn names(events: &[SessionEvent]) -> Vec<&'static str> {
    events.iter().filter(|event| event.seq.is_some()).map(|event| event.body.name()).collect()
}

/// How often an event occurs.
pub fn count(events: &[SessionEvent], name: &str) -> usize {
    events.iter().filter(|event| event.body.name() == name).count()
}

/// Ends of tool calls, in the order they came.
pub fn completed(events: &[SessionEvent]) -> Vec<&ToolCompleted> {
    events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::ToolCompleted(completed) => Some(completed),
            _ => None,
        })
        .collect()
}

/// Tool, status and error code of each call that ended.
pub fn outcomes(events: &[SessionEvent]) -> Vec<(&str, ToolStatus, Option<ErrorCode>)> {
    completed(events)
        .into_iter()
        .map(|done| &done.result)
        .map(|result| {
            (result.tool_name.as_str(), result.status, result.error.as_ref().map(|error| error.code))
        })
        .collect()
}

/// Output of the last call that ended.
pub fn output(events: &[SessionEvent]) -> &str {
    completed(events).last().and_then(|done| done.result.output_text.as_deref()).unwrap_or_default()
}

/// Questions asked.
pub fn questions(events: &[SessionEvent]) -> Vec<&ApprovalRequest> {
    events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::ApprovalRequested(asked) => Some(&asked.approval),
            _ => None,
        })
        .collect()
}

/// The answer the task completed with; empty when it did not.
pub fn answer(events: &[SessionEvent]) -> &str {
    events
        .iter()
        .find_map(|event| match &event.body {
            EventBody::TaskCompleted(done) => Some(done.text.as_str()),
            _ => None,
        })
        .unwrap_or_default()
}

/// Why the task failed; `None` when it did not.
pub fn failure(events: &[SessionEvent]) -> Option<&WireError> {
    events.iter().find_map(|event| match &event.body {
        EventBody::TaskFailed(failed) => Some(&failed.error),
        _ => None,
    })
}

/// Text streamed, all deltas together.
pub fn streamed(events: &[SessionEvent]) -> String {
    events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::TextDelta(delta) => Some(delta.text.as_str()),
            _ => None,
        })
        .collect()
}
