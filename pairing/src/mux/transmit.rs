//! What goes into the next message, and in which order.

use super::connection::Mux;
use super::frame::{DATA_HEADER, FINISH, Frame, LONGEST_CONTROL};
use super::stream::Stream;
use super::{MAX_DATA_BYTES, MAX_MESSAGE_BYTES, StreamId};

/// Room kept for one frame of a bulk stream and its end, so that interactive streams never stop a download.
const BULK_SHARE: usize = DATA_HEADER + MAX_DATA_BYTES + FINISH;

/// A stream's control frames: open, credit and reset.
const CONTROL_SHARE: usize = 3 * LONGEST_CONTROL;

impl Mux {
    /// The next message to the peer, at most [`MAX_MESSAGE_BYTES`], or `None` when there is nothing to say. To be called
    /// only when the channel can take a message, and what it gives has to be sent.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        if let Some(close) = self.take_close() {
            close.put(&mut message);
        }
        // Where there was one, no stream is left.
        self.put_control(&mut message);
        self.put_interactive(&mut message);
        self.put_bulk(&mut message);
        (!message.is_empty()).then_some(message)
    }

    fn put_control(&mut self, message: &mut Vec<u8>) {
        let streams = std::mem::take(&mut self.slots_due);
        if streams > 0 {
            self.slots_theirs += streams;
            Frame::Slots { streams }.put(message);
        }
        while message.len() + CONTROL_SHARE <= MAX_MESSAGE_BYTES {
            let Some(id) = self.controls.pop_first() else { break };
            self.put(id, |stream| stream.put_control(message));
        }
    }

    fn put_interactive(&mut self, message: &mut Vec<u8>) {
        let kept = if self.bulk.is_empty() { 0 } else { BULK_SHARE };
        while let Some(id) = self.interactive.front().copied() {
            if message.len() + self.data_size(id) + kept > MAX_MESSAGE_BYTES {
                break;
            }
            self.interactive.pop_front();
            self.take_turn(id, message);
        }
    }

    fn put_bulk(&mut self, message: &mut Vec<u8>) {
        while let Some(id) = self.bulk.front().copied() {
            if message.len() + self.data_size(id) > MAX_MESSAGE_BYTES {
                break;
            }
            self.bulk.pop_front();
            if self.take_turn(id, message) {
                break;
            }
        }
    }

    fn data_size(&self, id: StreamId) -> usize {
        self.streams.get(&id).map_or(0, Stream::data_size)
    }

    /// One frame of a stream, which then stands last if it has more. False when it had nothing any more.
    fn take_turn(&mut self, id: StreamId, message: &mut Vec<u8>) -> bool {
        let before = message.len();
        self.put(id, |stream| {
            stream.in_turn = false;
            if stream.has_data() {
                stream.put_data(message);
            }
        });
        message.len() > before
    }

    fn put(&mut self, id: StreamId, put: impl FnOnce(&mut Stream)) {
        if let Some(stream) = self.streams.get_mut(&id) {
            put(stream);
        }
        self.settle(id);
    }
}
