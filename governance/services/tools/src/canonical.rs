//! Arguments as one text: what a person is shown, and what is compared with what runs.

use serde_json::Value;

/// The canonical JSON of a value: members sorted by name, no spaces, and everything but printable ASCII as `\uXXXX` (two
/// of them beyond U+FFFF). Two values are equal when their texts are, and nothing in it is invisible or has to be made
/// visible before it is shown.
pub(crate) fn text(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_value_has_one_text_of_printable_ascii() {
        let value: Value =
            serde_json::from_str(r#"{ "b": [1, 2.5, null, true], "a": {"z": "x", "y": {}}, "": [] }"#)
                .unwrap();
        assert_eq!(text(&value), r#"{"":[],"a":{"y":{},"z":"x"},"b":[1,2.5,null,true]}"#);
        let odd = json!({ "\u{e9}": "a\u{200b}\u{7f}\n\"\\\u{1f600}\u{0}" });
        assert_eq!(text(&odd), r#"{"\u00e9":"a\u200b\u007f\n\"\\\ud83d\ude00\u0000"}"#);
        assert_eq!(serde_json::from_str::<Value>(&text(&odd)).unwrap(), odd);
    }
}
