//! The part of the timeline that is about calls: headline, question and answer, output, end.

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalRequest, Decision, RiskLevel};
use lanyard_protocol::event::{ApprovalResolved, PolicyDecided, PolicyVerdict, ToolCompleted, ToolRequested};
use lanyard_protocol::id::ToolCallId;
use lanyard_protocol::tool::ToolStatus;

use super::{MAX_SUMMARY_CHARS, Timeline};
use crate::render::approval::{approval, remember_words};
use crate::render::diff::change_word;
use crate::render::names::who;
use crate::render::paint::Tone;
use crate::render::span::{millis, plural};
use crate::render::streams::Output;
use crate::render::visible::{line, short_line};

/// Calls remembered at once; a step has few.
const MAX_CALLS: usize = 256;

/// What is said of a call whose effect nobody can tell.
const NOT_KNOWN: &str = "it is not known";

/// A call that has not ended.
#[derive(Debug)]
pub(super) struct CallView {
    pub(super) id: ToolCallId,
    pub(super) summary: String,
    pub(super) output: Output,
    /// It was told that, and why, this call does not run.
    refused: bool,
}

impl Timeline {
    /// The place of a call, remembered from now on.
    pub(super) fn call(&mut self, id: &ToolCallId, summary: &str) -> usize {
        if let Some(at) = self.calls.iter().position(|call| call.id == *id) {
            return at;
        }
        if self.calls.len() >= MAX_CALLS {
            self.calls.remove(0);
        }
        let summary = if summary.is_empty() { "a call that began before" } else { summary };
        self.calls.push(CallView {
            id: id.clone(),
            summary: short_line(summary, MAX_SUMMARY_CHARS),
            output: Output::default(),
            refused: false,
        });
        self.calls.len() - 1
    }

    /// Names the call again when the line above belongs to another.
    pub(super) fn under(&mut self, id: &ToolCallId) {
        if self.speaking.as_ref() == Some(id) {
            return;
        }
        let at = self.call(id, "");
        let summary = self.calls.get(at).map(|call| call.summary.clone()).unwrap_or_default();
        self.row("  ", Tone::Faint, &format!("→ {summary}"));
        self.speaking = Some(id.clone());
    }

    pub(super) fn tool_requested(&mut self, call: &ToolRequested) {
        let at = self.call(&call.tool_call_id, &call.summary);
        let summary = self.calls.get(at).map(|call| call.summary.clone()).unwrap_or_default();
        self.close_line();
        let risk = match call.risk_level {
            RiskLevel::Low | RiskLevel::Medium => String::new(),
            risk => self.paint.tone(Tone::Bad, &format!(" · {} risk", risk.as_str())),
        };
        let title = self.paint.tone(Tone::Strong, &summary);
        self.out.push_str(&format!("  → {title}{risk}\n"));
        self.speaking = Some(call.tool_call_id.clone());
    }

    /// Remembers that the refusal of a call was told.
    pub(super) fn refused(&mut self, id: &ToolCallId) {
        let at = self.call(id, "");
        if let Some(call) = self.calls.get_mut(at) {
            call.refused = true;
        }
    }

    pub(super) fn policy_decided(&mut self, decided: &PolicyDecided) {
        // What is allowed runs, what needs an approval is asked: both are seen anyway.
        if decided.verdict == PolicyVerdict::Denied {
            self.refused(&decided.tool_call_id);
            self.under(&decided.tool_call_id);
            let text = format!("✗ refused by the {} policy: {}", line(&decided.layer), line(&decided.reason));
            self.row("    ", Tone::Bad, &text);
        }
    }

    pub(super) fn question(&mut self, request: &ApprovalRequest, now: Timestamp) {
        self.under(&request.tool_call_id);
        let text = approval(self.paint, request, now, self.diff_lines);
        for row in text.lines() {
            self.out.push_str(&format!("    {row}\n"));
        }
    }

    pub(super) fn resolved(&mut self, resolved: &ApprovalResolved) {
        self.under(&resolved.tool_call_id);
        if resolved.answer.decision == Decision::Denied {
            self.refused(&resolved.tool_call_id);
        }
        let answer = &resolved.answer;
        let by = match resolved.by_rule {
            true => "by a remembered answer".to_owned(),
            false => format!("by {}", who(answer.decided_by.as_str())),
        };
        let reason = answer.reason.as_deref().map(|reason| format!(": {}", line(reason))).unwrap_or_default();
        let (tone, text) = match answer.decision {
            Decision::Approved => {
                (Tone::Good, format!("✓ approved {by} {}{reason}", remember_words(answer.remember)))
            }
            Decision::Denied => (Tone::Bad, format!("✗ denied {by}{reason}")),
        };
        self.row("    ", tone, &text);
    }

    pub(super) fn output_lines(&mut self, id: &ToolCallId, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        self.under(id);
        for text in lines {
            self.close_line();
            let bar = self.paint.tone(Tone::Faint, "│");
            self.out.push_str(&format!("    {bar} {text}\n"));
        }
    }

    pub(super) fn tool_completed(&mut self, done: &ToolCompleted) {
        let result = &done.result;
        let id = &result.tool_call_id;
        let at = self.call(id, &result.tool_name);
        let failed = matches!(result.status, ToolStatus::Failed | ToolStatus::Indeterminate);
        let mut output =
            self.calls.get_mut(at).map(|call| std::mem::take(&mut call.output)).unwrap_or_default();
        // Tools that do not stream show what they give the model.
        let mut lines = match (output.is_empty(), &result.output_text) {
            (true, Some(text)) => output.piece(text),
            _ => Vec::new(),
        };
        lines.extend(output.finish());
        self.output_lines(id, &lines);
        self.folded(id, &output, failed, result.artifact_uris.first());
        // A refusal that was told is not told twice.
        let told = result.status == ToolStatus::Denied
            && self.calls.iter().any(|call| call.id == *id && call.refused);
        if !told {
            self.under(id);
        }
        for change in &done.changes {
            let what = change_word(change.change);
            let path = line(&change.path);
            let text = format!("{what} {path} (+{} −{})", change.lines_added, change.lines_removed);
            self.row("    ", Tone::Strong, &text);
        }
        if !told {
            let (tone, text) = verdict(done);
            self.row("    ", tone, &text);
        }
        self.speaking = None;
        self.calls.retain(|call| call.id != *id);
    }

    fn folded(&mut self, id: &ToolCallId, output: &Output, failed: bool, artifact: Option<&String>) {
        if output.hidden() == 0 {
            return;
        }
        let tail: Vec<String> = if failed { output.tail().map(str::to_owned).collect() } else { Vec::new() };
        let left = output.hidden().saturating_sub(u64::try_from(tail.len()).unwrap_or(u64::MAX));
        let whole = artifact
            .and_then(|uri| uri.strip_prefix("artifact:"))
            .map(|artifact| format!(" · all of it: lanyard artifact {}", line(artifact)))
            .unwrap_or_default();
        if left > 0 {
            self.under(id);
            self.row("    ", Tone::Faint, &format!("… {}{whole}", plural(left, "more line")));
        }
        self.output_lines(id, &tail);
    }
}

/// How a call ended, in a line.
fn verdict(done: &ToolCompleted) -> (Tone, String) {
    let result = &done.result;
    let reason = result.error.as_ref().map(|error| line(&error.message).into_owned()).unwrap_or_default();
    let time = millis(done.duration_ms);
    let exit = done.exit_code.map(|code| format!("exit {code} · ")).unwrap_or_default();
    let again = if done.replayed { " · told again after a restart" } else { "" };
    match result.status {
        ToolStatus::Succeeded => (Tone::Good, format!("✓ {exit}{time}{again}")),
        // A program that fails by its exit code says no more than that.
        ToolStatus::Failed if done.exit_code.is_some_and(|code| reason == format!("exit code {code}")) => {
            (Tone::Bad, format!("✗ {exit}{time}{again}"))
        }
        ToolStatus::Failed => (Tone::Bad, format!("✗ {exit}{time} · {reason}{again}")),
        ToolStatus::Denied => (Tone::Bad, format!("✗ not run: {reason}")),
        ToolStatus::Cancelled => (Tone::Waits, format!("■ cancelled · {time}")),
        // The host's own words say it already; a tool's may not.
        ToolStatus::Indeterminate if reason.starts_with(NOT_KNOWN) => (Tone::Bad, format!("? {reason}")),
        ToolStatus::Indeterminate => (Tone::Bad, format!("? {NOT_KNOWN} whether this took effect: {reason}")),
    }
}
