//! What happens on several hosts, one line each.

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ApprovalRecord, RiskLevel};
use lanyard_protocol::device::PairingEnd;
use lanyard_protocol::event::{HostEvent, HostEventBody};
use lanyard_protocol::session::SessionSummary;

use super::approval::countdown;
use super::lists::{pad, state_words};
use super::paint::{Paint, Tone};
use super::visible::{line, marked_line, short_line};

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
    /// A sentence for the person.
    Notice(&'a str),
    /// The host is not watched any more.
    Over(&'a str),
    /// Something happened; with the command that answers it.
    Event(&'a HostEvent, Option<String>),
    /// A question that waited already; with the command that answers it.
    Waiting(&'a ApprovalRecord, String),
}

/// A session's state and name, without what changes all the time.
pub(crate) fn watched_session(session: &SessionSummary) -> String {
    let (_, state) = state_words(session.state, session.pending_approvals, session.last_task.as_ref());
    format!("{state} {}", session.name)
}

/// The line, and a second one with the command where there is one to give. Empty for what is of no interest here.
pub(crate) fn watch_line(paint: Paint, host: &str, what: &WatchLine<'_>, now: Timestamp) -> String {
    let (text, command) = match what {
        WatchLine::Reached => (paint.tone(Tone::Good, "reached"), None),
        WatchLine::Away => (paint.tone(Tone::Waits, "went away; trying again"), None),
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
            let (tone, state) =
                state_words(session.state, session.pending_approvals, session.last_task.as_ref());
            let name = short_line(&session.name, NAME_CHARS);
            format!("{}  {}  {name}", session.session_id, paint.tone(tone, &state))
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
        HostEventBody::HostStopping(_) => paint.tone(Tone::Waits, "is stopping"),
    })
}

#[cfg(test)]
mod tests {
    use super::{WatchLine, watch_line};
    use crate::render::Paint;
    use crate::render::samples::{at, command_request};
    use lanyard_protocol::approval::{ApprovalRecord, ApprovalState};
    use lanyard_protocol::event::{
        ApprovalPending, HostEvent, HostEventBody, HostKeyChanged, PairingWindowChanged,
    };
    use lanyard_protocol::id::HostId;

    fn shown(what: &WatchLine<'_>) -> String {
        watch_line(Paint::PLAIN, "nas", what, at())
    }

    fn event(body: HostEventBody) -> HostEvent {
        HostEvent { host_seq: 1, timestamp: at(), body }
    }

    #[test]
    fn lines_word_for_word() {
        assert_eq!(shown(&WatchLine::Reached), "15:04:22  nas           reached\n");
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
