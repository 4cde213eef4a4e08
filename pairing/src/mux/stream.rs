//! One stream: what it still has to send, what it has received, how it ends.

use std::collections::VecDeque;

use super::connection::{Read, StreamError};
use super::frame::{DATA_HEADER, FINISH, Frame};
use super::{Class, Limits, MAX_DATA_BYTES, MuxError, MuxEvent, ResetCode, StreamId};

/// See the module.
#[derive(Debug)]
pub(super) struct Stream {
    id: StreamId,
    pub(super) class: Class,
    limits: Limits,
    outgoing: Outgoing,
    incoming: Incoming,
    reset: Reset,
    /// Ours, and the peer does not know yet.
    to_open: bool,
    news: News,
    /// Whether it stands in the queue of its class.
    pub(super) in_turn: bool,
    /// Whether it stands in the queue of events.
    pub(super) in_events: bool,
}

/// Towards the peer. Never more is buffered than there is credit for.
#[derive(Debug)]
struct Outgoing {
    buffer: VecDeque<u8>,
    /// Bytes the peer takes, those in the buffer included.
    credit: u32,
    end: OutgoingEnd,
    /// The writer was told to wait.
    blocked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutgoingEnd {
    Open,
    /// The end follows the buffer.
    Finishing,
    Sent,
}

/// From the peer.
#[derive(Debug)]
struct Incoming {
    buffer: VecDeque<u8>,
    /// Bytes the peer may still send.
    credit: u32,
    /// Bytes read that are not yet granted anew.
    consumed: u32,
    end: IncomingEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IncomingEnd {
    Open,
    Received,
    /// The reader knows.
    Told,
}

/// A reset goes out once from each side, whoever began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reset {
    None,
    /// We have given up; the peer's reset, or its end after ours, is awaited.
    Ours {
        code: ResetCode,
        sent: bool,
    },
    /// The peer has reset; ours goes back, and the application is told.
    Theirs {
        code: ResetCode,
        answered: bool,
        told: bool,
    },
}

/// What the application has not been told.
#[derive(Debug, Default)]
struct News {
    opened: bool,
    readable: bool,
    writable: bool,
}

impl Stream {
    fn new(id: StreamId, class: Class, limits: Limits) -> Self {
        let window = limits.window();
        Self {
            id,
            class,
            limits,
            outgoing: Outgoing {
                buffer: VecDeque::new(),
                credit: window,
                end: OutgoingEnd::Open,
                blocked: false,
            },
            incoming: Incoming {
                buffer: VecDeque::new(),
                credit: window,
                consumed: 0,
                end: IncomingEnd::Open,
            },
            reset: Reset::None,
            to_open: false,
            news: News::default(),
            in_turn: false,
            in_events: false,
        }
    }

    pub(super) fn ours(id: StreamId, class: Class, limits: Limits) -> Self {
        Self { to_open: true, ..Self::new(id, class, limits) }
    }

    pub(super) fn theirs(id: StreamId, class: Class, limits: Limits) -> Self {
        Self { news: News { opened: true, ..News::default() }, ..Self::new(id, class, limits) }
    }

    /// Bytes held.
    pub(super) fn buffered(&self) -> usize {
        self.outgoing.buffer.len() + self.incoming.buffer.len()
    }

    /// Whether there is something to read.
    pub(super) fn has_unread(&self) -> bool {
        self.reset == Reset::None
            && (!self.incoming.buffer.is_empty() || self.incoming.end == IncomingEnd::Received)
    }

    /// Whether this side's end is in a message.
    pub(super) fn is_sent(&self) -> bool {
        self.outgoing.end == OutgoingEnd::Sent
    }

    /// Whether nothing is left to be said to anybody.
    pub(super) fn is_gone(&self) -> bool {
        match self.reset {
            Reset::None => self.outgoing.end == OutgoingEnd::Sent && self.incoming.end == IncomingEnd::Told,
            Reset::Ours { .. } => false,
            Reset::Theirs { answered, told, .. } => answered && told,
        }
    }

    /// Whether both sides have finished, so that a reset comes too late.
    fn is_complete(&self) -> bool {
        self.outgoing.end == OutgoingEnd::Sent && self.incoming.end != IncomingEnd::Open
    }

    fn drop_buffers(&mut self) {
        self.outgoing.buffer = VecDeque::new();
        self.incoming.buffer = VecDeque::new();
        self.news.readable = false;
        self.news.writable = false;
    }

    fn end_silently(&mut self) {
        let code = ResetCode(0);
        self.reset = Reset::Theirs { code, answered: true, told: true };
        self.news = News::default();
    }
}

/// What the application does.
impl Stream {
    fn check(&self) -> Result<(), StreamError> {
        match self.reset {
            Reset::None => Ok(()),
            Reset::Ours { .. } => Err(StreamError::Gone(self.id)),
            Reset::Theirs { code, .. } => Err(StreamError::Reset { stream: self.id, code }),
        }
    }

    fn room(&self) -> usize {
        let held = self.outgoing.buffer.len();
        let credit = (self.outgoing.credit as usize).saturating_sub(held);
        credit.min(self.limits.send_buffer().saturating_sub(held))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        self.check()?;
        if self.outgoing.end != OutgoingEnd::Open {
            return Err(StreamError::Finished(self.id));
        }
        let taken = bytes.len().min(self.room());
        self.outgoing.buffer.extend(&bytes[..taken]);
        self.outgoing.blocked = taken < bytes.len();
        Ok(taken)
    }

    pub(super) fn finish(&mut self) -> Result<(), StreamError> {
        self.check()?;
        if self.outgoing.end != OutgoingEnd::Open {
            return Err(StreamError::Finished(self.id));
        }
        self.outgoing.end = OutgoingEnd::Finishing;
        self.outgoing.blocked = false;
        Ok(())
    }

    pub(super) fn reset(&mut self, code: ResetCode) -> Result<(), StreamError> {
        self.check()?;
        self.drop_buffers();
        if self.is_complete() {
            self.end_silently();
        } else {
            self.reset = Reset::Ours { code, sent: false };
            self.news = News::default();
        }
        Ok(())
    }

    pub(super) fn read(&mut self) -> Result<Read, StreamError> {
        self.check()?;
        let held = self.incoming.buffer.len();
        if held == 0 {
            return Ok(match self.incoming.end {
                IncomingEnd::Open => Read::Blocked,
                IncomingEnd::Received | IncomingEnd::Told => {
                    self.incoming.end = IncomingEnd::Told;
                    Read::Finished
                }
            });
        }
        let chunk: Vec<u8> = self.incoming.buffer.drain(..held.min(MAX_DATA_BYTES)).collect();
        // At most the window, which is a u32.
        self.incoming.consumed += chunk.len() as u32;
        if self.incoming.buffer.is_empty() {
            // An idle stream shall not keep the room its busiest moment took.
            self.incoming.buffer = VecDeque::new();
        }
        Ok(Read::Chunk(chunk))
    }

    /// The next thing to tell, and `None` when there is nothing.
    pub(super) fn tell(&mut self) -> Option<MuxEvent> {
        let stream = self.id;
        if std::mem::take(&mut self.news.opened) {
            return Some(MuxEvent::Opened { stream, class: self.class });
        }
        if std::mem::take(&mut self.news.readable) {
            return Some(MuxEvent::Readable(stream));
        }
        if std::mem::take(&mut self.news.writable) {
            return Some(MuxEvent::Writable(stream));
        }
        match &mut self.reset {
            Reset::Theirs { code, told, .. } if !*told => {
                *told = true;
                Some(MuxEvent::Reset { stream, code: *code })
            }
            _ => None,
        }
    }

    pub(super) fn has_news(&self) -> bool {
        self.news.opened
            || self.news.readable
            || self.news.writable
            || matches!(self.reset, Reset::Theirs { told: false, .. })
    }

    fn unblock(&mut self) {
        if self.outgoing.blocked && self.room() > 0 {
            self.outgoing.blocked = false;
            self.news.writable = true;
        }
    }
}

/// What the peer does.
impl Stream {
    /// Nothing but grants and resets may follow an end.
    fn check_open(&self) -> Result<(), MuxError> {
        let is_reset = matches!(self.reset, Reset::Theirs { .. });
        if is_reset || self.incoming.end != IncomingEnd::Open {
            return Err(MuxError::AfterEnd(self.id));
        }
        Ok(())
    }

    pub(super) fn on_data(&mut self, bytes: &[u8]) -> Result<(), MuxError> {
        self.check_open()?;
        // A frame's length fits 16 bits.
        let left = self.incoming.credit.checked_sub(bytes.len() as u32);
        self.incoming.credit = left.ok_or(MuxError::CreditOverrun(self.id))?;
        // What crosses our reset is counted, and dropped.
        if self.reset == Reset::None {
            self.incoming.buffer.extend(bytes);
            self.news.readable = true;
        }
        Ok(())
    }

    pub(super) fn on_finish(&mut self) -> Result<(), MuxError> {
        self.check_open()?;
        self.incoming.end = IncomingEnd::Received;
        match self.reset {
            Reset::None => self.news.readable = true,
            // For the peer the stream is complete: it will not answer our reset.
            _ if self.is_complete() => self.end_silently(),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn on_reset(&mut self, code: ResetCode) {
        match self.reset {
            Reset::None if self.is_complete() => {}
            Reset::None => {
                self.drop_buffers();
                self.reset = Reset::Theirs { code, answered: false, told: false };
            }
            // They crossed, or this answers ours; nobody needs to be told.
            Reset::Ours { code, sent } => {
                self.reset = Reset::Theirs { code, answered: sent, told: true };
            }
            Reset::Theirs { .. } => {}
        }
    }

    pub(super) fn on_credit(&mut self, bytes: u32) -> Result<(), MuxError> {
        let credit = self.outgoing.credit.checked_add(bytes);
        match credit.filter(|credit| *credit <= self.limits.window()) {
            Some(credit) => self.outgoing.credit = credit,
            None => return Err(MuxError::GrantOverflow),
        }
        if self.reset == Reset::None {
            self.unblock();
        }
        Ok(())
    }
}

/// What is sent.
impl Stream {
    fn credit_due(&self) -> bool {
        // A quarter: few frames, and the peer is never short of credit while this side reads.
        self.reset == Reset::None
            && self.incoming.end == IncomingEnd::Open
            && self.incoming.consumed >= (self.limits.window() / 4).max(1)
    }

    fn reset_due(&self) -> bool {
        matches!(self.reset, Reset::Ours { sent: false, .. } | Reset::Theirs { answered: false, .. })
    }

    pub(super) fn has_control(&self) -> bool {
        self.to_open || self.credit_due() || self.reset_due()
    }

    /// Appends the control frames that are due.
    pub(super) fn put_control(&mut self, message: &mut Vec<u8>) {
        let stream = self.id;
        if std::mem::take(&mut self.to_open) {
            Frame::Open { stream, class: self.class }.put(message);
        }
        if self.credit_due() {
            let bytes = std::mem::take(&mut self.incoming.consumed);
            self.incoming.credit += bytes;
            Frame::Credit { stream, bytes }.put(message);
        }
        match &mut self.reset {
            Reset::Ours { code, sent } if !*sent => {
                *sent = true;
                Frame::Reset { stream, code: *code }.put(message);
            }
            Reset::Theirs { code, answered, .. } if !*answered => {
                *answered = true;
                Frame::Reset { stream, code: *code }.put(message);
            }
            _ => {}
        }
    }

    /// Whether there is data, or an end, to be sent.
    pub(super) fn has_data(&self) -> bool {
        self.reset == Reset::None
            && (!self.outgoing.buffer.is_empty() || self.outgoing.end == OutgoingEnd::Finishing)
    }

    /// Bytes that [`Stream::put_data`] needs at most.
    pub(super) fn data_size(&self) -> usize {
        DATA_HEADER + self.outgoing.buffer.len().min(MAX_DATA_BYTES) + FINISH
    }

    /// Appends one frame of data, and the end when it comes next.
    pub(super) fn put_data(&mut self, message: &mut Vec<u8>) {
        let stream = self.id;
        let outgoing = &mut self.outgoing;
        let length = outgoing.buffer.len().min(MAX_DATA_BYTES);
        if length > 0 {
            let bytes: Vec<u8> = outgoing.buffer.drain(..length).collect();
            // The buffer is within the credit.
            outgoing.credit = outgoing.credit.saturating_sub(length as u32);
            Frame::Data { stream, bytes: &bytes }.put(message);
        }
        if outgoing.buffer.is_empty() {
            outgoing.buffer = VecDeque::new();
            if outgoing.end == OutgoingEnd::Finishing {
                outgoing.end = OutgoingEnd::Sent;
                Frame::Finish { stream }.put(message);
            }
        }
        self.unblock();
    }
}
