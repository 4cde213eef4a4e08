//! The body of a chat completion request.

use lanyard_ports::model::{ModelRequest, Picture};
use lanyard_protocol::message::{ConversationMessage, MessageToolCall, Role};
use lanyard_protocol::tool::ToolSpec;
use serde_json::{Map, Value, json};

/// How the gateway wants the limit of the answer named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LimitName {
    /// `max_tokens`: understood by every server except the newest OpenAI models.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`.
    MaxCompletionTokens,
}

impl LimitName {
    fn as_str(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// Whether pictures go along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// As content parts.
    Shown,
    /// The gateway refused them: the model is told that it does not see them.
    LeftOut,
}

/// What a model that cannot be shown pictures is told beside their names.
const UNSEEN: &str = "[host] You cannot be shown the attached pictures. Say so where it matters.";

/// Writes the request. The session id is not in it: it travels as a header, because strict servers refuse bodies
/// with members they do not know.
pub(crate) fn chat_completion(request: &ModelRequest, model: &str, limit: LimitName, sight: Sight) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    let one = |(at, written): (usize, &ConversationMessage)| {
        let pictures: Vec<&Picture> =
            request.pictures.iter().filter(|(of, _)| *of == at).map(|(_, picture)| picture).collect();
        let mut message = message(written)?;
        if !pictures.is_empty() {
            message["content"] = with_pictures(&written.content, &pictures, sight);
        }
        Some(message)
    };
    body.insert("messages".into(), request.messages.iter().enumerate().filter_map(one).collect());
    if !request.tools.is_empty() {
        body.insert("tools".into(), request.tools.iter().map(tool).collect());
    }
    body.insert(limit.as_str().into(), request.max_output_tokens.into());
    body.insert("stream".into(), true.into());
    body.insert("stream_options".into(), json!({"include_usage": true}));
    Value::Object(body)
}

/// One message; `None` for an assistant message that says nothing, which many servers refuse.
fn message(message: &ConversationMessage) -> Option<Value> {
    let content = &message.content;
    Some(match message.role {
        Role::System => json!({"role": "system", "content": content}),
        Role::User => json!({"role": "user", "content": content}),
        Role::Assistant if message.tool_calls.is_empty() => {
            if content.is_empty() {
                return None;
            }
            json!({"role": "assistant", "content": content})
        }
        Role::Assistant => json!({
            "role": "assistant",
            "content": if content.is_empty() { Value::Null } else { content.as_str().into() },
            "tool_calls": message.tool_calls.iter().map(call).collect::<Value>(),
        }),
        Role::Tool => json!({
            "role": "tool",
            "tool_call_id": message.tool_call_id.as_ref().map_or("", |id| id.as_str()),
            "content": content,
        }),
    })
}

/// The text of a message with its pictures as data URLs, which every server that takes pictures takes.
fn with_pictures(text: &str, pictures: &[&Picture], sight: Sight) -> Value {
    if sight == Sight::LeftOut {
        return format!("{text}\n\n{UNSEEN}").into();
    }
    let url = |picture: &Picture| {
        format!("data:{};base64,{}", picture.media_type, data_encoding::BASE64.encode(&picture.bytes))
    };
    let part = |picture: &&Picture| json!({"type": "image_url", "image_url": {"url": url(picture)}});
    let first = json!({"type": "text", "text": text});
    std::iter::once(first).chain(pictures.iter().map(part)).collect()
}

/// One call of an earlier answer, under the host's id: the model's own may be empty or repeated.
fn call(call: &MessageToolCall) -> Value {
    let arguments = match &call.arguments.0 {
        object @ Value::Object(_) => object.to_string(),
        // What was not an object: gateways that parse arguments would refuse the whole thread for ever after.
        Value::String(text) => json!({"malformed_arguments": text}).to_string(),
        other => json!({"malformed_arguments": other.to_string()}).to_string(),
    };
    json!({
        "id": call.tool_call_id.as_str(),
        "type": "function",
        "function": {"name": call.tool_name, "arguments": arguments},
    })
}

fn tool(spec: &ToolSpec) -> Value {
    json!({
        "type": "function",
        "function": {"name": spec.name, "description": spec.description, "parameters": spec.input_schema.0},
    })
}

#[cfg(test)]
mod tests {
    use lanyard_ports::model::{ModelRequest, Picture};
    use lanyard_protocol::id::{MessageId, SessionId, ToolCallId};
    use lanyard_protocol::message::{ConversationMessage, MessageToolCall, Role};
    use lanyard_protocol::tool::ToolSpec;
    use lanyard_protocol::{Json, Timestamp};
    use serde_json::{Value, json};

    use super::{LimitName, Sight, chat_completion};

    fn message(role: Role, content: &str) -> ConversationMessage {
        ConversationMessage {
            message_id: MessageId::new("m").unwrap(),
            session_id: SessionId::new("s").unwrap(),
            task_id: None,
            step_id: None,
            role,
            content: content.into(),
            tool_calls: vec![],
            tool_call_id: None,
            token_count: None,
            provenance: None,
            timestamp: Timestamp::default(),
        }
    }

    fn call(id: &str, arguments: Value) -> MessageToolCall {
        MessageToolCall {
            tool_call_id: ToolCallId::new(id).unwrap(),
            tool_name: "ReadFile".into(),
            arguments: Json(arguments),
        }
    }

    fn body(messages: Vec<ConversationMessage>, tools: Vec<ToolSpec>) -> Value {
        let session_id = SessionId::new("s").unwrap();
        let request = ModelRequest { session_id, messages, tools, max_output_tokens: 99, pictures: vec![] };
        chat_completion(&request, "m1", LimitName::MaxTokens, Sight::Shown)
    }

    #[test]
    fn a_whole_thread() {
        let mut asks = message(Role::Assistant, "");
        asks.tool_calls = vec![call("call-1", json!({"path": "a"})), call("call-2", json!("{\"pa"))];
        let mut result = message(Role::Tool, "text of a");
        result.tool_call_id = Some(ToolCallId::new("call-1").unwrap());
        let thread = vec![
            message(Role::System, "rules"),
            message(Role::User, "read a"),
            message(Role::Assistant, ""),
            asks,
            result,
            message(Role::Assistant, "done"),
        ];
        let spec = ToolSpec {
            name: "ReadFile".into(),
            description: "Reads.".into(),
            input_schema: Json(json!({"type": "object"})),
            capabilities: vec![],
        };
        assert_eq!(
            body(thread, vec![spec]),
            json!({
                "model": "m1",
                "max_tokens": 99,
                "stream": true,
                "stream_options": {"include_usage": true},
                "tools": [{"type": "function", "function": {
                    "name": "ReadFile", "description": "Reads.", "parameters": {"type": "object"}
                }}],
                "messages": [
                    {"role": "system", "content": "rules"},
                    {"role": "user", "content": "read a"},
                    {"role": "assistant", "content": null, "tool_calls": [
                        {"id": "call-1", "type": "function",
                         "function": {"name": "ReadFile", "arguments": "{\"path\":\"a\"}"}},
                        {"id": "call-2", "type": "function",
                         "function": {"name": "ReadFile", "arguments": "{\"malformed_arguments\":\"{\\\"pa\"}"}},
                    ]},
                    {"role": "tool", "tool_call_id": "call-1", "content": "text of a"},
                    {"role": "assistant", "content": "done"},
                ],
            })
        );
    }

    #[test]
    fn pictures_go_with_their_message_or_the_model_is_told() {
        let picture = Picture { media_type: "image/png", bytes: [1, 2, 3].into() };
        let request = ModelRequest {
            session_id: SessionId::new("s").unwrap(),
            messages: vec![message(Role::System, "rules"), message(Role::User, "what is this?")],
            tools: vec![],
            max_output_tokens: 5,
            pictures: vec![(1, picture.clone()), (1, picture)],
        };
        let sent = |sight| chat_completion(&request, "m1", LimitName::MaxTokens, sight)["messages"].clone();
        let part = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AQID"}});
        let content = json!([{"type": "text", "text": "what is this?"}, part, part]);
        assert_eq!(
            sent(Sight::Shown),
            json!([{"role": "system", "content": "rules"}, {"role": "user", "content": content}])
        );
        let told = sent(Sight::LeftOut)[1]["content"].as_str().unwrap().to_owned();
        assert!(told.starts_with("what is this?\n\n[host] You cannot be shown"), "{told}");
    }

    #[test]
    fn no_tools_no_member() {
        assert!(body(vec![], vec![]).get("tools").is_none());
    }

    #[test]
    fn the_limit_can_be_named_otherwise() {
        let session_id = SessionId::new("s").unwrap();
        let request = ModelRequest {
            session_id,
            messages: vec![],
            tools: vec![],
            max_output_tokens: 5,
            pictures: vec![],
        };
        let body = chat_completion(&request, "m1", LimitName::MaxCompletionTokens, Sight::Shown);
        assert_eq!(body["max_completion_tokens"], 5);
        assert!(body.get("max_tokens").is_none());
    }
}
