//! One answer out of the deltas of a chat completion stream. Pure.
//!
//! Servers differ in how they cut tool calls. Understood are: fragments by `index` (OpenAI, LiteLLM, vLLM), id and
//! name in the first fragment only or in every one, no index at all (a new id begins a new call), and every call
//! at index 0 with an id of its own (Gemini's compatible API).

use lanyard_ports::model::{AskedCall, ModelAnswer};
use lanyard_protocol::event::Usage;
use lanyard_protocol::limits::MAX_TOOL_ARGUMENT_BYTES;
use serde_json::Value;

use super::arguments;
use super::complaint::Complaint;
use crate::retry::Fault;
use crate::show::{prefix, quoted};

/// Most bytes of text and arguments in one answer: two files as large as a tool takes.
pub(crate) const MAX_ANSWER_BYTES: usize = 2 * MAX_TOOL_ARGUMENT_BYTES;

/// Most tool calls in one answer. Models ask for a handful; a runaway one is stopped here.
const MAX_CALLS: usize = 64;

/// Longest id, tool name, model name and finish reason, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// `data:` of the event after the last one.
const DONE: &str = "[DONE]";

/// A tool call under way.
#[derive(Debug, Default)]
struct CallParts {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    /// Given as JSON rather than as the text of it.
    object: Option<Value>,
}

/// An answer under way.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    text: String,
    refused: bool,
    calls: Vec<CallParts>,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    model: String,
    /// Bytes of text and arguments so far.
    bytes: usize,
    done: bool,
}

impl Assembly {
    /// Takes the data of one event; returns text to tell at once, possibly none.
    pub(crate) fn event(&mut self, name: &str, data: &str) -> Result<String, Fault> {
        let data = data.trim();
        if data == DONE {
            self.done = true;
            return Ok(String::new());
        }
        if data.is_empty() {
            return Ok(String::new());
        }
        match serde_json::from_str(data) {
            Ok(chunk) if name == "error" => Err(complaint(Complaint::of_stream(&chunk))),
            Ok(chunk) => self.chunk(&chunk),
            Err(_) if name == "error" => Err(complaint(Complaint::plain(0, data))),
            Err(e) => Err(Fault::Broken(format!("{:?} is not JSON ({e})", quoted(data, 80)))),
        }
    }

    /// Takes one chunk of a stream.
    fn chunk(&mut self, chunk: &Value) -> Result<String, Fault> {
        if !chunk.is_object() {
            return Err(Fault::Broken(format!("{:?} is not a chunk", quoted(&chunk.to_string(), 80))));
        }
        if chunk.get("error").is_some_and(|e| !e.is_null()) {
            return Err(complaint(Complaint::of_stream(chunk)));
        }
        self.heading(chunk);
        let Some(choice) = first_choice(chunk) else { return Ok(String::new()) };
        let text = match choice.get("delta") {
            Some(delta) => self.delta(delta)?,
            None => String::new(),
        };
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finish_reason = Some(prefix(reason, MAX_NAME_BYTES).to_owned());
        }
        Ok(text)
    }

    /// Takes a reply that was not streamed although a stream was asked for.
    pub(crate) fn whole(mut self, reply: &Value) -> Result<(String, ModelAnswer), Fault> {
        // A list of one, as Google wraps its errors.
        let reply = reply.get(0).unwrap_or(reply);
        if reply.get("error").is_some_and(|e| !e.is_null()) {
            return Err(complaint(Complaint::of_stream(reply)));
        }
        self.heading(reply);
        let message = first_choice(reply).and_then(|choice| Some((choice, choice.get("message")?)));
        let Some((choice, message)) = message else {
            let shown = quoted(&reply.to_string(), 120);
            return Err(Fault::Broken(format!("{shown} is not a chat completion")));
        };
        let text = self.delta(message)?;
        let reason = choice.get("finish_reason").and_then(Value::as_str).unwrap_or("stop");
        self.finish_reason = Some(prefix(reason, MAX_NAME_BYTES).to_owned());
        Ok((text, self.finish()?))
    }

    /// Whether everything there is has been said: the last event, or a finish reason and then the end.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// The answer, when the stream came to its own end.
    pub(crate) fn finish(self) -> Result<ModelAnswer, Fault> {
        let empty = self.text.is_empty() && self.calls.is_empty();
        if self.finish_reason.is_none() && (!self.done || empty) {
            let problem =
                if empty { "the stream ended before it said anything" } else { "the stream was cut" };
            return Err(Fault::Broken(problem.to_owned()));
        }
        let finish_reason = match self.finish_reason {
            Some(reason) if reason == "content_filter" => {
                return Err(complaint(Complaint::filtered_answer()));
            }
            _ if self.refused => "refusal".to_owned(),
            Some(reason) => reason,
            None if self.calls.is_empty() => "stop".to_owned(),
            None => "tool_calls".to_owned(),
        };
        let calls = self.calls.into_iter().map(CallParts::finish).collect();
        Ok(ModelAnswer { text: self.text, calls, finish_reason, usage: self.usage, model: self.model })
    }

    /// What stands beside the choices.
    fn heading(&mut self, chunk: &Value) {
        if self.model.is_empty()
            && let Some(model) = chunk.get("model").and_then(Value::as_str)
        {
            prefix(model, MAX_NAME_BYTES).clone_into(&mut self.model);
        }
        let Some(usage) = chunk.get("usage").filter(|u| u.is_object()) else { return };
        let count = |key: &str| usage.get(key).and_then(Value::as_u64).unwrap_or(0);
        self.usage =
            Some(Usage { input_tokens: count("prompt_tokens"), output_tokens: count("completion_tokens") });
    }

    fn delta(&mut self, delta: &Value) -> Result<String, Fault> {
        let mut text = content(delta.get("content"));
        if let Some(refusal) = delta.get("refusal").and_then(Value::as_str).filter(|r| !r.is_empty()) {
            self.refused = true;
            text.push_str(refusal);
        }
        self.count(text.len())?;
        self.text.push_str(&text);
        for fragment in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.fragment(fragment)?;
        }
        Ok(text)
    }

    fn fragment(&mut self, fragment: &Value) -> Result<(), Fault> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let function = fragment.get("function");
        let index = fragment.get("index").and_then(Value::as_u64);
        let id = text(fragment.get("id"));
        let name = text(function.and_then(|f| f.get("name")));
        if id.len() > MAX_NAME_BYTES || name.len() > MAX_NAME_BYTES {
            return Err(Fault::TooLarge(format!("an id or tool name is longer than {MAX_NAME_BYTES} bytes")));
        }
        let arguments = function.and_then(|f| f.get("arguments"));
        let (piece, object) = match arguments {
            Some(Value::String(piece)) => (piece.as_str(), None),
            Some(value @ Value::Object(_)) => ("", Some(value.clone())),
            _ => ("", None),
        };
        self.count(piece.len() + object.as_ref().map_or(0, |o| o.to_string().len()))?;
        let at = match self.call_of(index, &id, &name) {
            Some(at) => at,
            None if self.calls.len() == MAX_CALLS => {
                return Err(Fault::TooLarge(format!("it asks for more than {MAX_CALLS} tool calls at once")));
            }
            None => {
                self.calls.push(CallParts { index, ..CallParts::default() });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at];
        if call.id.is_empty() {
            call.id = id;
        }
        if call.name.is_empty() {
            call.name = name;
        }
        call.arguments.push_str(piece);
        call.object = object.or(call.object.take());
        if call.arguments.len() > MAX_TOOL_ARGUMENT_BYTES {
            let problem =
                format!("the arguments of one tool call are longer than {MAX_TOOL_ARGUMENT_BYTES} bytes");
            return Err(Fault::TooLarge(problem));
        }
        Ok(())
    }

    /// The call a fragment belongs to; `None` when it begins one.
    fn call_of(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let fits = |call: &CallParts| id.is_empty() || call.id.is_empty() || call.id == id;
        if let Some(index) = index {
            // The last of that index: where every call has index 0, ids tell them apart.
            let at = self.calls.iter().rposition(|call| call.index == Some(index))?;
            return fits(&self.calls[at]).then_some(at);
        }
        if !id.is_empty() {
            let known = self.calls.iter().rposition(|call| call.id == id);
            let nameless =
                || self.calls.iter().rposition(|call| call.id.is_empty() && call.arguments.is_empty());
            return known.or_else(nameless);
        }
        let last = self.calls.last()?;
        let begins = !name.is_empty() && !last.name.is_empty() && (last.name != name || last.is_complete());
        (!begins).then_some(self.calls.len() - 1)
    }

    fn count(&mut self, bytes: usize) -> Result<(), Fault> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_ANSWER_BYTES {
            return Err(Fault::TooLarge(format!("it is longer than {MAX_ANSWER_BYTES} bytes")));
        }
        Ok(())
    }
}

impl CallParts {
    /// Whether the arguments so far are a JSON value already: another fragment with a name is another call then.
    fn is_complete(&self) -> bool {
        self.object.is_some() || serde_json::from_str::<Value>(&self.arguments).is_ok()
    }

    fn finish(self) -> AskedCall {
        let arguments = match self.object {
            Some(object) if self.arguments.is_empty() => arguments::of_value(object),
            _ => arguments::of_text(&self.arguments),
        };
        AskedCall { model_call_id: self.id, tool_name: self.name, arguments }
    }
}

fn complaint(complaint: Complaint) -> Fault {
    Fault::Complaint { complaint, retry_after: None }
}

/// The choice with index 0, or the only one. Others were not asked for.
fn first_choice(chunk: &Value) -> Option<&Value> {
    let choices = chunk.get("choices")?.as_array()?;
    choices.iter().find(|choice| choice.get("index").and_then(Value::as_u64).unwrap_or(0) == 0)
}

/// Text, given as a string or as a list of parts.
fn content(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
