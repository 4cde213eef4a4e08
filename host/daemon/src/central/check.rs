//! What the health panel says of the centre.

use lanyard_governance_client::outbox::OutboxState;
use lanyard_ports::journal::{AuditBacklog, LogBacklog};
use lanyard_protocol::Timestamp;
use lanyard_protocol::error::WireError;
use lanyard_protocol::health::{HealthCheck, HealthStatus};

use super::tie::Tie;
use super::{Centre, Contact};
use crate::api::store_error;
use crate::host::Host;

/// How far clocks may differ before people are told; requests are made by the centre's clock in any case.
const CLOCK_NOTICED_MILLIS: u64 = 60_000;

/// The checks `central` and `outbox`.
pub(crate) fn check(host: &Host) -> Result<Vec<HealthCheck>, WireError> {
    let centre = &host.centre;
    let waiting = host.journal.audit_backlog().map_err(store_error)?;
    let logs = host.journal.log_backlog().map_err(store_error)?;
    let contact = centre.contact.borrow().clone();
    let outbox = centre.outbox.borrow().clone();
    Ok(vec![
        centre.check(&contact, waiting, logs, host.clock.now()),
        check_outbox(
            &centre.tie(),
            &contact,
            &outbox,
            waiting,
            host.journal.counters().map_err(store_error)?.outbox_depth,
        ),
    ])
}

fn found(name: &str, status: HealthStatus, message: String, action: Option<&str>) -> HealthCheck {
    HealthCheck { name: name.to_owned(), status, message, action: action.map(str::to_owned) }
}

impl Centre {
    fn check(&self, contact: &Contact, audit: AuditBacklog, logs: LogBacklog, now: Timestamp) -> HealthCheck {
        let found = |status, message, action| found("central", status, message, action);
        let tie = self.tie();
        let enrolled = match &tie {
            Tie::Alone => {
                let message = "This host belongs to nobody but its owner: no central services.".to_owned();
                return found(HealthStatus::Ok, message, None);
            }
            Tie::Broken(broken) if broken.revoked => {
                let message = format!(
                    "The central services ended this host's enrolment: {}. No session goes on.",
                    broken.reason
                );
                let action =
                    "`lanyard unenroll` ends it here too; then work by yourself, or enrol the host again.";
                return found(HealthStatus::Bad, message, Some(action));
            }
            Tie::Broken(broken) => {
                let message = format!("The enrolment cannot be used: {}. No session goes on.", broken.reason);
                let action = "Mend that and start the host again, or run `lanyard unenroll --force`.";
                return found(HealthStatus::Bad, message, Some(action));
            }
            Tie::Enrolled(enrolled) => enrolled,
        };
        let url = &enrolled.facts.url;
        if let Some(reason) = &self.news.borrow().revoked {
            let message = format!("No central policy is in force ({reason}): sessions stand still.");
            let action = "Wait for a policy, or ask whoever administers the central services; then resume the sessions.";
            return found(HealthStatus::Degraded, message, Some(action));
        }
        if let Some(reason) = self.fell_behind() {
            let message = format!("No session goes on: {reason}.");
            let action = "`lanyard unenroll`, then enrol the host again; or change the policy at the centre until it has caught up.";
            return found(HealthStatus::Bad, message, Some(action));
        }
        if !contact.reached {
            let since = match contact.last_ok {
                Some(at) => format!("not reached for {}", span(now.millis_since(at))),
                None => "not reached since the host started".to_owned(),
            };
            let why = contact.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let message = format!("Central services at {url} {since}{why}. {}", waits(audit, logs));
            let action = "Nothing needs to be done if that passes; else check the network and the address.";
            return found(HealthStatus::Degraded, message, Some(action));
        }
        if contact.clock_ahead_millis.unsigned_abs() >= CLOCK_NOTICED_MILLIS {
            let way = if contact.clock_ahead_millis > 0 { "ahead of" } else { "behind" };
            let off = span(contact.clock_ahead_millis.unsigned_abs());
            let message =
                format!("This machine's clock is {off} {way} that of the central services at {url}.");
            return found(
                HealthStatus::Degraded,
                message,
                Some("Set the clock, or let it be set by itself."),
            );
        }
        let message =
            format!("Enrolled at {url}, tenant {}. {}", enrolled.facts.tenant_id, waits(audit, logs));
        match self.threads_too_long() {
            0 => found(HealthStatus::Ok, message, None),
            n => {
                let threads = match n {
                    1 => "The thread of one session is too long for them and stays".to_owned(),
                    n => format!("The threads of {n} sessions are too long for them and stay"),
                };
                let message = format!("{message} {threads} on this machine.");
                let action = "Nothing is lost. Go on in a new session, whose thread they can keep.";
                found(HealthStatus::Degraded, message, Some(action))
            }
        }
    }
}

/// What waits, as a person is told.
fn waits(audit: AuditBacklog, logs: LogBacklog) -> String {
    let records = match audit.records {
        1 => "1 audit record waits".to_owned(),
        n => format!("{n} audit records wait"),
    };
    if audit.records == 0 && logs.sessions == 0 {
        return "Everything has been sent.".to_owned();
    }
    let sessions = match logs.sessions {
        0 => String::new(),
        1 => ", and events of one session".to_owned(),
        n => format!(", and events of {n} sessions"),
    };
    format!("{records} on this machine{sessions}; nothing is lost.")
}

fn span(millis: u64) -> String {
    match millis / 1000 {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn check_outbox(
    tie: &Tie,
    contact: &Contact,
    state: &OutboxState,
    waiting: AuditBacklog,
    kept: u64,
) -> HealthCheck {
    let found = |status, message, action| found("outbox", status, message, action);
    if tie.enrolled().is_none() {
        let message =
            format!("{kept} audit records on this machine; no central services are configured to take them.");
        return found(HealthStatus::Ok, message, None);
    }
    if let Some(fault) = &state.fault {
        let action = "Tell whoever administers the central services; nothing is deleted here meanwhile.";
        return found(HealthStatus::Bad, format!("Audit records are not sent: {fault}."), Some(action));
    }
    if waiting.records >= lanyard_dispatch::MAX_AUDIT_BACKLOG {
        let message = format!(
            "{} audit records wait to be sent: until they are fewer, calls that change something are refused.",
            waiting.records
        );
        let action = "See why the central services are not reached (`lanyard sync status`).";
        return found(HealthStatus::Bad, message, Some(action));
    }
    if contact.reached
        && let Some(reason) = &state.failing
    {
        let message = format!("{} audit records wait; the last attempt failed: {reason}", waiting.records);
        return found(HealthStatus::Degraded, message, Some("It is tried again by itself."));
    }
    let message = match waiting.records {
        0 => "Every audit record has been sent.".to_owned(),
        n => format!("{n} audit records wait to be sent; nothing is lost."),
    };
    found(HealthStatus::Ok, message, None)
}
