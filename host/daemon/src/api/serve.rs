//! One connection: reads requests, carries them out, writes replies and events. Owns its subscriptions.
//!
//! Three tasks share nothing but bounded channels: the reader (this function), the worker that carries out ordered
//! requests one after the other and owns the subscriptions, and the writer. A peer that does not read stops its own
//! subscriptions and replies, then its requests, and nobody else's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lanyard_protocol::codec::{Codec, FrameError, JsonRpcCodec, ServerFrame};
use lanyard_protocol::error::{ErrorCode, WireError};
use lanyard_protocol::event::HostEvent;
use lanyard_protocol::id::SessionId;
use lanyard_protocol::limits::{MAX_FRAME_BYTES, MAX_IN_FLIGHT};
use lanyard_protocol::method::{Request, Response};
use lanyard_protocol::principal::Principal;
use lanyard_protocol::rpc::{INVALID_PARAMS, METHOD_NOT_FOUND, RequestId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::peer::{FrameSink, FrameSource, Received};
use super::{Follow, handle, is_ordered, subscription};
use crate::host::Host;
use crate::hub::Published;

/// Frames waiting for a peer that reads slowly; its subscriptions wait beyond that.
const OUTBOX: usize = 64;

/// Kibibytes of requests one connection may have under way; beyond that nothing more is read from it.
const IN_FLIGHT_KIB: u32 = 16 * 1024;

/// How long a peer that has closed its sending side may take to read the answers it is owed.
const LINGER: Duration = Duration::from_secs(30);

/// Sessions one connection may follow.
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

impl EventCodec for JsonRpcCodec {
    fn event(&self, event: &Published) -> Option<Arc<[u8]>> {
        event.json()
    }
}

/// A request with what it holds until it is answered.
struct Pending {
    id: Option<RequestId>,
    request: Request,
    _slot: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// Serves a peer until it closes, fails, or `stop` is cancelled. Returns when everything it started has ended.
pub(crate) async fn serve<C: EventCodec>(
    host: Arc<Host>,
    principal: Principal,
    codec: C,
    source: impl FrameSource,
    sink: impl FrameSink,
    stop: CancellationToken,
) {
    let connection = stop.child_token();
    let gone = CancellationToken::new();
    let tasks = TaskTracker::new();
    let principal = Arc::new(principal);
    let (outbox, outgoing) = mpsc::channel(OUTBOX);
    let (ordered, work) = mpsc::channel(MAX_IN_FLIGHT);
    tasks.spawn(write(codec.clone(), sink, outgoing, connection.clone(), gone.clone()));
    let worker = Worker {
        host: host.clone(),
        principal: principal.clone(),
        outbox: outbox.clone(),
        connection: connection.clone(),
        tasks: tasks.clone(),
        sessions: HashMap::new(),
        host_feed: None,
    };
    tasks.spawn(worker.run(work));
    let reader = Reader {
        host,
        principal: principal.clone(),
        codec,
        outbox,
        ordered,
        tasks: tasks.clone(),
        slots: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
        room: Arc::new(Semaphore::new(IN_FLIGHT_KIB as usize)),
    };
    reader.run(source, &connection).await;
    // Requests already read are carried out and answered as far as the peer still listens.
    tasks.close();
    if tokio::time::timeout(LINGER, tasks.wait()).await.is_err() {
        tracing::debug!(peer = %principal.id, "a peer did not read its answers");
        connection.cancel();
        gone.cancel();
        tasks.wait().await;
    }
}

/// Reads requests and hands them on: ordered ones to the worker, reads to tasks of their own.
struct Reader<C> {
    host: Arc<Host>,
    principal: Arc<Principal>,
    codec: C,
    outbox: mpsc::Sender<Outgoing>,
    ordered: mpsc::Sender<Pending>,
    tasks: TaskTracker,
    /// Requests that may be under way.
    slots: Arc<Semaphore>,
    /// Kibibytes they may have together.
    room: Arc<Semaphore>,
}

/// The connection cannot go on: its writer or its worker has ended.
struct Broken;

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
                    tracing::debug!(%error, peer = %self.principal.id, "a connection broke");
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
        let kib = u32::try_from(frame.len() / 1024 + 1).unwrap_or(IN_FLIGHT_KIB);
        let bytes = self.room.clone().acquire_many_owned(kib).await.map_err(|_| Broken)?;
        let call = match self.codec.decode_call(frame) {
            Ok(call) => call,
            // JSON-RPC: a notification is never answered. Only what is no request at all gets an answer without an id.
            Err(FrameError { id: None, number: METHOD_NOT_FOUND | INVALID_PARAMS, .. }) => return Ok(()),
            Err(refusal) => return self.send(Outgoing::Refusal(refusal)).await,
        };
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            let text =
                format!("{MAX_IN_FLIGHT} requests are under way on this connection; wait for some answers");
            let refusal = Box::new(Err(WireError::new(ErrorCode::RateLimited, text)));
            return match call.id {
                Some(id) => self.send(Outgoing::Reply(id, refusal)).await,
                None => Ok(()),
            };
        };
        let pending = Pending { id: call.id, request: call.request, _slot: (slot, bytes) };
        if is_ordered(&pending.request) {
            return self.ordered.send(pending).await.map_err(|_| Broken);
        }
        let (host, principal, outbox) = (self.host.clone(), self.principal.clone(), self.outbox.clone());
        self.tasks.spawn(async move {
            let answer = handle(&host, &principal, pending.request).await.map(|answer| answer.response);
            reply(&outbox, pending.id, answer).await;
        });
        Ok(())
    }
}

async fn reply(outbox: &mpsc::Sender<Outgoing>, id: Option<RequestId>, answer: Result<Response, WireError>) {
    if let Some(id) = id {
        // An error says that the connection is gone; the request was carried out all the same.
        let _ = outbox.send(Outgoing::Reply(id, Box::new(answer))).await;
    }
}

/// Carries out ordered requests and owns the connection's subscriptions.
struct Worker {
    host: Arc<Host>,
    principal: Arc<Principal>,
    outbox: mpsc::Sender<Outgoing>,
    connection: CancellationToken,
    tasks: TaskTracker,
    sessions: HashMap<SessionId, DropGuard>,
    host_feed: Option<DropGuard>,
}

impl Worker {
    async fn run(mut self, mut work: mpsc::Receiver<Pending>) {
        while let Some(pending) = work.recv().await {
            let answer = handle(&self.host, &self.principal, pending.request).await;
            let answer = answer.and_then(|answer| self.check(&answer.follow).map(|()| answer));
            match answer {
                Ok(answer) => {
                    reply(&self.outbox, pending.id, Ok(answer.response)).await;
                    self.follow(answer.follow);
                }
                Err(error) => reply(&self.outbox, pending.id, Err(error)).await,
            }
        }
    }

    fn check(&self, follow: &Follow) -> Result<(), WireError> {
        match follow {
            Follow::Session(id, _)
                if !self.sessions.contains_key(id) && self.sessions.len() >= MAX_SUBSCRIPTIONS =>
            {
                let text = format!(
                    "this connection follows {MAX_SUBSCRIPTIONS} sessions already; unsubscribe from some"
                );
                Err(WireError::new(ErrorCode::RateLimited, text))
            }
            _ => Ok(()),
        }
    }

    fn follow(&mut self, follow: Follow) {
        match follow {
            Follow::Nothing => {}
            Follow::Unfollow(id) => drop(self.sessions.remove(&id)),
            Follow::Session(id, after) => {
                let token = self.connection.child_token();
                let feed = subscription::session(self.host.clone(), id.clone(), after, self.outbox.clone());
                self.tasks.spawn(until(token.clone(), feed));
                self.sessions.insert(id, token.drop_guard());
            }
            Follow::Host(after) => {
                let token = self.connection.child_token();
                let feed = subscription::host(self.host.clone(), after, self.outbox.clone());
                self.tasks.spawn(until(token.clone(), feed));
                self.host_feed = Some(token.drop_guard());
            }
        }
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
async fn write<C: EventCodec>(
    codec: C,
    mut sink: impl FrameSink,
    mut outgoing: mpsc::Receiver<Outgoing>,
    connection: CancellationToken,
    gone: CancellationToken,
) {
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
        };
        let Some(next) = next else { break };
        let bytes: Arc<[u8]> = match encode(&codec, next) {
            Some(bytes) => bytes,
            None => continue,
        };
        let flush_now = outgoing.is_empty();
        let written = async {
            sink.send(&bytes).await?;
            if flush_now { sink.flush().await } else { Ok(()) }
        };
        let written = tokio::select! {
            written = written => written,
            () = gone.cancelled() => break,
        };
        if let Err(error) = written {
            tracing::debug!(%error, "a peer went away");
            break;
        }
    }
}

fn encode<C: EventCodec>(codec: &C, outgoing: Outgoing) -> Option<Arc<[u8]>> {
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
