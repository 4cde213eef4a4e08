//! Both ends in memory: devices that keep to the protocol, and one that is moved by hand and need not.

mod ends;
mod handshake;
mod streams;

use std::net::SocketAddr;
use std::sync::Arc;

use lanyard_pairing::ChannelKey;
use lanyard_pairing::mux::{Class, Limits, Mux, MuxEvent, Read, Role, StreamId};
use lanyard_pairing::noise::{Session, paired};
use rand_core::OsRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::*;
use crate::host::{Admission, Arrival, Refused, Strangers};
use crate::lab::keys;

/// The X25519 keys of devices a host knows.
#[derive(Debug)]
struct Known(Vec<[u8; 32]>);

impl Admission for Known {
    fn admits(&self, key: &ChannelKey) -> bool {
        matches!(key, ChannelKey::Agreement(key) if self.0.contains(key))
    }
}

fn agreement(number: u8) -> [u8; 32] {
    keys(number).public().agreement
}

fn somewhere() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 40_000))
}

type Arriving = JoinHandle<Result<Arrival<NoisePeer>, Refused>>;

/// A host with the keys of a number that knows the devices of others.
struct Host {
    noise: NoiseHost,
    known: Arc<Known>,
    number: u8,
}

impl Host {
    fn new(number: u8, devices: &[u8]) -> Self {
        let noise = NoiseHost::new(&keys(number), Strangers::default(), TaskTracker::new());
        let known = Arc::new(Known(devices.iter().copied().map(agreement).collect()));
        Self { noise, known, number }
    }

    /// Somebody's carrier, and what becomes of it.
    fn carrier(&self) -> (Carrier, Arriving) {
        let (far, near) = Carrier::pair(somewhere());
        let (noise, known) = (self.noise.clone(), self.known.clone());
        (far, tokio::spawn(async move { noise.accept(near, &*known).await }))
    }

    /// Both ends of a session with the device of a number.
    async fn session(&self, device: u8) -> (NoisePeer, NoisePeer) {
        let (carrier, arriving) = self.carrier();
        let here = device::connect(carrier, &keys(device), &agreement(self.number)).await.unwrap();
        match arriving.await.unwrap() {
            Ok(Arrival::Session(there)) => (here, there),
            other => panic!("{other:?}"),
        }
    }

    /// The same with a device that is moved by hand.
    async fn by_hand(&self, device: u8) -> (ByHand, NoisePeer) {
        let (mut carrier, arriving) = self.carrier();
        let (secret, host) = (keys(device).agreement_secret(), agreement(self.number));
        let (initiator, first) = paired::Initiator::start(&secret, &host, &mut OsRng).unwrap();
        carrier.outgoing.send([&[PAIRED], &first[..]].concat()).await.unwrap();
        let (session, last) = initiator.finish(&carrier.incoming.recv().await.unwrap()).unwrap();
        carrier.outgoing.send(last).await.unwrap();
        let Ok(Arrival::Session(there)) = arriving.await.unwrap() else { panic!("it is known") };
        (ByHand { session, mux: Mux::new(Role::Initiator, Limits::PAIRED), carrier }, there)
    }
}

/// A device of which every step is made by the test.
struct ByHand {
    session: Session,
    mux: Mux,
    carrier: Carrier,
}

impl ByHand {
    /// Sends everything there is to say.
    async fn say(&mut self) {
        while let Some(message) = self.mux.poll_transmit() {
            self.carrier.outgoing.send(self.session.seal(&message).unwrap()).await.unwrap();
        }
    }

    /// Takes the next message; false at the end.
    async fn hear(&mut self) -> bool {
        let Some(sealed) = self.carrier.incoming.recv().await else { return false };
        self.mux.feed(&self.session.open(&sealed).unwrap()).unwrap();
        true
    }

    /// A stream with a request on it.
    async fn ask(&mut self, class: Class, request: &[u8]) -> StreamId {
        let stream = self.mux.open(class).unwrap();
        assert_eq!(self.mux.write(stream, request).unwrap(), request.len());
        self.mux.finish(stream).unwrap();
        self.say().await;
        stream
    }

    /// What is there to read.
    fn read(&mut self, stream: StreamId) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        loop {
            match self.mux.read(stream).unwrap() {
                Read::Chunk(chunk) => bytes.extend(chunk),
                Read::Blocked => return (bytes, false),
                Read::Finished => return (bytes, true),
            }
        }
    }

    /// Everything up to the end of a stream.
    async fn answer(&mut self, stream: StreamId) -> Vec<u8> {
        let mut answer = Vec::new();
        loop {
            let (bytes, end) = self.read(stream);
            answer.extend(bytes);
            self.say().await;
            if end {
                return answer;
            }
            assert!(self.hear().await, "the connection has ended");
        }
    }

    /// How the host ended the connection; takes what comes before.
    async fn told(&mut self) -> Option<u32> {
        while self.hear().await {
            while let Some(event) = self.mux.poll_event() {
                if let MuxEvent::Closed(code) = event {
                    return Some(code);
                }
            }
        }
        None
    }
}

/// What has to happen, in far more time than it takes.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(20), what).await.expect("it happens soon")
}

/// Everything up to the end of a stream.
async fn all(recv: &mut MuxRecv) -> Vec<u8> {
    let mut bytes = Vec::new();
    recv.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Answers each request with what was asked, twice.
async fn echo(peer: NoisePeer) {
    while let Ok((mut send, mut recv)) = peer.accept().await {
        tokio::spawn(async move {
            let mut bytes = Vec::new();
            // Those who give up are not answered.
            if recv.read_to_end(&mut bytes).await.is_ok() {
                send.write_all(&bytes).await.unwrap();
                send.write_all(&bytes).await.unwrap();
                send.finish().await.unwrap();
            }
        });
    }
}
