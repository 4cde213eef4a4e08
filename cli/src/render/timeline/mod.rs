//! A task as it runs: steps, answers, calls, outputs, questions and their answers, one below the other.
//!
//! Append only: what was written stays as it is. Parallel calls may take turns; a line that belongs to another call
//! than the one above it is preceded by that call's headline.

mod calls;

use lanyard_protocol::Timestamp;
use lanyard_protocol::event::{EventBody, LlmRequestCompleted, SessionEvent, TaskStarted};
use lanyard_protocol::id::ToolCallId;
use lanyard_protocol::session::ModelInfo;

use super::paint::{Paint, Tone};
use super::span::{millis, plural};
use super::streams::Answer;
use super::visible::{block, line, short_line};
use calls::CallView;

/// Characters of a summary shown in a headline; the question and the history have the whole.
const MAX_SUMMARY_CHARS: usize = 200;

/// See the module.
#[derive(Debug)]
pub(crate) struct Timeline {
    paint: Paint,
    out: String,
    /// What was written last did not end its line.
    line_open: bool,
    answer: Option<Answer>,
    last_answer: String,
    calls: Vec<CallView>,
    /// The call the last lines belong to.
    speaking: Option<ToolCallId>,
    /// Lines of a diff shown in a question.
    diff_lines: usize,
}

impl Timeline {
    /// `diff_lines`: how much of a diff a question shows.
    pub(crate) fn new(paint: Paint, diff_lines: usize) -> Self {
        Self {
            paint,
            out: String::new(),
            line_open: false,
            answer: None,
            last_answer: String::new(),
            calls: Vec::new(),
            speaking: None,
            diff_lines,
        }
    }

    /// Text for a durable event.
    pub(crate) fn event(&mut self, event: &SessionEvent, now: Timestamp) -> String {
        match &event.body {
            EventBody::TaskStarted(started) => self.task_started(started),
            EventBody::StepStarted(step) => {
                let title = format!("● Step {}", step.step_number);
                self.headline(Tone::Accent, &title);
            }
            EventBody::LlmRequestCompleted(done) => self.answer_completed(done),
            EventBody::LlmRetry(retry) => {
                self.answer = None;
                let wait = millis(retry.delay_ms);
                let reason = short_line(&retry.error.message, MAX_SUMMARY_CHARS);
                let next = retry.attempt.saturating_add(1);
                let text = format!("↻ {reason} Trying again in {wait} ({next} of {}).", retry.max_attempts);
                self.row("  ", Tone::Waits, &text);
            }
            EventBody::ToolRequested(call) => self.tool_requested(call),
            EventBody::PolicyDecided(decided) => self.policy_decided(decided),
            EventBody::ApprovalRequested(asked) => self.question(&asked.approval, now),
            EventBody::ApprovalResolved(resolved) => self.resolved(resolved),
            EventBody::ApprovalExpired(expired) => {
                self.under(&expired.tool_call_id);
                self.row("    ", Tone::Bad, "✗ nobody answered in time: denied");
            }
            EventBody::ToolCompleted(done) => self.tool_completed(done),
            EventBody::TaskCompleted(_) | EventBody::TaskFailed(_) | EventBody::TaskCancelled(_) => {
                self.task_ended(&event.body);
            }
            other => self.notice(other),
        }
        std::mem::take(&mut self.out)
    }

    /// Text for an event of the past. The prompt is shown too: whoever reads this has not just typed it.
    pub(crate) fn past(&mut self, event: &SessionEvent) -> String {
        if let EventBody::TaskStarted(started) = &event.body {
            for (number, text) in block(&started.prompt).lines().enumerate() {
                let mark = if number == 0 { "❯" } else { " " };
                self.headline(Tone::Strong, &format!("{mark} {text}"));
            }
        }
        self.event(event, event.timestamp)
    }

    /// Text for a streamed piece, of which `missing` bytes before it never came.
    pub(crate) fn delta(&mut self, event: &SessionEvent, missing: u64) -> String {
        match &event.body {
            EventBody::TextDelta(delta) => {
                let fresh = self.answer.as_ref().is_none_or(|answer| answer.stream != delta.stream_id);
                if fresh {
                    self.answer = Some(Answer::new(delta.stream_id.clone()));
                }
                let piece = self.answer.as_mut().map_or("", |answer| answer.piece(&delta.text, missing));
                self.prose(piece);
            }
            EventBody::ToolOutputDelta(delta) => {
                let at = self.call(&delta.tool_call_id, "");
                let lines =
                    self.calls.get_mut(at).map(|call| call.output.piece(&delta.text)).unwrap_or_default();
                self.output_lines(&delta.tool_call_id, &lines);
            }
            _ => {}
        }
        std::mem::take(&mut self.out)
    }

    fn close_line(&mut self) {
        if std::mem::take(&mut self.line_open) {
            self.out.push('\n');
        }
    }

    /// A line of its own.
    fn row(&mut self, indent: &str, tone: Tone, text: &str) {
        self.close_line();
        let text = self.paint.tone(tone, text);
        self.out.push_str(&format!("{indent}{text}\n"));
    }

    /// A line that begins something new.
    fn headline(&mut self, tone: Tone, text: &str) {
        self.speaking = None;
        self.row("", tone, text);
    }

    /// Words of the model, indented line by line, however they are cut into pieces.
    fn prose(&mut self, text: &str) {
        for piece in block(text).split_inclusive('\n') {
            if !self.line_open && piece != "\n" {
                self.out.push_str("  ");
            }
            self.out.push_str(piece);
            self.line_open = !piece.ends_with('\n');
        }
    }

    /// What is said about the session as a whole.
    fn notice(&mut self, body: &EventBody) {
        match body {
            EventBody::StepLimitNear(near) => {
                let text = format!("! step {} of at most {}", near.step_number, near.max_steps);
                self.row("  ", Tone::Waits, &text);
            }
            EventBody::ContextCompacted(compacted) => {
                let text = format!(
                    "older messages shortened to fit the model ({} → {} tokens); the history keeps them",
                    compacted.tokens_before, compacted.tokens_after
                );
                self.row("  ", Tone::Faint, &text);
            }
            EventBody::SessionPaused(paused) => {
                let text = format!("‖ paused: {}", line(&paused.reason));
                self.headline(Tone::Waits, &text);
            }
            EventBody::SessionResumed(resumed) => {
                let text = format!("▶ goes on: {}", line(&resumed.reason));
                self.headline(Tone::Accent, &text);
            }
            EventBody::PolicyExpired(_) => {
                self.headline(Tone::Bad, "✗ the policy has run out and could not be renewed");
            }
            EventBody::SessionFailed(failed) => {
                let text = format!("✗ the session broke: {}", line(&failed.error.message));
                self.headline(Tone::Bad, &text);
            }
            EventBody::SessionCompleted(_) => self.headline(Tone::Faint, "the session has ended"),
            _ => {}
        }
    }

    fn task_started(&mut self, started: &TaskStarted) {
        let model = model_words(&started.model);
        self.headline(Tone::Faint, &format!("Model: {model}"));
        for file in &started.instructions {
            self.row("", Tone::Faint, &format!("Instructions in force: {}", line(file)));
        }
    }

    fn answer_completed(&mut self, done: &LlmRequestCompleted) {
        let answer = self.answer.take().filter(|answer| answer.stream == done.stream_id);
        let answer = answer.unwrap_or_else(|| Answer::new(done.stream_id.clone()));
        let (rest, anew) = answer.rest(&done.text);
        if anew {
            self.row("  ", Tone::Faint, "(the answer, whole:)");
        }
        self.prose(rest.trim_end());
        self.close_line();
        self.last_answer.clone_from(&done.text);
        if done.finish_reason == "length" {
            self.row("  ", Tone::Waits, "! the model stopped at its longest answer");
        }
    }

    fn task_ended(&mut self, body: &EventBody) {
        self.speaking = None;
        self.calls.clear();
        match body {
            EventBody::TaskCompleted(done) => {
                if done.text.trim() != self.last_answer.trim() {
                    self.prose(done.text.trim());
                    self.close_line();
                }
                let tokens = done.usage.input_tokens.saturating_add(done.usage.output_tokens);
                let text =
                    format!("✓ Done in {}, {}", plural(done.steps.into(), "step"), plural(tokens, "token"));
                self.headline(Tone::Good, &text);
            }
            EventBody::TaskFailed(failed) => {
                let steps = plural(failed.steps.into(), "step");
                let text = format!("✗ Failed after {steps}: {}", line(&failed.error.message));
                self.headline(Tone::Bad, &text);
                self.row("  ", Tone::Faint, &format!("code: {}", failed.error.code));
            }
            EventBody::TaskCancelled(cancelled) => {
                let by = cancelled.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
                let steps = plural(cancelled.steps.into(), "step");
                self.headline(Tone::Waits, &format!("■ Cancelled{by} after {steps}"));
            }
            _ => {}
        }
    }
}

/// The model in words; the demo is named as what it is.
pub(crate) fn model_words(model: &ModelInfo) -> String {
    match model.demo {
        true => "demo — built in, no AI; it understands a handful of plain requests".to_owned(),
        false => format!("{} at {} ({})", line(&model.name), line(&model.endpoint), line(&model.source)),
    }
}
