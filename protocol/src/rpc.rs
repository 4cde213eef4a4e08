//! JSON-RPC 2.0 particulars: request ids and the standard error numbers.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::limits::MAX_ID_BYTES;

/// The line is not JSON.
pub const PARSE_ERROR: i64 = -32_700;
/// The line is JSON but not a request.
pub const INVALID_REQUEST: i64 = -32_600;
/// No such method.
pub const METHOD_NOT_FOUND: i64 = -32_601;
/// The parameters do not fit the method.
pub const INVALID_PARAMS: i64 = -32_602;

/// Pairs a reply with its request. JSON-RPC allows numbers and strings; both are kept as they came.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestId {
    /// A whole number.
    Number(i64),
    /// A text of at most [`MAX_ID_BYTES`] bytes.
    Text(String),
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RequestId::Number(n) => write!(f, "{n}"),
            RequestId::Text(t) => write!(f, "{t:?}"),
        }
    }
}

/// The binary shape.
#[derive(Serialize, Deserialize)]
enum Tagged {
    Number(i64),
    Text(String),
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self, serializer.is_human_readable()) {
            (RequestId::Number(n), true) => serializer.serialize_i64(*n),
            (RequestId::Text(t), true) => serializer.serialize_str(t),
            (RequestId::Number(n), false) => Tagged::Number(*n).serialize(serializer),
            (RequestId::Text(t), false) => Tagged::Text(t.clone()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = if deserializer.is_human_readable() {
            match serde_json::Value::deserialize(deserializer)? {
                serde_json::Value::String(text) => RequestId::Text(text),
                serde_json::Value::Number(n) => match n.as_i64() {
                    Some(n) => RequestId::Number(n),
                    None => return Err(de::Error::custom("a request id must be a whole number")),
                },
                _ => return Err(de::Error::custom("a request id is a string or a whole number")),
            }
        } else {
            match Tagged::deserialize(deserializer)? {
                Tagged::Number(n) => RequestId::Number(n),
                Tagged::Text(text) => RequestId::Text(text),
            }
        };
        match &id {
            RequestId::Text(text) if text.len() > MAX_ID_BYTES => {
                Err(de::Error::custom(format_args!("a request id has at most {MAX_ID_BYTES} bytes")))
            }
            _ => Ok(id),
        }
    }
}
