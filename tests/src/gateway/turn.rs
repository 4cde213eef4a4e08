//! What the gateway does with one request: status, headers, and a body in parts.

use std::time::Duration;

use serde_json::{Value, json};

use super::MODEL;

/// Fragments the arguments of a call are cut into.
const FRAGMENTS: usize = 3;

/// One part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Written and flushed.
    Bytes(Vec<u8>),
    /// Nothing for a while.
    Pause(Duration),
    /// Nothing until the client leaves or the gateway stops.
    Stall,
    /// The connection breaks.
    Cut,
    /// The same bytes, so many times.
    Repeat(Vec<u8>, usize),
}

/// One reply. Built from left to right; what is not asked for is not there, so that half a stream is simply one
/// without [`Turn::finish`] and [`Turn::done`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) parts: Vec<Part>,
    calls: usize,
}

impl Turn {
    /// The beginning of a streamed answer.
    pub fn stream() -> Self {
        Self::new(200, "text/event-stream; charset=utf-8")
    }

    /// A whole JSON body.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json").raw(body.to_string())
    }

    /// Any body, for garbage.
    pub fn body(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, content_type).raw(body)
    }

    /// An answer that is not streamed although a stream was asked for.
    pub fn whole(text: &str) -> Self {
        Self::json(
            200,
            &json!({
                "id": "chatcmpl-1", "object": "chat.completion", "model": MODEL,
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }),
        )
    }

    fn new(status: u16, content_type: &str) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { status, headers, parts: Vec::new(), calls: 0 }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds bytes as they are.
    pub fn raw(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.parts.push(Part::Bytes(bytes.into()));
        self
    }

    /// Adds the same bytes many times without holding them all: for huge streams.
    pub fn repeat(mut self, bytes: impl Into<Vec<u8>>, times: usize) -> Self {
        self.parts.push(Part::Repeat(bytes.into(), times));
        self
    }

    /// Adds an event with this data.
    pub fn event(self, data: &str) -> Self {
        self.raw(format!("data: {data}\n\n"))
    }

    /// Adds a chunk with these choices and other members.
    pub fn chunk(self, members: Value) -> Self {
        let mut chunk =
            json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL});
        if let (Value::Object(chunk), Value::Object(members)) = (&mut chunk, members) {
            chunk.extend(members);
        }
        self.event(&chunk.to_string())
    }

    /// Adds a chunk with this delta.
    pub fn delta(self, delta: Value) -> Self {
        self.chunk(json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]}))
    }

    /// Adds text, a word a chunk.
    pub fn text(self, text: &str) -> Self {
        text.split_inclusive(' ')
            .fold(self, |turn, word| turn.delta(json!({"role": "assistant", "content": word})))
    }

    /// Adds a call as OpenAI sends it: id and name first, then the arguments in a few fragments.
    pub fn call(self, tool: &str, arguments: &Value) -> Self {
        let text = arguments.to_string();
        let characters: Vec<char> = text.chars().collect();
        let size = characters.len().div_ceil(FRAGMENTS).max(1);
        let fragments: Vec<String> = characters.chunks(size).map(|piece| piece.iter().collect()).collect();
        let fragments: Vec<&str> = fragments.iter().map(String::as_str).collect();
        self.call_in(tool, &fragments)
    }

    /// Adds a call whose arguments come in exactly these fragments; they need not be JSON.
    pub fn call_in(mut self, tool: &str, fragments: &[&str]) -> Self {
        let index = self.calls;
        self.calls += 1;
        let id = format!("call_{}", index + 1);
        let head = json!({"index": index, "id": id, "type": "function", "function": {"name": tool, "arguments": ""}});
        fragments.iter().fold(self.fragment(head), |turn, piece| {
            turn.fragment(json!({"index": index, "function": {"arguments": piece}}))
        })
    }

    /// Adds one tool call fragment as it is.
    pub fn fragment(self, fragment: Value) -> Self {
        self.delta(json!({"tool_calls": [fragment]}))
    }

    /// Adds the chunk with the finish reason.
    pub fn finish(self, reason: &str) -> Self {
        self.chunk(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
    }

    /// Adds the usage chunk, whose choices are empty.
    pub fn usage(self, input: u64, output: u64) -> Self {
        let usage =
            json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
        self.chunk(json!({"choices": [], "usage": usage}))
    }

    /// Adds `[DONE]`.
    pub fn done(self) -> Self {
        self.event("[DONE]")
    }

    /// Waits before going on.
    pub fn pause(mut self, time: Duration) -> Self {
        self.parts.push(Part::Pause(time));
        self
    }

    /// Says nothing more, connection open.
    pub fn stall(mut self) -> Self {
        self.parts.push(Part::Stall);
        self
    }

    /// Breaks the connection.
    pub fn cut(mut self) -> Self {
        self.parts.push(Part::Cut);
        self
    }

    /// Cuts everything so far into writes of `size` bytes, inside characters too.
    pub fn split_every(mut self, size: usize) -> Self {
        let split = |part: Part| match part {
            Part::Bytes(bytes) => {
                bytes.chunks(size.max(1)).map(|piece| Part::Bytes(piece.to_vec())).collect()
            }
            other => vec![other],
        };
        self.parts = self.parts.into_iter().flat_map(split).collect();
        self
    }

    /// Waits between all parts so far: a slow stream.
    pub fn slowly(mut self, pause: Duration) -> Self {
        self.parts = self.parts.into_iter().flat_map(|part| [Part::Pause(pause), part]).collect();
        self
    }
}
