//! Frames of the agent API in both encodings: calls to the host, replies and notifications from it.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{from_postcard, to_json_value, to_postcard};
use crate::error::{ErrorCode, WireError};
use crate::event::{HostEvent, SessionEvent};
use crate::method::{Method, Request, Response};
use crate::rpc::{INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, RequestId};

/// What a host sends.
#[expect(clippy::large_enum_variant, reason = "frames are short-lived and moved once; a box would cost more")]
#[derive(Debug, Clone, PartialEq)]
pub enum ServerFrame {
    /// The answer to a call. The id is absent when the call's own could not be read.
    Reply(Option<RequestId>, Result<Response, WireError>),
    /// An event of a subscribed session.
    SessionEvent(Box<SessionEvent>),
    /// An event of the host-wide log.
    HostEvent(Box<HostEvent>),
}

/// A call as a host received it.
#[derive(Debug, Clone, PartialEq)]
pub struct IncomingCall {
    /// Absent for a JSON-RPC notification: it is carried out and not answered.
    pub id: Option<RequestId>,
    /// What is asked.
    pub request: Request,
}

/// Why a frame could not be understood. Holds the reply to send, so that every bad frame has exactly one answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct FrameError {
    /// Standard JSON-RPC number.
    pub number: i64,
    /// The id of the offending call, when it could be read.
    pub id: Option<RequestId>,
    /// For the peer.
    pub message: String,
}

impl FrameError {
    fn new(number: i64, id: Option<RequestId>, message: impl Into<String>) -> Self {
        Self { number, id, message: message.into() }
    }

    /// The error that says a frame is longer than the cap. The rest of the frame must be skipped by the caller.
    pub fn too_long(cap: usize) -> Self {
        Self::new(
            INVALID_REQUEST,
            None,
            format!("the message is longer than {cap} bytes; send large files in pieces"),
        )
    }

    /// The same as the contract's error shape.
    pub fn to_wire(&self) -> WireError {
        WireError::new(ErrorCode::InvalidRequest, self.message.clone())
    }
}

/// What a client made of a frame from a host.
#[expect(clippy::large_enum_variant, reason = "frames are short-lived and moved once; a box would cost more")]
#[derive(Debug, Clone, PartialEq)]
pub enum IncomingReply {
    /// Understood.
    Frame(ServerFrame),
    /// A notification this build does not know; newer hosts may send some.
    Unknown(String),
}

/// An encoding of the agent API. Without IO: bytes in, values out.
pub trait Codec: Debug + Clone + Send + 'static {
    /// Encodes a call, framing excluded.
    fn encode_call(&self, id: &RequestId, request: &Request) -> Result<Vec<u8>, WireError>;
    /// Decodes a call.
    fn decode_call(&self, frame: &[u8]) -> Result<IncomingCall, FrameError>;
    /// Encodes what a host sends, framing excluded.
    fn encode_server(&self, frame: &ServerFrame) -> Result<Vec<u8>, WireError>;
    /// Encodes the answer to a frame that could not be understood.
    fn encode_frame_error(&self, error: &FrameError) -> Result<Vec<u8>, WireError>;
    /// Decodes what a host sent; `method_of` tells which call an id belongs to.
    fn decode_server(
        &self,
        frame: &[u8],
        method_of: &dyn Fn(&RequestId) -> Option<Method>,
    ) -> Result<IncomingReply, FrameError>;
}

fn internal(e: impl std::fmt::Display) -> WireError {
    WireError::new(ErrorCode::InternalError, format!("a message could not be encoded: {e}"))
}

/// JSON-RPC 2.0, one object a line (framing by newline is the transport's).
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonRpcCodec;

/// Reads the id of a request that is otherwise wrong, so that the error can be told apart by the caller.
fn id_of(value: &Value) -> Option<RequestId> {
    value.get("id").and_then(|id| RequestId::deserialize(id).ok())
}

impl Codec for JsonRpcCodec {
    fn encode_call(&self, id: &RequestId, request: &Request) -> Result<Vec<u8>, WireError> {
        let params = request.params_json().map_err(internal)?;
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": request.method().name(), "params": params });
        Ok(call.to_string().into_bytes())
    }

    fn decode_call(&self, frame: &[u8]) -> Result<IncomingCall, FrameError> {
        let value: Value = serde_json::from_slice(frame)
            .map_err(|e| FrameError::new(PARSE_ERROR, None, format!("the message is not JSON: {e}")))?;
        let bad = |what: &str| FrameError::new(INVALID_REQUEST, id_of(&value), what);
        let Value::Object(members) = &value else {
            return Err(bad("a request is one JSON object; batches are not offered"));
        };
        if members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return Err(bad("the member \"jsonrpc\" must be \"2.0\""));
        }
        let id = match members.get("id") {
            None => None,
            Some(id) => Some(RequestId::deserialize(id).map_err(|e| bad(&e.to_string()))?),
        };
        let Some(name) = members.get("method").and_then(Value::as_str) else {
            return Err(bad("the member \"method\" must be a string"));
        };
        let Some(method) = Method::from_name(name) else {
            let shown: String = name.chars().take(64).collect();
            return Err(FrameError::new(METHOD_NOT_FOUND, id, format!("there is no method {shown:?}")));
        };
        let params = match members.get("params") {
            None => json!({}),
            Some(params @ Value::Object(_)) => params.clone(),
            Some(_) => {
                let what = format!("the parameters of {name} are an object with named members");
                return Err(FrameError::new(INVALID_PARAMS, id, what));
            }
        };
        match Request::from_json(method, params) {
            Ok(request) => Ok(IncomingCall { id, request }),
            Err(e) => Err(FrameError::new(INVALID_PARAMS, id, format!("{name}: {e}"))),
        }
    }

    fn encode_server(&self, frame: &ServerFrame) -> Result<Vec<u8>, WireError> {
        let value = match frame {
            ServerFrame::Reply(id, Ok(response)) => {
                json!({ "jsonrpc": "2.0", "id": id, "result": response.result_json().map_err(internal)? })
            }
            ServerFrame::Reply(id, Err(error)) => {
                let data = to_json_value(error).map_err(internal)?;
                let error =
                    json!({ "code": error.code.rpc_number(), "message": error.message, "data": data });
                json!({ "jsonrpc": "2.0", "id": id, "error": error })
            }
            ServerFrame::SessionEvent(event) => {
                json!({ "jsonrpc": "2.0", "method": "SessionEvent", "params": to_json_value(event).map_err(internal)? })
            }
            ServerFrame::HostEvent(event) => {
                json!({ "jsonrpc": "2.0", "method": "HostEvent", "params": to_json_value(event).map_err(internal)? })
            }
        };
        Ok(value.to_string().into_bytes())
    }

    fn encode_frame_error(&self, error: &FrameError) -> Result<Vec<u8>, WireError> {
        let data = to_json_value(&error.to_wire()).map_err(internal)?;
        let body = json!({ "code": error.number, "message": error.message, "data": data });
        Ok(json!({ "jsonrpc": "2.0", "id": error.id, "error": body }).to_string().into_bytes())
    }

    fn decode_server(
        &self,
        frame: &[u8],
        method_of: &dyn Fn(&RequestId) -> Option<Method>,
    ) -> Result<IncomingReply, FrameError> {
        let mut value: Value = serde_json::from_slice(frame).map_err(|e| {
            FrameError::new(PARSE_ERROR, None, format!("the host sent something that is not JSON: {e}"))
        })?;
        let id = id_of(&value);
        let bad = |e: &dyn std::fmt::Display| {
            FrameError::new(INVALID_REQUEST, id.clone(), format!("the host's answer was not understood: {e}"))
        };
        if let Some(name) = value.get("method").and_then(Value::as_str).map(str::to_owned) {
            let params = value.get_mut("params").map(Value::take).unwrap_or_default();
            let frame = match name.as_str() {
                "SessionEvent" => {
                    serde_json::from_value(params).map(|e| ServerFrame::SessionEvent(Box::new(e)))
                }
                "HostEvent" => serde_json::from_value(params).map(|e| ServerFrame::HostEvent(Box::new(e))),
                _ => return Ok(IncomingReply::Unknown(name)),
            };
            return frame.map(IncomingReply::Frame).map_err(|e| bad(&e));
        }
        let answer = match (value.get_mut("result").map(Value::take), value.get_mut("error").map(Value::take))
        {
            (Some(result), None) => {
                let method =
                    id.as_ref().and_then(method_of).ok_or_else(|| bad(&"it answers no call of ours"))?;
                Ok(Response::from_json(method, result).map_err(|e| bad(&e))?)
            }
            (_, Some(mut error)) => {
                let data = error.get_mut("data").map(Value::take).unwrap_or_default();
                Err(WireError::deserialize(data).unwrap_or_else(|_| {
                    let message = error.get("message").and_then(Value::as_str).unwrap_or("unknown error");
                    WireError::new(ErrorCode::InternalError, message)
                }))
            }
            (None, None) => return Err(bad(&"neither result nor error")),
        };
        Ok(IncomingReply::Frame(ServerFrame::Reply(id, answer)))
    }
}

/// postcard, for QUIC and the browser channel (framing by length is the transport's).
#[derive(Debug, Clone, Copy, Default)]
pub struct PostcardCodec;

/// The binary shape of [`ServerFrame`].
#[expect(clippy::large_enum_variant, reason = "frames are short-lived and moved once; a box would cost more")]
#[derive(Deserialize)]
enum BinaryFrame {
    Reply(Option<RequestId>, Result<Response, WireError>),
    SessionEvent(Box<SessionEvent>),
    HostEvent(Box<HostEvent>),
}

/// The same for writing: what is sent is not copied first.
#[derive(Serialize)]
enum BinaryFrameRef<'a> {
    Reply(&'a Option<RequestId>, &'a Result<Response, WireError>),
    SessionEvent(&'a SessionEvent),
    HostEvent(&'a HostEvent),
}

impl Codec for PostcardCodec {
    fn encode_call(&self, id: &RequestId, request: &Request) -> Result<Vec<u8>, WireError> {
        to_postcard(&(Some(id), request)).map_err(internal)
    }

    fn decode_call(&self, frame: &[u8]) -> Result<IncomingCall, FrameError> {
        let (id, request) = from_postcard(frame).map_err(|e| {
            FrameError::new(PARSE_ERROR, None, format!("the message was not understood: {e}"))
        })?;
        Ok(IncomingCall { id, request })
    }

    fn encode_server(&self, frame: &ServerFrame) -> Result<Vec<u8>, WireError> {
        let binary = match frame {
            ServerFrame::Reply(id, answer) => BinaryFrameRef::Reply(id, answer),
            ServerFrame::SessionEvent(event) => BinaryFrameRef::SessionEvent(event),
            ServerFrame::HostEvent(event) => BinaryFrameRef::HostEvent(event),
        };
        to_postcard(&binary).map_err(internal)
    }

    fn encode_frame_error(&self, error: &FrameError) -> Result<Vec<u8>, WireError> {
        self.encode_server(&ServerFrame::Reply(error.id.clone(), Err(error.to_wire())))
    }

    fn decode_server(
        &self,
        frame: &[u8],
        _: &dyn Fn(&RequestId) -> Option<Method>,
    ) -> Result<IncomingReply, FrameError> {
        let frame = from_postcard(frame).map_err(|e| {
            FrameError::new(PARSE_ERROR, None, format!("the host's answer was not understood: {e}"))
        })?;
        Ok(IncomingReply::Frame(match frame {
            BinaryFrame::Reply(id, answer) => ServerFrame::Reply(id, answer),
            BinaryFrame::SessionEvent(event) => ServerFrame::SessionEvent(event),
            BinaryFrame::HostEvent(event) => ServerFrame::HostEvent(event),
        }))
    }
}
