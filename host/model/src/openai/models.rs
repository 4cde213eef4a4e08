//! The list of models a server offers (`GET /models`). Pure.

use serde_json::Value;

use crate::show::prefix;

/// Models of one server that are looked at; hubs list thousands.
const MAX_MODELS: usize = 1_000;

/// Longest model name, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// Tokens taken to fit a local server that does not say. Such servers are started with small windows to save memory
/// and cut longer prompts without a word; too small a guess only compacts earlier.
pub(crate) const LOCAL_CONTEXT_WINDOW: u32 = 8_192;

/// Parts of names of models that do not chat; local servers list them beside those that do.
const NOT_CHAT: &[&str] = &["embed", "rerank", "whisper", "tts-", "bge-", "dall-e", "moderation"];

/// One model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// Its name.
    pub name: String,
    /// Tokens that fit, where the server says so.
    pub context_window: Option<u32>,
}

/// Reads the list; `None` when it is not one, as on a port where something else answers.
pub(crate) fn offered(body: &[u8]) -> Option<Vec<Offered>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let models = body.get("data")?.as_array()?.iter().take(MAX_MODELS);
    Some(models.filter_map(model).collect())
}

fn model(entry: &Value) -> Option<Offered> {
    let name = entry
        .get("id")?
        .as_str()
        .filter(|id| !id.is_empty() && prefix(id, MAX_NAME_BYTES).len() == id.len())?;
    let tokens =
        |place: &str| u32::try_from(entry.pointer(place)?.as_u64()?).ok().filter(|tokens| *tokens > 0);
    // vLLM, OpenRouter, llama.cpp. What a model was trained for says nothing about what it was started with.
    let said = ["/max_model_len", "/context_length", "/meta/n_ctx"].into_iter().find_map(tokens);
    let context_window = said.or_else(|| Some(tokens("/meta/n_ctx_train")?.min(LOCAL_CONTEXT_WINDOW)));
    Some(Offered { name: name.to_owned(), context_window })
}

/// The one to use: `preferred` if it is offered, else the first that chats, else the first.
pub(crate) fn choose<'a>(offered: &'a [Offered], preferred: Option<&str>) -> Option<&'a Offered> {
    let chats = |model: &&Offered| {
        let name = model.name.to_ascii_lowercase();
        !NOT_CHAT.iter().any(|part| name.contains(part))
    };
    let named = preferred.and_then(|name| offered.iter().find(|model| same(&model.name, name)));
    named.or_else(|| offered.iter().find(chats)).or(offered.first())
}

/// Stands for any model in a policy.
const ANY: &str = "*";

/// The first of the allowed that is offered; `*` stands for the usual choice.
pub(crate) fn choose_allowed<'a>(offered: &'a [Offered], allowed: &[String]) -> Option<&'a Offered> {
    allowed.iter().find_map(|name| match name.as_str() {
        ANY => choose(offered, None),
        name => offered.iter().find(|model| same(&model.name, name)),
    })
}

/// The first that a policy names.
pub(crate) fn first_named(allowed: &[String]) -> Option<&str> {
    allowed.iter().map(String::as_str).find(|name| *name != ANY)
}

/// Ollama adds `:latest` to names without a tag.
pub(crate) fn same(offered: &str, wanted: &str) -> bool {
    offered == wanted || offered.strip_suffix(":latest") == Some(wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Offered, choose, offered};

    fn read(body: serde_json::Value) -> Option<Vec<Offered>> {
        offered(body.to_string().as_bytes())
    }

    #[test]
    fn lists_of_real_servers() {
        let list = read(json!({"object": "list", "data": [
            {"id": "a", "object": "model"},
            {"id": "b", "meta": {"n_ctx_train": 2048}},
            {"id": "c", "max_model_len": 40960},
            {"id": "d", "context_length": -1},
            {"id": "e", "meta": {"n_ctx_train": 131_072}},
            {"id": ""}, {"id": 7}, {}, 7,
        ]}));
        let model = |name: &str, context_window| Offered { name: name.into(), context_window };
        let wanted = vec![
            model("a", None),
            model("b", Some(2048)),
            model("c", Some(40960)),
            model("d", None),
            model("e", Some(8192)),
        ];
        assert_eq!(list, Some(wanted));
        assert_eq!(read(json!({"data": []})), Some(vec![]));
        for other in [json!({"hello": "world"}), json!([]), json!({"data": "x"})] {
            assert_eq!(read(other), None);
        }
        assert_eq!(offered(b"<html>"), None);
    }

    #[test]
    fn the_choice() {
        let list = read(json!({"data": [
            {"id": "nomic-embed-text:latest"}, {"id": "llama3:latest"}, {"id": "qwen"}
        ]}))
        .unwrap();
        let name = |preferred| choose(&list, preferred).map(|m| m.name.as_str());
        assert_eq!(name(None), Some("llama3:latest"));
        assert_eq!(name(Some("qwen")), Some("qwen"));
        assert_eq!(name(Some("llama3")), Some("llama3:latest"));
        assert_eq!(name(Some("gone")), Some("llama3:latest"));
        assert_eq!(choose(&list[..1], None).map(|m| m.name.as_str()), Some("nomic-embed-text:latest"));
        assert_eq!(choose(&[], None), None);
    }
}
