//! What runs while the host is enrolled, and ends with the enrolment or the host.

use std::sync::Arc;
use std::time::Duration;

use lanyard_governance_client::backoff::Backoff;
use lanyard_governance_client::{Ended, commands, heartbeat, outbox};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::audit::Outbox;
use super::commands::Orders;
use super::pairings;
use super::ship::Shipper;
use super::tie::Enrolled;
use super::vitals::HostVitals;
use crate::host::Host;

/// How long loops may take to end after they were told to; each ends at once unless a file is being written.
const STOP: Duration = Duration::from_secs(2);

/// The loops of one enrolment.
pub(super) struct Loops {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Loops {
    /// Starts them. `None` when no client can be made of the identity, which is logged.
    pub(super) fn start(host: &Arc<Host>, enrolled: &Arc<Enrolled>) -> Option<Self> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let loops = Self { stop, tasks };
        let wire = match enrolled.way.wire(&host.centre.redaction) {
            Ok(wire) => wire,
            Err(error) => {
                tracing::error!(%error, "the central services cannot be used");
                return None;
            }
        };
        let centre = &host.centre;
        let shipper = Shipper {
            host: host.clone(),
            journal: host.journal.clone(),
            artifacts: host.artifacts.clone(),
            wire: wire.clone(),
            clock: host.clock.clone(),
            commits: centre.bells.sessions.clone(),
            contact: centre.contact.subscribe(),
            sent_at: centre.sent_at.clone(),
        };
        loops.tasks.spawn(shipper.run(loops.stop.clone()));
        loops.tasks.spawn(pairings::tell(host.clone(), wire.clone(), loops.stop.clone()));
        loops.tasks.spawn(super::jobs::recover(host.clone(), wire, loops.stop.clone()));
        if let Ok(central) = enrolled.way.central() {
            loops.start_client(host, enrolled, central);
        }
        Some(loops)
    }

    fn start_client(
        &self,
        host: &Arc<Host>,
        enrolled: &Enrolled,
        central: lanyard_governance_client::Central,
    ) {
        let centre = host.centre.clone();
        self.tasks.spawn(centre.clone().follow_reach(central.reach(), self.stop.clone()));
        let vitals = Arc::new(HostVitals::new(host.clone()));
        self.watch(host, heartbeat::beat(central.clone(), vitals, self.stop.clone()));
        let source = Arc::new(Outbox { journal: host.journal.clone(), user: enrolled.facts.user_id.clone() });
        let (bell, state) = (centre.bells.audit.clone(), centre.outbox.clone());
        self.watch(host, outbox::drain(central.clone(), source, bell, state, self.stop.clone()));
        let (journal, handler, stop) =
            (host.journal.clone(), Arc::new(Orders(host.clone())), self.stop.clone());
        self.watch(host, async move {
            let mut backoff = Backoff::new();
            let after = loop {
                match journal.central_command() {
                    Ok(after) => break after,
                    Err(error) => {
                        tracing::error!(%error, "commands of the centre cannot be followed for now")
                    }
                }
                tokio::select! {
                    () = stop.cancelled() => return Ended::Cancelled,
                    () = tokio::time::sleep(backoff.pause()) => {}
                }
            };
            commands::follow(central, after, handler, stop).await
        });
    }

    /// Runs a loop of the client; when it finds that the enrolment was ended, the owner task is told.
    fn watch(&self, host: &Arc<Host>, work: impl Future<Output = Ended> + Send + 'static) {
        let centre = host.centre.clone();
        self.tasks.spawn(async move {
            if let Ended::Revoked(reason) = work.await {
                centre.revoked(reason);
            }
        });
    }

    /// Ends them.
    pub(super) async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP, self.tasks.wait()).await.is_err() {
            tracing::warn!("some work for the central services did not end in time");
        }
    }
}
