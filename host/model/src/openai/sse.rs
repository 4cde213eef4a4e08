//! Server-sent events out of bytes (WHATWG HTML, "Event stream interpretation"), without sockets.
//!
//! The same events come out wherever the bytes are split, inside a character too. Only `event` and `data` matter
//! here; `id` and `retry` concern browsers that reconnect by themselves. Beyond the standard, an `error` field is
//! read as an event of that name: llama.cpp reports errors so.

/// Longest line. A gateway may send a whole answer, [`super::assemble::MAX_ANSWER_BYTES`] of it, as one chunk, and
/// JSON escapes may double it.
const MAX_LINE_BYTES: usize = 16 << 20;

/// Most bytes of data in one event, all its lines together.
const MAX_EVENT_BYTES: usize = MAX_LINE_BYTES;

/// UTF-8 byte order mark, which may precede the first line.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Event {
    /// Its name; empty when it has none.
    pub(crate) name: String,
    /// Its data lines, joined by line feeds.
    pub(crate) data: String,
}

/// The stream is not one a gateway would send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SseError {
    /// A line without an end.
    #[error("a line of the stream is longer than {MAX_LINE_BYTES} bytes")]
    LongLine,
    /// An event without an end.
    #[error("an event of the stream is longer than {MAX_EVENT_BYTES} bytes")]
    LongEvent,
}

/// Takes bytes, gives events.
#[derive(Debug, Default)]
pub(crate) struct SseParser {
    /// The line under way.
    line: Vec<u8>,
    /// The event under way.
    event: Event,
    /// Whether the event has a data line, which may be empty.
    has_data: bool,
    /// The last byte was a CR; an LF now belongs to it.
    after_cr: bool,
    /// A line has ended before; no byte order mark is due any more.
    begun: bool,
}

impl SseParser {
    /// Takes bytes from the front of `input` until an event is complete or nothing is left. Call again until
    /// `None`.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Event>, SseError> {
        while !input.is_empty() {
            if std::mem::take(&mut self.after_cr) && input[0] == b'\n' {
                *input = &input[1..];
                continue;
            }
            let end = input.iter().position(|b| matches!(b, b'\n' | b'\r'));
            let part = &input[..end.unwrap_or(input.len())];
            if self.line.len() + part.len() > MAX_LINE_BYTES {
                return Err(SseError::LongLine);
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else {
                *input = &[];
                break;
            };
            self.after_cr = input[end] == b'\r';
            *input = &input[end + 1..];
            if let Some(event) = self.end_line()? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// The stream is over: gives the event that was under way. The standard drops it, but servers forget the last
    /// blank line; what was really cut off does not parse as JSON later.
    pub(crate) fn end(mut self) -> Result<Option<Event>, SseError> {
        let event = if self.line.is_empty() { None } else { self.end_line()? };
        Ok(event.or_else(|| self.dispatch()))
    }

    fn end_line(&mut self) -> Result<Option<Event>, SseError> {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.begun, true) && line.starts_with(BOM) {
            line.drain(..BOM.len());
        }
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => self.add_data(value)?,
            "event" => value.clone_into(&mut self.event.name),
            "error" => {
                "error".clone_into(&mut self.event.name);
                self.add_data(value)?;
            }
            // A comment (empty name), `id`, `retry`, or something unknown: ignored as the standard says.
            _ => {}
        }
        Ok(None)
    }

    fn add_data(&mut self, value: &str) -> Result<(), SseError> {
        if self.event.data.len() + value.len() >= MAX_EVENT_BYTES {
            return Err(SseError::LongEvent);
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.event.data.push('\n');
        }
        self.event.data.push_str(value);
        Ok(())
    }

    /// The event under way, unless it has no data.
    fn dispatch(&mut self) -> Option<Event> {
        let event = std::mem::take(&mut self.event);
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Event, MAX_LINE_BYTES, SseError, SseParser};

    fn parse(chunks: &[&[u8]]) -> Result<Vec<Event>, SseError> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for chunk in chunks {
            let mut rest = *chunk;
            while let Some(event) = parser.next(&mut rest)? {
                events.push(event);
            }
            assert!(rest.is_empty());
        }
        events.extend(parser.end()?);
        Ok(events)
    }

    fn data(texts: &[&str]) -> Vec<Event> {
        texts.iter().map(|t| Event { name: String::new(), data: (*t).to_owned() }).collect()
    }

    #[test]
    fn the_standard_and_its_borders() {
        for (stream, wanted) in [
            ("data: a\n\ndata: b\n\n", data(&["a", "b"])),
            ("data: a\r\n\r\ndata: b\r\n\r\n", data(&["a", "b"])),
            ("data: a\r\rdata: b\r\r", data(&["a", "b"])),
            ("data: a\r\n\ndata: b\n\r\n", data(&["a", "b"])),
            (": ping\n\n:\n\ndata: a\n\n", data(&["a"])),
            ("data: one\ndata: two\ndata:three\n\n", data(&["one\ntwo\nthree"])),
            ("data:  spaced\n\n", data(&[" spaced"])),
            ("data\n\n", data(&[""])),
            ("data:\ndata:\n\n", data(&["\n"])),
            ("\u{feff}data: a\n\n", data(&["a"])),
            ("id: 7\nretry: 9\nfoo: bar\ndata: a\n\n", data(&["a"])),
            ("event: x\n\ndata: a\n\n", data(&["a"])),
            ("data: a\n\ndata: [DONE]", data(&["a", "[DONE]"])),
            ("data: a\n\ndata: [DONE]\n", data(&["a", "[DONE]"])),
            ("", data(&[])),
            ("\n\n\n", data(&[])),
        ] {
            assert_eq!(parse(&[stream.as_bytes()]), Ok(wanted), "{stream:?}");
        }
        let named = Event { name: "error".into(), data: "{}".into() };
        assert_eq!(parse(&[b"event: error\ndata: {}\n\n"]), Ok(vec![named.clone()]));
        assert_eq!(parse(&[b"error: {}\n\n"]), Ok(vec![named]));
    }

    #[test]
    fn a_character_may_be_split() {
        let stream = "data: größe 日本\n\n".as_bytes();
        for at in 0..=stream.len() {
            assert_eq!(parse(&[&stream[..at], &stream[at..]]), Ok(data(&["größe 日本"])), "{at}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        assert_eq!(parse(&[b"data: \xff\xfe\n\n"]), Ok(data(&["\u{fffd}\u{fffd}"])));
    }

    #[test]
    fn lines_and_events_end() {
        let half = vec![b'a'; MAX_LINE_BYTES / 2 + 1];
        assert_eq!(parse(&[b"data: ", &half, &half]), Err(SseError::LongLine));
        assert_eq!(parse(&[b"data: ", &half, b"\ndata: ", &half, b"\n\n"]), Err(SseError::LongEvent));
    }

    proptest! {
        #[test]
        fn the_same_events_wherever_it_is_split(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "data: ", "data:", "event: e", "error: {}", ": c", "x", "ü", "\n", "\r", "\r\n", "\n\n", "\u{feff}",
                ]),
                0..40,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let stream = parts.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(&chunks), parse(&[&stream]));
        }
    }
}
