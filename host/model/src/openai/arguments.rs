//! Arguments of a tool call: JSON as the model wrote it, or what is wrong with it.

use lanyard_ports::model::AskedArguments;
use lanyard_protocol::Json;
use serde_json::Value;

use crate::show::prefix;

/// Bytes of malformed arguments that are kept, to be shown to the model and to people.
const MAX_MALFORMED_BYTES: usize = 4 * 1024;

/// Reads the text of the arguments. Nothing at all counts as no arguments.
pub(crate) fn of_text(text: &str) -> AskedArguments {
    if text.trim().is_empty() {
        return AskedArguments::Object(Json::object());
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value @ Value::Object(_)) => AskedArguments::Object(Json(value)),
        Ok(other) => malformed(text, format!("arguments must be a JSON object, this is {}", kind(&other))),
        Err(e) => malformed(text, e.to_string()),
    }
}

/// Takes arguments given as JSON itself.
pub(crate) fn of_value(value: Value) -> AskedArguments {
    match value {
        Value::Object(_) => AskedArguments::Object(Json(value)),
        other => malformed(
            &other.to_string(),
            format!("arguments must be a JSON object, this is {}", kind(&other)),
        ),
    }
}

fn malformed(text: &str, problem: String) -> AskedArguments {
    AskedArguments::Malformed { text: prefix(text, MAX_MALFORMED_BYTES).to_owned(), problem }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use lanyard_ports::model::AskedArguments;
    use serde_json::json;

    use super::{MAX_MALFORMED_BYTES, of_text};

    #[test]
    fn objects_and_everything_else() {
        assert_eq!(of_text(" {\"a\": 1} "), AskedArguments::Object(json!({"a": 1}).into()));
        assert_eq!(of_text(""), AskedArguments::Object(json!({}).into()));
        for text in ["{\"a\":", "null", "[]", "\"{}\"", "{} {}", "7", &"[".repeat(100_000)] {
            assert!(matches!(of_text(text), AskedArguments::Malformed { .. }), "{text:.20}");
        }
    }

    #[test]
    fn malformed_text_is_cut() {
        let AskedArguments::Malformed { text, .. } = of_text(&"ä".repeat(100_000)) else { panic!() };
        assert_eq!(text.len(), MAX_MALFORMED_BYTES);
    }
}
