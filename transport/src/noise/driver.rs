//! The task that owns a connection: the session, the streams, and the order in which things are sent.
//!
//! Everything that happens comes here: a message of the peer, room in the carrier, something a stream's user asks for,
//! the wish to end it. A message is made only when the carrier can take one, so that what is most urgent goes first.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::time::Duration;

use lanyard_pairing::mux::frame::Frame;
use lanyard_pairing::mux::{Class, Mux, MuxError, MuxEvent, Read, ResetCode, StreamId};
use lanyard_pairing::noise::{Session, SessionError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::debug;

use super::carrier::Carrier;
use super::held::{Ask, Held, Reader, Writer, poll_streams};
use super::stream::{MuxRecv, MuxSend};
use crate::close::{CloseCode, Ended};

/// How long the last message of a connection may wait for room in its carrier.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A stream's two halves.
pub(super) type Halves = (MuxSend, MuxRecv);

/// Somebody waits for a stream of this side.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) class: Class,
    pub(super) opened: oneshot::Sender<Halves>,
}

/// What the handles of a connection ask its task for.
#[derive(Debug)]
pub(super) struct Wishes {
    /// To end it; closed when the last handle is gone.
    pub(super) close: mpsc::Receiver<CloseCode>,
    /// Streams of this side.
    pub(super) opens: mpsc::Receiver<Opening>,
    /// Takes streams the peer has opened, in their order.
    pub(super) accepted: mpsc::Sender<Halves>,
}

/// See the module.
pub(super) struct Driver {
    carrier: Carrier,
    session: Session,
    mux: Mux,
    wishes: Wishes,
    streams: BTreeMap<StreamId, Held>,
    /// Streams of the peer that nobody has accepted yet; as many as it may have open.
    waiting: VecDeque<StreamId>,
    /// A stream is waited for until the peer grants one.
    opening: Option<Opening>,
    /// The multiplexer may have something to say.
    to_say: bool,
}

/// Something to be done.
enum Step {
    Close(CloseCode),
    Take(Vec<u8>),
    /// The carrier has room.
    Say,
    /// The next stream of the peer can be handed over.
    Accept,
    Open(Opening),
    Stream(StreamId, Ask),
    Lost,
}

/// Why a connection does not go on.
#[derive(Debug)]
enum End {
    /// It is wished here.
    Here(CloseCode),
    /// The peer says so.
    ByPeer(u32),
    /// The channel below was tampered with, or is not what it should be; nothing authentic can be said any more.
    Session(SessionError),
    /// The peer broke the protocol of streams.
    Mux(MuxError),
    /// The carrier is gone.
    Lost,
}

impl Driver {
    pub(super) fn new(carrier: Carrier, session: Session, mux: Mux, wishes: Wishes) -> Self {
        let (streams, waiting) = (BTreeMap::new(), VecDeque::new());
        Self { carrier, session, mux, wishes, streams, waiting, opening: None, to_say: false }
    }

    /// Moves the connection until it ends, says how, and tells the peer where it has to be told.
    pub(super) async fn run(mut self, ended: watch::Sender<Option<Ended>>) {
        let end = loop {
            let step = self.next().await;
            match self.serve(step) {
                Ok(()) => {}
                Err(End::Lost) => break self.last_word(),
                Err(end) => break end,
            }
        };
        let (how, last) = match end {
            End::Here(code) => (Ended::Here, Some(code)),
            End::ByPeer(code) => {
                self.hear_out().await;
                (Ended::ByPeer(CloseCode::from_number(code.into())), None)
            }
            End::Session(error) => (Ended::Failed(error.to_string()), None),
            End::Mux(error) => (Ended::Failed(error.to_string()), Some(CloseCode::Protocol)),
            End::Lost => (Ended::Lost, None),
        };
        debug!(address = %self.carrier.address, %how, "a channel has ended");
        // Told before the streams break, which is when somebody asks why.
        ended.send_replace(Some(how));
        if let Some(code) = last {
            self.say_last(code).await;
        }
    }

    /// Waits for what is to be done next. Cancel-safe.
    async fn next(&mut self) -> Step {
        let Self { carrier, wishes, streams, .. } = self;
        let can_open = self.opening.is_none();
        tokio::select! {
            // The end first: what was revoked gets nothing more. Then what is bounded by what came in, and last what
            // comes in.
            biased;
            code = wishes.close.recv() => Step::Close(code.unwrap_or(CloseCode::Done)),
            // Nobody else sends: the room is still there afterwards.
            room = carrier.outgoing.reserve(), if self.to_say => match room {
                Ok(_) => Step::Say,
                Err(_) => Step::Lost,
            },
            () = carrier.outgoing.closed(), if !self.to_say => Step::Lost,
            Ok(_) = wishes.accepted.reserve(), if !self.waiting.is_empty() => Step::Accept,
            Some(opening) = wishes.opens.recv(), if can_open => Step::Open(opening),
            (id, ask) = poll_fn(|cx| poll_streams(streams, cx)) => Step::Stream(id, ask),
            message = carrier.incoming.recv() => message.map_or(Step::Lost, Step::Take),
        }
    }

    fn serve(&mut self, step: Step) -> Result<(), End> {
        let may_say = !matches!(step, Step::Say);
        match step {
            Step::Close(code) => return Err(End::Here(code)),
            Step::Lost => return Err(End::Lost),
            Step::Take(message) => self.take(&message)?,
            Step::Say => self.say()?,
            Step::Accept => self.accept(),
            Step::Open(opening) => self.open(opening),
            Step::Stream(id, ask) => self.ask(id, ask),
        }
        self.to_say |= may_say;
        self.settle()
    }

    fn take(&mut self, sealed: &[u8]) -> Result<(), End> {
        let message = self.session.open(sealed).map_err(End::Session)?;
        // Not fed: what came before it has not been read yet.
        if let Some(code) = Frame::only_close(&message) {
            return Err(End::ByPeer(code));
        }
        self.mux.feed(&message).map_err(End::Mux)
    }

    /// The carrier is gone; what it brought before is still looked at, because it may say why.
    fn last_word(&mut self) -> End {
        while let Ok(sealed) = self.carrier.incoming.try_recv() {
            if let Err(end) = self.serve(Step::Take(sealed)) {
                return end;
            }
        }
        End::Lost
    }

    /// The peer has ended the connection: what it sent before is still handed to those who read it.
    async fn hear_out(&mut self) {
        let silence = tokio::time::sleep(LAST_WORDS);
        tokio::pin!(silence);
        while self.streams.iter().any(|(id, held)| !held.has_read() && self.mux.has_unread(*id)) {
            let streams = &mut self.streams;
            let (id, ask) = tokio::select! {
                asked = poll_fn(|cx| poll_streams(streams, cx)) => asked,
                _ = self.wishes.close.recv() => return,
                () = &mut silence => return,
            };
            self.ask(id, ask);
        }
    }

    /// One message to the peer, if there is one.
    fn say(&mut self) -> Result<(), End> {
        let Ok(room) = self.carrier.outgoing.try_reserve() else { return Ok(()) };
        match self.mux.poll_transmit() {
            Some(message) => room.send(self.session.seal(&message).map_err(End::Session)?),
            None => self.to_say = false,
        }
        for (id, held) in &mut self.streams {
            if matches!(held.writer, Writer::Finishing) && self.mux.is_sent(*id) {
                held.writer = Writer::Sent;
                held.fate.send_modify(|fate| fate.sent = true);
            }
        }
        self.streams.retain(|_, held| !held.is_done());
        Ok(())
    }

    fn accept(&mut self) {
        let Some(id) = self.waiting.pop_front() else { return };
        let halves = self.hold(id, false);
        // Nobody else sends, and there was room. Without a receiver both halves are dropped, which is seen next.
        let _ = self.wishes.accepted.try_send(halves);
    }

    fn open(&mut self, opening: Opening) {
        match self.mux.open(opening.class) {
            Ok(id) => {
                let halves = self.hold(id, true);
                // Whoever waited may be gone: then both halves are dropped, which is seen next.
                let _ = opening.opened.send(halves);
            }
            // When all are taken; it never ends while this runs.
            Err(_) => self.opening = Some(opening),
        }
    }

    fn hold(&mut self, id: StreamId, is_ours: bool) -> Halves {
        let (halves, held) = Held::new(is_ours);
        self.streams.insert(id, held);
        halves
    }

    fn ask(&mut self, id: StreamId, ask: Ask) {
        let Some(held) = self.streams.get_mut(&id) else { return };
        match ask {
            Ask::Write(bytes) => {
                held.writer = Writer::Open { unsent: bytes };
                self.write(id);
            }
            Ask::Finish => {
                held.writer = Writer::Finishing;
                held.orders.close();
                held.abort = None;
                // A stream the peer has reset is not held any more, so this is the first end.
                let _ = self.mux.finish(id);
            }
            Ask::Read(want) => {
                held.reader = Reader::Waits(want);
                self.read(id);
            }
            Ask::Unread if held.is_ours => self.reset(id, ResetCode(CloseCode::Done.number())),
            Ask::Unread => {
                held.reader = Reader::Discards;
                self.read(id);
            }
            Ask::Abort(code) => self.reset(id, code),
        }
    }

    fn reset(&mut self, id: StreamId, code: ResetCode) {
        // Gone already: then there is nothing to be reset.
        let _ = self.mux.reset(id, code);
        self.streams.remove(&id);
    }

    /// Hands on what was ordered, as far as it fits.
    fn write(&mut self, id: StreamId) {
        let Some(Held { writer: Writer::Open { unsent }, .. }) = self.streams.get_mut(&id) else { return };
        // An error says that the stream is gone, which is told as an event.
        let taken = self.mux.write(id, unsent).unwrap_or(unsent.len());
        unsent.drain(..taken);
    }

    /// Hands over what has arrived, if somebody waits for it.
    fn read(&mut self, id: StreamId) {
        let Some(held) = self.streams.get_mut(&id) else { return };
        loop {
            let found = match held.reader {
                Reader::Idle | Reader::Done => break,
                Reader::Waits(_) | Reader::Discards => self.mux.read(id),
            };
            let (chunk, then) = match (found, &held.reader) {
                (Ok(Read::Chunk(_)), Reader::Discards) => continue,
                (Ok(Read::Chunk(chunk)), _) => (Some(chunk), Reader::Idle),
                (Ok(Read::Finished), _) => (None, Reader::Done),
                // Of a stream that is gone an event tells.
                (Ok(Read::Blocked) | Err(_), _) => break,
            };
            if let Reader::Waits(want) = std::mem::replace(&mut held.reader, then) {
                // Whoever waited may be gone, which is seen next.
                let _ = want.send(chunk);
            }
        }
        if held.is_done() {
            self.streams.remove(&id);
        }
    }

    /// What the multiplexer has to tell.
    fn settle(&mut self) -> Result<(), End> {
        while let Some(event) = self.mux.poll_event() {
            match event {
                MuxEvent::Opened { stream, .. } => self.waiting.push_back(stream),
                MuxEvent::Readable(stream) => self.read(stream),
                MuxEvent::Writable(stream) => self.write(stream),
                MuxEvent::Reset { stream, code } => {
                    self.waiting.retain(|waiting| *waiting != stream);
                    if let Some(held) = self.streams.remove(&stream) {
                        held.fate.send_modify(|fate| fate.reset = Some(code));
                    }
                }
                MuxEvent::CanOpen => {
                    if let Some(opening) = self.opening.take() {
                        self.open(opening);
                    }
                }
                MuxEvent::Closed(code) => return Err(End::ByPeer(code)),
            }
        }
        Ok(())
    }

    /// Ends everything, and says why if the carrier takes it in time.
    async fn say_last(&mut self, code: CloseCode) {
        self.streams.clear();
        self.mux.close(code.number());
        let Some(message) = self.mux.poll_transmit() else { return };
        let Ok(sealed) = self.session.seal(&message) else { return };
        if timeout(LAST_WORDS, self.carrier.outgoing.send(sealed)).await.is_err() {
            debug!(why = code.word(), "a browser did not take the news that its connection ends");
        }
    }
}
