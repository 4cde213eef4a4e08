//! What telemetry may hold: measures, names and codes. Nothing that a person or a model wrote, no code, no file.
//!
//! Keys are read as words (`gen_ai.input.messages`, `fileContent`, `SYSTEM_PROMPT`). A key with a word for content is
//! refused, unless its last word says that the value only measures it (`input_tokens`, `prompt_length`). Values are short
//! and of one line whatever their key is.

use lanyard_governance_foundation::Fault;
use serde_json::Value;

/// Attributes of a span, and values of an event's payload. The DTO promises it.
const MAX_ATTRIBUTES: usize = 32;

/// Longest key or value, in bytes. The DTO promises it.
const MAX_BYTES: usize = 256;

/// Deepest payload of an event.
const MAX_DEPTH: usize = 4;

/// Words for content, wherever they stand in a key.
const CONTENT: &[&str] = &[
    "answer",
    "args",
    "arguments",
    "argv",
    "body",
    "chunk",
    "clipboard",
    "code",
    "command",
    "completion",
    "completions",
    "content",
    "contents",
    "conversation",
    "cookie",
    "diff",
    "document",
    "documents",
    "env",
    "environ",
    "excerpt",
    "input",
    "inputs",
    "instruction",
    "instructions",
    "keystrokes",
    "message",
    "messages",
    "output",
    "outputs",
    "password",
    "patch",
    "prompt",
    "prompts",
    "query",
    "reasoning",
    "reply",
    "screenshot",
    "script",
    "secret",
    "snippet",
    "stderr",
    "stdin",
    "stdout",
    "text",
    "thinking",
    "thought",
    "token",
    "transcript",
];

/// The same, also inside longer words (`systemprompt`).
const WITHIN: &[&str] = &[
    "content",
    "prompt",
    "stdout",
    "stderr",
    "snippet",
    "transcript",
    "password",
    "secret",
    "credential",
    "sourcecode",
];

/// Words for content where they are a key's last.
const AT_END: &[&str] = &["data", "file", "image", "response", "result", "results", "value"];

/// Last words of keys that measure or name a thing, whatever it is.
const MEASURES: &[&str] = &[
    "bytes", "chars", "count", "id", "length", "level", "limit", "lines", "millis", "ms", "reason",
    "reasons", "seconds", "size", "tokens", "type",
];

/// What makes a `code` a number or name instead of a program.
const CODES: &[&str] = &["error", "exit", "http", "reason", "status"];

/// The words of a key, in lower case.
fn words(key: &str) -> Vec<String> {
    let chars: Vec<char> = key.chars().collect();
    let mut words: Vec<String> = vec![String::new()];
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let after = chars.get(at + 1);
        // `fileContent`, and the `B` of `HTTPBody`.
        let hump = c.is_uppercase()
            && (before.is_some_and(|b| b.is_lowercase() || b.is_numeric())
                || (before.is_some_and(|b| b.is_uppercase()) && after.is_some_and(|a| a.is_lowercase())));
        if hump {
            words.push(String::new());
        }
        match (c.is_alphabetic(), words.last_mut()) {
            (true, Some(word)) => word.extend(c.to_lowercase()),
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether a key names content.
fn names_content(key: &str) -> bool {
    let words = words(key);
    let last = words.last().map_or("", String::as_str);
    if MEASURES.contains(&last) {
        return false;
    }
    let mut before = "";
    for word in &words {
        let is_code = word == "code" && CODES.contains(&before);
        if !is_code && (CONTENT.contains(&word.as_str()) || WITHIN.iter().any(|part| word.contains(part))) {
            return true;
        }
        before = word;
    }
    AT_END.contains(&last)
}

/// Checks a key.
fn key(key: &str) -> Result<(), Fault> {
    let shown: String = key.chars().take(80).collect();
    if key.is_empty() || key.len() > MAX_BYTES || key.chars().any(char::is_control) {
        let message = format!("the key {shown:?} is not one line of 1 to {MAX_BYTES} bytes");
        return Err(Fault::invalid(message).with("key", shown));
    }
    if names_content(key) {
        let message = format!(
            "the key {shown:?} names content: telemetry holds no prompts, code, texts, outputs or files"
        );
        return Err(Fault::invalid(message).with("key", shown));
    }
    Ok(())
}

/// Checks a short text of one line; `name` is what it is called in errors.
pub(crate) fn line(name: &str, text: &str) -> Result<(), Fault> {
    if text.len() <= MAX_BYTES && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    let message = format!(
        "the value of {shown:?} is not one line of at most {MAX_BYTES} bytes: telemetry holds no content"
    );
    Err(Fault::invalid(message).with("key", shown))
}

/// Checks the attributes of a span.
pub(crate) fn attributes<'a>(
    pairs: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
) -> Result<(), Fault> {
    if pairs.len() > MAX_ATTRIBUTES {
        return Err(Fault::invalid(format!(
            "a span has at most {MAX_ATTRIBUTES} attributes, this one {}",
            pairs.len()
        )));
    }
    for (name, value) in pairs {
        key(name)?;
        line(name, value)?;
    }
    Ok(())
}

/// Checks the payload of an event.
pub(crate) fn payload(payload: &Value) -> Result<(), Fault> {
    if !payload.is_object() {
        return Err(Fault::invalid("the payload is an object"));
    }
    let mut values = 0;
    walk("payload", payload, 0, &mut values)
}

fn walk(name: &str, value: &Value, depth: usize, values: &mut usize) -> Result<(), Fault> {
    *values += 1;
    // The object itself is one.
    if *values > MAX_ATTRIBUTES + 1 {
        return Err(Fault::invalid(format!("a payload has at most {MAX_ATTRIBUTES} values")));
    }
    if depth > MAX_DEPTH {
        return Err(Fault::invalid(format!("a payload is nested at most {MAX_DEPTH} levels deep")));
    }
    match value {
        Value::String(text) => line(name, text),
        Value::Array(items) => items.iter().try_for_each(|item| walk(name, item, depth + 1, values)),
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            key(name)?;
            walk(name, value, depth + 1, values)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_name_content_are_refused() {
        for name in [
            "prompt",
            "gen_ai.prompt",
            "gen_ai.prompt.0.content",
            "systemPrompt",
            "systemprompt",
            "SYSTEM_PROMPT",
            "content",
            "fileContent",
            "file-contents",
            "text",
            "message",
            "gen_ai.input.messages",
            "gen_ai.output.messages",
            "code",
            "source_code",
            "sourcecode",
            "codeBlock",
            "body",
            "HTTPBody",
            "requestBody",
            "output",
            "toolOutput",
            "stdout",
            "stderr2",
            "diff",
            "command",
            "command_line",
            "arguments",
            "tool.args",
            "query",
            "result",
            "tool.result",
            "api_token",
            "password",
            "userPassword",
            "exit_code_text",
            "response",
            "data",
            "prompt2",
            "gen_ai.system_instructions",
        ] {
            assert!(names_content(name), "{name} is taken");
        }
    }

    #[test]
    fn measures_names_and_codes_are_taken() {
        for name in [
            "gen_ai.operation.name",
            "gen_ai.conversation.id",
            "gen_ai.request.model",
            "gen_ai.response.model",
            "gen_ai.response.finish_reasons",
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens",
            "gen_ai.tool.name",
            "gen_ai.tool.call.id",
            "gen_ai.agent.name",
            "gen_ai.output.type",
            "lanyard.task.id",
            "lanyard.steps",
            "lanyard.tool_calls",
            "lanyard.sandbox_level",
            "lanyard.files_changed",
            "process.exit.code",
            "exitCode",
            "error.code",
            "http.status_code",
            "error.type",
            "outputBytes",
            "prompt_tokens",
            "promptLength",
            "messageCount",
            "cacheHits",
            "duration_ms",
            "context",
            "encoder",
            "model",
            "retries",
        ] {
            assert!(!names_content(name), "{name} is refused");
        }
    }

    #[test]
    fn values_are_short_lines_and_few() {
        let pairs = |count: usize, value: &str| -> Vec<(String, String)> {
            (0..count).map(|n| (format!("k{n}"), value.to_owned())).collect()
        };
        let check = |pairs: &[(String, String)]| attributes(pairs.iter().map(|(k, v)| (k, v)));
        assert!(check(&pairs(32, &"x".repeat(256))).is_ok());
        assert!(check(&pairs(33, "x")).is_err());
        let long = check(&pairs(1, &"x".repeat(257))).unwrap_err();
        assert_eq!(long.wire.details.0["key"], "k0");
        assert!(check(&pairs(1, "two\nlines")).is_err());
        for (payload_of, fine) in [
            (serde_json::json!({ "a": 1, "b": { "c": [true, null, "x"] } }), true),
            (serde_json::json!([]), false),
            (serde_json::json!({ "a": { "prompt": 1 } }), false),
            (serde_json::json!({ "a": [{ "b": ["x".repeat(300)] }] }), false),
            (serde_json::json!({ "a": [[[[[1]]]]] }), false),
            (serde_json::json!({ "a": vec![1; 40] }), false),
        ] {
            assert_eq!(payload(&payload_of).is_ok(), fine, "{payload_of}");
        }
    }
}
