//! The host's side: who comes through a carrier, and as what.
//!
//! The first message says what the device wants: one byte ([`PAIRING`], [`PAIRED`]), then the first message of that
//! handshake. Whoever comes is a stranger until its handshake is over, however it introduces itself: bounded in time, in
//! number, and in what is read of it. Strangers who pair are bounded apart, together with those on QUIC.

use std::sync::Arc;
use std::time::Duration;

use lanyard_pairing::IdentityKeys;
use lanyard_pairing::mux::{Limits, Role};
use lanyard_pairing::noise::{HandshakeError, MAX_HANDSHAKE_BYTES, Session, paired, pairing};
use rand_core::OsRng;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::carrier::Carrier;
use super::peer::NoisePeer;
use super::{PAIRED, PAIRING};
use crate::close::Ended;
use crate::host::places::{Place, Places};
use crate::host::{Admission, Arrival, Refused, Strangers};
use crate::limits::HANDSHAKE;

/// How soon somebody who found all places for handshakes taken looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct NoiseHost {
    secret: Arc<watch::Sender<Zeroizing<[u8; 32]>>>,
    pub(super) handshakes: Places,
    strangers: Strangers,
    tasks: TaskTracker,
}

impl NoiseHost {
    /// A host with these keys. `strangers` is what it has room for, on every way in; the tasks of connections run under
    /// `tasks`.
    pub fn new(keys: &IdentityKeys, strangers: Strangers, tasks: TaskTracker) -> Self {
        let secret = Arc::new(watch::Sender::new(keys.agreement_secret()));
        Self { secret, handshakes: Places::default(), strangers, tasks }
    }

    /// New connections get these keys; those that are open keep theirs.
    pub fn use_keys(&self, keys: &IdentityKeys) {
        self.secret.send_replace(keys.agreement_secret());
    }

    /// Lets the handshake happen and asks `admission`. Bounded in time. Needs a tokio runtime.
    ///
    /// A device the host does not know gets its handshake answered, which proves to it who refuses, and is then told.
    ///
    /// # Errors
    /// See [`Refused`]; the device was told where it could be.
    pub async fn accept(
        &self,
        mut carrier: Carrier,
        admission: &dyn Admission,
    ) -> Result<Arrival<NoisePeer>, Refused> {
        let shaken = timeout(HANDSHAKE, async {
            let place = self.place().await;
            tokio::select! {
                () = place.given_up() => Err(Refused::TimedOut),
                shaken = self.shake_hands(&mut carrier) => shaken,
            }
        });
        let (kind, session) = shaken.await.unwrap_or(Err(Refused::TimedOut))?;
        let (limits, place) = match kind {
            Kind::Pairing => (Limits::PAIRING, self.strangers.place()),
            Kind::Paired => (Limits::PAIRED, None),
        };
        let refused = match kind {
            Kind::Pairing => place.is_none().then_some(Refused::TooMany),
            Kind::Paired => (!admission.admits(&session.channel().peer)).then_some(Refused::NotPaired),
        };
        let peer = self.start(carrier, session, limits, place);
        if let Some(refused) = refused {
            peer.close(refused.code());
            return Err(refused);
        }
        Ok(match kind {
            Kind::Pairing => Arrival::Pairing(peer),
            Kind::Paired => Arrival::Session(peer),
        })
    }

    /// A place for a handshake. The caller bounds the time; carriers bound how many wait.
    async fn place(&self) -> Place {
        loop {
            if let Some(place) = self.handshakes.take() {
                return place;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn shake_hands(&self, carrier: &mut Carrier) -> Result<(Kind, Session), Refused> {
        let secret = self.secret.borrow().clone();
        let first = receive(carrier).await?;
        match first.split_first() {
            Some((&PAIRING, first)) => {
                let (responder, answer) =
                    pairing::Responder::answer(&secret, first, &mut OsRng).map_err(failed)?;
                send(carrier, answer).await?;
                let session = responder.finish(&receive(carrier).await?).map_err(failed)?;
                Ok((Kind::Pairing, session))
            }
            Some((&PAIRED, first)) => {
                let claim = paired::Claim::read(&secret, first, &mut OsRng).map_err(failed)?;
                let (responder, answer) = claim.answer().map_err(failed)?;
                send(carrier, answer).await?;
                let session = responder.finish(&receive(carrier).await?).map_err(failed)?;
                Ok((Kind::Paired, session))
            }
            Some(_) | None => Err(Refused::Failed(Ended::Failed("it speaks another protocol".to_owned()))),
        }
    }

    fn start(
        &self,
        carrier: Carrier,
        session: Session,
        limits: Limits,
        place: Option<OwnedSemaphorePermit>,
    ) -> NoisePeer {
        let (peer, task) = NoisePeer::new(carrier, session, Role::Responder, limits, place);
        self.tasks.spawn(task);
        peer
    }
}

/// What a device wants.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Pairing,
    Paired,
}

async fn receive(carrier: &mut Carrier) -> Result<Vec<u8>, Refused> {
    let message = carrier.incoming.recv().await.ok_or(Refused::Failed(Ended::Lost))?;
    if message.len() > 1 + MAX_HANDSHAKE_BYTES {
        return Err(Refused::Failed(Ended::Failed("its handshake is too long".to_owned())));
    }
    Ok(message)
}

async fn send(carrier: &Carrier, message: Vec<u8>) -> Result<(), Refused> {
    carrier.outgoing.send(message).await.map_err(|_| Refused::Failed(Ended::Lost))
}

fn failed(error: HandshakeError) -> Refused {
    Refused::Failed(Ended::Failed(error.to_string()))
}

impl std::fmt::Debug for NoiseHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoiseHost").field("handshakes", &self.handshakes.taken()).finish_non_exhaustive()
    }
}
