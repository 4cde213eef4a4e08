//! Bytes of a reply in, text and finally an answer out, without sockets.
//!
//! What comes is decided by the first byte that is not white space: a JSON reply (the server did not stream) or
//! server-sent events. The header is not believed; too many servers send the wrong one.

use lanyard_ports::model::ModelAnswer;
use serde_json::Value;

use super::assemble::{Assembly, MAX_ANSWER_BYTES};
use super::sse::{Event, SseError, SseParser};
use crate::retry::Fault;
use crate::show::quoted;

/// Most bytes of one reply. Servers wrap a token of four bytes into three hundred, so that an answer of
/// [`MAX_ANSWER_BYTES`] in single tokens would be larger still; no model writes that much in one answer.
const MAX_STREAM_BYTES: usize = 256 << 20;

/// Most bytes of a reply that was not streamed and has to be held whole: the answer, doubled by JSON escapes.
const MAX_WHOLE_BYTES: usize = 2 * MAX_ANSWER_BYTES;

/// Bytes kept of the beginning, to be quoted when the reply turns out to be something else.
const HEAD_BYTES: usize = 120;

#[derive(Debug, Default)]
enum Form {
    /// Only white space so far.
    #[default]
    Unknown,
    Events(SseParser),
    Whole(Vec<u8>),
}

/// Decodes one reply.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    form: Form,
    assembly: Assembly,
    bytes: usize,
    head: Vec<u8>,
    /// Whether an event was seen at all.
    events: bool,
}

impl Decoder {
    /// Takes bytes as they come; texts to tell go to `told`.
    pub(crate) fn push(&mut self, mut bytes: &[u8], told: &mut Vec<String>) -> Result<(), Fault> {
        if self.is_done() {
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > MAX_STREAM_BYTES {
            return Err(Fault::TooLarge(format!("the stream is longer than {MAX_STREAM_BYTES} bytes")));
        }
        if let Form::Unknown = self.form {
            bytes = bytes.trim_ascii_start();
            self.form = match bytes.first() {
                None => return Ok(()),
                Some(b'{' | b'[') => Form::Whole(Vec::new()),
                Some(_) => Form::Events(SseParser::default()),
            };
        }
        let missing = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        match &mut self.form {
            Form::Unknown => Ok(()),
            Form::Whole(body) if body.len() + bytes.len() > MAX_WHOLE_BYTES => {
                Err(Fault::TooLarge(format!("it is longer than {MAX_WHOLE_BYTES} bytes")))
            }
            Form::Whole(body) => {
                body.extend_from_slice(bytes);
                Ok(())
            }
            Form::Events(parser) => {
                while let Some(event) = parser.next(&mut bytes).map_err(|e| too_large(&e))? {
                    self.events = true;
                    take(&mut self.assembly, &event, told)?;
                    if self.assembly.is_done() {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// Whether the last event has come; whatever follows is of no interest.
    pub(crate) fn is_done(&self) -> bool {
        self.assembly.is_done()
    }

    /// The reply is over, by its own end or because the connection broke (`cut`, in words).
    pub(crate) fn end(mut self, cut: Option<&str>, told: &mut Vec<String>) -> Result<ModelAnswer, Fault> {
        let answer = match std::mem::take(&mut self.form) {
            Form::Unknown => Err(Fault::Broken("the reply is empty".to_owned())),
            Form::Whole(body) => match serde_json::from_slice::<Value>(&body) {
                Ok(reply) => {
                    let (text, answer) = self.assembly.whole(&reply)?;
                    told.extend(Some(text).filter(|t| !t.is_empty()));
                    return Ok(answer);
                }
                Err(e) => Err(Fault::Broken(format!("{} is not a chat completion ({e})", self.shown_head()))),
            },
            Form::Events(parser) => {
                // What was under way when the connection broke is half of something.
                let whole = cut.is_none() && !self.assembly.is_done();
                if whole && let Some(event) = parser.end().map_err(|e| too_large(&e))? {
                    self.events = true;
                    take(&mut self.assembly, &event, told)?;
                }
                if !self.events {
                    return Err(Fault::Broken(format!("{} is not a stream of events", self.shown_head())));
                }
                self.assembly.finish()
            }
        };
        match (answer, cut) {
            (Err(Fault::Broken(problem)), Some(cut)) => Err(Fault::Broken(format!("{problem} ({cut})"))),
            (answer, _) => answer,
        }
    }

    fn shown_head(&self) -> String {
        format!("{:?}", quoted(&String::from_utf8_lossy(&self.head), HEAD_BYTES))
    }
}

fn take(assembly: &mut Assembly, event: &Event, told: &mut Vec<String>) -> Result<(), Fault> {
    let text = assembly.event(&event.name, &event.data)?;
    told.extend(Some(text).filter(|t| !t.is_empty()));
    Ok(())
}

fn too_large(error: &SseError) -> Fault {
    Fault::TooLarge(error.to_string())
}

/// Entry for the fuzzer: decodes `input` whole and in pieces (their size is its first byte) and checks that both
/// ways give the same text and the same outcome.
///
/// # Panics
/// When they differ; that is what the fuzzer looks for.
pub fn fuzz_stream(input: &[u8]) {
    let Some((size, stream)) = input.split_first() else { return };
    let decode = |size: usize| {
        let mut decoder = Decoder::default();
        let mut told = Vec::new();
        let outcome = stream.chunks(size).try_for_each(|piece| decoder.push(piece, &mut told));
        let outcome = outcome.and_then(|()| decoder.end(None, &mut told));
        (told.concat(), outcome)
    };
    let whole = decode(stream.len().max(1));
    let pieces = decode(usize::from(*size).max(1));
    assert_eq!(whole, pieces, "the answer depends on how the stream is cut");
    if let (told, Ok(answer)) = whole {
        assert_eq!(told, answer.text, "what was told is not what was answered");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Decoder, fuzz_stream};
    use crate::retry::Fault;

    fn decode(stream: &str) -> Result<String, Fault> {
        let mut decoder = Decoder::default();
        decoder.push(stream.as_bytes(), &mut Vec::new())?;
        decoder.end(None, &mut Vec::new()).map(|answer| answer.text)
    }

    const CHUNK: &str = r#"data: {"choices":[{"delta":{"content":"hü"}}]}"#;
    const WHOLE: &str = r#"{"choices":[{"message":{"content":"hü"}}]}"#;

    #[test]
    fn both_forms_are_read() {
        assert_eq!(decode(&format!("{CHUNK}\n\ndata: [DONE]\n\n")).unwrap(), "hü");
        assert_eq!(decode(&format!("\n\n{CHUNK}\n\ndata: [DONE]")).unwrap(), "hü");
        assert_eq!(decode(WHOLE).unwrap(), "hü");
        assert_eq!(decode(&format!(" \r\n{WHOLE}")).unwrap(), "hü");
    }

    #[test]
    fn what_follows_the_end_does_not_count() {
        let stream = format!("{CHUNK}\n\ndata: [DONE]\n\ndata: nonsense\n\ndata: {{\"error\":\"late\"}}\n\n");
        assert_eq!(decode(&stream).unwrap(), "hü");
    }

    #[test]
    fn other_things_are_named() {
        let problem = |stream: &str| match decode(stream) {
            Err(Fault::Broken(problem)) => problem,
            other => panic!("{other:?}"),
        };
        assert!(problem("<html><body>Welcome</body>").contains("Welcome"));
        assert!(problem("").contains("empty"));
        assert!(problem("  \n ").contains("empty"));
        assert!(problem(": ping\n\n").contains("not a stream"));
        assert!(problem("{\"choices\":").contains("not a chat completion"));
        assert!(problem(&format!("{CHUNK}\n\n")).contains("cut"));
    }

    #[test]
    fn an_answer_that_was_whole_before_the_connection_broke_counts() {
        let stream = r#"data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}"#;
        let mut decoder = Decoder::default();
        decoder.push(format!("{stream}\n\ndata: {{\"us").as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!(decoder.end(Some("reset"), &mut Vec::new()).unwrap().text, "x");
    }

    proptest! {
        #[test]
        fn never_panics_and_never_depends_on_cuts(
            size in any::<u8>(),
            parts in prop::collection::vec(prop::sample::select(vec![
                "data: ", "\n\n", "\r\n\r\n", "\n", ": x\n", "[DONE]", "{\"choices\":[{\"delta\":{\"content\":\"ü\"}}]}",
                "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"R\",\"arguments\":\"{\"}}]}}]}",
                "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}", "{\"error\":{\"message\":\"m\"}}", "{", " ", "\u{feff}",
                "{\"choices\":[{\"message\":{\"content\":\"w\"}}]}",
            ]), 0..12),
            noise in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut input = vec![size];
            input.extend_from_slice(parts.concat().as_bytes());
            fuzz_stream(&input);
            input.extend_from_slice(&noise);
            fuzz_stream(&input);
            fuzz_stream(&noise);
        }
    }
}
