//! Lists of sessions, approvals and rules, and one session in full.

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalRecord, ApprovalState, Decision, RememberedRule, RiskLevel};
use lanyard_protocol::method::SessionSnapshot;
use lanyard_protocol::session::{SessionState, SessionSummary, TaskState, TaskSummary};

use super::approval::{countdown, remember_words};
use super::names::who;
use super::paint::{Paint, Tone, width_of};
use super::span::{ago, plural};
use super::timeline::model_words;
use super::visible::{line, marked_line, short_line};
use super::wrap::cut;

/// Characters of a name shown in a list.
const MAX_NAME_CHARS: usize = 72;

/// Columns of a session's state and of its age.
const STATE_COLUMNS: usize = 20;
const WHEN_COLUMNS: usize = 12;

/// Columns a name gets at least, however narrow the terminal.
const MIN_NAME_COLUMNS: usize = 12;

/// Pads to a number of columns.
pub(super) fn pad(text: &str, columns: usize) -> String {
    let width: usize = text.chars().map(width_of).sum();
    format!("{text}{}", " ".repeat(columns.saturating_sub(width)))
}

/// The state of a session in words, and how it is shown.
pub(super) fn state_words(state: SessionState, waiting: u32, last: Option<&TaskSummary>) -> (Tone, String) {
    if waiting > 0 {
        return (Tone::Waits, format!("waits for {}", plural(waiting.into(), "approval")));
    }
    match state {
        SessionState::WaitingForApproval => (Tone::Waits, "waits for approval".to_owned()),
        SessionState::WaitingForLlm => (Tone::Accent, "thinking".to_owned()),
        SessionState::WaitingForTool => (Tone::Accent, "running".to_owned()),
        SessionState::SessionPaused => (Tone::Waits, "paused".to_owned()),
        SessionState::SessionCompleted => (Tone::Faint, "ended".to_owned()),
        SessionState::SessionFailed => (Tone::Bad, "broken".to_owned()),
        SessionState::SessionCancelled => (Tone::Faint, "cancelled".to_owned()),
        SessionState::SessionCreated | SessionState::SessionRunning => match last.map(|task| task.state) {
            None => (Tone::Faint, "new".to_owned()),
            Some(TaskState::Running) => (Tone::Accent, "running".to_owned()),
            Some(TaskState::Completed) => (Tone::Good, "done".to_owned()),
            Some(TaskState::Failed) => (Tone::Bad, "failed".to_owned()),
            Some(TaskState::Cancelled) => (Tone::Faint, "cancelled".to_owned()),
        },
    }
}

/// Sessions, one a line, cut to `width` columns.
pub(crate) fn sessions(
    paint: Paint,
    sessions: &[SessionSummary],
    width: Option<usize>,
    now: Timestamp,
) -> String {
    if sessions.is_empty() {
        return "No sessions yet. Start one in the directory you are in, for example:\n  \
                lanyard run \"what is in this folder?\"\n  \
                lanyard run \"summarise README.md\"\n  \
                lanyard run \"run the tests\"\n"
            .to_owned();
    }
    let widest = sessions.iter().map(|session| session.session_id.as_str().len()).max().unwrap_or_default();
    let before_name = widest + STATE_COLUMNS + WHEN_COLUMNS + 6;
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(before_name).max(MIN_NAME_COLUMNS));
    let rows = sessions.iter().map(|session| {
        let (tone, state) = state_words(session.state, session.pending_approvals, session.last_task.as_ref());
        let state = paint.tone(tone, &pad(&state, STATE_COLUMNS));
        let when = pad(&ago(session.updated_at, now), WHEN_COLUMNS);
        let name = if session.name.is_empty() { "(no prompt yet)" } else { session.name.as_str() };
        let name = cut(&short_line(name, MAX_NAME_CHARS), room);
        format!("{}  {state}  {when}  {name}\n", pad(session.session_id.as_str(), widest))
    });
    rows.collect()
}

/// One session in full.
pub(crate) fn session(paint: Paint, session: &SessionSnapshot, now: Timestamp) -> String {
    let name = if session.name.is_empty() { "(no prompt yet)" } else { session.name.as_str() };
    let mut shown = format!("{}\n", paint.tone(Tone::Strong, &line(name)));
    let waiting = u32::try_from(session.pending_approvals.len()).unwrap_or(u32::MAX);
    let (tone, state) = state_words(session.state, waiting, session.last_task.as_ref());
    let mut row = |label: &str, text: &str| shown.push_str(&format!("  {} {text}\n", pad(label, 11)));
    row("session", session.session_id.as_str());
    row("state", &paint.tone(tone, &state));
    for root in &session.workspace_roots {
        row("workspace", &line(root));
    }
    row("model", &model_words(&session.model));
    row("tokens", &plural(session.tokens_used, "token"));
    if let Some(task) = &session.last_task {
        let steps = plural(task.steps.into(), "step");
        row("last task", &format!("{} · {steps} · {}", task.task_id, ago(task.started_at, now)));
        row("prompt", &line(&task.prompt));
        if let Some(error) = &task.error {
            row("error", &paint.tone(Tone::Bad, &line(&error.message)));
        }
    }
    if !session.pending_approvals.is_empty() {
        shown.push_str(&approvals(paint, &session.pending_approvals, now));
    }
    shown
}

/// Questions, one a line.
pub(crate) fn approvals(paint: Paint, records: &[ApprovalRecord], now: Timestamp) -> String {
    if records.is_empty() {
        return "Nothing waits for approval.\n".to_owned();
    }
    let rows = records.iter().map(|record| {
        let request = &record.request;
        let (tone, state) = match (record.state, &record.answer) {
            (ApprovalState::Pending, _) => {
                (Tone::Waits, format!("{} left", countdown(request.deadline, now)))
            }
            (ApprovalState::Approved, Some(answer)) => {
                (Tone::Good, format!("approved by {}", who(answer.decided_by.as_str())))
            }
            (ApprovalState::Denied, Some(answer)) => {
                (Tone::Bad, format!("denied by {}", who(answer.decided_by.as_str())))
            }
            (ApprovalState::Approved, None) => (Tone::Good, "approved".to_owned()),
            (ApprovalState::Denied, None) => (Tone::Bad, "denied".to_owned()),
            (ApprovalState::Expired, _) => (Tone::Bad, "not answered in time".to_owned()),
            (ApprovalState::Cancelled, _) => (Tone::Faint, "no longer needed".to_owned()),
        };
        let risk = pad(request.risk_level.as_str(), 8);
        let risk = if request.risk_level >= RiskLevel::High { paint.tone(Tone::Bad, &risk) } else { risk };
        let what = marked_line(&request.action_summary);
        let state = paint.tone(tone, &pad(&state, 18));
        format!("{}\n  {state} {risk} {what}\n  session {}\n", request.approval_id, request.session_id)
    });
    rows.collect()
}

/// Remembered answers, one a line.
pub(crate) fn rules(paint: Paint, rules: &[RememberedRule], now: Timestamp) -> String {
    if rules.is_empty() {
        return "No answer is remembered.\n".to_owned();
    }
    let rows = rules.iter().map(|rule| {
        let how_long = match (&rule.session_id, &rule.task_id) {
            (_, Some(task)) => format!("{} ({task})", remember_words(rule.remember)),
            (Some(session), None) => format!("{} ({session})", remember_words(rule.remember)),
            (None, None) => remember_words(rule.remember).to_owned(),
        };
        let head = paint.tone(Tone::Strong, rule.rule_id.as_str());
        let scope = line(&rule.scope_text);
        let by = who(rule.created_by.as_str());
        format!("{head}  {how_long}\n  {scope}\n  by {by}, {}\n", ago(rule.created_at, now))
    });
    rows.collect()
}

/// The answer that counted, in words.
pub(crate) fn decision_words(decision: Decision) -> &'static str {
    match decision {
        Decision::Approved => "approved",
        Decision::Denied => "denied",
    }
}
