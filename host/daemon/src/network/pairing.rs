//! One conversation with a device that wants to be paired, waits for its answer, or asks how the host's key follows
//! from an older one.
//!
//! Anybody on the network gets this far, so everything is bounded: how long each message may take, how many talk at
//! once ([`Seats`]), what each may hold. What is decided is decided by the desk; here messages are carried.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lanyard_pairing::Abort;
use lanyard_pairing::host::AwaitConfirm;
use lanyard_pairing::message::{ToDevice, ToHost};
use lanyard_pairing::window::SLOT;
use lanyard_protocol::id::DeviceId;
use lanyard_transport::close::CloseCode;
use lanyard_transport::join::{HostPairing, JoinError};
use lanyard_transport::peer::Connection;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, Place, Verdict};
use super::tally::{BY_DEVICE, Counted, GONE, Tally};

/// Peers that may talk at once without having proven anything.
const SEATS: usize = 16;

/// How long the next message may take. Nobody types anything between two of them; three lost packets fit.
const MESSAGE_WITHIN: Duration = Duration::from_secs(5);

/// How long the device may take to write its grant down and say so. It may also just connect.
const ACK_WITHIN: Duration = Duration::from_secs(15);

/// Places for peers that have proven nothing yet.
///
/// When all are taken the oldest is given up for the newest: an honest device needs some milliseconds from its first
/// message to its proof, so somebody who only sits in the places does not keep it out.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<VecDeque<CancellationToken>>);

impl Seats {
    fn taken(&self) -> MutexGuard<'_, VecDeque<CancellationToken>> {
        // Held for single operations only, which do not panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place.
    pub(super) fn take(self: &Arc<Self>) -> Seat {
        let mut taken = self.taken();
        // Places that were left are found at the front sooner or later; those in between are few.
        taken.retain(|seat| !seat.is_cancelled());
        if taken.len() >= SEATS
            && let Some(oldest) = taken.pop_front()
        {
            oldest.cancel();
        }
        let given_up = CancellationToken::new();
        taken.push_back(given_up.clone());
        Seat { given_up }
    }
}

/// One of them; free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    given_up: CancellationToken,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.given_up.cancel();
    }
}

/// Why a conversation ended without a result.
#[derive(Debug)]
enum Fault {
    /// We say so.
    Abort(Abort),
    /// We say so; the desk has counted it when it happened.
    Told(Abort),
    /// The device said so.
    ByDevice(Abort),
    /// The device is gone.
    Gone,
    /// The device is gone, or asks on another connection now; its question waits for it.
    Away,
    /// Its place was needed for a newer one.
    Displaced,
}

impl From<Abort> for Fault {
    fn from(abort: Abort) -> Self {
        Fault::Abort(abort)
    }
}

impl From<JoinError> for Fault {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Abort(abort) => Fault::Abort(abort),
            JoinError::Ended(_) | JoinError::Dial(_) => Fault::Gone,
        }
    }
}

/// Talks with a peer on the pairing protocol until one of the two is done.
pub(super) async fn converse(desk: Desk, tally: Arc<Tally>, peer: impl Connection, seat: Seat) {
    let from = peer.address();
    let displaced = seat.given_up.clone();
    let accepted = tokio::select! {
        accepted = HostPairing::accept(peer.clone()) => accepted,
        () = displaced.cancelled() => {
            tally.add(Counted::Aborted(Abort::Busy.word()));
            return peer.close(CloseCode::TooMany);
        }
    };
    let Ok(pairing) = accepted else { return tally.add(Counted::Aborted(GONE)) };
    let mut conversation = Conversation { desk, pairing, from };
    let mut seat = Some(seat);
    let ended = conversation.run(&mut seat).await;
    // A stranger that takes its time to hear why it was sent away does not keep the place of a newer one.
    let needed = async {
        match seat {
            Some(_) => displaced.cancelled().await,
            None => std::future::pending().await,
        }
    };
    let farewell = async {
        match ended {
            Ok(()) => conversation.pairing.finish().await,
            Err(Fault::Abort(why)) => {
                tracing::debug!(%from, %why, "a pairing came to nothing");
                tally.add(Counted::Aborted(why.word()));
                conversation.pairing.abort(why).await;
            }
            Err(Fault::Told(why)) => conversation.pairing.abort(why).await,
            Err(Fault::Away) => tracing::debug!(%from, "a device that waits is away"),
            Err(Fault::ByDevice(why)) => {
                tracing::debug!(%from, %why, "a device ended its pairing");
                tally.add(Counted::Aborted(BY_DEVICE));
            }
            Err(Fault::Gone) => tally.add(Counted::Aborted(GONE)),
            Err(Fault::Displaced) => {
                tally.add(Counted::Aborted(Abort::Busy.word()));
                peer.close(CloseCode::TooMany);
            }
        }
    };
    tokio::select! {
        // First, so that what happened is counted whatever else is the case.
        biased;
        () = farewell => {}
        () = needed => peer.close(CloseCode::TooMany),
    }
}

/// An attempt that has the slot, and gives it back when it is dropped before its proof.
struct Slot {
    desk: Desk,
    state: Option<AwaitConfirm>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            self.desk.abandon(state);
        }
    }
}

struct Conversation<C: Connection> {
    desk: Desk,
    pairing: HostPairing<C>,
    from: SocketAddr,
}

impl<C: Connection> Conversation<C> {
    /// Gives the seat back once the device has proven itself.
    async fn run(&mut self, seat: &mut Option<Seat>) -> Result<(), Fault> {
        let given_up = seat.as_ref().map(|seat| seat.given_up.clone()).unwrap_or_default();
        let begun = tokio::select! {
            begun = self.begin() => begun?,
            () = given_up.cancelled() => return Err(Fault::Displaced),
        };
        let Some((place, first)) = begun else { return Ok(()) };
        // Proven: it waits in a place of its own.
        *seat = None;
        self.pairing.set_patience(None);
        let told = matches!(first, ToDevice::Grant(_));
        let answered = async {
            self.send(&first).await?;
            self.answer(place, told).await
        };
        match answered.await {
            Err(Fault::Gone) => Err(Fault::Away),
            answered => answered,
        }
    }

    /// From the first message to the proof. `None`: the peer has what it wanted.
    async fn begin(&mut self) -> Result<Option<(Place, ToDevice)>, Fault> {
        let hello = self.receive(MESSAGE_WITHIN).await?;
        let channel = self.pairing.channel();
        match hello {
            ToHost::Lineage(_) => {
                let lineage = self.desk.lineage().await?;
                self.send(&ToDevice::Lineage(lineage)).await?;
                Ok(None)
            }
            ToHost::Resume(_) => match self.desk.resume(hello, channel, self.from).await {
                Ok(place) => Ok(Some(place)),
                Err(Abort::Unknown) => Err(Fault::Abort(Abort::Unknown)),
                Err(why) => Err(Fault::Told(why)),
            },
            hello => {
                let (state, offer) = self.desk.greet(channel, hello).await?;
                self.send(&offer).await?;
                let share = self.receive(MESSAGE_WITHIN).await?;
                let (state, share) = self.desk.share(state, share).await?;
                self.prove(state, &share).await.map(Some)
            }
        }
    }

    /// The attempt has the slot; it is given back whatever happens.
    async fn prove(&mut self, state: AwaitConfirm, share: &ToDevice) -> Result<(Place, ToDevice), Fault> {
        let mut slot = Slot { desk: self.desk.clone(), state: Some(state) };
        self.send(share).await?;
        let proof = self.receive(SLOT).await?;
        let Some(state) = slot.state.take() else { return Err(Abort::Internal.into()) };
        Ok(self.desk.confirm(state, proof, self.from).await?)
    }

    /// Waits for a person while watching the device.
    async fn answer(&mut self, mut place: Place, mut told: bool) -> Result<(), Fault> {
        loop {
            let verdict = place.verdict.borrow_and_update().clone();
            match verdict {
                Verdict::Waiting => {}
                Verdict::Granted(device, grant) => {
                    if !std::mem::replace(&mut told, true) {
                        self.send(&grant).await?;
                    }
                    return self.acknowledged(device).await;
                }
                Verdict::Ended(why) => return Err(Fault::Told(why)),
                Verdict::Superseded => return Err(Fault::Away),
            }
            // A device that waits has nothing to say but that it gives up.
            tokio::select! {
                changed = place.verdict.changed() => {
                    if changed.is_err() {
                        // The host stops. The device comes back.
                        return Err(Fault::Away);
                    }
                }
                said = self.pairing.receive() => match said? {
                    Some(ToHost::Abort(why)) => {
                        self.desk.give_up(place.sid).await;
                        return Err(Fault::ByDevice(why));
                    }
                    Some(_) => return Err(Abort::OutOfOrder.into()),
                    None => return Err(Fault::Gone),
                },
            }
        }
    }

    async fn acknowledged(&mut self, device: DeviceId) -> Result<(), Fault> {
        match self.receive(ACK_WITHIN).await {
            Ok(message) => Ok(self.desk.acknowledge(device, message).await?),
            // Its first connection says the same.
            Err(Fault::Gone | Fault::Abort(Abort::Timeout)) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// The next message, in time.
    async fn receive(&mut self, within: Duration) -> Result<ToHost, Fault> {
        match timeout(within, self.pairing.receive()).await {
            Ok(Ok(Some(ToHost::Abort(why)))) => Err(Fault::ByDevice(why)),
            Ok(Ok(Some(message))) => Ok(message),
            Ok(Ok(None)) => Err(Fault::Gone),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Abort::Timeout.into()),
        }
    }

    async fn send(&mut self, message: &ToDevice) -> Result<(), Fault> {
        match timeout(MESSAGE_WITHIN, self.pairing.send(message)).await {
            Ok(sent) => sent.map_err(|_| Fault::Gone),
            Err(_) => Err(Abort::Timeout.into()),
        }
    }
}
