//! One run of the `mdns-sd` responder: a thread of its own that is told to end when this is dropped.

use std::fmt;
use std::time::Duration;

use mdns_sd::{
    DaemonEvent, DaemonStatus, IfKind, Receiver, ServiceDaemon, ServiceEvent, ServiceInfo, TryRecvError,
};

use super::obstacle::Obstacle;
use super::{Announcement, SERVICE, names};

/// How often the responder looks for new and lost addresses, in seconds. Ours looks as often.
const ADDRESS_CHECK: u32 = 5;

/// How long a goodbye may take. It is one packet an interface.
const GOODBYE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Responder {
    daemon: ServiceDaemon,
    /// What it notices. Closed when its thread is gone, by itself or by a panic.
    events: Receiver<DaemonEvent>,
    /// The question whether it is alive, while it is unanswered.
    asked: Option<Receiver<DaemonStatus>>,
}

impl Responder {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Obstacle::Port`], [`Obstacle::Start`].
    pub(super) fn start() -> Result<Self, Obstacle> {
        super::obstacle::port()?;
        let daemon = ServiceDaemon::new().map_err(Obstacle::Start)?;
        let configured = || {
            daemon.set_ip_check_interval(ADDRESS_CHECK)?;
            // Addresses nobody else can use, and on this machine the host is found through the real interfaces.
            daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
            daemon.monitor()
        };
        match configured() {
            Ok(events) => Ok(Self { daemon, events, asked: None }),
            Err(error) => {
                // It may have ended already; if not, it would run without an owner.
                let _ = daemon.shutdown();
                Err(Obstacle::Start(error))
            }
        }
    }

    /// Announces, or announces again what has been announced.
    ///
    /// # Errors
    /// [`Obstacle::Refused`].
    pub(super) fn announce(&self, what: &Announcement) -> Result<(), Obstacle> {
        self.daemon.register(service(what).map_err(Obstacle::Refused)?).map_err(Obstacle::Refused)
    }

    /// Starts to ask for hosts.
    ///
    /// # Errors
    /// [`Obstacle::Start`].
    pub(super) fn browse(&self) -> Result<Receiver<ServiceEvent>, Obstacle> {
        self.daemon.browse(SERVICE).map_err(Obstacle::Start)
    }

    /// What it notices next; `None` when it is gone. Cancel-safe.
    pub(super) async fn event(&self) -> Option<DaemonEvent> {
        self.events.recv_async().await.ok()
    }

    /// Looks whether it answered since the last time, and asks again. One that hangs is as good as gone.
    ///
    /// # Errors
    /// [`Obstacle::Stuck`], [`Obstacle::Ended`].
    pub(super) fn check(&mut self) -> Result<(), Obstacle> {
        if let Some(asked) = self.asked.take() {
            alive(asked.try_recv())?;
        }
        self.asked = Some(self.daemon.status().map_err(|_| Obstacle::Ended)?);
        Ok(())
    }

    /// Takes everything announced back and ends the thread; bounded.
    pub(super) async fn goodbye(self) {
        if let Ok(done) = self.daemon.shutdown() {
            // If it does not manage, records run out by themselves within two minutes.
            let _ = tokio::time::timeout(GOODBYE, done.recv_async()).await;
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // Its thread says goodbye by itself. An error means that it has ended.
        let _ = self.daemon.shutdown();
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").finish_non_exhaustive()
    }
}

/// What an answer says that has had the time of a look to come.
fn alive(answer: Result<DaemonStatus, TryRecvError>) -> Result<(), Obstacle> {
    match answer {
        Ok(DaemonStatus::Running) => Ok(()),
        Err(TryRecvError::Empty) => Err(Obstacle::Stuck),
        Ok(_) | Err(TryRecvError::Disconnected) => Err(Obstacle::Ended),
    }
}

/// The records: the version of the pairing protocol, the short id, and nothing that anybody could be tempted to trust.
fn service(what: &Announcement) -> mdns_sd::Result<ServiceInfo> {
    let id = what.host.short();
    let version = lanyard_pairing::message::VERSIONS.iter().max().copied().unwrap_or_default().to_string();
    let txt = [("v", version.as_str()), ("id", id.as_str())];
    let (name, host) = (names::fit(&what.name), names::host_name(&id));
    Ok(ServiceInfo::new(SERVICE, &name, &host, "", what.port, &txt[..])?.enable_addr_auto())
}

#[cfg(test)]
mod tests {
    use lanyard_pairing::Fingerprint;

    use super::*;
    use crate::discovery::sightings::Claims;

    #[test]
    fn one_that_hangs_is_told_from_one_that_is_gone() {
        assert!(alive(Ok(DaemonStatus::Running)).is_ok());
        assert!(matches!(alive(Err(TryRecvError::Empty)), Err(Obstacle::Stuck)));
        assert!(matches!(alive(Err(TryRecvError::Disconnected)), Err(Obstacle::Ended)));
        assert!(matches!(alive(Ok(DaemonStatus::Shutdown)), Err(Obstacle::Ended)));
    }

    #[test]
    fn the_records_say_the_version_and_the_short_id_and_nothing_else() {
        let host = Fingerprint::from_bytes([7; 32]);
        let what = Announcement { name: "studio.local".to_owned(), port: 7717, host };
        let service = service(&what).unwrap();
        let keys: Vec<_> =
            service.get_properties().iter().map(|p| format!("{}={}", p.key(), p.val_str())).collect();
        assert_eq!(keys, ["v=1".to_owned(), format!("id={}", host.short())]);
        assert_eq!(service.get_fullname(), format!("studio-local.{SERVICE}"));
        assert_eq!(service.get_hostname(), format!("lanyard-{}.local.", host.short()));
        assert!(service.is_addr_auto() && service.get_addresses().is_empty());
        let claims = Claims::read(service.get_properties()).unwrap();
        assert_eq!((claims.short_id, claims.version), (host.short(), Some(1)));
    }
}
