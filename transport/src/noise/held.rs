//! A stream somebody holds, from the side of the task that owns the connection: what its halves ask for.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use lanyard_pairing::mux::{ResetCode, StreamId};
use tokio::sync::{mpsc, oneshot, watch};

use super::stream::{Ends, Fate, MuxRecv, MuxSend, Order, Want, stream};

/// A stream somebody holds.
pub(super) struct Held {
    /// This side has opened it.
    pub(super) is_ours: bool,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) abort: Option<oneshot::Receiver<ResetCode>>,
    pub(super) wants: mpsc::Receiver<Want>,
    pub(super) fate: watch::Sender<Fate>,
    pub(super) writer: Writer,
    pub(super) reader: Reader,
}

pub(super) enum Writer {
    /// What was ordered and did not fit yet; nothing more is taken meanwhile.
    Open { unsent: Vec<u8> },
    /// The end is on its way.
    Finishing,
    /// It has been handed to the carrier.
    Sent,
}

pub(super) enum Reader {
    /// Nobody reads at this moment.
    Idle,
    /// Somebody waits.
    Waits(Want),
    /// Nobody will; what comes is thrown away.
    Discards,
    /// The end was read.
    Done,
}

/// What a half asks for.
pub(super) enum Ask {
    Write(Vec<u8>),
    Finish,
    Abort(ResetCode),
    Read(Want),
    /// The receiving half was dropped.
    Unread,
}

impl Held {
    /// A stream, and the halves for whoever uses it.
    pub(super) fn new(is_ours: bool) -> ((MuxSend, MuxRecv), Self) {
        let (halves, Ends { orders, abort, wants, fate }) = stream();
        let (writer, reader) = (Writer::Open { unsent: Vec::new() }, Reader::Idle);
        (halves, Self { is_ours, orders, abort: Some(abort), wants, fate, writer, reader })
    }

    /// Both directions are over.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.writer, Writer::Sent) && matches!(self.reader, Reader::Done)
    }

    /// Nobody reads it, or all of it was read.
    pub(super) fn has_read(&self) -> bool {
        matches!(self.reader, Reader::Discards | Reader::Done)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ask> {
        if let Some(abort) = &mut self.abort
            && let Poll::Ready(asked) = Pin::new(abort).poll(cx)
        {
            self.abort = None;
            // An error says that the half was finished before it was dropped.
            if let Ok(code) = asked {
                return Poll::Ready(Ask::Abort(code));
            }
        }
        if matches!(&self.writer, Writer::Open { unsent } if unsent.is_empty())
            && let Poll::Ready(Some(order)) = self.orders.poll_recv(cx)
        {
            return Poll::Ready(match order {
                Order::Write(bytes) => Ask::Write(bytes),
                Order::Finish => Ask::Finish,
            });
        }
        if matches!(self.reader, Reader::Idle | Reader::Waits(_))
            && let Poll::Ready(want) = self.wants.poll_recv(cx)
        {
            return Poll::Ready(want.map_or(Ask::Unread, Ask::Read));
        }
        Poll::Pending
    }
}

/// The first that is asked for. A stream that has orders waits once its share of the multiplexer is full, so that the
/// ones after it have their turn.
pub(super) fn poll_streams(
    streams: &mut BTreeMap<StreamId, Held>,
    cx: &mut Context<'_>,
) -> Poll<(StreamId, Ask)> {
    for (id, held) in streams {
        if let Poll::Ready(ask) = held.poll(cx) {
            return Poll::Ready((*id, ask));
        }
    }
    Poll::Pending
}
