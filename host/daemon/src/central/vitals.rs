//! What a heartbeat says of this host.

use std::sync::Arc;

use lanyard_governance_api::agent::Heartbeat;
use lanyard_governance_client::heartbeat::Vitals;

use super::owner::machine;
use crate::host::Host;

/// The host's vitals. Counters only; nothing is scanned.
pub(super) struct HostVitals(pub(super) Arc<Host>);

#[async_trait::async_trait]
impl Vitals for HostVitals {
    async fn heartbeat(&self) -> Heartbeat {
        let host = &self.0;
        let consent = host.centre.tie().consent();
        let counters = host.journal.counters().unwrap_or_default();
        let waiting = host.journal.audit_backlog().unwrap_or_default();
        let running = host.sessions.running() + host.centre.jobs().running();
        let workspaces = if consent.accept_jobs { host.config.workspaces.as_slice() } else { &[] };
        let now = host.clock.now();
        Heartbeat {
            machine: machine(host),
            policy_epoch: host.centre.news.borrow().epoch,
            sandbox_level: host.sandbox.report().level,
            outbox_depth: waiting.records,
            uptime_seconds: host.centre.uptime().as_secs(),
            tasks_running: u32::try_from(running).unwrap_or(u32::MAX),
            sessions: counters.sessions,
            rss_bytes: crate::health::resident_bytes(),
            devices: host.network.devices().count().0,
            accepts_jobs: consent.accept_jobs,
            accepts_answers: consent.accept_answers,
            workspaces: workspaces.iter().map(|dir| dir.display().to_string()).collect(),
            client_time: now,
        }
    }
}
