//! What a heartbeat says of this host.

use std::sync::{Arc, Mutex, PoisonError};

use lanyard_governance_api::agent::Heartbeat;
use lanyard_governance_client::heartbeat::Vitals;

use super::owner::machine;
use crate::host::Host;

/// The host's vitals. Counters only; nothing is scanned.
pub(super) struct HostVitals {
    host: Arc<Host>,
    last: Mutex<Counted>,
}

/// What the store counts.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    sessions: u64,
    outbox_depth: u64,
}

impl HostVitals {
    pub(super) fn new(host: Arc<Host>) -> Self {
        Self { host, last: Mutex::default() }
    }

    /// As the store counts now; as it did before where it cannot be read, because nothing would read as "all is sent".
    fn counted(&self) -> Counted {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let journal = &self.host.journal;
        let now = journal.counters().and_then(|counters| {
            let outbox_depth = journal.audit_backlog()?.records;
            Ok(Counted { sessions: counters.sessions, outbox_depth })
        });
        match now {
            Ok(now) => *last = now,
            Err(error) => tracing::error!(%error, "what is told to the centre of the store is not new"),
        }
        *last
    }
}

#[async_trait::async_trait]
impl Vitals for HostVitals {
    async fn heartbeat(&self) -> Heartbeat {
        let host = &self.host;
        let consent = host.centre.tie().consent();
        let Counted { sessions, outbox_depth } = self.counted();
        let running = host.sessions.running() + host.centre.jobs().running();
        let workspaces = if consent.accept_jobs { host.config.workspaces.as_slice() } else { &[] };
        let now = host.clock.now();
        Heartbeat {
            machine: machine(host),
            policy_epoch: host.centre.news.borrow().epoch,
            sandbox_level: host.sandbox.report().level,
            outbox_depth,
            uptime_seconds: host.centre.uptime().as_secs(),
            tasks_running: u32::try_from(running).unwrap_or(u32::MAX),
            sessions,
            rss_bytes: crate::health::resident_bytes(),
            devices: host.network.devices().count().0,
            accepts_jobs: consent.accept_jobs,
            accepts_answers: consent.accept_answers,
            workspaces: workspaces.iter().map(|dir| dir.display().to_string()).collect(),
            client_time: now,
        }
    }
}
