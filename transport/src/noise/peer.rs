//! An established channel, the same at both ends: a handle on the task that owns it.

use std::net::SocketAddr;
use std::sync::Arc;

use lanyard_pairing::mux::{Class, Limits, Mux, Role};
use lanyard_pairing::noise::Session;
use lanyard_pairing::{Channel, ChannelKey};
use tokio::sync::{Mutex, OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::carrier::Carrier;
use super::driver::{Driver, Halves, Opening, Wishes};
use super::stream::{MuxRecv, MuxSend};
use crate::close::{CloseCode, Ended};
use crate::peer::{Connection, Priority, SendHalf};

/// Cheap to clone; the connection ends when the last clone is gone or [`NoisePeer::close`] is called. Streams that are
/// open end with it.
#[derive(Debug, Clone)]
pub struct NoisePeer {
    address: SocketAddr,
    channel: Channel,
    close: mpsc::Sender<CloseCode>,
    opens: mpsc::Sender<Opening>,
    /// One stream waits here, the others in the connection's task.
    accepted: Arc<Mutex<mpsc::Receiver<Halves>>>,
    ended: watch::Receiver<Option<Ended>>,
    /// At a host, a place among the connections of strangers; free again when the last clone is gone.
    _place: Option<Arc<OwnedSemaphorePermit>>,
}

impl NoisePeer {
    /// A handle, and the connection's task, which has to be run.
    pub(super) fn new(
        carrier: Carrier,
        session: Session,
        role: Role,
        limits: Limits,
        place: Option<OwnedSemaphorePermit>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (close, closes) = mpsc::channel(1);
        let (opens, openings) = mpsc::channel(1);
        let (accept, accepted) = mpsc::channel(1);
        let (tell, ended) = watch::channel(None);
        let peer = Self {
            address: carrier.address,
            channel: session.channel(),
            close,
            opens,
            accepted: Arc::new(Mutex::new(accepted)),
            ended,
            _place: place.map(Arc::new),
        };
        let wishes = Wishes { close: closes, opens: openings, accepted: accept };
        let driver = Driver::new(carrier, session, Mux::new(role, limits), wishes);
        (peer, driver.run(tell))
    }

    /// Where the peer is, as its carrier says.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The X25519 key the handshake has proven.
    pub fn key(&self) -> &[u8; 32] {
        match &self.channel.peer {
            ChannelKey::Agreement(key) | ChannelKey::Signing(key) => key,
        }
    }

    /// What a pairing is bound to (the handshake's hash).
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// Opens a stream; waits until the peer has room for one more. Cancel-safe.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn open(&self, class: Class) -> Result<(MuxSend, MuxRecv), Ended> {
        let (opened, halves) = oneshot::channel();
        if self.opens.send(Opening { class, opened }).await.is_ok()
            && let Ok(halves) = halves.await
        {
            return Ok(halves);
        }
        Err(self.ended().await)
    }

    /// The next stream the peer opened, in the order in which it opened them. Cancel-safe.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn accept(&self) -> Result<(MuxSend, MuxRecv), Ended> {
        let accepted = self.accepted.lock().await.recv().await;
        // One that waited here when the connection ended is of no use.
        match accepted.filter(|_| self.ended.borrow().is_none()) {
            Some(halves) => Ok(halves),
            None => Err(self.ended().await),
        }
    }

    /// Ends the connection: its streams at once, then the peer is told why. A second call does nothing.
    pub fn close(&self, code: CloseCode) {
        // Full: another reason was first. Closed: it has ended.
        let _ = self.close.try_send(code);
    }

    /// Waits for the end. Cancel-safe.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        let told = match ended.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone(),
            // Its task was taken down with the program's runtime.
            Err(_) => None,
        };
        told.unwrap_or(Ended::Here)
    }
}

impl Connection for NoisePeer {
    type Send = MuxSend;
    type Recv = MuxRecv;

    /// What either side may open at once.
    const STREAMS: u32 = Limits::PAIRED.streams();

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn key(&self) -> ChannelKey {
        self.channel.peer
    }

    fn channel(&self) -> Result<Channel, Ended> {
        Ok(self.channel)
    }

    async fn open(&self) -> Result<(MuxSend, MuxRecv), Ended> {
        NoisePeer::open(self, Class::Interactive).await
    }

    async fn accept(&self) -> Result<(MuxSend, MuxRecv), Ended> {
        NoisePeer::accept(self).await
    }

    fn close(&self, code: CloseCode) {
        NoisePeer::close(self, code);
    }

    async fn ended(&self) -> Ended {
        NoisePeer::ended(self).await
    }

    fn has_ended(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }
}

impl SendHalf for MuxSend {
    fn set_priority(&self, _: Priority) {
        // Who opened the stream has chosen its class, for both directions.
    }

    async fn finish(&mut self) -> std::io::Result<()> {
        MuxSend::finish(self).await
    }

    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        MuxSend::stopped(self)
    }
}
