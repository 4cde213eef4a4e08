//! How the host is, and what to do when it is not well.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lanyard_protocol::Timestamp;
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::health::{
    DiscoveryState, HealthCheck, HealthReport, HealthStatus, NetworkHealth, TaskDay,
};
use lanyard_protocol::limits::HEALTH_DAYS;
use lanyard_protocol::policy::SandboxLevel;
use lanyard_protocol::session::{ModelInfo, TaskSummary};
use lanyard_protocol::version::PROTOCOL_VERSION;

use crate::api::store_error;
use crate::host::Host;

/// Share of `store.max_bytes` from which on the panel warns.
const STORE_WARNING_PERCENT: u64 = 80;

/// Looks at everything. Reads counters only; never scans.
pub(crate) async fn report(host: &Arc<Host>) -> Result<HealthReport, WireError> {
    let mut counters = host.journal.counters().map_err(store_error)?;
    counters.connections = host.connections.load(Ordering::Relaxed);
    counters.store_max_bytes = host.config.store_max_bytes;
    let model = host.models.current().await.info();
    let (newest, _) = host.journal.list_sessions(None, None, 1).map_err(store_error)?;
    let now = host.clock.now();
    let network = host.network.health().await;
    let mut checks = vec![
        check_model(&model, newest.first().and_then(|session| session.last_task.as_ref())),
        check_sandbox(host),
        check_store(counters.store_bytes, counters.store_max_bytes),
        check_recovery(host),
    ];
    checks.extend(crate::central::check(host)?);
    checks.extend(match host.network.trouble() {
        Some(trouble) => {
            vec![check(
                "network",
                HealthStatus::Degraded,
                trouble.to_owned(),
                Some("Then start the host again."),
            )]
        }
        None => check_network(&network),
    });
    checks.push(host.network.web().health(network.discovery.state));
    let status = checks.iter().map(|c| c.status).max().unwrap_or(HealthStatus::Ok);
    Ok(HealthReport {
        status,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol_version: PROTOCOL_VERSION,
        pid: std::process::id(),
        started_at: host.started_at,
        uptime_seconds: now.millis_since(host.started_at) / 1000,
        state_dir: host.state_dir.display().to_string(),
        rss_bytes: resident_bytes(),
        model,
        sandbox_level: host.sandbox.report().level,
        last_task: newest.into_iter().next().and_then(|session| session.last_task),
        days: last_days(&host.journal.task_days().map_err(store_error)?, now),
        counters,
        network,
        checks,
    })
}

/// One entry for each of the last days, today the last.
fn last_days(counted: &[TaskDay], now: Timestamp) -> Vec<TaskDay> {
    let today = now.day();
    let first = today.saturating_sub(u32::try_from(HEALTH_DAYS).unwrap_or(u32::MAX).saturating_sub(1));
    let of = |day: u32| counted.iter().find(|counted| counted.day == day).copied();
    (first..=today).map(|day| of(day).unwrap_or(TaskDay { day, ..TaskDay::default() })).collect()
}

fn check(name: &str, status: HealthStatus, message: String, action: Option<&str>) -> HealthCheck {
    HealthCheck { name: name.to_owned(), status, message, action: action.map(str::to_owned) }
}

fn check_model(model: &ModelInfo, last_task: Option<&TaskSummary>) -> HealthCheck {
    let unreachable =
        last_task.and_then(|task| task.error.as_ref()).filter(|e| e.code == ErrorCode::LlmUnavailable);
    if let Some(error) = unreachable {
        let message = format!("The last task failed because the model did not answer: {}", error.message);
        let action =
            "Check that the gateway runs and that endpoint, token and model name are right; then try a task.";
        return check("model", HealthStatus::Bad, message, Some(action));
    }
    if model.demo {
        return check(
            "model",
            HealthStatus::Degraded,
            "No model is configured or found on this machine: the built-in demo model answers. It is not an AI.".into(),
            Some("Set LANYARD_GATEWAY_URL (and LANYARD_GATEWAY_TOKEN, LANYARD_MODEL) and start the host again, or start a local model server such as Ollama: it is found by itself."),
        );
    }
    check("model", HealthStatus::Ok, format!("{} at {} ({})", model.name, model.endpoint, model.source), None)
}

fn check_sandbox(host: &Host) -> HealthCheck {
    let report = host.sandbox.report();
    let missing = report.missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    match report.level {
        SandboxLevel::Full => check(
            "sandbox",
            HealthStatus::Ok,
            format!("Programs run fully confined: {}.", report.mechanisms),
            None,
        ),
        level if report.keeps_approvals() => check(
            "sandbox",
            HealthStatus::Ok,
            format!(
                "Programs run with sandbox level {:?} ({missing}). They reach neither the host's socket nor its state.",
                level.as_str()
            ),
            None,
        ),
        level if host.config.accept_unconfined => check(
            "sandbox",
            HealthStatus::Degraded,
            format!(
                "Programs run with sandbox level {:?} (missing: {missing}) because policy.accept_unconfined is set: \
                 approval is no boundary against a program that was approved once.",
                level.as_str()
            ),
            Some("Use a kernel with Landlock and seccomp, then remove policy.accept_unconfined."),
        ),
        level => check(
            "sandbox",
            HealthStatus::Degraded,
            format!(
                "Sandbox level {:?} (missing: {missing}): programs are refused, because they could approve their own \
                 requests. File tools work.",
                level.as_str()
            ),
            Some(
                "Use a kernel with Landlock (Linux 5.13 or newer) and seccomp, or set policy.accept_unconfined = true if you accept that.",
            ),
        ),
    }
}

fn check_store(bytes: u64, max: u64) -> HealthCheck {
    let percent = bytes.saturating_mul(100).checked_div(max).unwrap_or(0);
    let message = format!("{} of {} MiB used.", bytes >> 20, max >> 20);
    if percent >= 100 {
        let action = "Delete sessions (`lanyard sessions delete ID`) or raise store.max_bytes.";
        return check("store", HealthStatus::Bad, format!("{message} New tasks are refused."), Some(action));
    }
    if percent >= STORE_WARNING_PERCENT {
        let action =
            "Delete sessions you no longer need (`lanyard sessions delete ID`) or raise store.max_bytes.";
        return check("store", HealthStatus::Degraded, message, Some(action));
    }
    check("store", HealthStatus::Ok, message, None)
}

fn check_recovery(host: &Host) -> HealthCheck {
    match &host.moved_aside {
        None => check("recovery", HealthStatus::Ok, "The store was opened whole.".into(), None),
        Some(moved) => check(
            "recovery",
            HealthStatus::Bad,
            format!("{moved}. Nothing was deleted."),
            Some("Restore a backup of the file and start again, or keep the file for examination and go on."),
        ),
    }
}

/// What devices find, or do not find.
fn check_network(network: &NetworkHealth) -> Vec<HealthCheck> {
    let Some(listening) = &network.listening else {
        let message = "The network side is switched off: only this machine reaches the host.".to_owned();
        return vec![check("network", HealthStatus::Ok, message, None)];
    };
    let mut checks = Vec::new();
    checks.push(match network.reachable_at.as_slice() {
        [] => check(
            "network",
            HealthStatus::Degraded,
            format!("Listening at {listening}, but this machine has no address other devices could use."),
            Some("Connect the machine to a network; it is noticed by itself."),
        ),
        [first, rest @ ..] => {
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            let message = format!(
                "Listening at {listening}; devices reach it at {first}{more}. {} paired, {} connected.",
                network.devices, network.devices_connected
            );
            check("network", HealthStatus::Ok, message, None)
        }
    });
    let discovery = &network.discovery;
    checks.push(match discovery.state {
        DiscoveryState::Off | DiscoveryState::Starting | DiscoveryState::Advertising => {
            check("discovery", HealthStatus::Ok, discovery.detail.clone(), None)
        }
        DiscoveryState::Failed => check(
            "discovery",
            HealthStatus::Degraded,
            discovery.detail.clone(),
            Some(
                "Devices still reach the host: by the QR code of `lanyard pair`, or with --address IP:PORT.",
            ),
        ),
    });
    checks
}

/// Resident memory of this process, where the system tells.
pub(crate) fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(rustix::param::page_size() as u64))
}
