//! The two halves of a stream, as its user holds them: [`AsyncWrite`] and [`AsyncRead`] over queues of one.
//!
//! A half asks the connection's task for one thing at a time and holds at most 16 KiB of data. So whoever writes waits
//! while the peer does not read, and what is not read stays under the peer's credit.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lanyard_pairing::mux::{MAX_DATA_BYTES, ResetCode};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::PollSender;

use crate::close::CloseCode;

/// What a sending half asks for.
#[derive(Debug)]
pub(super) enum Order {
    /// 1 to [`MAX_DATA_BYTES`] bytes to be sent.
    Write(Vec<u8>),
    /// The end of this direction.
    Finish,
}

/// What a receiving half asks for: the next bytes, or `None` at the end.
pub(super) type Want = oneshot::Sender<Option<Vec<u8>>>;

/// What became of a stream.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Fate {
    /// Everything written, and the end, has been handed to the carrier.
    pub(super) sent: bool,
    /// The peer has reset it.
    pub(super) reset: Option<ResetCode>,
}

/// The other ends of both halves, for the connection's task.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) abort: oneshot::Receiver<ResetCode>,
    pub(super) wants: mpsc::Receiver<Want>,
    pub(super) fate: watch::Sender<Fate>,
}

/// A stream's halves and their ends.
pub(super) fn stream() -> ((MuxSend, MuxRecv), Ends) {
    let (order, orders) = mpsc::channel(1);
    let (abort, aborted) = oneshot::channel();
    let (want, wants) = mpsc::channel(1);
    let (fate, told) = watch::channel(Fate::default());
    let send = MuxSend { orders: PollSender::new(order), abort: Some(abort), fate: told.clone() };
    let recv = MuxRecv { wants: want, wanted: None, chunk: Vec::new(), read: 0, ended: false, fate: told };
    ((send, recv), Ends { orders, abort: aborted, wants, fate })
}

/// Why a stream can be used no more, inside an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamBroken {
    /// The peer wants no more of it.
    #[error("the peer has given the stream up ({0})")]
    Reset(u32),
    /// It was finished or reset on this side, or the connection is gone.
    #[error("the stream has ended")]
    Ended,
}

fn broken(fate: &watch::Receiver<Fate>) -> io::Error {
    match fate.borrow().reset {
        Some(ResetCode(code)) => io::Error::new(io::ErrorKind::ConnectionReset, StreamBroken::Reset(code)),
        None => io::Error::new(io::ErrorKind::BrokenPipe, StreamBroken::Ended),
    }
}

/// The sending half. What is written goes out by itself; to flush does nothing. Dropped without [`MuxSend::finish`], it
/// resets the stream, the receiving half included.
#[derive(Debug)]
pub struct MuxSend {
    orders: PollSender<Order>,
    /// Gone once the stream is finished or reset here.
    abort: Option<oneshot::Sender<ResetCode>>,
    fate: watch::Receiver<Fate>,
}

impl MuxSend {
    /// Ends this direction, after everything written. Waits while what was written before has no room. Cancel-safe.
    ///
    /// # Errors
    /// [`StreamBroken`].
    pub async fn finish(&mut self) -> io::Result<()> {
        self.shutdown().await
    }

    /// Ends both directions at once; what is unsent is dropped, and the peer is told the code.
    pub fn reset(mut self, code: CloseCode) {
        self.give_up(code);
    }

    /// Resolves when nothing more can be done with the stream: everything up to its end has been handed to the carrier,
    /// or the peer has reset it, or the connection is gone. Does not borrow the half.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut fate = self.fate.clone();
        async move {
            // An error says that the connection's task is done with the stream.
            let _ = fate.wait_for(|fate| fate.sent || fate.reset.is_some()).await;
        }
    }

    fn give_up(&mut self, code: CloseCode) {
        if let Some(abort) = self.abort.take() {
            // An error says that the stream is gone already.
            let _ = abort.send(ResetCode(code.number()));
        }
    }

    fn poll_order(&mut self, cx: &mut Context<'_>, order: impl FnOnce() -> Order) -> Poll<io::Result<()>> {
        if self.abort.is_none() || ready!(self.orders.poll_reserve(cx)).is_err() {
            return Poll::Ready(Err(broken(&self.fate)));
        }
        Poll::Ready(self.orders.send_item(order()).map_err(|_| broken(&self.fate)))
    }
}

impl AsyncWrite for MuxSend {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let piece = &bytes[..bytes.len().min(MAX_DATA_BYTES)];
        if piece.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_order(cx, || Order::Write(piece.to_vec())).map_ok(|()| piece.len())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_order(cx, || Order::Finish))?;
        self.abort = None;
        Poll::Ready(Ok(()))
    }
}

impl Drop for MuxSend {
    fn drop(&mut self) {
        self.give_up(CloseCode::Done);
    }
}

/// The receiving half. On a stream of one's own, dropping it before its end was read resets the stream; on one the peer
/// has opened, what still comes is thrown away, and the answer can go on.
#[derive(Debug)]
pub struct MuxRecv {
    wants: mpsc::Sender<Want>,
    /// What was asked for and is not here yet; kept when a read is cancelled.
    wanted: Option<oneshot::Receiver<Option<Vec<u8>>>>,
    chunk: Vec<u8>,
    read: usize,
    ended: bool,
    fate: watch::Receiver<Fate>,
}

impl AsyncRead for MuxRecv {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.read == self.chunk.len() && !self.ended {
            match ready!(self.poll_chunk(cx))? {
                Some(chunk) => (self.chunk, self.read) = (chunk, 0),
                None => self.ended = true,
            }
        }
        let rest = &self.chunk[self.read..];
        let taken = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..taken]);
        self.read += taken;
        Poll::Ready(Ok(()))
    }
}

impl MuxRecv {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Vec<u8>>>> {
        if self.wanted.is_none() {
            let (want, wanted) = oneshot::channel();
            // Never full: what was asked for before has been answered.
            if self.wants.try_send(want).is_err() {
                return Poll::Ready(Err(broken(&self.fate)));
            }
            self.wanted = Some(wanted);
        }
        let Some(wanted) = &mut self.wanted else { return Poll::Ready(Ok(None)) };
        let answer = ready!(Pin::new(wanted).poll(cx));
        self.wanted = None;
        Poll::Ready(answer.map_err(|_| broken(&self.fate)))
    }
}
