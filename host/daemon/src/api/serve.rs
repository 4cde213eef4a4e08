//! One connection that carries everything in one pipe: reads requests, carries them out, writes replies and events.
//! Owns its subscriptions. Transports with a stream for each request are served by [`super::streams`], with the same
//! worker, writer and handlers.
//!
//! Three tasks share nothing but bounded channels: the reader (this function), the worker that carries out ordered
//! requests one after the other and owns the subscriptions, and the writer. A peer that does not read stops its own
//! subscriptions and replies, then its requests, and nobody else's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lanyard_protocol::codec::{Codec, FrameError, JsonRpcCodec, PostcardCodec, ServerFrame};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::HostEvent;
use lanyard_protocol::id::{PrincipalId, SessionId};
use lanyard_protocol::limits::{MAX_FRAME_BYTES, MAX_IN_FLIGHT};
use lanyard_protocol::method::{Request, Response};
use lanyard_protocol::principal::Principal;
use lanyard_protocol::rpc::{INVALID_PARAMS, METHOD_NOT_FOUND, RequestId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::peer::{FrameSink, FrameSource, Received};
use super::{Answer, Follow, handle, is_ordered, subscription};
use crate::host::Host;
use crate::hub::Published;

/// Frames waiting for a peer that reads slowly; its subscriptions wait beyond that.
pub(super) const OUTBOX: usize = 64;

/// Kibibytes of requests one connection may have under way; beyond that nothing more is read from it.
const IN_FLIGHT_KIB: u32 = 16 * 1024;

/// How long a peer that has closed its sending side may take to read the answers it is owed.
const LINGER: Duration = Duration::from_secs(30);

/// Sessions one connection of the local socket may follow.
const MAX_SUBSCRIPTIONS: usize = 256;

/// Something to be sent.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// The answer to a request, and its place among those under way.
    Reply(RequestId, Box<Result<Response, WireError>>),
    /// The answer to a frame that was not understood.
    Refusal(FrameError),
    /// An event of a session.
    Event(Arc<Published>),
    /// An event of the host.
    Host(Arc<HostEvent>),
}

/// A codec that can share one encoding of an event among connections.
pub(crate) trait EventCodec: Codec + Sync {
    /// The event as a frame; `None` when it cannot be encoded, which is logged.
    fn event(&self, event: &Published) -> Option<Arc<[u8]>>;
}

impl EventCodec for PostcardCodec {
    fn event(&self, event: &Published) -> Option<Arc<[u8]>> {
        event.postcard()
    }
}

impl EventCodec for JsonRpcCodec {
    fn event(&self, event: &Published) -> Option<Arc<[u8]>> {
        event.json()
    }
}

/// A request with what it holds until it is answered.
pub(super) struct Pending {
    pub(super) id: Option<RequestId>,
    pub(super) request: Request,
    /// Where the answer goes, and the events that follow from it.
    pub(super) outbox: mpsc::Sender<Outgoing>,
    pub(super) slot: Slot,
}

/// A place among the requests under way: one of [`MAX_IN_FLIGHT`], and the kibibytes the request has.
#[derive(Debug)]
pub(super) struct Slot {
    _place: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// The requests one connection may have under way.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    places: Arc<Semaphore>,
    kibibytes: Arc<Semaphore>,
}

impl Default for Slots {
    fn default() -> Self {
        let kibibytes = Arc::new(Semaphore::new(IN_FLIGHT_KIB as usize));
        Self { places: Arc::new(Semaphore::new(MAX_IN_FLIGHT)), kibibytes }
    }
}

impl Slots {
    /// Waits until the bytes of a frame fit. Cancel-safe.
    pub(super) async fn bytes(&self, length: usize) -> Result<OwnedSemaphorePermit, Broken> {
        let kib = u32::try_from(length / 1024 + 1).unwrap_or(IN_FLIGHT_KIB);
        self.kibibytes.clone().acquire_many_owned(kib).await.map_err(|_| Broken)
    }

    /// Takes a place, or says that there is none.
    pub(super) fn place(&self, bytes: OwnedSemaphorePermit) -> Result<Slot, WireError> {
        match self.places.clone().try_acquire_owned() {
            Ok(place) => Ok(Slot { _place: place, _bytes: bytes }),
            Err(_) => {
                let text = format!(
                    "{MAX_IN_FLIGHT} requests are under way on this connection; wait for some answers"
                );
                Err(WireError::new(ErrorCode::RateLimited, text))
            }
        }
    }
}

/// On whose behalf a connection asks.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// The owner at the machine, for as long as the connection lasts.
    Owner(Arc<Principal>),
    /// A paired device: with the rights it has at the moment of each request.
    Device(PrincipalId),
}

impl Caller {
    /// The principal as it stands now.
    pub(super) fn principal(&self, host: &Host) -> Result<Principal, WireError> {
        match self {
            Caller::Owner(owner) => Ok((**owner).clone()),
            Caller::Device(id) => host.principals.standing(id).ok_or_else(|| {
                let text = "this device is not paired with the host any more; pair again with `lanyard join`";
                WireError::new(ErrorCode::Unauthorized, text)
            }),
        }
    }

    /// For logs.
    fn id(&self) -> &PrincipalId {
        match self {
            Caller::Owner(owner) => &owner.id,
            Caller::Device(id) => id,
        }
    }
}

/// Serves a peer until it closes, fails, or `stop` is cancelled. Returns when everything it started has ended.
pub(crate) async fn serve<C: EventCodec>(
    host: Arc<Host>,
    owner: Principal,
    codec: C,
    source: impl FrameSource,
    sink: impl FrameSink,
    stop: CancellationToken,
) {
    let connection = stop.child_token();
    let gone = CancellationToken::new();
    let tasks = TaskTracker::new();
    let caller = Caller::Owner(Arc::new(owner));
    let (outbox, outgoing) = mpsc::channel(OUTBOX);
    let writer = write(codec.clone(), sink, outgoing, connection.clone(), gone.clone());
    tasks.spawn(async move {
        if let Err(error) = writer.await {
            tracing::debug!(%error, "a peer went away");
        }
    });
    let ordered = Worker::start(host.clone(), caller.clone(), connection.clone(), &tasks, MAX_SUBSCRIPTIONS);
    let reader =
        Reader { host, caller, codec, outbox, ordered, tasks: tasks.clone(), slots: Slots::default() };
    let peer = reader.caller.id().clone();
    reader.run(source, &connection).await;
    // Requests already read are carried out and answered as far as the peer still listens.
    tasks.close();
    if tokio::time::timeout(LINGER, tasks.wait()).await.is_err() {
        tracing::debug!(%peer, "a peer did not read its answers");
        connection.cancel();
        gone.cancel();
        tasks.wait().await;
    }
}

/// Reads requests and hands them on: ordered ones to the worker, reads to tasks of their own.
struct Reader<C> {
    host: Arc<Host>,
    caller: Caller,
    codec: C,
    outbox: mpsc::Sender<Outgoing>,
    ordered: mpsc::Sender<Pending>,
    tasks: TaskTracker,
    slots: Slots,
}

/// The connection cannot go on: its writer or its worker has ended.
pub(super) struct Broken;

impl<C: EventCodec> Reader<C> {
    async fn run(self, mut source: impl FrameSource, connection: &CancellationToken) {
        loop {
            let received = tokio::select! {
                received = source.receive() => received,
                () = connection.cancelled() => return,
            };
            let taken = match received {
                Ok(Received::Frame(frame)) => self.take(&frame).await,
                Ok(Received::TooLong) => {
                    self.send(Outgoing::Refusal(FrameError::too_long(MAX_FRAME_BYTES))).await
                }
                Ok(Received::Closed) => return,
                Err(error) => {
                    tracing::debug!(%error, peer = %self.caller.id(), "a connection broke");
                    return;
                }
            };
            if taken.is_err() {
                return;
            }
        }
    }

    async fn send(&self, outgoing: Outgoing) -> Result<(), Broken> {
        self.outbox.send(outgoing).await.map_err(|_| Broken)
    }

    async fn take(&self, frame: &[u8]) -> Result<(), Broken> {
        let bytes = self.slots.bytes(frame.len()).await?;
        let call = match self.codec.decode_call(frame) {
            Ok(call) => call,
            // JSON-RPC: a notification is never answered. Only what is no request at all gets an answer without an id.
            Err(FrameError { id: None, number: METHOD_NOT_FOUND | INVALID_PARAMS, .. }) => return Ok(()),
            Err(refusal) => return self.send(Outgoing::Refusal(refusal)).await,
        };
        let slot = match self.slots.place(bytes) {
            Ok(slot) => slot,
            Err(refusal) => {
                return match call.id {
                    Some(id) => self.send(Outgoing::Reply(id, Box::new(Err(refusal)))).await,
                    None => Ok(()),
                };
            }
        };
        let pending = Pending { id: call.id, request: call.request, outbox: self.outbox.clone(), slot };
        if is_ordered(&pending.request) {
            return self.ordered.send(pending).await.map_err(|_| Broken);
        }
        let (host, caller) = (self.host.clone(), self.caller.clone());
        self.tasks.spawn(async move {
            let Pending { id, request, outbox, slot } = pending;
            let answer = answer(&host, &caller, request).await.map(|answer| answer.response);
            reply(&outbox, id, answer).await;
            drop(slot);
        });
        Ok(())
    }
}

/// Carries out a request with the rights its caller has now.
pub(super) async fn answer(host: &Arc<Host>, caller: &Caller, request: Request) -> Result<Answer, WireError> {
    let principal = caller.principal(host)?;
    handle(host, &principal, request).await
}

async fn reply(outbox: &mpsc::Sender<Outgoing>, id: Option<RequestId>, answer: Result<Response, WireError>) {
    if let Some(id) = id {
        // An error says that the connection is gone; the request was carried out all the same.
        let _ = outbox.send(Outgoing::Reply(id, Box::new(answer))).await;
    }
}

/// Carries out ordered requests and owns the connection's subscriptions.
pub(super) struct Worker {
    host: Arc<Host>,
    caller: Caller,
    connection: CancellationToken,
    tasks: TaskTracker,
    sessions: HashMap<SessionId, Feed>,
    host_feed: Option<Feed>,
    max_subscriptions: usize,
}

/// A subscription; it ends when this is dropped.
struct Feed {
    token: CancellationToken,
    _guard: DropGuard,
}

impl Worker {
    /// Starts the worker of a connection; it ends with the last sender.
    pub(super) fn start(
        host: Arc<Host>,
        caller: Caller,
        connection: CancellationToken,
        tasks: &TaskTracker,
        max_subscriptions: usize,
    ) -> mpsc::Sender<Pending> {
        let (ordered, work) = mpsc::channel(MAX_IN_FLIGHT);
        let worker = Self {
            host,
            caller,
            connection,
            tasks: tasks.clone(),
            sessions: HashMap::new(),
            host_feed: None,
            max_subscriptions,
        };
        tasks.spawn(worker.run(work));
        ordered
    }

    async fn run(mut self, mut work: mpsc::Receiver<Pending>) {
        while let Some(Pending { id, request, outbox, slot }) = work.recv().await {
            let answer = answer(&self.host, &self.caller, request).await;
            let answer = answer.and_then(|answer| self.check(&answer.follow).map(|()| answer));
            match answer {
                Ok(answer) => {
                    reply(&outbox, id, Ok(answer.response)).await;
                    self.follow(answer.follow, outbox);
                }
                Err(error) => reply(&outbox, id, Err(error)).await,
            }
            drop(slot);
        }
    }

    fn check(&mut self, follow: &Follow) -> Result<(), WireError> {
        let Follow::Session(id, _) = follow else { return Ok(()) };
        let most = self.max_subscriptions;
        if self.sessions.len() >= most {
            self.sessions.retain(|_, feed| !feed.token.is_cancelled());
        }
        if self.sessions.contains_key(id) || self.sessions.len() < most {
            return Ok(());
        }
        let text = format!("this connection follows {most} sessions already; unsubscribe from some");
        Err(WireError::new(ErrorCode::RateLimited, text))
    }

    fn follow(&mut self, follow: Follow, outbox: mpsc::Sender<Outgoing>) {
        match follow {
            Follow::Nothing => {}
            Follow::Unfollow(id) => drop(self.sessions.remove(&id)),
            Follow::Session(id, after) => {
                let feed = subscription::session(self.host.clone(), id.clone(), after, outbox);
                let feed = self.spawn(feed);
                self.sessions.insert(id, feed);
            }
            Follow::Host(after) => {
                let feed = subscription::host(self.host.clone(), after, outbox);
                self.host_feed = Some(self.spawn(feed));
            }
        }
    }

    fn spawn(&self, feed: impl Future<Output = ()> + Send + 'static) -> Feed {
        let token = self.connection.child_token();
        let ended = token.clone();
        self.tasks.spawn(async move {
            until(ended.clone(), feed).await;
            // So that a feed that ended by itself does not count any more.
            ended.cancel();
        });
        Feed { token: token.clone(), _guard: token.drop_guard() }
    }
}

/// Runs a task until it ends or is told to.
async fn until(stop: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        () = task => {}
        () = stop.cancelled() => {}
    }
}

/// Writes frames until all senders are gone or the peer is.
///
/// # Errors
/// The peer is gone, or does not read ([`std::io::ErrorKind::TimedOut`]).
pub(super) async fn write<C: EventCodec>(
    codec: C,
    mut sink: impl FrameSink,
    mut outgoing: mpsc::Receiver<Outgoing>,
    connection: CancellationToken,
    gone: CancellationToken,
) -> std::io::Result<()> {
    // Whatever ends the writer ends the connection: subscriptions must not wait for a reader that is gone.
    let _end = connection.clone().drop_guard();
    let mut stopping = false;
    loop {
        let next = tokio::select! {
            biased;
            next = outgoing.recv() => next,
            () = connection.cancelled(), if !stopping => {
                // Replies of requests under way still go out; the senders close when those are done.
                stopping = true;
                continue;
            }
            () = gone.cancelled() => break,
        };
        let Some(next) = next else { break };
        let Some(bytes) = encode(&codec, next) else { continue };
        let flush_now = outgoing.is_empty();
        let written = async {
            sink.send(&bytes).await?;
            if flush_now { sink.flush().await } else { Ok(()) }
        };
        tokio::select! {
            written = written => written?,
            () = gone.cancelled() => break,
        }
    }
    sink.finish().await
}

pub(super) fn encode<C: EventCodec>(codec: &C, outgoing: Outgoing) -> Option<Arc<[u8]>> {
    let encoded = match outgoing {
        Outgoing::Event(event) => return codec.event(&event),
        Outgoing::Reply(id, answer) => {
            let failed = id.clone();
            codec
                .encode_server(&ServerFrame::Reply(Some(id), *answer))
                .or_else(|error| codec.encode_server(&ServerFrame::Reply(Some(failed), Err(error))))
        }
        Outgoing::Refusal(refusal) => codec.encode_frame_error(&refusal),
        Outgoing::Host(event) => codec.encode_server(&ServerFrame::HostEvent(Box::new((*event).clone()))),
    };
    match encoded {
        Ok(bytes) => Some(bytes.into()),
        Err(error) => {
            tracing::error!(%error, "a frame could not be encoded");
            None
        }
    }
}
