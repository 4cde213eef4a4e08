//! Bytes on the wire: as they are in postcard, as base64 in JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A piece of a file. Base64 (RFC 4648 §4, padded) in JSON.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({})", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&data_encoding::BASE64.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            let bytes = data_encoding::BASE64.decode(text.as_bytes());
            return bytes.map(Self).map_err(|error| de::Error::custom(format_args!("not base64: {error}")));
        }
        deserializer.deserialize_byte_buf(Raw).map(Self)
    }
}

struct Raw;

impl de::Visitor<'_> for Raw {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Bytes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "contentEncoding": "base64", "description": "Bytes, in base64." })
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;
    use crate::codec::{from_postcard, to_postcard};

    #[test]
    fn json_has_base64_and_postcard_the_bytes() {
        let bytes = Bytes(vec![0, 255, 10]);
        assert_eq!(serde_json::to_string(&bytes).unwrap(), "\"AP8K\"");
        assert_eq!(serde_json::from_str::<Bytes>("\"AP8K\"").unwrap(), bytes);
        serde_json::from_str::<Bytes>("\"A\"").unwrap_err();
        let written = to_postcard(&bytes).unwrap();
        assert_eq!(written, [3, 0, 255, 10]);
        assert_eq!(from_postcard::<Bytes>(&written).unwrap(), bytes);
    }
}
