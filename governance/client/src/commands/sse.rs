//! Server-sent events, as the HTML standard parses them (§9.2.6), bounded. No IO: bytes in, events out.

/// Longest event. A command has a few hundred bytes, a long reason some thousand.
const MAX_EVENT: usize = 256 << 10;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// Its name; `message` when it had none.
    pub name: String,
    /// Its lines.
    pub data: String,
    /// The last id that was said.
    pub id: String,
}

/// An event is longer than is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {MAX_EVENT} bytes")]
pub struct EventTooLong;

/// Takes a stream apart, however it was cut into pieces.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    name: String,
    data: String,
    id: String,
    /// A CR ended the last line: an LF right after it belongs to it.
    after_cr: bool,
    /// The first line may begin with a byte order mark.
    begun: bool,
}

impl SseParser {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes; gives the events that they complete.
    ///
    /// # Errors
    /// [`EventTooLong`]: the stream is of no use any more.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, EventTooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.take_line(&line));
                }
                other => self.line.push(other),
            }
            if self.line.len() + self.data.len() + self.name.len() + self.id.len() > MAX_EVENT {
                return Err(EventTooLong);
            }
        }
        Ok(events)
    }

    fn take_line(&mut self, line: &[u8]) -> Option<SseEvent> {
        let line = match std::mem::replace(&mut self.begun, true) {
            false => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line),
            true => line,
        };
        if line.is_empty() {
            return self.dispatch();
        }
        let text = String::from_utf8_lossy(line);
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            // Comments keep the connection alive; `retry` is for those without a back-off of their own.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let (name, mut data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        // No data, no event.
        data.pop()?;
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(SseEvent { name, data, id: self.id.clone() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(stream: &str) -> Vec<(String, String, String)> {
        let events = SseParser::new().push(stream.as_bytes()).unwrap();
        events.into_iter().map(|event| (event.name, event.data, event.id)).collect()
    }

    fn one(name: &str, data: &str, id: &str) -> Vec<(String, String, String)> {
        vec![(name.to_owned(), data.to_owned(), id.to_owned())]
    }

    #[test]
    fn events_as_the_standard_has_them() {
        assert_eq!(all("event: command\nid: 7\ndata: {}\n\n"), one("command", "{}", "7"));
        assert_eq!(all("\u{feff}data:x\r\n\r\n"), one("message", "x", ""));
        assert_eq!(all("data: a\rdata: b\r\r"), one("message", "a\nb", ""));
        assert_eq!(all("data\ndata\n\n"), one("message", "\n", ""));
        assert_eq!(all("data:  two\n\n"), one("message", " two", ""));
        assert_eq!(all(": keep-alive\n\nretry: 10\nevent: x\n\n"), []);
        assert_eq!(all("data: unfinished\n"), []);
        let ids = all("id: 1\ndata: a\n\ndata: b\n\nid: 2\0\ndata: c\n\nid\ndata: d\n\n");
        assert_eq!(ids.iter().map(|event| event.2.as_str()).collect::<Vec<_>>(), ["1", "1", "1", ""]);
        let named = all("event: a\ndata: 1\n\ndata: 2\n\n");
        assert_eq!(named.iter().map(|event| event.0.as_str()).collect::<Vec<_>>(), ["a", "message"]);
    }

    #[test]
    fn nothing_grows_without_end() {
        let megabyte = vec![b'x'; 1 << 20];
        assert_eq!(SseParser::new().push(&megabyte), Err(EventTooLong));
        let mut lines = SseParser::new();
        assert_eq!((0..100_000).find_map(|_| lines.push(b"data: xxx\n").err()), Some(EventTooLong));
        let mut alive = SseParser::new();
        for _ in 0..100_000 {
            assert_eq!(alive.push(b": keep-alive\n\n"), Ok(Vec::new()));
        }
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            stream in "([:a]|data|event|id|: |x|\\r|\\n|\u{feff}|\\PC){0,60}",
            cuts in proptest::collection::vec(0_usize..80, 0..8),
        ) {
            let bytes = stream.as_bytes();
            let whole = SseParser::new().push(bytes).unwrap();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut parser = SseParser::new();
            let mut pieces = Vec::new();
            for pair in cuts.windows(2) {
                pieces.extend(parser.push(&bytes[pair[0]..pair[1]]).unwrap());
            }
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let _ = SseParser::new().push(&bytes);
        }
    }
}
