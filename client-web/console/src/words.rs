//! The centre's terms in a person's words, and the colour of each. Pure.

use lanyard_governance_api::agent::AgentState;
use lanyard_governance_api::approval::ProposalOutcome;
use lanyard_governance_api::job::JobState;
use lanyard_governance_api::people::Role;
use lanyard_governance_api::session::WhenAway;
use lanyard_protocol::approval::{ApprovalState, Decision};
use lanyard_protocol::envelope::Severity;
use lanyard_protocol::overview::Standing;
use lanyard_protocol::policy::{Approver, Remember, SandboxLevel};
use lanyard_protocol::session::{SessionState, TaskState};
use lanyard_web_state::words;
use lanyard_web_ui::Tone;

/// How a host is.
pub(crate) fn agent(state: AgentState) -> (Tone, &'static str) {
    match state {
        AgentState::Online => (Tone::Good, "online"),
        AgentState::Offline => (Tone::Plain, "offline"),
        AgentState::Stale => (Tone::Plain, "not heard of"),
        AgentState::Revoked => (Tone::Bad, "revoked"),
    }
}

/// Where a job stands.
pub(crate) fn job(state: JobState) -> (Tone, &'static str) {
    match state {
        JobState::Queued => (Tone::Plain, "queued"),
        JobState::Leased => (Tone::Run, "claimed"),
        JobState::Running => (Tone::Run, "running"),
        JobState::Succeeded => (Tone::Good, "succeeded"),
        JobState::Failed => (Tone::Bad, "failed"),
        JobState::Denied => (Tone::Bad, "denied"),
        JobState::Expired => (Tone::Plain, "expired"),
        JobState::Cancelled => (Tone::Plain, "cancelled"),
        JobState::Indeterminate => (Tone::Bad, "outcome unknown"),
    }
}

/// The same as a sentence.
pub(crate) fn job_meaning(state: JobState) -> &'static str {
    match state {
        JobState::Queued => "It waits for the host to claim it.",
        JobState::Leased => "The host has claimed it: policy is asked, perhaps a person. It has not run.",
        JobState::Running => "It runs on the host.",
        JobState::Succeeded => "It did what was asked.",
        JobState::Failed => "It ran and failed.",
        JobState::Denied => "Policy or a person refused it. It never ran.",
        JobState::Expired => "The host did not claim it in time. It never ran.",
        JobState::Cancelled => "It was taken back before it ran, or stopped.",
        JobState::Indeterminate => {
            "It ran, and nobody knows how it ended: the host stopped meanwhile. It is not run again by itself."
        }
    }
}

/// Where a session stands.
pub(crate) fn session(state: SessionState) -> (Tone, &'static str) {
    let tone = match state {
        SessionState::WaitingForApproval | SessionState::SessionPaused => Tone::Ask,
        SessionState::WaitingForLlm | SessionState::WaitingForTool => Tone::Run,
        SessionState::SessionFailed => Tone::Bad,
        _ => Tone::Plain,
    };
    (tone, words::session_state(state))
}

/// How a task stands.
pub(crate) fn task(state: TaskState) -> (Tone, &'static str) {
    let tone = match state {
        TaskState::Running => Tone::Run,
        TaskState::Failed => Tone::Bad,
        _ => Tone::Plain,
    };
    (tone, words::task_state(state))
}

/// What became of a question.
pub(crate) fn approval(state: ApprovalState) -> (Tone, &'static str) {
    match state {
        ApprovalState::Pending => (Tone::Ask, "waits"),
        ApprovalState::Approved => (Tone::Good, "approved"),
        ApprovalState::Denied => (Tone::Bad, "denied"),
        ApprovalState::Expired => (Tone::Plain, "expired"),
        ApprovalState::Cancelled => (Tone::Plain, "cancelled"),
    }
}

/// What a person proposed, and what became of it.
pub(crate) fn proposal(
    by: &str,
    decision: Decision,
    outcome: ProposalOutcome,
    refusal: Option<&str>,
) -> String {
    let what = match decision {
        Decision::Approved => "approve",
        Decision::Denied => "deny",
    };
    match (outcome, refusal) {
        (ProposalOutcome::Sent, _) => {
            format!("{by} proposed to {what} it: on its way to the host, not confirmed yet.")
        }
        (ProposalOutcome::Accepted, _) => {
            format!("{by} proposed to {what} it: the host has taken that as the answer.")
        }
        (ProposalOutcome::Refused, Some(why)) => {
            format!("{by} proposed to {what} it. The host did not take it: {why}")
        }
        (ProposalOutcome::Refused, None) => {
            format!("{by} proposed to {what} it. The host did not take it: another answer came first.")
        }
    }
}

/// What a role lets one do.
pub(crate) fn role(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Viewer => ("Viewer", "sees everything but secrets"),
        Role::Approver => ("Approver", "also answers approvals and pairings, and cancels"),
        Role::Admin => ("Admin", "also changes policy, people and hosts, and dispatches jobs"),
    }
}

/// How a capability stands.
pub(crate) fn standing(standing: Standing) -> (Tone, &'static str) {
    let tone = match standing {
        Standing::Free => Tone::Good,
        Standing::Asks => Tone::Ask,
        Standing::Never => Tone::Bad,
    };
    (tone, words::standing(standing))
}

/// Who may answer.
pub(crate) fn approver(approver: Approver) -> &'static str {
    match approver {
        Approver::Any => "anybody with the right to approve",
        Approver::NotInitiator => "anybody but whoever started the task",
        Approver::Local => "only somebody at the machine",
    }
}

/// How long an answer may be remembered.
pub(crate) fn remember(remember: Remember) -> &'static str {
    match remember {
        Remember::Once => "never: asked each time",
        Remember::Task => "until the task ends",
        Remember::Session => "until the session ends",
        Remember::Always => "until it is revoked",
    }
}

/// How programs must be confined.
pub(crate) fn sandbox(level: SandboxLevel) -> &'static str {
    match level {
        SandboxLevel::None => "none",
        SandboxLevel::Partial => "partial",
        SandboxLevel::Full => "full",
    }
}

/// What hosts do while central is away.
pub(crate) fn when_away(when: WhenAway) -> &'static str {
    match when {
        WhenAway::Continue => "go on while the offline grace lasts",
        WhenAway::Pause => "pause as soon as they notice",
    }
}

/// How urgent a record is.
pub(crate) fn severity(severity: Severity) -> (Tone, &'static str) {
    match severity {
        Severity::Info => (Tone::Plain, "info"),
        Severity::Warning => (Tone::Ask, "warning"),
        Severity::Error => (Tone::Bad, "error"),
    }
}

/// How far a clock is off, where that is worth a word. Source of the bound: `limits::CLOCK_SKEW_NOTICED_MILLIS`.
pub(crate) fn skew(millis: i64) -> Option<String> {
    let off = millis.unsigned_abs();
    (off >= lanyard_governance_api::limits::CLOCK_SKEW_NOTICED_MILLIS).then(|| {
        let way = if millis > 0 { "ahead" } else { "behind" };
        format!("its clock is {} {way}", words::span(off))
    })
}

/// Seconds in words.
pub(crate) fn seconds(seconds: u64) -> String {
    words::span(seconds.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_is_not_an_answer_until_the_host_says_so() {
        let said = |outcome, why| proposal("Ada", Decision::Approved, outcome, why);
        assert!(said(ProposalOutcome::Sent, None).contains("not confirmed"));
        assert!(said(ProposalOutcome::Accepted, None).contains("the host has taken"));
        assert!(
            said(ProposalOutcome::Refused, Some("The command was changed."))
                .ends_with("The command was changed.")
        );
        assert!(said(ProposalOutcome::Refused, None).contains("another answer"));
    }

    #[test]
    fn clocks_are_told_of_when_they_are_off() {
        assert_eq!(skew(59_999), None);
        assert_eq!(skew(-59_999), None);
        assert_eq!(skew(3_600_000).unwrap(), "its clock is 1 h ahead");
        assert_eq!(skew(-90_000).unwrap(), "its clock is 1 min behind");
        assert!(skew(i64::MIN).is_some());
    }
}
