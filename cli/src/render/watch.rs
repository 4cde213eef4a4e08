//! What happens on several hosts, one line each.

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalRecord, RiskLevel};
use lanyard_protocol::device::PairingEnd;
use lanyard_protocol::event::{HostEvent, HostEventBody};
use lanyard_protocol::session::{SessionState, SessionSummary, TaskState};

use super::approval::countdown;
use super::lists::pad;
use super::paint::{Paint, Tone};
use super::visible::{line, marked_line, short_line};
use crate::host::Renewal;

/// Columns of a host's name; longer ones move their line.
const HOST_COLUMNS: usize = 12;

/// Characters of a session's name.
const NAME_CHARS: usize = 48;

/// What there is to tell.
#[derive(Debug)]
pub(crate) enum WatchLine<'a> {
    /// The host was reached.
    Reached,
    /// The connection broke.
    Away,
    /// The host has asked this device to come back.
    Renewing(Renewal),
    /// A sentence for the person.
    Notice(&'a str),
    /// The host is not watched any more.
    Over(&'a str),
    /// Something happened; with the command that answers it.
    Event(&'a HostEvent, Option<String>),
    /// A question that waited already; with the command that answers it.
    Waiting(&'a ApprovalRecord, String),
}

/// The state of a session as far as a person follows it: thinking and running take turns with every step, and both are
/// work. `None` for a session nobody has given anything to do.
pub(crate) fn watched_session(session: &SessionSummary) -> Option<(Tone, &'static str)> {
    let last = session.last_task.as_ref().map(|task| task.state);
    Some(match session.state {
        _ if session.pending_approvals > 0 => (Tone::Waits, "waits for approval"),
        SessionState::WaitingForApproval => (Tone::Waits, "waits for approval"),
        SessionState::WaitingForLlm | SessionState::WaitingForTool => (Tone::Accent, "working"),
        SessionState::SessionPaused => (Tone::Waits, "paused"),
        SessionState::SessionCompleted => (Tone::Faint, "ended"),
        SessionState::SessionFailed => (Tone::Bad, "broken"),
        SessionState::SessionCancelled => (Tone::Faint, "cancelled"),
        SessionState::SessionCreated | SessionState::SessionRunning => match last {
            None if session.name.is_empty() => return None,
            None => (Tone::Faint, "new"),
            Some(TaskState::Running) => (Tone::Accent, "working"),
            Some(TaskState::Completed) => (Tone::Good, "done"),
            Some(TaskState::Failed) => (Tone::Bad, "failed"),
            Some(TaskState::Cancelled) => (Tone::Faint, "cancelled"),
        },
    })
}

/// The line, and a second one with the command where there is one to give. Empty for what is of no interest here.
pub(crate) fn watch_line(paint: Paint, host: &str, what: &WatchLine<'_>, now: Timestamp) -> String {
    let (text, command) = match what {
        WatchLine::Reached => (paint.tone(Tone::Good, "reached"), None),
        WatchLine::Away => (paint.tone(Tone::Waits, "went away; trying again"), None),
        WatchLine::Renewing(what) => {
            (paint.tone(Tone::Waits, &format!("{}; connecting again", what.words())), None)
        }
        WatchLine::Notice(text) => (line(text).into_owned(), None),
        WatchLine::Over(why) => {
            (paint.tone(Tone::Bad, &format!("not watched any more: {}", line(why))), None)
        }
        WatchLine::Event(event, command) => match event_words(paint, &event.body, now) {
            Some(text) => (text, command.as_deref()),
            None => return String::new(),
        },
        WatchLine::Waiting(record, command) => {
            let asked = &record.request;
            (
                question(paint, &asked.action_summary, asked.risk_level, asked.deadline, now),
                Some(command.as_str()),
            )
        }
    };
    let clock: String = now.to_string().chars().skip(11).take(8).collect();
    let mut shown = format!("{}  {}  {text}\n", paint.tone(Tone::Faint, &clock), pad(host, HOST_COLUMNS));
    if let Some(command) = command {
        shown.push_str(&format!(
            "{:10}{}  → {}\n",
            "",
            pad("", HOST_COLUMNS),
            paint.tone(Tone::Accent, command)
        ));
    }
    shown
}

fn question(paint: Paint, what: &str, risk: RiskLevel, deadline: Timestamp, now: Timestamp) -> String {
    let left = countdown(deadline, now);
    let title = paint.tone(Tone::Waits, "? waits for approval");
    format!("{title} ({}, {left}): {}", risk.as_str(), marked_line(what))
}

/// What happened, in words; `None` for what nobody waits to hear.
fn event_words(paint: Paint, body: &HostEventBody, now: Timestamp) -> Option<String> {
    Some(match body {
        HostEventBody::SessionChanged(changed) => {
            let session = &changed.session;
            let (tone, state) = watched_session(session)?;
            let name = short_line(&session.name, NAME_CHARS);
            format!("{}  {}  {name}", session.session_id, paint.tone(tone, state))
        }
        HostEventBody::SessionDeleted(gone) => format!("{}  deleted", gone.session_id),
        HostEventBody::ApprovalPending(asked) => {
            question(paint, &asked.action_summary, asked.risk_level, asked.deadline, now)
        }
        HostEventBody::ApprovalSettled(settled) => {
            paint.tone(Tone::Faint, &format!("approval {} is settled", settled.approval_id))
        }
        HostEventBody::PairingRequested(_) => paint.tone(Tone::Waits, "? a device asks to be paired"),
        HostEventBody::PairingSettled(settled) => match settled.end {
            PairingEnd::Approved => "a device was paired".to_owned(),
            PairingEnd::Denied => "a device was turned away".to_owned(),
            PairingEnd::Expired => "nobody answered a device in time".to_owned(),
        },
        HostEventBody::PairingWindowChanged(window) => {
            let state = if window.open { "open" } else { "closed" };
            format!("pairing window {state}: {}", line(&window.reason))
        }
        // Devices come and go; `lanyard devices` shows them.
        HostEventBody::DeviceChanged(_) => return None,
        HostEventBody::DeviceRemoved(gone) => format!("device {} is paired no more", gone.device_id),
        HostEventBody::HostKeyChanged(changed) => format!("has new keys; its id is now {}", changed.host_id),
        HostEventBody::CentralChanged(changed) => {
            format!("stands otherwise with its central services: {}", line(&changed.reason))
        }
        HostEventBody::HostStopping(_) => paint.tone(Tone::Waits, "is stopping"),
    })
}

#[cfg(test)]
mod tests {
    use super::{WatchLine, watch_line, watched_session};
    use crate::host::Renewal;
    use crate::render::Paint;
    use crate::render::samples::{at, command_request};
    use lanyard_protocol::approval::{ApprovalRecord, ApprovalState};
    use lanyard_protocol::event::{
        ApprovalPending, HostEvent, HostEventBody, HostKeyChanged, PairingWindowChanged, SessionChanged,
    };
    use lanyard_protocol::id::{HostId, SessionId, TaskId, WorkspaceId};
    use lanyard_protocol::session::{SessionState, SessionSummary, TaskState, TaskSummary, WorkspaceScope};

    fn shown(what: &WatchLine<'_>) -> String {
        watch_line(Paint::PLAIN, "nas", what, at())
    }

    fn event(body: HostEventBody) -> HostEvent {
        HostEvent { host_seq: 1, timestamp: at(), body }
    }

    #[test]
    fn lines_word_for_word() {
        assert_eq!(shown(&WatchLine::Reached), "15:04:22  nas           reached\n");
        assert_eq!(
            shown(&WatchLine::Renewing(Renewal::Rights)),
            "15:04:22  nas           This device's rights were changed on the host; connecting again\n"
        );
        assert!(
            shown(&WatchLine::Renewing(Renewal::Keys)).contains("The host has new keys; connecting again")
        );
        assert_eq!(shown(&WatchLine::Notice("a\u{1b}")), "15:04:22  nas           a⟦U+001B⟧\n");
        let asked = command_request();
        let pending = event(HostEventBody::ApprovalPending(ApprovalPending {
            session_id: asked.session_id.clone(),
            approval_id: asked.approval_id.clone(),
            action_summary: asked.action_summary.clone(),
            risk_level: asked.risk_level,
            deadline: asked.deadline,
        }));
        let expected = "\
15:04:22  nas           ? waits for approval (high, 5:00): cargo test -p x
                        → lanyard --host nas approve apr1
";
        let command = || "lanyard --host nas approve apr1".to_owned();
        assert_eq!(shown(&WatchLine::Event(&pending, Some(command()))), expected);
        let record =
            ApprovalRecord { request: asked, state: ApprovalState::Pending, answer: None, receipts: vec![] };
        assert_eq!(shown(&WatchLine::Waiting(&record, command())), expected);
    }

    fn session(state: SessionState, task: Option<TaskState>) -> SessionSummary {
        let last_task = task.map(|state| TaskSummary {
            task_id: TaskId::new("t1").unwrap(),
            prompt: "do it".into(),
            state,
            started_at: at(),
            ended_at: None,
            steps: 1,
            error: None,
        });
        SessionSummary {
            session_id: SessionId::new("s1").unwrap(),
            workspace_id: WorkspaceId::new("w1").unwrap(),
            workspace_scope: WorkspaceScope::Local,
            workspace_roots: Vec::new(),
            name: if last_task.is_some() { "do it".into() } else { String::new() },
            state,
            last_task,
            pending_approvals: 0,
            last_seq: 1,
            created_at: at(),
            updated_at: at(),
        }
    }

    #[test]
    fn a_session_is_in_few_states_for_who_watches() {
        let running = Some(TaskState::Running);
        let words = |session: &SessionSummary| watched_session(session).map(|(_, words)| words);
        let of = |state, task| words(&session(state, task));
        assert_eq!(of(SessionState::SessionCreated, None), None, "nobody has given it anything to do");
        for state in [SessionState::SessionRunning, SessionState::WaitingForLlm, SessionState::WaitingForTool]
        {
            assert_eq!(of(state, running), Some("working"), "{state:?}");
        }
        assert_eq!(of(SessionState::SessionPaused, running), Some("paused"));
        assert_eq!(of(SessionState::SessionRunning, Some(TaskState::Completed)), Some("done"));
        let mut asks = session(SessionState::WaitingForTool, running);
        for pending in [1, 2] {
            asks.pending_approvals = pending;
            assert_eq!(words(&asks), Some("waits for approval"), "how many changes nothing");
        }
        let changed = |session| event(HostEventBody::SessionChanged(SessionChanged { session }));
        let new = changed(session(SessionState::SessionCreated, None));
        assert_eq!(shown(&WatchLine::Event(&new, None)), "");
        let works = changed(session(SessionState::WaitingForLlm, running));
        let line = "15:04:22  nas           s1  working  do it\n";
        assert_eq!(shown(&WatchLine::Event(&works, None)), line);
    }

    #[test]
    fn foreign_text_is_harmless() {
        let window = PairingWindowChanged { open: true, reason: "\u{1b}[2J".into() };
        let window = event(HostEventBody::PairingWindowChanged(window));
        assert!(shown(&WatchLine::Event(&window, None)).contains("open: ⟦U+001B⟧[2J"));
        let keys = HostKeyChanged { host_id: HostId::new("h2").unwrap() };
        let keys = event(HostEventBody::HostKeyChanged(keys));
        assert!(shown(&WatchLine::Event(&keys, None)).contains("its id is now h2"));
        assert!(shown(&WatchLine::Over("\u{1b}")).contains("⟦U+001B⟧"));
    }
}
