//! The two encodings of the contract: JSON (absent options omitted) and postcard.
//!
//! Everything that turns a protocol type into bytes goes through here, so that one rule holds everywhere.

mod frame;
mod omit_none;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use frame::{Codec, FrameError, IncomingCall, IncomingReply, JsonRpcCodec, PostcardCodec, ServerFrame};
use omit_none::OmitNone;

/// Encodes as compact JSON on one line; absent `Option` fields are left out.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::with_capacity(256);
    value.serialize(OmitNone(&mut serde_json::Serializer::new(&mut bytes)))?;
    String::from_utf8(bytes).map_err(serde::ser::Error::custom)
}

/// Encodes as a JSON value; absent `Option` fields are left out.
pub fn to_json_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, serde_json::Error> {
    value.serialize(OmitNone(serde_json::value::Serializer))
}

/// Decodes JSON text. Depth is bounded by serde_json's recursion limit of 128.
pub fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}

/// Encodes as postcard.
pub fn to_postcard<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_stdvec(value)
}

/// Decodes postcard and refuses trailing bytes, which would hide a version mismatch.
pub fn from_postcard<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, postcard::Error> {
    match postcard::take_from_bytes(bytes)? {
        (value, []) => Ok(value),
        (_, [..]) => Err(postcard::Error::DeserializeBadEncoding),
    }
}
