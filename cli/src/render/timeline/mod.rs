//! A task as it runs: steps, answers, calls, outputs, questions and their answers, one below the other.
//!
//! Append only: what was written stays as it is. Parallel calls may take turns; a line that belongs to another call
//! than the one above it is preceded by that call's headline.

mod calls;
mod place;

use lanyard_protocol::Timestamp;
use lanyard_protocol::event::{EventBody, LlmRequestCompleted, SessionEvent, TaskStarted, TextDelta};
use lanyard_protocol::id::{StepId, ToolCallId};
use lanyard_protocol::session::ModelInfo;

use super::names::who;
use super::paint::{Paint, Tone};
use super::span::{millis, plural};
use super::streams::Answer;
use super::visible::{block, line, short_line};
use super::wrap::{Flow, wrapped};
use calls::CallView;
use place::{Held, Place};

/// Characters of a summary shown in a headline; the question and the history have the whole.
const MAX_SUMMARY_CHARS: usize = 200;

/// Stands before the words of the model.
const PROSE_INDENT: &str = "  ";

/// See the module.
#[derive(Debug)]
pub(crate) struct Timeline {
    paint: Paint,
    out: String,
    /// Columns of the terminal, where there is one.
    width: Option<usize>,
    prose: Flow,
    answer: Option<Answer>,
    /// Answers that were cut and those that go on with them, joined.
    last_answer: String,
    /// The last answer was cut at the model's limit.
    cut: bool,
    /// Where the durable events are.
    place: Place,
    /// Text that is ahead of them.
    held: Option<Held>,
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
            width: None,
            prose: Flow::new(PROSE_INDENT, None),
            answer: None,
            last_answer: String::new(),
            cut: false,
            place: Place::Unknown,
            held: None,
            calls: Vec::new(),
            speaking: None,
            diff_lines,
        }
    }

    /// Breaks long lines between words, to fit a number of columns.
    pub(crate) fn wide(mut self, width: Option<usize>) -> Self {
        self.width = width;
        self.prose = Flow::new(PROSE_INDENT, width);
        self
    }

    /// Text for a durable event.
    pub(crate) fn event(&mut self, event: &SessionEvent, now: Timestamp) -> String {
        self.place.passed(event);
        match &event.body {
            EventBody::TaskStarted(started) => self.task_started(started),
            EventBody::StepStarted(step) => {
                let title = format!("● Step {}", step.step_number);
                self.headline(Tone::Accent, &title);
                self.release(&step.step_id);
            }
            EventBody::LlmRequestCompleted(done) => self.answer_completed(done),
            EventBody::LlmRetry(retry) => {
                self.answer.take_if(|answer| answer.stream == retry.stream_id);
                let wait = millis(retry.delay_ms);
                let reason = short_line(&retry.error.message, MAX_SUMMARY_CHARS);
                let stop = if reason.ends_with(['.', '!', '?', '…']) { "" } else { "." };
                let next = retry.attempt.saturating_add(1);
                let text =
                    format!("↻ {reason}{stop} Trying again in {wait} ({next} of {}).", retry.max_attempts);
                self.row("  ", Tone::Waits, &text);
            }
            EventBody::ToolRequested(call) => self.tool_requested(call),
            EventBody::PolicyDecided(decided) => self.policy_decided(decided),
            EventBody::ApprovalRequested(asked) => self.question(&asked.approval, now),
            EventBody::ApprovalResolved(resolved) => self.resolved(resolved),
            EventBody::ApprovalExpired(expired) => {
                self.under(&expired.tool_call_id);
                self.refused(&expired.tool_call_id);
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
            EventBody::TextDelta(delta) => match &event.step_id {
                Some(step) if self.place.is_before(step) => Held::hold(&mut self.held, step, delta, missing),
                _ => self.text(delta, missing),
            },
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

    /// A piece of the answer that is being written.
    fn text(&mut self, delta: &TextDelta, missing: u64) {
        let fresh = self.answer.as_ref().is_none_or(|answer| answer.stream != delta.stream_id);
        if fresh {
            self.answer = Some(Answer::new(delta.stream_id.clone()));
        }
        let piece = self.answer.as_mut().map_or("", |answer| answer.piece(&delta.text, missing));
        self.prose(piece);
    }

    /// Shows what was held for the step that begins; what was held for another is void.
    fn release(&mut self, step: &StepId) {
        let Some(held) = self.held.take().filter(|held| held.step == *step) else { return };
        for (delta, missing) in held.pieces() {
            self.text(&delta, missing);
        }
    }

    fn close_line(&mut self) {
        self.prose.close(&mut self.out);
    }

    /// A line of its own; what does not fit goes on below, indented further.
    fn row(&mut self, indent: &str, tone: Tone, text: &str) {
        self.close_line();
        let room = self.width.map(|width| width.saturating_sub(indent.len() + PROSE_INDENT.len()));
        for (number, text) in wrapped(text, room).into_iter().enumerate() {
            let text = self.paint.tone(tone, text);
            let further = if number == 0 { "" } else { PROSE_INDENT };
            self.out.push_str(&format!("{indent}{further}{text}\n"));
        }
    }

    /// A line that begins something new.
    fn headline(&mut self, tone: Tone, text: &str) {
        self.speaking = None;
        self.row("", tone, text);
    }

    /// Words of the model, indented line by line, however they are cut into pieces.
    fn prose(&mut self, text: &str) {
        self.prose.piece(&block(text), &mut self.out);
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
        if !std::mem::replace(&mut self.cut, done.finish_reason == "length") {
            self.last_answer.clear();
        }
        self.last_answer.push_str(&done.text);
        if self.cut {
            self.row("  ", Tone::Waits, "! the model stopped at its longest answer");
        }
    }

    fn task_ended(&mut self, body: &EventBody) {
        self.speaking = None;
        self.calls.clear();
        self.cut = false;
        match body {
            EventBody::TaskCompleted(done) => {
                let whole = done.text.trim();
                // What the host adds below an answer stands on a line of its own.
                let added = whole
                    .strip_prefix(self.last_answer.trim())
                    .filter(|added| added.is_empty() || added.starts_with('\n'));
                self.prose(added.unwrap_or(whole).trim());
                self.close_line();
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
                let by =
                    cancelled.by.as_ref().map(|by| format!(" by {}", who(by.as_str()))).unwrap_or_default();
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
