//! One call of a tool, from the model's wish to its result.

use std::sync::Arc;

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalAnswer, Decision, RiskLevel};
use lanyard_protocol::event::{FileChange, PolicyDecided, PolicyVerdict, ToolCompleted, ToolRequested};
use lanyard_protocol::id::{ApprovalId, ArtifactId, PrincipalId};
use lanyard_protocol::policy::{Capability, Remember, SandboxLevel};
use lanyard_protocol::tool::ToolStatus;

use super::told::Told;
use crate::ansi::{Keep, Line, Screen};
use crate::visible::{Marks, block, line};

/// Lines of output shown before it is unfolded, running or done: the box does not change its height when a call ends.
pub const FOLD_LINES: usize = 10;

/// Characters of a headline; the question and the result have the whole.
const MAX_SUMMARY_CHARS: usize = 300;

/// Files named under a call; one that changes more says how many.
pub const MAX_CHANGES: usize = 50;

/// How a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// Asked for, not judged yet.
    Planned,
    /// Waits for a person.
    Asks,
    /// Runs.
    Running,
    /// Did what was asked.
    Done,
    /// Ran and failed.
    Failed,
    /// Refused by policy, a person, or the deadline.
    Denied,
    /// Stopped before it ended, or never begun.
    Cancelled,
    /// The host stopped while it ran: nobody knows.
    Unknown,
}

/// A question put to a person about this call.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Which.
    pub approval_id: ApprovalId,
    /// "Run this command?"
    pub title: String,
    /// How much harm it could do.
    pub risk: RiskLevel,
    /// Counts as denied after this instant.
    pub deadline: Timestamp,
}

/// How the question ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolution {
    /// Somebody, or a remembered answer, decided.
    Answered {
        /// The decision.
        decision: Decision,
        /// How long it holds.
        remember: Remember,
        /// Who.
        by: PrincipalId,
        /// Nobody was asked just now.
        by_rule: bool,
        /// In that person's own words.
        reason: Option<String>,
    },
    /// Nobody answered in time.
    Expired,
}

/// What became of the call.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// How it ended.
    pub status: ToolStatus,
    /// Exit code of a program.
    pub exit_code: Option<i32>,
    /// Milliseconds it ran.
    pub duration_ms: u64,
    /// How it really was confined.
    pub sandbox: SandboxLevel,
    /// Files it changed, at most [`MAX_CHANGES`].
    pub changes: Vec<FileChange>,
    /// Lines added in all of them.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
    /// Files changed beyond those named.
    pub more_changes: usize,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// Where the whole output is kept.
    pub artifact: Option<ArtifactId>,
    /// Told again after a restart.
    pub replayed: bool,
}

/// What of the output is at hand.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Output {
    /// At most [`FOLD_LINES`].
    pub folded: Arc<[Line]>,
    /// Lines beyond those.
    pub hidden: usize,
    /// The folded lines are the last ones, not the first.
    pub tail: bool,
    /// What the result holds of it; none when it was dropped to save memory, [`Call::result_seq`] says where it is.
    pub kept: Option<Arc<str>>,
    /// Pieces were missed; the result will hold all of it.
    pub incomplete: bool,
}

impl Output {
    /// Nothing was said.
    pub fn is_empty(&self) -> bool {
        self.folded.is_empty() && self.hidden == 0
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Call {
    pub(super) requested: Told<Asked>,
    pub(super) policy: Told<PolicyDecided>,
    pub(super) question: Told<Question>,
    pub(super) resolution: Told<Resolution>,
    pub(super) finished: Told<Finished>,
    /// The end of its task was told.
    pub(super) over: bool,
    /// Output as it streams.
    pub(super) live: Option<Box<Screen>>,
    /// What is shown of the output.
    pub output: Output,
}

/// What the model asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    tool: String,
    summary: String,
    risk: RiskLevel,
    reads: bool,
}

impl Call {
    /// How it stands.
    pub fn state(&self) -> CallState {
        if let Some(finished) = self.finished.get() {
            return match finished.status {
                ToolStatus::Succeeded => CallState::Done,
                ToolStatus::Failed => CallState::Failed,
                ToolStatus::Denied => CallState::Denied,
                ToolStatus::Cancelled => CallState::Cancelled,
                ToolStatus::Indeterminate => CallState::Unknown,
            };
        }
        let (policy, asked, answered) = (self.policy.seq(), self.question.seq(), self.resolution.seq());
        let latest = policy.max(asked).max(answered);
        let state = if latest == 0 {
            if self.live.is_some() { CallState::Running } else { CallState::Planned }
        } else if latest == answered {
            match self.resolution.get() {
                Some(Resolution::Answered { decision: Decision::Approved, .. }) => CallState::Running,
                _ => CallState::Denied,
            }
        } else if latest == asked {
            CallState::Asks
        } else {
            match self.policy.get().map(|decided| decided.verdict) {
                Some(PolicyVerdict::Allowed) => CallState::Running,
                Some(PolicyVerdict::Denied) => CallState::Denied,
                _ => CallState::Planned,
            }
        };
        match state {
            CallState::Planned | CallState::Asks | CallState::Running if self.over => CallState::Cancelled,
            state => state,
        }
    }

    /// What it does, in a line.
    pub fn summary(&self) -> &str {
        self.requested.get().map_or("a call that began earlier", |asked| &asked.summary)
    }

    /// The tool.
    pub fn tool(&self) -> Option<&str> {
        self.requested.get().map(|asked| asked.tool.as_str())
    }

    /// How much harm it could do.
    pub fn risk(&self) -> Option<RiskLevel> {
        self.requested.get().map(|asked| asked.risk)
    }

    /// It only looks at files, and did: what it has read is seldom worth the room.
    pub fn is_quiet(&self) -> bool {
        self.state() == CallState::Done && self.requested.get().is_some_and(|asked| asked.reads)
    }

    /// What policy said: the layer and its reason, when it refused.
    pub fn refusal(&self) -> Option<(&str, &str)> {
        let decided = self.policy.get().filter(|decided| decided.verdict == PolicyVerdict::Denied)?;
        Some((&decided.layer, &decided.reason))
    }

    /// The question put about it, answered or not.
    pub fn question(&self) -> Option<&Question> {
        self.question.get()
    }

    /// The question that waits now.
    pub fn waiting(&self) -> Option<&Question> {
        self.question().filter(|_| self.state() == CallState::Asks)
    }

    /// How the question ended.
    pub fn resolution(&self) -> Option<&Resolution> {
        self.resolution.get().filter(|_| self.resolution.seq() > self.question.seq())
    }

    /// What became of it.
    pub fn finished(&self) -> Option<&Finished> {
        self.finished.get()
    }

    /// Number of the event that holds its result, to be asked for again with `GetHistory`; 0 while there is none.
    pub fn result_seq(&self) -> u64 {
        self.finished.seq()
    }

    pub(super) fn tell_requested(&mut self, seq: u64, event: &ToolRequested) {
        // The host has marked it already.
        let summary = cut(&event.summary, MAX_SUMMARY_CHARS, Marks::Written);
        let reads = event.capability == Some(Capability::FileRead);
        let asked = Asked { tool: short(&event.tool_name, 100), summary, risk: event.risk_level, reads };
        self.requested.tell(seq, asked);
    }

    pub(super) fn tell_policy(&mut self, seq: u64, event: &PolicyDecided) {
        let shown = |text: &str| line(text, Marks::Missing).into_owned();
        let decided =
            PolicyDecided { layer: shown(&event.layer), reason: shown(&event.reason), ..event.clone() };
        self.policy.tell(seq, decided);
    }

    pub(super) fn tell_answer(&mut self, seq: u64, answer: &ApprovalAnswer, by_rule: bool) {
        let reason = answer.reason.as_deref().map(|reason| line(reason, Marks::Missing).into_owned());
        let (decision, remember, by) = (answer.decision, answer.remember, answer.decided_by.clone());
        self.resolution.tell(seq, Resolution::Answered { decision, remember, by, by_rule, reason });
    }

    pub(super) fn tell_finished(&mut self, seq: u64, event: &ToolCompleted) {
        let result = &event.result;
        let total = |count: fn(&FileChange) -> u32| {
            event.changes.iter().fold(0, |sum: u32, change| sum.saturating_add(count(change)))
        };
        let named = event.changes.iter().take(MAX_CHANGES).map(|change| {
            let path = line(&change.path, Marks::Missing).into_owned();
            FileChange { path, ..change.clone() }
        });
        let artifact =
            result.artifact_uris.first().and_then(|uri| ArtifactId::new(uri.strip_prefix("artifact:")?).ok());
        let finished = Finished {
            status: result.status,
            exit_code: event.exit_code,
            duration_ms: event.duration_ms,
            sandbox: event.sandbox_level,
            changes: named.collect(),
            added: total(|change| change.lines_added),
            removed: total(|change| change.lines_removed),
            more_changes: event.changes.len().saturating_sub(MAX_CHANGES),
            error: result.error.as_ref().map(|error| block(&error.message, Marks::Missing).into_owned()),
            artifact,
            replayed: event.replayed,
        };
        if seq < self.finished.seq() {
            return;
        }
        self.finished.tell(seq, finished);
        self.live = None;
        // What a program has to say, it says at its end; what other tools give begins with what matters.
        let keep = if event.exit_code.is_some() { Keep::Last(FOLD_LINES) } else { Keep::First(FOLD_LINES) };
        let text = result.output_text.as_deref().unwrap_or_default();
        let mut screen = Screen::new(keep);
        screen.push(text);
        self.show(&screen, event.exit_code.is_some());
        self.output.kept = Some(text).filter(|text| !text.is_empty()).map(Arc::from);
        self.output.incomplete = false;
    }

    /// A piece of output as it streams.
    pub(super) fn piece(&mut self, text: &str, missing: u64) {
        if self.finished.get().is_some() {
            return;
        }
        let mut screen = self.live.take().unwrap_or_else(|| Box::new(Screen::new(Keep::Last(FOLD_LINES))));
        screen.push(text);
        self.output.incomplete |= missing > 0;
        self.show(&screen, true);
        self.live = Some(screen);
    }

    fn show(&mut self, screen: &Screen, tail: bool) {
        self.output.folded = screen.lines().into();
        self.output.hidden = screen.hidden();
        self.output.tail = tail;
    }

    /// Bytes kept of the output beyond what is shown folded.
    pub(super) fn kept_bytes(&self) -> usize {
        self.output.kept.as_ref().map_or(0, |kept| kept.len())
    }

    /// Drops the output but for its folded lines; returns the bytes freed.
    pub(super) fn drop_output(&mut self) -> usize {
        self.output.kept.take().map_or(0, |kept| kept.len())
    }
}

/// One line of foreign text, cut to a number of characters.
pub(super) fn short(text: &str, most: usize) -> String {
    cut(text, most, Marks::Missing)
}

fn cut(text: &str, most: usize, marks: Marks) -> String {
    match text.char_indices().nth(most) {
        None => line(text, marks).into_owned(),
        Some((cut, _)) => format!("{}…", line(&text[..cut], marks)),
    }
}
