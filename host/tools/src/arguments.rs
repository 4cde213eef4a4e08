//! Reads the arguments of a call strictly: unknown names, wrong types and missing values are errors that name the
//! argument.

use lanyard_protocol::json::Json;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::plan::PlanError;

/// Reads the arguments of `tool`.
///
/// # Errors
/// [`PlanError::Argument`].
pub(crate) fn read<T: DeserializeOwned>(tool: &'static str, arguments: &Json) -> Result<T, PlanError> {
    if !matches!(arguments.0, Value::Object(_)) {
        return Err(PlanError::argument(tool, "arguments", "they must be a JSON object"));
    }
    serde_path_to_error::deserialize(&arguments.0).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner().to_string();
        let name = if path == "." { named_in(&reason).unwrap_or("arguments") } else { &path };
        PlanError::argument(tool, name, reason.as_str())
    })
}

/// The name in "missing field `path`" and "unknown field `pth`, …".
fn named_in(reason: &str) -> Option<&str> {
    reason.split('`').nth(1)
}

/// Refuses an empty text.
pub(crate) fn not_empty(tool: &'static str, name: &'static str, text: &str) -> Result<(), PlanError> {
    if text.is_empty() { Err(PlanError::argument(tool, name, "it must not be empty")) } else { Ok(()) }
}

/// Refuses a text above `limit` bytes.
pub(crate) fn at_most(
    tool: &'static str,
    name: &'static str,
    text: &str,
    limit: usize,
) -> Result<(), PlanError> {
    if text.len() <= limit {
        return Ok(());
    }
    Err(PlanError::argument(tool, name, format!("{} bytes are too many: at most {limit}", text.len())))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Sample {
        path: String,
        old_text: Option<u32>,
    }

    fn refused(arguments: Value) -> String {
        read::<Sample>("Sample", &Json(arguments)).unwrap_err().to_string()
    }

    #[test]
    fn every_fault_names_the_argument() {
        assert!(refused(json!({})).contains("`path`"));
        assert!(refused(json!({"path": 3})).contains("`path`"));
        assert!(refused(json!({"path": "a", "oldText": "x"})).contains("`oldText`"));
        assert!(refused(json!({"path": "a", "pth": 1})).contains("`pth`"));
        assert!(refused(json!([1])).contains("JSON object"));
        let read: Sample = read("Sample", &Json(json!({"path": "a", "oldText": null}))).unwrap();
        assert_eq!((read.path.as_str(), read.old_text), ("a", None));
    }
}
