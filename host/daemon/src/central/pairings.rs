//! Tells the centre who is paired and who asks to be, while the owner lets its people answer.

use std::sync::Arc;
use std::time::Duration;

use lanyard_governance_api::pairing::{AskingDevice, PairedDevice, PairingSnapshot};
use lanyard_governance_client::backoff::Backoff;
use lanyard_protocol::device::{Device, PairingMethod, PendingPairing};
use lanyard_protocol::event::{HostEvent, HostEventBody};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::commands::granted;
use super::contact::reached_again;
use super::tie::Tie;
use super::wire::{Meaning, Wire, meaning};
use crate::host::Host;
use crate::principals::owner;

/// How long a change waits for others: a device that is let in is several of them.
const GATHER: Duration = Duration::from_millis(300);

/// Sends a snapshot whenever it has changed, until told to stop.
pub(super) async fn tell(host: Arc<Host>, wire: Arc<dyn Wire>, stop: CancellationToken) {
    let mut events = host.hub.watch_host();
    let mut ties = host.centre.tie.subscribe();
    let mut told: Option<PairingSnapshot> = None;
    let mut backoff = Backoff::new();
    loop {
        let now = snapshot(&host).await;
        // Told once in any case: the centre may hold what an earlier host was allowed to tell.
        let news = told.as_ref() != Some(&now);
        let answer = if news { wire.put_pairings(&now).await } else { Ok(()) };
        let pause = match answer {
            Ok(()) => {
                if news {
                    told = Some(now);
                    backoff.reset();
                }
                let goes_on = tokio::select! {
                    () = stop.cancelled() => false,
                    goes_on = change(&mut events, &mut ties) => goes_on,
                };
                if !goes_on {
                    return;
                }
                GATHER
            }
            Err(error) if meaning(&error) == Meaning::Gone => return,
            Err(error) => {
                tracing::debug!(%error, "pairings are not told to the centre for now");
                backoff.pause()
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = reached_again(host.centre.contact.subscribe()) => {}
        }
    }
}

/// Waits until pairings or the owner's consent may have changed. False when the host is no more.
async fn change(events: &mut broadcast::Receiver<Arc<HostEvent>>, ties: &mut watch::Receiver<Tie>) -> bool {
    loop {
        tokio::select! {
            changed = ties.changed() => return changed.is_ok(),
            event = events.recv() => match event {
                Ok(event) if concerns(&event.body) => return true,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return true,
                Err(RecvError::Closed) => return false,
            },
        }
    }
}

fn concerns(body: &HostEventBody) -> bool {
    matches!(
        body,
        HostEventBody::PairingRequested(_)
            | HostEventBody::PairingSettled(_)
            | HostEventBody::DeviceChanged(_)
            | HostEventBody::DeviceRemoved(_)
    )
}

/// How things stand; nothing without the owner's consent.
async fn snapshot(host: &Host) -> PairingSnapshot {
    if !host.centre.tie().consent().accept_answers {
        return PairingSnapshot::default();
    }
    let Ok(owner) = owner() else { return PairingSnapshot::default() };
    let asking = match host.network.desk().pairings(owner).await {
        Ok((_, pending)) => pending.into_iter().map(asks).collect(),
        // The desk ends before these loops do.
        Err(_) => Vec::new(),
    };
    let devices = host.network.devices().list();
    // Tabs of the owner come and go, and are nobody else's business.
    let devices = devices.into_iter().filter(|device| !device.temporary).map(paired).collect();
    PairingSnapshot { asking, devices }
}

fn asks(pending: PendingPairing) -> AskingDevice {
    AskingDevice {
        pairing_id: pending.pairing_id,
        name: pending.name,
        platform: pending.platform,
        address: pending.address,
        scopes: granted(&pending.requested_scopes),
        needs_digits: pending.method == PairingMethod::Code,
        expires_at: pending.expires_at,
    }
}

fn paired(device: Device) -> PairedDevice {
    PairedDevice {
        device_id: device.device_id,
        name: device.name,
        platform: device.platform,
        scopes: device.scopes,
        paired_at: device.paired_at,
        last_seen_at: device.last_seen,
        connected: device.connections > 0,
    }
}
