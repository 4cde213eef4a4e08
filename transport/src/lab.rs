//! Hosts and devices on the loopback address, for the tests of this crate. No fixed ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, RwLock};
use std::task::{Context, Poll, Waker};

use lanyard_pairing::{ChannelKey, IdentityKeys};
use tokio::sync::mpsc;

use crate::dial::{Candidate, DialError, Dialer, Source};
use crate::host::{Admission, Arrival, HostEndpoint, Refused};
use crate::peer::Peer;

/// The same keys for the same number.
pub(crate) fn keys(number: u8) -> IdentityKeys {
    IdentityKeys::from_bytes(&[number; 64])
}

pub(crate) fn signing(number: u8) -> [u8; 32] {
    keys(number).public().signing
}

/// An address a person typed.
pub(crate) fn given(address: SocketAddr) -> Candidate {
    Candidate { address, source: Source::Given }
}

/// A host's list of paired devices.
#[derive(Debug, Default)]
pub(crate) struct Paired(RwLock<Vec<[u8; 32]>>);

impl Admission for Paired {
    fn admits(&self, key: &ChannelKey) -> bool {
        matches!(key, ChannelKey::Signing(key) if self.0.read().unwrap().contains(key))
    }
}

/// A host that admits whoever knocks as long as it lives.
pub(crate) struct LabHost {
    pub(crate) endpoint: Arc<HostEndpoint>,
    pub(crate) number: u8,
    arrivals: mpsc::UnboundedReceiver<Result<Arrival, Refused>>,
}

impl LabHost {
    /// With the keys of one number, paired with devices of others.
    pub(crate) fn start(number: u8, devices: &[u8]) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), number, devices)
    }

    pub(crate) fn start_at(address: SocketAddr, number: u8, devices: &[u8]) -> Self {
        let endpoint = Arc::new(HostEndpoint::bind(address, &keys(number)).unwrap());
        let paired = Arc::new(Paired(RwLock::new(devices.iter().map(|device| signing(*device)).collect())));
        let (told, arrivals) = mpsc::unbounded_channel();
        let knocking = endpoint.clone();
        tokio::spawn(async move {
            while let Some(knock) = knocking.knock().await {
                let (paired, told) = (paired.clone(), told.clone());
                tokio::spawn(async move {
                    // The test may have ended.
                    let _ = told.send(knock.admit(&*paired).await);
                });
            }
        });
        Self { endpoint, number, arrivals }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.endpoint.local_address().port()).into()
    }

    pub(crate) async fn arrival(&mut self) -> Result<Arrival, Refused> {
        self.arrivals.recv().await.unwrap()
    }

    /// The next paired device; passes over what did not get in.
    pub(crate) async fn device(&mut self) -> Peer {
        loop {
            if let Ok(Arrival::Session(peer)) = self.arrival().await {
                return peer;
            }
        }
    }

    /// The next stranger that wants to pair.
    pub(crate) async fn stranger(&mut self) -> Peer {
        loop {
            if let Ok(Arrival::Pairing(peer)) = self.arrival().await {
                return peer;
            }
        }
    }

    /// A session of a device with this host.
    pub(crate) async fn session_of(&self, dialer: &Dialer) -> Result<Peer, DialError> {
        dialer.session(&[given(self.address())], signing(self.number)).await
    }
}

/// The device with the keys of a number.
pub(crate) fn device(number: u8) -> Dialer {
    Dialer::new(&keys(number)).unwrap()
}

/// What a future has to say without waiting for anything.
pub(crate) fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
