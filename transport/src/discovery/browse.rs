//! Listens for hosts.

use mdns_sd::{Receiver, ServiceEvent};

use super::responder::Responder;
use super::sightings::Sightings;
use super::{DiscoveryError, Sighting};

/// Listens for hosts. Sightings of one host are merged and told again when they grow, or after the host was gone; at most
/// 256 hosts are told. An interface that comes up later is listened on from then on.
#[derive(Debug)]
pub struct Browser {
    responder: Responder,
    events: Receiver<ServiceEvent>,
    sightings: Sightings,
}

impl Browser {
    /// Starts to ask.
    ///
    /// # Errors
    /// No responder can be started.
    pub fn start() -> Result<Self, DiscoveryError> {
        let started = || {
            let responder = Responder::start()?;
            let events = responder.browse()?;
            Ok(Self { responder, events, sightings: Sightings::default() })
        };
        started().map_err(|obstacle: super::obstacle::Obstacle| DiscoveryError(obstacle.to_string()))
    }

    /// The next sighting, new or grown; `None` when the responder is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Sighting> {
        loop {
            match self.events.recv_async().await {
                Ok(event) => {
                    if let Some(sighting) = self.take(event) {
                        return Some(sighting);
                    }
                }
                // The responder cuts off a listener that lags a thousand events behind: ask again. If it is gone
                // itself, this fails.
                Err(_) => self.events = self.responder.browse().ok()?,
            }
        }
    }

    /// Everything heard and not gone, by name.
    pub fn heard(&self) -> Vec<Sighting> {
        self.sightings.all()
    }

    fn take(&mut self, event: ServiceEvent) -> Option<Sighting> {
        match event {
            ServiceEvent::ServiceResolved(found) => {
                self.sightings.hear(&found.fullname, &found.txt_properties, found.port, &found.addresses)
            }
            ServiceEvent::ServiceRemoved(_, fullname) => {
                self.sightings.forget(&fullname);
                None
            }
            _ => None,
        }
    }
}
