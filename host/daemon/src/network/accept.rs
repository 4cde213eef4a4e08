//! Who knocks: paired devices get a session, everybody else the pairing protocol or nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lanyard_protocol::id::PrincipalId;
use lanyard_transport::close::{CloseCode, Ended};
use lanyard_transport::host::{Arrival, HostEndpoint, Refused};
use lanyard_transport::noise::{Carrier, NoiseHost};
use lanyard_transport::peer::Connection;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::desk::{Desk, Lease};
use super::devices::{Devices, principal_id};
use super::pairing::{Seats, converse};
use super::tally::{Counted, Tally};

/// How long requests under way may take to be answered when a connection is ended in order.
const GRACE: Duration = Duration::from_secs(1);

/// What the acceptor works with.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) desk: Desk,
    pub(super) devices: Devices,
    pub(super) tally: Arc<Tally>,
    /// For those who pair, whichever way they came.
    pub(super) seats: Arc<Seats>,
    /// Everything started here runs under it.
    pub(super) tasks: TaskTracker,
    /// Cancelled when the host is to stop.
    pub(super) stop: CancellationToken,
}

/// Carries out the requests of a device's connection until that is gone or the token is cancelled.
pub(super) trait Serve: Clone + Send + 'static {
    /// See the trait.
    fn serve<C: Connection>(
        &self,
        device: PrincipalId,
        peer: C,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static;
}

impl Door {
    /// Takes whoever knocks until the endpoint is closed or the host stops. How many are in a handshake or pair at once
    /// is bounded by the endpoint, how many sessions there are by the desk.
    pub(super) async fn run(self, endpoint: Arc<HostEndpoint>, serve: impl Serve) {
        loop {
            let knock = tokio::select! {
                knock = endpoint.knock() => knock,
                () = self.stop.cancelled() => return,
            };
            let Some(knock) = knock else { return };
            let (door, serve) = (self.clone(), serve.clone());
            self.tasks.spawn(async move {
                let from = knock.address();
                let admitted = knock.admit(&door.devices).await;
                door.receive(from, admitted, serve).await;
            });
        }
    }

    /// The whole life of a browser's connection, from its first message on.
    pub(super) async fn browser(self, browsers: NoiseHost, carrier: Carrier, serve: impl Serve) {
        let from = carrier.address;
        let admitted = tokio::select! {
            admitted = browsers.accept(carrier, &self.devices) => admitted,
            () = self.stop.cancelled() => return,
        };
        self.receive(from, admitted, serve).await;
    }

    async fn receive<C: Connection>(
        &self,
        from: SocketAddr,
        admitted: Result<Arrival<C>, Refused>,
        serve: impl Serve,
    ) {
        match admitted {
            Ok(Arrival::Session(peer)) => self.session(peer, serve).await,
            Ok(Arrival::Pairing(peer)) => self.pairing(peer).await,
            Err(refused) => {
                tracing::debug!(%from, why = %refused, "somebody was turned away");
                self.tally.add(Counted::Refused(refused.word()));
            }
        }
    }

    fn turn_away(&self, peer: &impl Connection, code: CloseCode) {
        tracing::debug!(from = %peer.address(), why = code.word(), "somebody was turned away");
        self.tally.add(Counted::Refused(code.word()));
        peer.close(code);
    }

    async fn pairing(&self, peer: impl Connection) {
        let told = peer.clone();
        let talk = converse(self.desk.clone(), self.tally.clone(), peer, self.seats.take());
        tokio::select! {
            () = talk => {}
            // A device that waits comes back when the host runs again.
            () = self.stop.cancelled() => told.close(CloseCode::Stopping),
        }
    }

    async fn session(&self, peer: impl Connection, serve: impl Serve) {
        let from: SocketAddr = peer.address();
        let lease = match self.desk.arrived(peer.key(), from).await {
            Ok(lease) => lease,
            Err(code) => return self.turn_away(&peer, code),
        };
        let how = match principal_id(&lease.device) {
            Ok(device) => self.attend(&lease, device, &peer, serve).await,
            Err(error) => {
                tracing::error!(%error, "a device has an id that is none");
                peer.close(CloseCode::NotPaired);
                CloseCode::NotPaired.word()
            }
        };
        tracing::debug!(device = %lease.device, how, "a device is gone");
        self.desk.left(lease, how).await;
    }

    /// Serves the connection to its end, and says how that was.
    async fn attend(
        &self,
        lease: &Lease,
        device: PrincipalId,
        peer: &impl Connection,
        serve: impl Serve,
    ) -> &'static str {
        let stop = self.stop.child_token();
        let mut serving = self.tasks.spawn(serve.serve(device, peer.clone(), stop.clone()));
        let code = tokio::select! {
            biased;
            code = lease.cut() => code,
            ended = peer.ended() => {
                stop.cancel();
                // Until then the device counts as connected: whoever revokes it waits for what it had under way.
                if tokio::time::timeout(GRACE, &mut serving).await.is_err() {
                    tracing::debug!("requests of a device that is gone are still under way");
                }
                return word(&ended);
            }
            () = self.stop.cancelled() => CloseCode::Stopping,
        };
        if code == CloseCode::Revoked {
            // Nothing more reaches the device, not even what is on its way.
            peer.close(code);
        }
        stop.cancel();
        if tokio::time::timeout(GRACE, &mut serving).await.is_err() {
            tracing::debug!(why = code.word(), "a connection was ended before its last answers were taken");
        }
        peer.close(code);
        code.word()
    }
}

/// A connection that nobody but the API closed was not read (`api::streams`).
fn word(ended: &Ended) -> &'static str {
    match ended {
        Ended::Here => CloseCode::Slow.word(),
        other => other.word(),
    }
}
