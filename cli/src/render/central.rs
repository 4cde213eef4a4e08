//! Where this host stands with its central services, in a person's words.

use lanyard_protocol::Timestamp;
use lanyard_protocol::central::{CentralEnrolment, CentralStatus, CentralWaiting};
use lanyard_protocol::limits::MAX_AUDIT_BACKLOG;

use super::paint::{Paint, Tone};
use super::span::{ago, millis, plural};
use super::visible::line;
use super::wrap::wrapped;

/// Cells of the bar that shows how full the outbox is.
const BAR: u64 = 20;

/// Milliseconds a clock may be off before it is worth a row.
const CLOCK_TOLERANCE: u64 = 5_000;

/// What an owner can allow the centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// Jobs.
    Jobs,
    /// Answers to approvals and pairings.
    Answers,
}

/// What is asked, with what it means.
pub(crate) fn consent_question(what: Consent) -> &'static str {
    match what {
        Consent::Jobs => {
            "May the centre have this machine do work? People of the tenant can then start tool calls here while you are \
             away. Each one still passes the tenant's policy, this machine's own, and your approvals."
        }
        Consent::Answers => {
            "May the centre answer for you? People of the tenant can then approve what this machine asks about, and let \
             devices pair with it. Without it only you and your devices can."
        }
    }
}

/// What holds from now on.
pub(crate) fn consent_words(what: Consent, allowed: bool) -> String {
    let text = match (what, allowed) {
        (Consent::Jobs, true) => {
            "Jobs: the centre may have this machine do work, within both policies and your approvals."
        }
        (Consent::Jobs, false) => "Jobs: the centre cannot have this machine do anything.",
        (Consent::Answers, true) => "Answers: the centre may answer approvals and pairings of this machine.",
        (Consent::Answers, false) => "Answers: only you and your devices answer approvals and pairings.",
    };
    text.to_owned()
}

/// Right after the enrolment. `shared`: sessions from before may go on.
pub(crate) fn enrolled(
    paint: Paint,
    status: &CentralStatus,
    (sync, shared): (&str, bool),
    now: Timestamp,
) -> String {
    let Some(enrolment) = &status.enrolment else { return "The host is not enrolled.\n".to_owned() };
    let mut shown =
        format!("{}\n\n", paint.tone(Tone::Good, &format!("This host belongs to {} now.", whose(enrolment))));
    shown.push_str(&facts(paint, status, enrolment, now));
    let earlier = match shared {
        true => "Sessions from before may go on: each is then sent there whole.",
        false => {
            "What was recorded before stays here: earlier sessions can be read, and go on after an unenrolment."
        }
    };
    shown.push_str(&format!(
        "\nNew sessions follow the tenant's policy beside this machine's own, and leave an audit trail there. \
         {earlier}\nWhat waits to be sent: {}\n",
        paint.tone(Tone::Accent, &line(sync))
    ));
    shown
}

/// Right after its end.
pub(crate) fn unenrolled(status: &CentralStatus, enroll: &str) -> String {
    if status.enrolment.is_some() {
        return "The host is still enrolled.\n".to_owned();
    }
    format!(
        "This host is its own again. Its sessions and what was not sent stay on this machine.\nTo enrol it again: {}\n",
        line(enroll)
    )
}

/// See the module. `enroll` is the command that enrols.
pub(crate) fn central(
    paint: Paint,
    width: Option<usize>,
    status: &CentralStatus,
    enroll: &str,
    now: Timestamp,
) -> String {
    let Some(enrolment) = &status.enrolment else {
        return format!(
            "This host works by itself: it is enrolled at no central services, and sends nothing.\nTo enrol it: {}\n",
            paint.tone(Tone::Accent, &line(enroll))
        );
    };
    let (tone, headline) = headline(enrolment, &status.waiting, now);
    let mut shown = String::new();
    for row in wrapped(&headline, width) {
        shown.push_str(&format!("{}\n", paint.tone(tone, row)));
    }
    shown.push_str(&format!("\n{}\n", picture(paint, enrolment, now)));
    shown.push_str(&waiting(paint, &status.waiting, now));
    shown.push('\n');
    shown.push_str(&facts(paint, status, enrolment, now));
    shown
}

/// What matters most, and what it means.
fn headline(enrolment: &CentralEnrolment, waiting: &CentralWaiting, now: Timestamp) -> (Tone, String) {
    let records = plural(waiting.audit_records, "audit record");
    let keeps = if waiting.audit_records == 1 { "waits" } else { "wait" };
    let kept = match waiting.audit_records {
        0 => "Nothing waits to be sent.".to_owned(),
        _ => format!("{records} {keeps} on this machine; nothing is lost."),
    };
    if let Some(reason) = &enrolment.revoked {
        let text = format!(
            "The centre ended this enrolment ({}). {kept} Sessions of the centre stand still; enrol again with a new \
             token, or leave with `lanyard unenroll`.",
            line(reason)
        );
        return (Tone::Bad, text);
    }
    if let Some(reason) = &enrolment.policy_revoked {
        let text = format!(
            "The policy was revoked by {}. Sessions stand still until a policy is in force again. {kept}",
            line(reason)
        );
        return (Tone::Bad, text);
    }
    if waiting.audit_records >= MAX_AUDIT_BACKLOG {
        let text = format!(
            "{records} wait on this machine: until they have reached the centre, only reading is allowed. \
             Nothing is lost."
        );
        return (Tone::Bad, text);
    }
    if !enrolment.link.reached {
        let silent = millis(now.millis_since(enrolment.link.since) / 1_000 * 1_000).replace(".0 s", " s");
        return (Tone::Waits, format!("Central backend not reached for {silent}. {kept}"));
    }
    (Tone::Good, format!("Central backend reached. {kept}"))
}

/// This machine, the way, the centre.
fn picture(paint: Paint, enrolment: &CentralEnrolment, now: Timestamp) -> String {
    let host = url::Url::parse(&enrolment.url)
        .ok()
        .and_then(|url| {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            Some(format!("{}{port}", url.host_str()?))
        })
        .unwrap_or_else(|| enrolment.url.clone());
    let link = &enrolment.link;
    let since = ago(link.since, now);
    let (way, said) = match (link.reached, &enrolment.revoked) {
        (_, Some(_)) => (paint.tone(Tone::Bad, "──── ✗ ────"), "enrolment ended".to_owned()),
        (true, None) => (paint.tone(Tone::Good, "────────────"), format!("reached since {since}")),
        (false, None) => {
            let reason = link.reason.as_deref().map(|why| format!(": {}", line(why))).unwrap_or_default();
            (paint.tone(Tone::Waits, "──── ✗ ╌╌╌╌"), format!("last answered {since}{reason}"))
        }
    };
    format!("  this machine {way} {}   {}", line(&host), paint.tone(Tone::Faint, &said))
}

/// What waits, as a bar and in words; nothing when nothing does.
fn waiting(paint: Paint, waiting: &CentralWaiting, now: Timestamp) -> String {
    let mut shown = String::new();
    if waiting.audit_records > 0 {
        let full = waiting.audit_records.min(MAX_AUDIT_BACKLOG);
        // Any record at all is more than none.
        let cells = usize::try_from((full * BAR).div_ceil(MAX_AUDIT_BACKLOG)).unwrap_or(0);
        let bar = format!("{}{}", "▓".repeat(cells), "░".repeat(BAR as usize - cells));
        let tone = if waiting.audit_records >= MAX_AUDIT_BACKLOG { Tone::Bad } else { Tone::Waits };
        let since = waiting.oldest_at.map(|at| format!(", the oldest {}", ago(at, now))).unwrap_or_default();
        let records = plural(waiting.audit_records, "audit record");
        shown.push_str(&format!("  {} {records}{since}\n", paint.tone(tone, &bar)));
    }
    if waiting.sessions > 0 {
        let (events, sessions) = (plural(waiting.events, "event"), plural(waiting.sessions, "session"));
        shown.push_str(&format!("  {events} of {sessions}\n"));
    }
    shown
}

/// `acme` at its address.
fn whose(enrolment: &CentralEnrolment) -> String {
    format!("{} at {}", line(&enrolment.tenant_id), line(&enrolment.url))
}

fn facts(paint: Paint, status: &CentralStatus, enrolment: &CentralEnrolment, now: Timestamp) -> String {
    let mut shown = String::new();
    let mut row = |label: &str, text: String| shown.push_str(&format!("  {label:<12} {text}\n"));
    row("tenant", format!("{} (as {})", line(&enrolment.tenant_id), line(&enrolment.user_id)));
    row("host", format!("{}, enrolled {}", line(&enrolment.agent_id), ago(enrolment.enrolled_at, now)));
    let until = enrolment.certificate_not_after;
    row(
        "certificate",
        match until > now {
            true => format!("for {} more; it renews itself", millis(until.millis_since(now))),
            false => paint.tone(Tone::Waits, "has run out; it is renewed when the centre is reached"),
        },
    );
    row(
        "policy",
        match (enrolment.policy_epoch, &enrolment.policy_revoked) {
            (0, _) => "none heard of yet".to_owned(),
            (epoch, Some(_)) => format!("revoked at epoch {epoch}"),
            (epoch, None) => format!("epoch {epoch}"),
        },
    );
    let off = enrolment.clock_ahead_millis.unsigned_abs();
    if off > CLOCK_TOLERANCE {
        let way = if enrolment.clock_ahead_millis > 0 { "ahead of" } else { "behind" };
        let text = format!("{} {way} the centre's, whose clock counts", millis(off));
        row("clock", paint.tone(Tone::Waits, &text));
    }
    let sent = enrolment.last_sent_at.map_or("nothing yet".to_owned(), |at| ago(at, now));
    row("last sent", sent);
    let allowed = |allowed: bool| if allowed { "allowed" } else { "not allowed" };
    row(
        "the centre",
        format!("jobs {}, answers {}", allowed(status.accept_jobs), allowed(status.accept_answers)),
    );
    shown
}

#[cfg(test)]
mod tests;
