//! Arbitrary JSON inside typed messages: tool arguments, schemas, error details.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

/// A JSON value that travels as itself in JSON and as its text in binary codecs, which cannot describe themselves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Json(pub Value);

impl Json {
    /// The empty object, the neutral value of `details` and `arguments`.
    pub fn object() -> Self {
        Self(Value::Object(serde_json::Map::new()))
    }

    /// The one text of this value: members sorted by name, no spaces, and everything but printable ASCII as `\uXXXX`
    /// (two of them beyond U+FFFF). Two values are equal when their texts are, and nothing in it is invisible or has to be
    /// made visible before a person is shown it.
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        write(&mut out, &self.0);
        out
    }
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (number, (name, value)) in members.into_iter().enumerate() {
                if number > 0 {
                    out.push(',');
                }
                plain(out, &Value::from(name.as_str()));
                out.push(':');
                write(out, value);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    out.push(',');
                }
                write(out, item);
            }
            out.push(']');
        }
        _ => plain(out, value),
    }
}

/// What holds no other value.
fn plain(out: &mut String, value: &Value) {
    for c in value.to_string().chars() {
        if matches!(c, ' '..='~') {
            out.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.0.serialize(serializer)
        } else {
            serializer.collect_str(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Value::deserialize(deserializer).map(Self)
        } else {
            let text = String::deserialize(deserializer)?;
            serde_json::from_str(&text).map(Self).map_err(de::Error::custom)
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Json {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Json".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!(true)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_value_has_one_text_of_printable_ascii() {
        let value: Value =
            serde_json::from_str(r#"{ "b": [1, 2.5, null, true], "a": {"z": "x", "y": {}}, "": [] }"#)
                .unwrap();
        assert_eq!(Json(value).canonical(), r#"{"":[],"a":{"y":{},"z":"x"},"b":[1,2.5,null,true]}"#);
        let odd = json!({ "\u{e9}": "a\u{200b}\u{7f}\n\"\\\u{1f600}\u{0}" });
        let text = Json(odd.clone()).canonical();
        assert_eq!(text, r#"{"\u00e9":"a\u200b\u007f\n\"\\\ud83d\ude00\u0000"}"#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), odd);
    }
}
