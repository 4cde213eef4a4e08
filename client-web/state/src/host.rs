//! The host in a person's words: how it is, what it may do, who may ask, which devices there are.

use lanyard_protocol::Timestamp;
use lanyard_protocol::device::{ConnectionRecord, Device, PendingPairing};
use lanyard_protocol::health::{HealthReport, HealthStatus, TaskDay};
use lanyard_protocol::overview::{Asker, GrantOverview, PolicyOverview, Standing};
use lanyard_protocol::policy::Capability;
use lanyard_protocol::principal::Scope;
use lanyard_protocol::session::TaskSummary;

use crate::words;

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Days of a week.
const WEEK: usize = 7;

/// How the host is, in a word or two; [`troubles`] says what is wrong.
pub fn condition(report: &HealthReport) -> &'static str {
    words::health(report.status)
}

/// What is not as it should be, the worst first: what was found, and what to do.
pub fn troubles(report: &HealthReport) -> Vec<(HealthStatus, String, Option<String>)> {
    let of = |status| report.checks.iter().filter(move |check| check.status == status);
    let told = of(HealthStatus::Bad).chain(of(HealthStatus::Degraded)).map(|check| {
        (
            check.status,
            full_stop(&words::sentence(&check.message)),
            check.action.as_deref().map(|action| full_stop(&words::sentence(action))),
        )
    });
    told.collect()
}

/// The last task that ended, in a line.
pub fn last_task(task: Option<&TaskSummary>, now: Timestamp, zone: words::Zone) -> String {
    let Some(task) = task else { return "none yet".to_owned() };
    let at = task.ended_at.unwrap_or(task.started_at);
    format!("{}, {}", words::task_state(task.state), words::ago(at, now, zone))
}

/// The tasks of the last week: how many, and what share of them was done. `None` where there were none.
pub fn week(days: &[TaskDay]) -> Option<(u32, f64)> {
    let week = days.iter().rev().take(WEEK);
    let (mut all, mut done) = (0_u32, 0_u32);
    for day in week {
        all = all.saturating_add(ended(day));
        done = done.saturating_add(day.completed);
    }
    (all > 0).then(|| (all, f64::from(done) * 100.0 / f64::from(all)))
}

/// [`week`] in words.
pub fn week_words(days: &[TaskDay]) -> String {
    match week(days) {
        None => "none".to_owned(),
        // Only what is whole says so: 99.96 % is not all of them.
        Some((all, share)) if share >= 100.0 => format!("{all} · all done"),
        Some((all, share)) => format!("{all} · {} % done", words::tenths((share * 10.0).floor() / 10.0)),
    }
}

/// Tasks that ended, a value a day, oldest first: for a curve.
pub fn curve(days: &[TaskDay]) -> Vec<f64> {
    days.iter().map(|day| f64::from(ended(day))).collect()
}

fn ended(day: &TaskDay) -> u32 {
    day.completed.saturating_add(day.failed).saturating_add(day.cancelled)
}

/// What a device is and when it was here, in a line.
pub fn device_line(device: &Device, now: Timestamp, zone: words::Zone) -> String {
    let seen = match (device.connections, device.last_seen) {
        (0, Some(at)) => format!("seen {}", words::ago(at, now, zone)),
        (0, None) => "not seen yet".to_owned(),
        (_, _) => "connected".to_owned(),
    };
    format!("{seen} · {}", levels(&device.scopes))
}

/// The short form of rights: "see · start tasks · approve".
pub fn levels(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| words::level(*scope)).collect::<Vec<_>>().join(" · ")
}

/// Why a device is to be looked at twice, in sentences.
pub fn device_cautions(device: &Device) -> Vec<String> {
    let mut cautions = Vec::new();
    if let Some(page) = &device.page {
        if !page.verified {
            cautions.push(
                "Page unverified: somebody who controls the network could have changed the page it loaded. It cannot answer \
                 questions that only this machine may answer."
                    .to_owned(),
            );
        }
        if page.key == lanyard_protocol::device::KeyStorage::Plain {
            cautions.push(
                "Its key is stored as it is, because its browser offers nothing better at that address."
                    .to_owned(),
            );
        }
    }
    if device.temporary {
        cautions.push("A tab on the host itself. It is forgotten when it is closed.".to_owned());
    }
    if device.provisional_until.is_some() {
        cautions.push("Approved, but it has not shown yet that it knows.".to_owned());
    }
    cautions
}

/// One connection, in a line.
pub fn connection_line(row: &ConnectionRecord, now: Timestamp, zone: words::Zone) -> String {
    let came = words::ago(row.connected_at, now, zone);
    match (&row.ended_at, &row.end_reason) {
        (None, _) => format!("{} · since {came}", row.address),
        (Some(end), reason) => {
            let lasted = end.millis_since(row.connected_at);
            let reason = reason.as_deref().map(end_words).unwrap_or("ended");
            format!("{} · {came}, for {} · {reason}", row.address, words::span(lasted))
        }
    }
}

/// Why a connection ended.
fn end_words(reason: &str) -> &str {
    match reason {
        "closed" => "closed by the device",
        "timed_out" => "went silent",
        "revoked" => "removed",
        "unpaired" => "unpaired itself",
        "scopes_changed" => "rights were changed",
        "host_stopping" => "the host stopped",
        "slow_reader" => "did not keep up",
        "key_changed" => "the host's key changed",
        "too_many" => "too many connections",
        other => other,
    }
}

/// Who asks to be paired, in sentences.
pub fn pairing_lines(pending: &PendingPairing) -> Vec<String> {
    let mut lines = vec![
        format!("{} · {}", pending.platform, pending.address),
        format!("It asks to {}", lower_first(&words::rights(&pending.requested_scopes))),
    ];
    if pending.made_by.is_some() {
        lines.push("It came by a paired device's link, and that device answers too.".to_owned());
    }
    if pending.known {
        lines.push("It is paired already: approving replaces that pairing.".to_owned());
    }
    lines
}

/// What the host may do, as three sentences: freely, after asking, never.
pub fn policy_sentences(policy: &PolicyOverview) -> Vec<(Standing, String)> {
    let named = |standing: Standing| {
        // That it asks its model goes without saying.
        let told = policy.grants.iter().filter(|grant| grant.capability != Capability::LlmCall);
        let actions = told.filter(|grant| grant.standing == standing);
        actions.map(|grant| words::action(grant.capability)).collect::<Vec<_>>()
    };
    let mut sentences = Vec::new();
    let free = named(Standing::Free);
    if !free.is_empty() {
        sentences.push((Standing::Free, format!("It may {} without asking.", listed(&free, "and"))));
    }
    let asks = named(Standing::Asks);
    if !asks.is_empty() {
        let minutes = words::span(u64::from(policy.approval_seconds) * 1000);
        sentences.push((
            Standing::Asks,
            format!(
                "It asks before it may {}. Without an answer within {minutes} it does not.",
                listed(&asks, "or")
            ),
        ));
    }
    let never = named(Standing::Never);
    if !never.is_empty() {
        sentences.push((Standing::Never, format!("It does not {}.", listed(&never, "or"))));
    }
    sentences
}

/// Where a capability holds, in a line.
pub fn limits(grant: &GrantOverview) -> String {
    match (grant.standing, grant.limits.as_slice()) {
        (Standing::Never, _) => String::new(),
        (_, []) => "everywhere".to_owned(),
        (_, limits) => limits.join(", "),
    }
}

/// Who may use the host, in a line each.
pub fn asker_line(asker: &Asker) -> String {
    let name = match (&asker.name, asker.this) {
        (Some(name), true) => format!("{name} (this device)"),
        (None, true) => "This device".to_owned(),
        (Some(name), false) => name.clone(),
        (None, false) => "Another device".to_owned(),
    };
    format!("{name}: {}", levels(&asker.scopes))
}

/// Days until an instant; none once it has passed.
pub fn days_until(at: Timestamp, now: Timestamp) -> Option<i64> {
    let left = at.as_millis().saturating_sub(now.as_millis());
    (left > 0).then_some(left / DAY_MS)
}

fn listed(items: &[&str], last: &str) -> String {
    match items {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., end] => format!("{} {last} {end}", most.join(", ")),
    }
}

fn full_stop(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| std::iter::once(first.to_ascii_lowercase()).chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
