//! The host's condition: one line a check, and what to do where there is something to do.

use lanyard_protocol::Timestamp;
use lanyard_protocol::health::{HealthCheck, HealthReport, HealthStatus};

use super::days::days;
use super::network::network;
use super::paint::{Paint, Tone};
use super::span::{ago, bytes, millis, plural};
use super::timeline::model_words;
use super::visible::line;
use super::wrap::wrapped;

/// One thing looked at.
pub(crate) fn check(paint: Paint, width: Option<usize>, check: &HealthCheck) -> String {
    let (tone, mark) = match check.status {
        HealthStatus::Ok => (Tone::Good, "✓"),
        HealthStatus::Degraded => (Tone::Waits, "!"),
        HealthStatus::Bad => (Tone::Bad, "✗"),
    };
    let mut shown = format!("{} {:<12} ", paint.tone(tone, mark), line(&check.name));
    let room = |taken: usize| width.map(|width| width.saturating_sub(taken));
    shown.push_str(&wrapped(&line(&check.message), room(15)).join(&format!("\n{:15}", "")));
    shown.push('\n');
    if let Some(action) = &check.action {
        let action = wrapped(&line(action), room(17)).join(&format!("\n{:17}", ""));
        shown.push_str(&format!("{:15}→ {action}\n", ""));
    }
    shown
}

/// The whole report.
pub(crate) fn health(paint: Paint, width: Option<usize>, report: &HealthReport, now: Timestamp) -> String {
    let (tone, word) = match report.status {
        HealthStatus::Ok => (Tone::Good, "The host is well."),
        HealthStatus::Degraded => (Tone::Waits, "The host works, with less than it could."),
        HealthStatus::Bad => (Tone::Bad, "Something does not work."),
    };
    let mut shown = format!("{}\n", paint.tone(tone, word));
    shown.extend(report.checks.iter().map(|one| check(paint, width, one)));
    let counters = &report.counters;
    let up = millis(report.uptime_seconds.saturating_mul(1_000));
    let memory = report.rss_bytes.map(|rss| format!(" · {} of memory", bytes(rss))).unwrap_or_default();
    let mut row = |label: &str, text: String| shown.push_str(&format!("  {label:<12} {text}\n"));
    row("host", format!("version {} · process {} · up {up}{memory}", line(&report.version), report.pid));
    row("state", line(&report.state_dir).into_owned());
    row("model", model_words(&report.model));
    row("sandbox", report.sandbox_level.as_str().to_owned());
    row(
        "tasks",
        format!(
            "{} completed, {} failed, {} cancelled",
            counters.tasks_completed, counters.tasks_failed, counters.tasks_cancelled
        ),
    );
    if let Some(days) = days(&report.days) {
        row(&plural(report.days.len() as u64, "day"), days);
    }
    if let Some(task) = &report.last_task {
        row("last task", format!("{} ({})", line(&task.prompt), ago(task.started_at, now)));
    }
    row("sessions", format!("{} · {}", counters.sessions, plural(counters.events, "event")));
    row("store", format!("{} of {}", bytes(counters.store_bytes), bytes(counters.store_max_bytes)));
    row("waiting", plural(counters.approvals_pending, "approval"));
    row("local", plural(counters.connections, "connection"));
    shown.push_str(&network(paint, &report.network, &report.checks));
    let mut row = |label: &str, text: String| shown.push_str(&format!("  {label:<12} {text}\n"));
    if counters.outbox_depth > 0 {
        let records = plural(counters.outbox_depth, "audit record");
        row("outbox", format!("{records} on this machine; none is lost"));
    }
    shown
}
