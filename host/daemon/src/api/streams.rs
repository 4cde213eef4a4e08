//! One connection whose peer opens a stream for each request: QUIC, and the browser's channel.
//!
//! A stream carries one call, its answer and, when the call subscribes, the events that follow. So an approval is
//! never behind a download, and a lost packet holds up one stream. Requests that change something are carried out in the
//! order in which their streams were opened, as on the local socket; reads overtake. Who asks is looked up anew for each
//! request: rights that were changed or taken away count from the next request on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lanyard_protocol::codec::{Codec, FrameError, PostcardCodec};
use lanyard_protocol::id::PrincipalId;
use lanyard_protocol::limits::MAX_FRAME_BYTES;
use lanyard_protocol::method::Request;
use lanyard_protocol::rpc::RequestId;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::is_ordered;
use super::peer::{FrameSink, FrameSource, Received, StreamSink, Streams, Urgency};
use super::serve::{Caller, OUTBOX, Outgoing, Pending, Slot, Slots, Worker, answer, encode, write};
use crate::host::Host;

/// Requests of one connection that may be half-read: each may have [`MAX_FRAME_BYTES`] in memory.
const READING: usize = 16;

/// Reads of one connection that may be under way, or be waiting for the device to take their answers, when those may be
/// megabytes long.
const HEAVY: usize = 4;

/// Sessions one connection may follow: each holds a stream, and some must be left for requests.
const fn max_subscriptions<S: Streams>() -> usize {
    S::STREAMS as usize * 3 / 4
}

/// How long a request may take to arrive once its stream is open. A lost packet costs far less.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);

/// How long requests under way may take once the connection is over: programs are not started by them, so that this is
/// the time of a commit.
const LINGER: Duration = Duration::from_secs(10);

/// Serves a device until its connection is gone or `stop` is cancelled. What has arrived by then is still carried out and
/// answered. Returns when everything it started has ended.
pub(crate) async fn serve_streams<S: Streams>(
    host: Arc<Host>,
    device: PrincipalId,
    mut streams: S,
    stop: CancellationToken,
) {
    let connection = stop.child_token();
    let tasks = TaskTracker::new();
    let (slow, mut is_slow) = mpsc::channel(1);
    let caller = Caller::Device(device);
    let ordered =
        Worker::start(host.clone(), caller.clone(), connection.clone(), &tasks, max_subscriptions::<S>());
    let desk = Arc::new(Desk {
        host,
        caller,
        slots: Slots::default(),
        reading: Semaphore::new(READING),
        heavy: Semaphore::new(HEAVY),
        connection: connection.clone(),
        ordered,
        slow,
    });
    let mut turns = Turns::default();
    loop {
        let stream = tokio::select! {
            stream = streams.accept() => stream,
            _ = is_slow.recv() => {
                streams.cut_slow();
                break;
            }
            () = connection.cancelled() => break,
        };
        let Some((source, sink)) = stream else { break };
        tasks.spawn(stream_task(desk.clone(), source, sink, turns.next()));
    }
    connection.cancel();
    // The worker ends with the last stream that may have something for it.
    drop(desk);
    tasks.close();
    if tokio::time::timeout(LINGER, tasks.wait()).await.is_err() {
        tracing::warn!("requests of a device that is gone are still under way");
    }
}

/// Hands out places in a queue.
#[derive(Debug, Default)]
struct Turns {
    last: Option<oneshot::Receiver<()>>,
}

/// A place in the queue. The next one's turn comes when this one has passed its own on.
#[derive(Debug)]
struct Turn {
    /// Closed when it has come; none for the first.
    mine: Option<oneshot::Receiver<()>>,
    next: oneshot::Sender<()>,
}

impl Turns {
    fn next(&mut self) -> Turn {
        let (next, last) = oneshot::channel();
        Turn { mine: self.last.replace(last), next }
    }
}

impl Turn {
    /// Waits for it.
    async fn come(&mut self) {
        if let Some(mine) = self.mine.take() {
            // Closed or told: either way the one before has passed.
            let _ = mine.await;
        }
    }

    /// Lets the next one have its own once this one has come.
    async fn pass(mut self) {
        self.come().await;
        drop(self.next);
    }
}

/// What the streams of one connection share.
struct Desk {
    host: Arc<Host>,
    caller: Caller,
    slots: Slots,
    reading: Semaphore,
    heavy: Semaphore,
    connection: CancellationToken,
    ordered: mpsc::Sender<Pending>,
    /// Told when a stream is not read.
    slow: mpsc::Sender<()>,
}

async fn stream_task<T: StreamSink>(desk: Arc<Desk>, source: impl FrameSource, sink: T, turn: Turn) {
    match one_stream(&desk, source, sink, turn).await {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            // A full channel says that the connection is being cut already.
            let _ = desk.slow.try_send(());
        }
        Err(error) => tracing::debug!(%error, "a stream of a device broke"),
    }
}

async fn one_stream<T: StreamSink>(
    desk: &Arc<Desk>,
    source: impl FrameSource,
    mut sink: T,
    turn: Turn,
) -> io::Result<()> {
    let asked = tokio::select! {
        asked = read(desk, source) => asked,
        // What has not arrived is not carried out any more.
        () = desk.connection.cancelled() => Ok(Asked::Nothing),
    };
    match asked {
        Ok(Asked::Request(id, request, bytes)) => match desk.slots.place(bytes) {
            Ok(slot) => {
                if matches!(&request, Request::Subscribe(from) if from.after_seq > 0) {
                    desk.host.network.count_resumed();
                }
                if !is_ordered(&request) {
                    return tokio::join!(overtaking(desk, id, request, slot, sink), turn.pass()).0;
                }
                let (outbox, outgoing) = mpsc::channel(OUTBOX);
                let pending = Pending { id: Some(id), request, outbox, slot };
                ordered(desk, pending, outgoing, sink, turn).await
            }
            Err(refusal) => {
                let refused = Outgoing::Reply(id, Box::new(Err(refusal)));
                tokio::join!(send_one(&mut sink, refused), turn.pass()).0
            }
        },
        Ok(Asked::Refused(refusal)) => {
            tokio::join!(send_one(&mut sink, Outgoing::Refusal(refusal)), turn.pass()).0
        }
        Ok(Asked::Nothing) => {
            turn.pass().await;
            Ok(())
        }
        // Dropping both halves resets the stream; the device learns that its request was not taken.
        Err(error) => {
            drop(sink);
            turn.pass().await;
            Err(error)
        }
    }
}

/// What came on a stream.
#[expect(clippy::large_enum_variant, reason = "made and taken apart at once; nearly always the large one")]
enum Asked {
    /// A request, and its bytes' share of what the connection may have under way.
    Request(RequestId, Request, tokio::sync::OwnedSemaphorePermit),
    /// Something that is none.
    Refused(FrameError),
    /// Nothing.
    Nothing,
}

async fn read(desk: &Desk, mut source: impl FrameSource) -> io::Result<Asked> {
    let Ok(_reading) = desk.reading.acquire().await else { return Ok(Asked::Nothing) };
    let frame = match tokio::time::timeout(REQUEST_WITHIN, source.receive()).await {
        Ok(Ok(Received::Frame(frame))) => frame,
        Ok(Ok(Received::TooLong)) => return Ok(Asked::Refused(FrameError::too_long(MAX_FRAME_BYTES))),
        Ok(Ok(Received::Closed)) => return Ok(Asked::Nothing),
        Ok(Err(error)) => return Err(error),
        Err(_) => return Err(io::Error::other("a request did not arrive in time")),
    };
    let Ok(bytes) = desk.slots.bytes(frame.len()).await else { return Ok(Asked::Nothing) };
    Ok(match PostcardCodec.decode_call(&frame) {
        // On a stream of its own a call is answered whether it has an id or not.
        Ok(call) => Asked::Request(call.id.unwrap_or(RequestId::Number(0)), call.request, bytes),
        Err(refusal) => Asked::Refused(refusal),
    })
}

/// A read: carried out at once, whatever was asked before it.
async fn overtaking<T: StreamSink>(
    desk: &Desk,
    id: RequestId,
    request: Request,
    slot: Slot,
    mut sink: T,
) -> io::Result<()> {
    let heavy = is_heavy(&request);
    sink.set_urgency(if heavy { Urgency::Bulk } else { Urgency::Control });
    // Held, like the slot, until the device has taken the answer: what it does not read it cannot ask for more of.
    let _share = if heavy { desk.heavy.acquire().await.ok() } else { None };
    let answer = answer(&desk.host, &desk.caller, request).await.map(|answer| answer.response);
    let sent = send_one(&mut sink, Outgoing::Reply(id, Box::new(answer))).await;
    drop(slot);
    sent
}

/// A request that changes something: handed to the worker when its turn has come; its answer, and the events that follow
/// from it, go out on its stream.
async fn ordered<T: StreamSink>(
    desk: &Desk,
    pending: Pending,
    outgoing: mpsc::Receiver<Outgoing>,
    mut sink: T,
    mut turn: Turn,
) -> io::Result<()> {
    sink.set_urgency(if follows(&pending.request) { Urgency::Events } else { Urgency::Control });
    turn.come().await;
    if desk.ordered.send(pending).await.is_err() {
        return Ok(());
    }
    turn.pass().await;
    let stopped = sink.stopped();
    let gone = CancellationToken::new();
    let writing = write(PostcardCodec, sink, outgoing, desk.connection.child_token(), gone.clone());
    tokio::pin!(writing);
    tokio::select! {
        written = &mut writing => written,
        () = stopped => {
            gone.cancel();
            writing.await
        }
    }
}

/// Whether events follow the answer on the same stream.
fn follows(request: &Request) -> bool {
    matches!(
        request,
        Request::Subscribe(_)
            | Request::SubscribeHost(_)
            | Request::CreateSession(_)
            | Request::ResumeSession(_)
    )
}

/// Whether the answer, or what is read for it, may be megabytes long.
fn is_heavy(request: &Request) -> bool {
    matches!(
        request,
        Request::GetArtifact(_)
            | Request::GetFile(_)
            | Request::ListFiles(_)
            | Request::ListModels(_)
            | Request::GetHistory(_)
            | Request::GetPatchPreview(_)
            | Request::ListApprovals(_)
            | Request::ListSessions(_)
    )
}

async fn send_one(sink: &mut impl FrameSink, outgoing: Outgoing) -> io::Result<()> {
    if let Some(bytes) = encode(&PostcardCodec, outgoing) {
        sink.send(&bytes).await?;
    }
    sink.finish().await
}

#[cfg(test)]
mod tests {
    use super::Turns;

    #[tokio::test]
    async fn turns_come_in_the_order_in_which_they_were_handed_out() {
        let mut turns = Turns::default();
        let (mut first, second, mut third) = (turns.next(), turns.next(), turns.next());
        let (order, mut came) = tokio::sync::mpsc::unbounded_channel();
        let waiting = order.clone();
        let last = tokio::spawn(async move {
            third.come().await;
            waiting.send(3).unwrap();
        });
        // One that has nothing to do passes only after the one before it.
        let passing = tokio::spawn(second.pass());
        tokio::task::yield_now().await;
        assert!(!passing.is_finished() && came.try_recv().is_err());
        first.come().await;
        order.send(1).unwrap();
        first.pass().await;
        passing.await.unwrap();
        last.await.unwrap();
        assert_eq!((came.recv().await, came.recv().await), (Some(1), Some(3)));
    }

    #[tokio::test]
    async fn one_that_is_dropped_holds_up_nobody() {
        let mut turns = Turns::default();
        let (first, mut second) = (turns.next(), turns.next());
        drop(first);
        second.come().await;
    }
}
