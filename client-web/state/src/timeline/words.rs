//! What is said of calls, notes and ends.

use lanyard_protocol::Timestamp;
use lanyard_protocol::approval::{ChangeKind, Decision};
use lanyard_protocol::event::FileChange;
use lanyard_protocol::id::PrincipalId;
use lanyard_protocol::policy::{Remember, SandboxLevel};

use super::{Call, CallState, End, Ending, Finished, Note, Resolution};
use crate::approvals::words::{Names, remembered};
use crate::words::{count, sandbox, span, thousands};

/// What is said of a call whose effect nobody can tell.
const NOT_KNOWN: &str = "it is not known";

/// The state of a call in a word, for screen readers.
pub fn state(state: CallState) -> &'static str {
    match state {
        CallState::Planned => "planned",
        CallState::Asks => "asks",
        CallState::Running => "runs",
        CallState::Done => "done",
        CallState::Failed => "failed",
        CallState::Denied => "denied",
        CallState::Cancelled => "cancelled",
        CallState::Unknown => "outcome unknown",
    }
}

/// Who that is, as far as the page knows; before it knows itself, "somebody".
fn who(names: Option<&Names>, id: &PrincipalId) -> String {
    names.map_or_else(|| "somebody".to_owned(), |names| names.who(id))
}

/// What is known of a call beside its headline, in the order it is shown.
pub fn facts(call: &Call, names: Option<&Names>) -> Vec<String> {
    let mut facts = Vec::new();
    match call.state() {
        CallState::Planned => facts.push("planned".to_owned()),
        CallState::Asks => facts.push("waits for an answer".to_owned()),
        CallState::Running => facts.push("runs".to_owned()),
        CallState::Denied => facts.push(denied(call, names)),
        CallState::Cancelled => facts.push("cancelled".to_owned()),
        CallState::Done | CallState::Failed | CallState::Unknown => {}
    }
    if let Some(finished) = call.finished() {
        facts.extend(finished_facts(call.state(), finished));
    }
    if call.state() != CallState::Denied {
        facts.extend(approved(call, names));
    }
    // Its line is there in any case: what a call says of itself must not move what is below it.
    if facts.is_empty() {
        facts.push(state(call.state()).to_owned());
    }
    facts
}

fn finished_facts(state: CallState, finished: &Finished) -> Vec<String> {
    let mut facts = Vec::new();
    let reason = finished.error.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    match state {
        CallState::Failed => {
            if let Some(code) = finished.exit_code {
                facts.push(format!("exit {code}"));
            }
            // A program that fails by its exit code says no more than that.
            let told = finished.exit_code.map(|code| format!("exit code {code}"));
            facts.extend(reason.filter(|reason| told.as_deref() != Some(*reason)).map(str::to_owned));
        }
        CallState::Unknown => facts.push(match reason {
            // The host's own words say it already; a tool's may not.
            Some(reason) if reason.starts_with(NOT_KNOWN) => reason.to_owned(),
            Some(reason) => format!("{NOT_KNOWN} whether this took effect: {reason}"),
            None => format!("{NOT_KNOWN} whether this took effect"),
        }),
        CallState::Done if finished.exit_code.is_some_and(|code| code != 0) => {
            facts.extend(finished.exit_code.map(|code| format!("exit {code}")));
        }
        _ => {}
    }
    if finished.duration_ms > 0 {
        facts.push(span(finished.duration_ms));
    }
    // Said where it is not as one would hope.
    if finished.exit_code.is_some() && finished.sandbox != SandboxLevel::Full {
        facts.push(sandbox(finished.sandbox).to_owned());
    }
    if finished.replayed {
        facts.push("told again after a restart".to_owned());
    }
    facts
}

fn denied(call: &Call, names: Option<&Names>) -> String {
    if let Some((layer, reason)) = call.refusal() {
        return format!("refused by the {layer} policy: {reason}");
    }
    match call.resolution() {
        Some(Resolution::Answered { decision: Decision::Denied, by, by_rule, reason, .. }) => {
            let by = if *by_rule { "a remembered answer".to_owned() } else { who(names, by) };
            let reason = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("denied by {by}{reason}")
        }
        Some(Resolution::Expired) => "nobody answered in time: denied".to_owned(),
        _ => match call.finished().and_then(|finished| finished.error.as_deref()) {
            Some(error) => format!("not run: {error}"),
            None => "not run".to_owned(),
        },
    }
}

fn approved(call: &Call, names: Option<&Names>) -> Option<String> {
    match call.resolution()? {
        Resolution::Answered { decision: Decision::Approved, remember, by, by_rule, .. } => {
            Some(match by_rule {
                true => "approved by a remembered answer".to_owned(),
                false if *remember == Remember::Once => format!("approved by {}", who(names, by)),
                false => format!("approved by {} {}", who(names, by), remembered(*remember)),
            })
        }
        _ => None,
    }
}

/// What happened to a file.
pub fn change(change: &FileChange) -> &'static str {
    match change.change {
        ChangeKind::Created => "created",
        ChangeKind::Modified => "changed",
        ChangeKind::Deleted => "deleted",
        ChangeKind::Moved => "moved",
    }
}

/// How much a note matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// To be known.
    Quiet,
    /// To be seen.
    Notable,
    /// Something went wrong.
    Bad,
}

/// A note as a sentence.
pub fn note(note: &Note) -> (Weight, String) {
    match note {
        Note::Retry { why, next, of, delay_ms } => {
            let stop = if why.ends_with(['.', '!', '?', '…']) { "" } else { "." };
            let wait = span(*delay_ms);
            (
                Weight::Notable,
                format!("{}{stop} Asked again after {wait} ({next} of {of}).", crate::words::sentence(why)),
            )
        }
        Note::Compacted { before, after } => {
            let (before, after) = (thousands((*before).into()), thousands((*after).into()));
            (
                Weight::Quiet,
                format!(
                    "Older messages were shortened for the model ({before} to {after} tokens). The history keeps them."
                ),
            )
        }
        Note::Paused(reason) => (Weight::Notable, format!("Paused: {reason}")),
        Note::Resumed(reason) => (Weight::Quiet, format!("Goes on: {reason}")),
        Note::StepLimit { step, of } => {
            (Weight::Notable, format!("Step {step} of at most {of}: the task will have to end soon."))
        }
        Note::PolicyExpired => (Weight::Bad, "The policy has run out and could not be renewed.".to_owned()),
        Note::SessionEnded => (Weight::Quiet, "The session was ended.".to_owned()),
        Note::SessionFailed(why) => (Weight::Bad, format!("The session broke: {why}")),
        Note::Unreadable(number) => {
            let events = count(*number, "event");
            (Weight::Bad, format!("{events} of a newer host cannot be shown. Reload the page."))
        }
    }
}

/// The end of a task in a line, and what is known beyond it.
pub fn end(end: &End, at: Timestamp, names: Option<&Names>) -> (Weight, String, Option<String>) {
    let steps = count(end.steps.into(), "step");
    let took = end.began.map(|began| format!(" in {}", span(at.millis_since(began)))).unwrap_or_default();
    match &end.how {
        Ending::Completed { usage, .. } => {
            let tokens = count(usage.input_tokens.saturating_add(usage.output_tokens), "token");
            (Weight::Quiet, format!("Done{took} · {steps} · {tokens}"), None)
        }
        Ending::Failed { why, .. } => {
            (Weight::Bad, crate::words::sentence(why), Some(format!("Gave up{took} after {steps}.")))
        }
        Ending::Cancelled { by } => {
            let by = by.as_ref().map(|by| format!(" by {}", who(names, by))).unwrap_or_default();
            (Weight::Notable, format!("Cancelled{by} after {steps}"), None)
        }
    }
}
