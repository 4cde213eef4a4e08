//! A device as a library, for scenarios and benchmarks: keys of its own, the pairing, and the API over QUIC.
//!
//! The same crates as the `lanyard` command uses (`lanyard_transport`, `lanyard_pairing`, `lanyard_client`), without the
//! command around them. It knows a host by its addresses and the text of its pairing window only, so that the host may
//! be a [`TestHost`] on loopback or stand in another network namespace. [`Owner`] is the person at the host.
//!
//! ```no_run
//! # use lanyard_protocol::{device::PairingMethod, method::Health};
//! # use lanyard_tests::{device::TestDevice, host::TestHost};
//! # async fn example() -> anyhow::Result<()> {
//! let host = TestHost::start().await?;
//! let mut device = TestDevice::new("phone")?;
//! device.pair_with(&host, PairingMethod::Link).await?;
//! device.connect().await?.call(Health {}).await?;
//! # Ok(())
//! # }
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use lanyard_client::{Backoff, Client, Incoming, Tick};
use lanyard_pairing::device::{About, Secret};
use lanyard_pairing::{Grant, IdentityKeys, PairingCode, PairingLink, PublicIdentity};
use lanyard_protocol::WireError;
use lanyard_protocol::approval::Decision;
use lanyard_protocol::codec::PostcardCodec;
use lanyard_protocol::device::{PairingMethod, PairingWindow, PendingPairing};
use lanyard_protocol::event::{HostEvent, SessionEvent};
use lanyard_protocol::id::DeviceId;
use lanyard_protocol::method::{
    Call, DecidePairing, ListPairings, OpenPairing, PairingDecided, SubscribeHost,
};
use lanyard_protocol::principal::Scope;
use lanyard_protocol::rpc::RequestId;
use lanyard_transport::close::Ended;
use lanyard_transport::dial::{Candidate, DialError, Dialer, Source};
use lanyard_transport::join::{JoinError, Waiting, join};
use lanyard_transport::session::Session;
use rand_core::{OsRng, RngCore};

use crate::host::{Connection, PATIENCE, TestHost};

/// Rights a test device asks for: all, so that a scenario takes away what it wants to see missing.
const SCOPES: [Scope; 4] = [Scope::Observe, Scope::Operate, Scope::Approve, Scope::Admin];

/// See the module.
#[derive(Debug)]
pub struct TestDevice {
    keys: IdentityKeys,
    about: About,
    dialer: Dialer,
    home: Option<Home>,
}

/// The host a device is paired with.
#[derive(Debug, Clone)]
pub struct Home {
    /// Its keys, proven by the pairing.
    pub host: PublicIdentity,
    /// Where it was reached.
    pub address: SocketAddr,
    /// What it granted.
    pub grant: Grant,
}

impl TestDevice {
    /// A device with fresh keys. Its socket is opened here: in the network namespace of the calling thread.
    ///
    /// # Errors
    /// No socket can be opened.
    pub fn new(name: &str) -> Result<Self> {
        Self::with_keys(name, IdentityKeys::generate(&mut OsRng))
    }

    /// A device with given keys, such as another one's: a reinstalled or a copied device.
    ///
    /// # Errors
    /// No socket can be opened.
    pub fn with_keys(name: &str, keys: IdentityKeys) -> Result<Self> {
        let dialer = Dialer::new(&keys)?;
        let about = About { name: name.to_owned(), platform: "test".to_owned(), scopes: SCOPES.to_vec() };
        Ok(Self { keys, about, dialer, home: None })
    }

    /// Its keys.
    pub fn keys(&self) -> &IdentityKeys {
        &self.keys
    }

    /// Its endpoint.
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// What it says about itself when it joins.
    pub fn about_mut(&mut self) -> &mut About {
        &mut self.about
    }

    /// What the host calls it.
    ///
    /// # Errors
    /// Never, as long as fingerprints fit the grammar of ids.
    pub fn id(&self) -> Result<DeviceId> {
        Ok(self.keys.public().fingerprint().to_string().parse()?)
    }

    /// The host it is paired with.
    ///
    /// # Errors
    /// There is none yet.
    pub fn home(&self) -> Result<&Home> {
        self.home.as_ref().context("the device is not paired")
    }

    /// The whole of a pairing with a host on this machine: its owner opens a window, the device joins over loopback, the
    /// owner approves with the digits the device shows.
    ///
    /// # Errors
    /// Any step fails.
    pub async fn pair_with(&mut self, host: &TestHost, method: PairingMethod) -> Result<()> {
        let mut owner = Owner::at(&host.socket()?).await?;
        let address = host.address().await?;
        self.pair(&mut owner, &[address], method).await
    }

    /// [`TestDevice::pair_with`] a host that is reached at these addresses.
    ///
    /// # Errors
    /// Any step fails.
    pub async fn pair(
        &mut self,
        owner: &mut Owner,
        addresses: &[SocketAddr],
        method: PairingMethod,
    ) -> Result<()> {
        let window = owner.open_window().await?;
        let waiting = self.join(&window, method, addresses).await?;
        owner.approve(&self.id()?, &waiting).await?;
        self.finish(waiting).await
    }

    /// Joins as far as the digits, with the code or the link of a window.
    ///
    /// # Errors
    /// The window has no such secret; or a [`JoinError`], to be had by `downcast_ref`.
    pub async fn join(
        &self,
        window: &PairingWindow,
        method: PairingMethod,
        addresses: &[SocketAddr],
    ) -> Result<Waiting> {
        let secret = secret(window, method)?;
        Ok(join(&self.dialer, &self.keys, &candidates(addresses), &self.about, secret).await?)
    }

    /// Waits for the answer, remembers the host and says that it did.
    ///
    /// # Errors
    /// A [`JoinError`], to be had by `downcast_ref`; or none came in time.
    pub async fn finish(&mut self, mut waiting: Waiting) -> Result<()> {
        let answer = tokio::time::timeout(PATIENCE, waiting.answer()).await;
        let grant = answer.context("no answer to the pairing came")??;
        self.remember(&waiting, grant);
        match waiting.acknowledge().await {
            // The host knows it from the first connection at the latest; it may have closed this one already.
            Ok(()) | Err(JoinError::Ended(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a host as its own; for scenarios that drive [`Waiting`] themselves.
    pub fn remember(&mut self, waiting: &Waiting, grant: Grant) {
        self.home = Some(Home { host: *waiting.pending().host(), address: waiting.address(), grant });
    }

    /// A session with its host, where it was when they paired.
    ///
    /// # Errors
    /// It is not paired; or a [`DialError`], to be had by `downcast_ref`.
    pub async fn connect(&self) -> Result<DeviceConnection> {
        self.connect_at(&[self.home()?.address]).await
    }

    /// A session with its host at one of these addresses.
    ///
    /// # Errors
    /// As [`TestDevice::connect`].
    pub async fn connect_at(&self, addresses: &[SocketAddr]) -> Result<DeviceConnection> {
        let client = Client::new(PostcardCodec, chance as fn() -> u128).without_probes();
        let mut connection = DeviceConnection {
            client,
            session: None,
            dialer: self.dialer.clone(),
            candidates: candidates(addresses),
            key: self.home()?.host.signing,
            incoming: VecDeque::new(),
            since: Instant::now(),
        };
        connection.reconnect().await?;
        Ok(connection)
    }
}

/// Addresses as somebody who typed them gives them.
pub fn candidates(addresses: &[SocketAddr]) -> Vec<Candidate> {
    addresses.iter().map(|address| Candidate { address: *address, source: Source::Given }).collect()
}

/// The secret of a window that a device is to join with.
///
/// # Errors
/// The window has none of that kind, or it cannot be read.
pub fn secret(window: &PairingWindow, method: PairingMethod) -> Result<Secret> {
    Ok(match method {
        PairingMethod::Code => {
            let code = window.code.as_ref().context("the window has no code")?;
            Secret::Code(PairingCode::parse(code)?)
        }
        PairingMethod::Link => {
            let link = PairingLink::parse(&window.link)?;
            Secret::Link(link.secret, link.host)
        }
    })
}

fn chance() -> u128 {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    u128::from_ne_bytes(bytes)
}

/// The person at the host, as far as pairing goes: over the local socket, following the host's log.
#[derive(Debug)]
pub struct Owner {
    peer: Connection,
}

impl Owner {
    /// Sits down at the host behind a local socket.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn at(socket: &Path) -> Result<Self> {
        let mut peer = Connection::open(socket).await?;
        peer.call(SubscribeHost::default()).await?;
        Ok(Self { peer })
    }

    /// The connection, for everything else.
    pub fn peer(&mut self) -> &mut Connection {
        &mut self.peer
    }

    /// Opens a window; an older one is closed by that.
    ///
    /// # Errors
    /// The host refuses.
    pub async fn open_window(&mut self) -> Result<PairingWindow> {
        self.peer.call(OpenPairing {}).await
    }

    /// Waits until a device asks, and returns its question.
    ///
    /// # Errors
    /// It does not ask in time.
    pub async fn question_of(&mut self, device: &DeviceId) -> Result<PendingPairing> {
        loop {
            // The log was followed before this look: what is asked after it is told.
            let page = self.peer.call(ListPairings {}).await?;
            if let Some(asked) = page.pending.into_iter().find(|asked| asked.device_id == *device) {
                return Ok(asked);
            }
            self.peer.host_event().await.with_context(|| format!("{device} does not ask"))?;
        }
    }

    /// Approves a device, with the digits it shows where they are needed.
    ///
    /// # Errors
    /// It does not ask in time, or the host refuses.
    pub async fn approve(&mut self, device: &DeviceId, waiting: &Waiting) -> Result<PairingDecided> {
        let question = self.question_of(device).await?;
        let shown = waiting.pending().digits().to_string();
        let digits = (question.method == PairingMethod::Code).then_some(shown);
        self.decide(&question, Decision::Approved, digits).await
    }

    /// Answers a question.
    ///
    /// # Errors
    /// The host refuses, such as for wrong digits.
    pub async fn decide(
        &mut self,
        question: &PendingPairing,
        decision: Decision,
        digits: Option<String>,
    ) -> Result<PairingDecided> {
        let pairing_id = question.pairing_id.clone();
        self.peer
            .call(DecidePairing { pairing_id, decision, digits, scopes: None, name: None, command_id: None })
            .await
    }
}

/// A device's session with its host: calls, answers, events. Everything moves while one of its methods waits; none of
/// them is cancel-safe. A broken connection is told as [`Ended`] (`downcast_ref`) and made anew by
/// [`DeviceConnection::reconnect`], never by itself.
#[derive(Debug)]
pub struct DeviceConnection {
    client: Client<PostcardCodec, fn() -> u128>,
    session: Option<Session>,
    dialer: Dialer,
    candidates: Vec<Candidate>,
    key: [u8; 32],
    incoming: VecDeque<Incoming>,
    since: Instant,
}

impl DeviceConnection {
    /// Queues a call; it is sent when something is waited for. Also without a connection: then it goes out on the next.
    ///
    /// # Errors
    /// The client has too many calls under way, or the call cannot be sent at all.
    pub fn send(&mut self, call: impl Call) -> Result<RequestId> {
        Ok(self.client.call(call)?)
    }

    /// Waits for the answer to a call; a refusal is the inner error.
    ///
    /// # Errors
    /// The connection ended, the answer is lost for good, or none came in time.
    pub async fn reply<C: Call>(&mut self, wanted: &RequestId) -> Result<Result<C::Result, WireError>> {
        let ours = |incoming: &Incoming| matches!(incoming, Incoming::Reply { id, .. } | Incoming::Unanswered { id, .. } if id == wanted);
        match self.find(ours).await? {
            Incoming::Reply { answer: Ok(response), .. } => {
                Ok(Ok(C::from_response(*response).context("an answer to another method")?))
            }
            Incoming::Reply { answer: Err(error), .. } => Ok(Err(error)),
            other => bail!("whether the call took effect is unknown: {other:?}"),
        }
    }

    /// Calls a method; a refusal is the inner error.
    ///
    /// # Errors
    /// As [`DeviceConnection::reply`].
    pub async fn try_call<C: Call>(&mut self, call: C) -> Result<Result<C::Result, WireError>> {
        let id = self.send(call)?;
        self.reply::<C>(&id).await
    }

    /// Calls a method that is expected to work.
    ///
    /// # Errors
    /// As [`DeviceConnection::reply`], or the host refuses.
    pub async fn call<C: Call>(&mut self, call: C) -> Result<C::Result> {
        self.try_call(call).await?.map_err(anyhow::Error::from)
    }

    /// The next event of any followed session, durable or a delta.
    ///
    /// # Errors
    /// The connection ended, or none came in time.
    pub async fn next_event(&mut self) -> Result<SessionEvent> {
        match self.find(|i| matches!(i, Incoming::Event(_) | Incoming::Delta { .. })).await? {
            Incoming::Event(event) | Incoming::Delta { event, .. } => Ok(*event),
            other => bail!("expected an event, got {other:?}"),
        }
    }

    /// The next event of the host's log, once it is followed.
    ///
    /// # Errors
    /// The connection ended, or none came in time.
    pub async fn next_host_event(&mut self) -> Result<HostEvent> {
        match self.find(|i| matches!(i, Incoming::HostEvent(_))).await? {
            Incoming::HostEvent(event) => Ok(*event),
            other => bail!("expected an event of the host, got {other:?}"),
        }
    }

    /// The next thing that happens, whatever it is.
    ///
    /// # Errors
    /// The connection ended, or nothing came in time.
    pub async fn next(&mut self) -> Result<Incoming> {
        self.find(|_| true).await
    }

    /// Waits for the end of the connection; what comes before it is kept.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn ended(&mut self) -> Result<Ended> {
        let ends = async {
            loop {
                if let Err(error) = self.advance().await {
                    return error.downcast::<Ended>();
                }
            }
        };
        tokio::time::timeout(PATIENCE, ends).await.context("the connection does not end")?
    }

    /// Makes the connection anew. Sessions are followed again from where they stood, and what has no answer is sent
    /// again where that is harmless.
    ///
    /// # Errors
    /// See [`DialError`]; it may be tried again.
    pub async fn reconnect(&mut self) -> Result<(), DialError> {
        self.disconnect();
        let peer = self.dialer.session(&self.candidates, self.key).await?;
        self.session = Some(Session::start(peer, self.dialer.clone()));
        let now = self.now();
        self.incoming.extend(self.client.on_connected(now));
        Ok(())
    }

    /// [`DeviceConnection::reconnect`] with the waits of a real client, until it works.
    ///
    /// # Errors
    /// The last [`DialError`], when it does not work in time.
    pub async fn reconnect_patiently(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let mut backoff = Backoff::default();
        while let Err(error) = self.reconnect().await {
            if Instant::now() > until {
                return Err(error.into());
            }
            tokio::time::sleep(backoff.next_wait(self.client.random())).await;
        }
        Ok(())
    }

    /// Looks for the host elsewhere from the next [`DeviceConnection::reconnect`] on.
    pub fn look_at(&mut self, addresses: &[SocketAddr]) {
        self.candidates = candidates(addresses);
    }

    /// Ends the connection from this side.
    pub fn disconnect(&mut self) {
        if self.session.take().is_some() {
            self.client.on_disconnected();
        }
    }

    async fn find(&mut self, wanted: impl Fn(&Incoming) -> bool) -> Result<Incoming> {
        let mut looked_at = 0;
        let find = async {
            loop {
                while let Some(incoming) = self.incoming.get(looked_at) {
                    if wanted(incoming) {
                        return self.incoming.remove(looked_at).context("just found");
                    }
                    looked_at += 1;
                }
                self.advance().await?;
            }
        };
        tokio::time::timeout(PATIENCE, find).await.context("what was waited for did not come")?
    }

    /// Sends what is queued and takes one frame.
    async fn advance(&mut self) -> Result<()> {
        let now = self.now();
        let session = self.session.as_mut().context(Ended::Here)?;
        let frame = async {
            while let Some(frame) = self.client.poll_transmit() {
                session.send(frame).await?;
            }
            session.receive().await
        };
        match frame.await {
            Ok(frame) => {
                self.incoming.extend(self.client.feed(&frame, now)?);
                Ok(())
            }
            Err(ended) => {
                self.disconnect();
                Err(ended.into())
            }
        }
    }

    fn now(&self) -> Tick {
        Tick::from_millis(u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}
