//! The connection: which streams there are, whose turn it is, what is to be told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::frame::Frame;
use super::stream::Stream;
use super::{Class, Limits, MAX_MESSAGE_BYTES, MuxError, MuxEvent, ResetCode, Role, StreamId};

/// What [`Mux::read`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The next bytes, at most 16 KiB; there may be more.
    Chunk(Vec<u8>),
    /// Nothing now; [`MuxEvent::Readable`] follows.
    Blocked,
    /// The peer has written everything, and everything is read.
    Finished,
}

/// Why no stream was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// As many are open as may be; [`MuxEvent::CanOpen`] follows.
    #[error("too many requests are under way on this connection: wait until one has ended")]
    TooMany,
    /// The peer broke the protocol, one side has closed it, or all ids are used.
    #[error("the connection has ended: connect again")]
    Ended,
}

/// Why nothing could be done with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Ended, reset by this side, or never opened.
    #[error("stream {0} has ended")]
    Gone(StreamId),
    /// This side has finished it already.
    #[error("stream {0} was finished: nothing more can be written")]
    Finished(StreamId),
    /// The peer has reset it.
    #[error("the peer has reset stream {stream} ({})", .code.0)]
    Reset {
        /// The stream.
        stream: StreamId,
        /// Why.
        code: ResetCode,
    },
}

/// Whether one side has ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    Open,
    Ours { code: u32, sent: bool },
    Theirs { code: u32, told: bool },
}

/// See the [module](super). Nothing here blocks, waits or fails but by the peer's fault.
#[derive(Debug)]
pub struct Mux {
    pub(super) role: Role,
    pub(super) limits: Limits,
    /// At most twice [`Limits::streams`].
    pub(super) streams: BTreeMap<StreamId, Stream>,
    next_ours: Option<StreamId>,
    next_theirs: Option<StreamId>,
    /// Streams we may open.
    slots: u32,
    /// Streams the peer may open.
    pub(super) slots_theirs: u32,
    /// Slots to be given back to the peer.
    pub(super) slots_due: u32,
    /// Streams with control frames to be sent, ours in the order in which they were opened.
    pub(super) controls: BTreeSet<StreamId>,
    /// Streams with data to be sent, by class, in the order of their turns.
    pub(super) interactive: VecDeque<StreamId>,
    pub(super) bulk: VecDeque<StreamId>,
    events: VecDeque<StreamId>,
    /// The application waits for a slot.
    wants_slot: bool,
    error: Option<MuxError>,
    close: Close,
}

impl Mux {
    /// A fresh connection; the peer's has the other role and the same limits.
    pub fn new(role: Role, limits: Limits) -> Self {
        let (ours, theirs) = match role {
            Role::Initiator => (1, 2),
            Role::Responder => (2, 1),
        };
        Self {
            role,
            limits,
            streams: BTreeMap::new(),
            next_ours: Some(StreamId(ours)),
            next_theirs: Some(StreamId(theirs)),
            slots: limits.streams(),
            slots_theirs: limits.streams(),
            slots_due: 0,
            controls: BTreeSet::new(),
            interactive: VecDeque::new(),
            bulk: VecDeque::new(),
            events: VecDeque::new(),
            wants_slot: false,
            error: None,
            close: Close::Open,
        }
    }

    /// How the peer ended the connection.
    pub fn error(&self) -> Option<MuxError> {
        self.error
    }

    /// Whether nothing more can be done with it: the peer broke the protocol, or one side has closed it.
    pub fn is_over(&self) -> bool {
        self.error.is_some() || self.close != Close::Open
    }

    /// Ends the connection and says why; the next message of [`Mux::poll_transmit`] is the last. Every stream is gone at
    /// once, with what is unsent and unread, and what the peer still sends is not looked at. After a [`MuxError`] the
    /// peer can be told so in this way; a second call does nothing.
    pub fn close(&mut self, code: u32) {
        if self.close == Close::Open {
            self.end(self.error, Close::Ours { code, sent: false });
        }
    }

    /// Whatever was held is of no use to anybody any more.
    fn end(&mut self, error: Option<MuxError>, close: Close) {
        *self = Self { error, close, ..Self::new(self.role, self.limits) };
    }

    /// The frame that ends the connection, once.
    pub(super) fn take_close(&mut self) -> Option<Frame<'static>> {
        match &mut self.close {
            Close::Ours { code, sent } if !*sent => {
                *sent = true;
                Some(Frame::Close { code: *code })
            }
            _ => None,
        }
    }

    /// Bytes of data held, in both directions; never more than [`Limits::max_buffered`].
    pub fn buffered(&self) -> usize {
        self.streams.values().map(Stream::buffered).sum()
    }

    /// Opens a stream; it may be written to at once.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(&mut self, class: Class) -> Result<StreamId, OpenError> {
        let id = self.next_ours.filter(|_| !self.is_over()).ok_or(OpenError::Ended)?;
        if !self.can_open() {
            self.wants_slot = true;
            return Err(OpenError::TooMany);
        }
        self.slots -= 1;
        self.next_ours = after(id);
        self.streams.insert(id, Stream::ours(id, class, self.limits));
        self.settle(id);
        Ok(id)
    }

    fn can_open(&self) -> bool {
        let ours = self.streams.keys().filter(|id| id.is_of(self.role)).count();
        self.slots > 0 && ours < self.limits.streams() as usize
    }

    /// Writes; gives how many bytes were taken. When not all were, [`MuxEvent::Writable`] follows.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub fn write(&mut self, stream: StreamId, bytes: &[u8]) -> Result<usize, StreamError> {
        self.with(stream, |stream| stream.write(bytes))
    }

    /// Ends this side's direction, after everything written.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub fn finish(&mut self, stream: StreamId) -> Result<(), StreamError> {
        self.with(stream, Stream::finish)
    }

    /// Whether a stream has something, be it its end, that was not read.
    pub fn has_unread(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(Stream::has_unread)
    }

    /// Whether everything written to a stream that was finished is in messages, its end included. Also when the stream is
    /// gone.
    pub fn is_sent(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_none_or(Stream::is_sent)
    }

    /// Ends both directions at once; what is unsent and unread is dropped. The way to be rid of a stream that nobody
    /// will read to its end.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub fn reset(&mut self, stream: StreamId, code: ResetCode) -> Result<(), StreamError> {
        self.with(stream, |stream| stream.reset(code))
    }

    /// Takes the next bytes off a stream, which grants the peer as many. A stream is held until its end was read here.
    ///
    /// # Errors
    /// See [`StreamError`].
    pub fn read(&mut self, stream: StreamId) -> Result<Read, StreamError> {
        self.with(stream, Stream::read)
    }

    fn with<T>(
        &mut self,
        id: StreamId,
        act: impl FnOnce(&mut Stream) -> Result<T, StreamError>,
    ) -> Result<T, StreamError> {
        let done = act(self.streams.get_mut(&id).ok_or(StreamError::Gone(id))?);
        self.settle(id);
        done
    }

    /// The next thing that happened. Nothing follows the error that [`Mux::feed`] gave, nor a close.
    pub fn poll_event(&mut self) -> Option<MuxEvent> {
        if let Close::Theirs { code, told } = &mut self.close {
            return (!std::mem::replace(told, true)).then_some(MuxEvent::Closed(*code));
        }
        if self.wants_slot && self.can_open() {
            self.wants_slot = false;
            return Some(MuxEvent::CanOpen);
        }
        while let Some(id) = self.events.pop_front() {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.in_events = false;
            let event = stream.tell();
            self.settle(id);
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Takes in a message of the peer. Nothing needs to be answered at once; [`Mux::poll_transmit`] has what is due. Once
    /// either side has closed the connection, messages are passed over.
    ///
    /// # Errors
    /// When the peer breaks the protocol. The connection is over then: every stream is gone, and this gives the same
    /// error for ever.
    pub fn feed(&mut self, message: &[u8]) -> Result<(), MuxError> {
        match (self.error, self.close) {
            (Some(error), _) => Err(error),
            (None, Close::Open) => {
                self.take_in(message).inspect_err(|error| self.end(Some(*error), Close::Open))
            }
            // What crossed our last word, or follows the peer's.
            (None, _) => Ok(()),
        }
    }

    fn take_in(&mut self, message: &[u8]) -> Result<(), MuxError> {
        if message.is_empty() {
            return Err(MuxError::Empty);
        }
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(MuxError::TooLong(message.len()));
        }
        let mut rest = message;
        while !rest.is_empty() && self.close == Close::Open {
            self.on_frame(Frame::take(&mut rest)?)?;
        }
        Ok(())
    }

    fn on_frame(&mut self, frame: Frame<'_>) -> Result<(), MuxError> {
        let id = match frame {
            Frame::Open { stream, class } => return self.on_open(stream, class),
            Frame::Slots { streams } => return self.on_slots(streams),
            Frame::Close { code } => {
                self.end(None, Close::Theirs { code, told: false });
                return Ok(());
            }
            Frame::Data { stream, .. }
            | Frame::Finish { stream }
            | Frame::Reset { stream, .. }
            | Frame::Credit { stream, .. } => stream,
        };
        let Some(stream) = self.streams.get_mut(&id) else {
            // Grants and resets may have crossed the end of a stream; data cannot have.
            let late = matches!(frame, Frame::Reset { .. } | Frame::Credit { .. });
            return match (self.was_opened(id), late) {
                (false, _) => Err(MuxError::NeverOpened(id)),
                (true, false) => Err(MuxError::AfterEnd(id)),
                (true, true) => Ok(()),
            };
        };
        match frame {
            Frame::Data { bytes, .. } => stream.on_data(bytes)?,
            Frame::Finish { .. } => stream.on_finish()?,
            Frame::Reset { code, .. } => stream.on_reset(code),
            Frame::Credit { bytes, .. } => stream.on_credit(bytes)?,
            Frame::Open { .. } | Frame::Slots { .. } | Frame::Close { .. } => {}
        }
        self.settle(id);
        Ok(())
    }

    fn on_open(&mut self, id: StreamId, class: Class) -> Result<(), MuxError> {
        if self.next_theirs != Some(id) {
            return Err(MuxError::OpenedOutOfTurn(id));
        }
        self.slots_theirs = self.slots_theirs.checked_sub(1).ok_or(MuxError::TooManyStreams)?;
        self.next_theirs = after(id);
        self.streams.insert(id, Stream::theirs(id, class, self.limits));
        self.settle(id);
        Ok(())
    }

    fn on_slots(&mut self, streams: u32) -> Result<(), MuxError> {
        let slots = self.slots.checked_add(streams).filter(|slots| *slots <= self.limits.streams());
        self.slots = slots.ok_or(MuxError::GrantOverflow)?;
        Ok(())
    }

    /// Whether a stream that is not there has been.
    fn was_opened(&self, id: StreamId) -> bool {
        let next = if id.is_of(self.role) { self.next_ours } else { self.next_theirs };
        id.0 > 0 && next.is_none_or(|next| id < next)
    }

    /// Puts a stream whose state may have changed where it belongs, or lets it go.
    pub(super) fn settle(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.is_gone() {
            self.streams.remove(&id);
            self.controls.remove(&id);
            for queue in [&mut self.interactive, &mut self.bulk, &mut self.events] {
                queue.retain(|queued| *queued != id);
            }
            if !id.is_of(self.role) {
                self.slots_due += 1;
            }
            return;
        }
        if stream.has_control() {
            self.controls.insert(id);
        }
        if stream.has_data() && !stream.in_turn {
            stream.in_turn = true;
            match stream.class {
                Class::Interactive => self.interactive.push_back(id),
                Class::Bulk => self.bulk.push_back(id),
            }
        }
        if stream.has_news() && !stream.in_events {
            stream.in_events = true;
            self.events.push_back(id);
        }
    }
}

/// The next of the same side; `None` when all are used, after two thousand million.
fn after(id: StreamId) -> Option<StreamId> {
    id.0.checked_add(2).map(StreamId)
}
