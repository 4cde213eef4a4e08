//! Which pieces of streamed text were seen, by stream and byte offset.
//!
//! Deltas are not stored: what is missed stays missing until the completing event brings the whole. Here it is only
//! noticed, so that nobody shows a text with a hole as if it were one piece.

use lanyard_protocol::event::EventBody;
use lanyard_protocol::id::{SessionId, StreamId, ToolCallId};

/// Streams remembered at once. A step runs a handful; the oldest is forgotten first and only costs a notice that
/// its beginning was missed.
const MAX_STREAMS: usize = 64;

/// How a piece fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// New from byte `from` of the piece on, after `missing` bytes that never came.
    New {
        /// First byte of the piece that was not seen.
        from: usize,
        /// Bytes between the last piece and this one.
        missing: u64,
    },
    /// All of it was seen, or the stream has ended.
    Stale,
}

#[derive(Debug)]
struct Stream {
    id: StreamId,
    session: SessionId,
    /// The call whose output it is; none for an answer's text.
    call: Option<ToolCallId>,
    /// Bytes seen; none once the stream has ended.
    seen: Option<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Streams(Vec<Stream>);

impl Streams {
    /// Judges one piece and remembers it as seen.
    pub(crate) fn offer(
        &mut self,
        session: &SessionId,
        id: &StreamId,
        call: Option<&ToolCallId>,
        offset: u64,
        text: &str,
    ) -> Fit {
        let end = offset.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        let known = self.0.iter_mut().find(|stream| stream.id == *id && stream.session == *session);
        let seen = match known {
            Some(stream) => match &mut stream.seen {
                None => return Fit::Stale,
                Some(seen) => std::mem::replace(seen, end.max(*seen)),
            },
            None => {
                if self.0.len() >= MAX_STREAMS {
                    self.0.remove(0);
                }
                let stream =
                    Stream { id: id.clone(), session: session.clone(), call: call.cloned(), seen: Some(end) };
                self.0.push(stream);
                0
            }
        };
        if end <= seen {
            return Fit::Stale;
        }
        let overlap = usize::try_from(seen.saturating_sub(offset)).unwrap_or(text.len());
        let from = (overlap..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        Fit::New { from, missing: offset.saturating_sub(seen) }
    }

    /// Closes the streams a durable event completes; what still comes of them is stale.
    pub(crate) fn completed_by(&mut self, session: &SessionId, body: &EventBody) {
        let ends: &dyn Fn(&Stream) -> bool = match body {
            EventBody::LlmRequestCompleted(done) => &|stream| stream.id == done.stream_id,
            EventBody::LlmRetry(retry) => &|stream| stream.id == retry.stream_id,
            EventBody::ToolCompleted(done) => {
                &|stream| stream.call.as_ref() == Some(&done.result.tool_call_id)
            }
            body if body.ends_task() => &|_| true,
            _ => return,
        };
        for stream in self.0.iter_mut().filter(|stream| stream.session == *session) {
            if ends(stream) {
                stream.seen = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fit, MAX_STREAMS, Streams};
    use lanyard_protocol::event::{EventBody, LlmRequestCompleted, Usage};
    use lanyard_protocol::id::{SessionId, StreamId};

    fn session() -> SessionId {
        SessionId::new("s").unwrap()
    }

    fn offer(streams: &mut Streams, id: &str, offset: u64, text: &str) -> Fit {
        streams.offer(&session(), &StreamId::new(id).unwrap(), None, offset, text)
    }

    #[test]
    fn pieces_in_a_row_are_whole_and_holes_are_measured() {
        let mut streams = Streams::default();
        assert_eq!(offer(&mut streams, "a", 0, "one "), Fit::New { from: 0, missing: 0 });
        assert_eq!(offer(&mut streams, "a", 4, "two "), Fit::New { from: 0, missing: 0 });
        assert_eq!(offer(&mut streams, "a", 10, "four"), Fit::New { from: 0, missing: 2 });
        assert_eq!(
            offer(&mut streams, "b", 7, "late"),
            Fit::New { from: 0, missing: 7 },
            "a late subscriber"
        );
    }

    #[test]
    fn what_was_seen_is_not_shown_twice() {
        let mut streams = Streams::default();
        offer(&mut streams, "a", 0, "abcd");
        assert_eq!(offer(&mut streams, "a", 0, "abcd"), Fit::Stale);
        assert_eq!(offer(&mut streams, "a", 2, "cdef"), Fit::New { from: 2, missing: 0 });
        assert_eq!(offer(&mut streams, "a", u64::MAX, "x"), Fit::New { from: 0, missing: u64::MAX - 6 });
        let mut split = Streams::default();
        offer(&mut split, "a", 0, "a");
        assert_eq!(
            offer(&mut split, "a", 0, "äö"),
            Fit::New { from: 2, missing: 0 },
            "never inside a letter"
        );
    }

    #[test]
    fn a_completed_stream_is_over() {
        let mut streams = Streams::default();
        offer(&mut streams, "a", 0, "abcd");
        let done = LlmRequestCompleted {
            model: "m".into(),
            finish_reason: "stop".into(),
            text: "abcdef".into(),
            stream_id: StreamId::new("a").unwrap(),
            tool_calls: 0,
            usage: Usage::default(),
            duration_ms: 0,
        };
        streams.completed_by(&session(), &EventBody::LlmRequestCompleted(done));
        assert_eq!(offer(&mut streams, "a", 4, "ef"), Fit::Stale);
    }

    #[test]
    fn the_number_of_streams_is_bounded() {
        let mut streams = Streams::default();
        for n in 0..MAX_STREAMS * 2 {
            offer(&mut streams, &n.to_string(), 0, "x");
        }
        assert_eq!(streams.0.len(), MAX_STREAMS);
    }
}
