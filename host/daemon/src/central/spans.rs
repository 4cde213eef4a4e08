//! Telemetry from the log: what took how long, and nothing of what it was about.
//!
//! A pure function from events to spans. Ids are derived from what a span measures, so that a span that is sent again is
//! the same span. No attribute holds a text that a person, a model, a file or a program has written: names of tools and
//! models, counts, codes.

use std::collections::BTreeMap;

use lanyard_governance_api::id::{SpanId, TraceId};
use lanyard_governance_api::telemetry::{Operation, Span};
use lanyard_protocol::Timestamp;
use lanyard_protocol::error::ErrorCode;
use lanyard_protocol::event::{EventBody, LlmRequestCompleted, SessionEvent, TaskFailed, ToolCompleted};
use lanyard_protocol::id::{IdError, SessionId, TaskId};
use lanyard_protocol::session::{TaskState, TaskSummary};
use lanyard_protocol::tool::ToolStatus;
use sha2::{Digest, Sha256};

/// Longest name or attribute, in bytes; the service refuses longer ones.
const MAX_TEXT: usize = 256;

/// The spans that end with these events. `task` gives the row of a task that ended, for when it began.
pub(crate) fn spans(
    events: &[SessionEvent],
    task: impl Fn(&TaskId) -> Option<TaskSummary>,
) -> Result<Vec<Span>, IdError> {
    let mut spans = Vec::new();
    let mut asked: Option<Asked<'_>> = None;
    for event in events {
        let Some(task_id) = &event.task_id else { continue };
        let place = Place { session: &event.session_id, task: task_id, at: event.timestamp };
        match &event.body {
            EventBody::LlmRequestStarted(started) => {
                asked = Some(Asked { task: task_id, model: &started.model, at: event.timestamp });
            }
            EventBody::LlmRequestCompleted(done) => {
                asked = None;
                spans.push(chat(place, done)?);
            }
            EventBody::ToolCompleted(done) if !done.replayed => spans.push(tool(place, done)?),
            body if body.ends_task() => {
                if let EventBody::TaskFailed(failed) = body {
                    let asked = asked.take().filter(|asked| asked.task == task_id);
                    spans.extend(unanswered(place, asked, failed)?);
                }
                if let Some(summary) = task(task_id) {
                    spans.push(agent(place, &summary, body)?);
                }
            }
            _ => {}
        }
    }
    Ok(spans)
}

/// A model that has been asked and has not answered.
struct Asked<'a> {
    task: &'a TaskId,
    model: &'a str,
    at: Timestamp,
}

#[derive(Clone, Copy)]
struct Place<'a> {
    session: &'a SessionId,
    task: &'a TaskId,
    at: Timestamp,
}

impl Place<'_> {
    fn trace(&self) -> Result<TraceId, IdError> {
        TraceId::new(self.digest(&["trace"], 16))
    }

    fn task_span(&self) -> Result<SpanId, IdError> {
        SpanId::new(self.digest(&["task"], 8))
    }

    fn span(&self, kind: &str, which: &str) -> Result<SpanId, IdError> {
        SpanId::new(self.digest(&[kind, which], 8))
    }

    /// Hex of the first bytes of a hash over session, task and what else names the thing; each part ends with a byte
    /// that no id holds.
    fn digest(&self, parts: &[&str], bytes: usize) -> String {
        let mut hash = Sha256::new();
        for part in [self.session.as_str(), self.task.as_str()].iter().chain(parts) {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        data_encoding::HEXLOWER.encode(hash.finalize().get(..bytes).unwrap_or_default())
    }
}

fn agent(place: Place<'_>, task: &TaskSummary, end: &EventBody) -> Result<Span, IdError> {
    let mut attributes = common(place, "invoke_agent");
    attributes.insert("lanyard.steps".to_owned(), task.steps.to_string());
    if let EventBody::TaskCompleted(done) = end {
        usage(&mut attributes, done.usage.input_tokens, done.usage.output_tokens);
    }
    let error = match end {
        EventBody::TaskFailed(failed) => Some(failed.error.code.as_str().to_owned()),
        EventBody::TaskCancelled(_) => Some("CANCELLED".to_owned()),
        _ => None,
    };
    Ok(Span {
        span_id: place.task_span()?,
        trace_id: place.trace()?,
        parent_span_id: None,
        operation: Operation::InvokeAgent,
        name: "invoke_agent".to_owned(),
        started_at: task.started_at,
        duration_millis: place.at.millis_since(task.started_at),
        ok: task.state == TaskState::Completed,
        error,
        attributes,
    })
}

fn chat(place: Place<'_>, done: &LlmRequestCompleted) -> Result<Span, IdError> {
    let mut attributes = common(place, "chat");
    attributes.insert("gen_ai.request.model".to_owned(), short(&done.model));
    attributes.insert("gen_ai.response.finish_reasons".to_owned(), short(&done.finish_reason));
    attributes.insert("lanyard.tool_calls".to_owned(), done.tool_calls.to_string());
    usage(&mut attributes, done.usage.input_tokens, done.usage.output_tokens);
    Ok(Span {
        span_id: place.span("chat", done.stream_id.as_str())?,
        trace_id: place.trace()?,
        parent_span_id: Some(place.task_span()?),
        operation: Operation::Chat,
        name: short(&format!("chat {}", done.model)),
        started_at: before(place.at, done.duration_ms),
        duration_millis: done.duration_ms,
        ok: true,
        error: None,
        attributes,
    })
}

/// The call of the model that a task failed by. Where the page does not begin before it, its code tells that there was
/// one, and neither its model nor its length is known.
fn unanswered(
    place: Place<'_>,
    asked: Option<Asked<'_>>,
    failed: &TaskFailed,
) -> Result<Option<Span>, IdError> {
    let code = failed.error.code;
    if asked.is_none() && code != ErrorCode::LlmUnavailable {
        return Ok(None);
    }
    let mut attributes = common(place, "chat");
    let mut name = "chat".to_owned();
    let mut started_at = place.at;
    if let Some(asked) = asked {
        attributes.insert("gen_ai.request.model".to_owned(), short(asked.model));
        name = short(&format!("chat {}", asked.model));
        started_at = asked.at;
    }
    attributes.insert("error.type".to_owned(), code.as_str().to_owned());
    Ok(Some(Span {
        span_id: place.span("chat", "failed")?,
        trace_id: place.trace()?,
        parent_span_id: Some(place.task_span()?),
        operation: Operation::Chat,
        name,
        started_at,
        duration_millis: place.at.millis_since(started_at),
        ok: false,
        error: Some(code.as_str().to_owned()),
        attributes,
    }))
}

fn tool(place: Place<'_>, done: &ToolCompleted) -> Result<Span, IdError> {
    let result = &done.result;
    let mut attributes = common(place, "execute_tool");
    attributes.insert("gen_ai.tool.name".to_owned(), short(&result.tool_name));
    attributes.insert("gen_ai.tool.call.id".to_owned(), result.tool_call_id.to_string());
    attributes.insert("lanyard.sandbox_level".to_owned(), done.sandbox_level.as_str().to_owned());
    attributes.insert("lanyard.files_changed".to_owned(), done.changes.len().to_string());
    if let Some(code) = done.exit_code {
        attributes.insert("process.exit.code".to_owned(), code.to_string());
    }
    let status = match result.status {
        ToolStatus::Succeeded => None,
        ToolStatus::Failed => Some("FAILED"),
        ToolStatus::Denied => Some("DENIED"),
        ToolStatus::Cancelled => Some("CANCELLED"),
        ToolStatus::Indeterminate => Some("INDETERMINATE"),
    };
    let code = result.error.as_ref().map(|error| error.code.as_str());
    Ok(Span {
        span_id: place.span("tool", result.tool_call_id.as_str())?,
        trace_id: place.trace()?,
        parent_span_id: Some(place.task_span()?),
        operation: Operation::ExecuteTool,
        name: short(&format!("execute_tool {}", result.tool_name)),
        started_at: before(place.at, done.duration_ms),
        duration_millis: done.duration_ms,
        ok: result.status == ToolStatus::Succeeded,
        error: status.map(|status| code.unwrap_or(status).to_owned()),
        attributes,
    })
}

fn common(place: Place<'_>, operation: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("gen_ai.operation.name".to_owned(), operation.to_owned()),
        ("gen_ai.conversation.id".to_owned(), place.session.to_string()),
        ("lanyard.task.id".to_owned(), place.task.to_string()),
    ])
}

fn usage(attributes: &mut BTreeMap<String, String>, input: u64, output: u64) {
    attributes.insert("gen_ai.usage.input_tokens".to_owned(), input.to_string());
    attributes.insert("gen_ai.usage.output_tokens".to_owned(), output.to_string());
}

fn before(at: Timestamp, millis: u64) -> Timestamp {
    at.plus_millis(i64::try_from(millis).unwrap_or(i64::MAX).saturating_neg())
}

/// A name as the service takes it. The model chose the names of tools that do not exist: they are cut, and hold nothing
/// that would not show.
fn short(text: &str) -> String {
    let mut short = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if short.len() + c.len_utf8() > MAX_TEXT {
            break;
        }
        short.push(c);
    }
    short
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::error::WireError;
    use lanyard_protocol::event::{LlmRequestStarted, Usage};
    use lanyard_protocol::id::{EventId, StepId, StreamId, ToolCallId, WorkspaceId};
    use lanyard_protocol::policy::SandboxLevel;
    use lanyard_protocol::tool::ToolResult;

    use super::*;

    fn event(seq: u64, body: EventBody) -> SessionEvent {
        SessionEvent {
            event_id: EventId::new(format!("evt_{seq}")).unwrap(),
            seq: Some(seq),
            workspace_id: WorkspaceId::new("ws").unwrap(),
            session_id: SessionId::new("sess").unwrap(),
            task_id: Some(TaskId::new("task").unwrap()),
            step_id: Some(StepId::new("step").unwrap()),
            timestamp: Timestamp::from_millis(10_000),
            body,
        }
    }

    fn answered(text: &str) -> SessionEvent {
        event(
            3,
            EventBody::LlmRequestCompleted(LlmRequestCompleted {
                model: "m\u{1b}1".to_owned(),
                finish_reason: "stop".to_owned(),
                text: text.to_owned(),
                stream_id: StreamId::new("stream_1").unwrap(),
                tool_calls: 1,
                usage: Usage { input_tokens: 7, output_tokens: 5 },
                duration_ms: 400,
            }),
        )
    }

    fn ran(status: ToolStatus, output: &str) -> SessionEvent {
        let result = ToolResult {
            tool_name: "x".repeat(600),
            workspace_id: WorkspaceId::new("ws").unwrap(),
            session_id: SessionId::new("sess").unwrap(),
            task_id: TaskId::new("task").unwrap(),
            step_id: StepId::new("step").unwrap(),
            tool_call_id: ToolCallId::new("call").unwrap(),
            status,
            output_text: Some(output.to_owned()),
            artifact_uris: Vec::new(),
            error: Some(WireError::new(ErrorCode::CapabilityDenied, output)),
        };
        event(
            4,
            EventBody::ToolCompleted(ToolCompleted {
                result,
                exit_code: Some(3),
                duration_ms: 20_000,
                sandbox_level: SandboxLevel::Full,
                changes: Vec::new(),
                replayed: false,
            }),
        )
    }

    fn summary() -> TaskSummary {
        TaskSummary {
            task_id: TaskId::new("task").unwrap(),
            prompt: "the secret prompt".to_owned(),
            state: TaskState::Failed,
            steps: 2,
            error: None,
            started_at: Timestamp::from_millis(1_000),
            ended_at: None,
        }
    }

    fn sample(secret: &str) -> Vec<SessionEvent> {
        let error = WireError::new(ErrorCode::MaxStepsExceeded, secret);
        vec![
            answered(secret),
            ran(ToolStatus::Denied, secret),
            event(5, EventBody::TaskFailed(TaskFailed { error, steps: 2 })),
        ]
    }

    #[test]
    fn a_task_is_one_trace_with_its_calls_below_it() {
        let spans = spans(&sample("hush"), |_| Some(summary())).unwrap();
        let [chat, tool, task] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!((chat.operation, tool.operation), (Operation::Chat, Operation::ExecuteTool));
        assert_eq!(task.operation, Operation::InvokeAgent);
        assert!(
            spans.iter().all(|span| span.trace_id == task.trace_id && span.trace_id.as_str().len() == 32)
        );
        assert!([chat, tool].iter().all(|span| span.parent_span_id.as_ref() == Some(&task.span_id)));
        assert_eq!(chat.started_at, Timestamp::from_millis(9_600));
        assert_eq!(
            tool.started_at,
            Timestamp::from_millis(-10_000),
            "longer than since the epoch of the test"
        );
        assert_eq!((task.duration_millis, task.ok), (9_000, false));
        assert_eq!(task.error.as_deref(), Some("MAX_STEPS_EXCEEDED"));
        assert_eq!(tool.error.as_deref(), Some("CAPABILITY_DENIED"));
    }

    #[test]
    fn a_call_that_the_model_did_not_answer_is_a_span_of_its_own_that_failed() {
        let begun = EventBody::LlmRequestStarted(LlmRequestStarted {
            model: "m1".to_owned(),
            demo: false,
            message_count: 1,
            estimated_tokens: 9,
        });
        let begun = SessionEvent { timestamp: Timestamp::from_millis(9_000), ..event(3, begun) };
        let failed = |code| {
            let error = WireError::new(code, "hush");
            event(4, EventBody::TaskFailed(TaskFailed { error, steps: 1 }))
        };
        let made = |events: &[SessionEvent]| spans(events, |_| None).unwrap();
        let [chat] = made(&[begun.clone(), failed(ErrorCode::RateLimited)]).try_into().unwrap();
        assert_eq!((chat.name.as_str(), chat.ok, chat.duration_millis), ("chat m1", false, 1_000));
        assert_eq!(chat.error.as_deref(), Some("RATE_LIMITED"));
        // The page begins between the two.
        let [late] = made(&[failed(ErrorCode::LlmUnavailable)]).try_into().unwrap();
        assert_eq!((late.name.as_str(), &late.span_id), ("chat", &chat.span_id));
        assert!(made(&[failed(ErrorCode::MaxStepsExceeded)]).is_empty());
        assert!(made(&[begun, answered("x"), failed(ErrorCode::MaxStepsExceeded)]).len() == 1);
    }

    #[test]
    fn sent_again_they_are_the_same_spans_and_other_calls_are_others() {
        let once = spans(&sample("a"), |_| Some(summary())).unwrap();
        let again = spans(&sample("b"), |_| Some(summary())).unwrap();
        assert_eq!(once, again);
        let mut ids: Vec<_> = once.iter().map(|span| span.span_id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 3);
        assert!(ids.iter().all(|id| id.len() == 16));
    }

    #[test]
    fn nothing_that_anybody_wrote_leaves_and_names_are_bounded() {
        let spans = spans(&sample("hush, a secret"), |_| Some(summary())).unwrap();
        let text = serde_json::to_string(&spans).unwrap();
        assert!(!text.contains("hush") && !text.contains("prompt"), "{text}");
        for span in &spans {
            assert!(span.name.len() <= MAX_TEXT && !span.name.contains('\u{1b}'));
            assert!(span.attributes.len() <= 32);
            assert!(span.attributes.values().all(|value| value.len() <= MAX_TEXT));
        }
    }
}
