//! The codec of a connection: lines of JSON on the local socket, postcard frames on QUIC.

use lanyard_protocol::WireError;
use lanyard_protocol::codec::{
    Codec, FrameError, IncomingCall, IncomingReply, JsonRpcCodec, PostcardCodec, ServerFrame,
};
use lanyard_protocol::method::{Method, Request};
use lanyard_protocol::rpc::RequestId;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wire {
    /// The local socket.
    Lines,
    /// A paired host.
    Frames,
}

impl Codec for Wire {
    fn encode_call(&self, id: &RequestId, request: &Request) -> Result<Vec<u8>, WireError> {
        match self {
            Wire::Lines => JsonRpcCodec.encode_call(id, request),
            Wire::Frames => PostcardCodec.encode_call(id, request),
        }
    }

    fn decode_call(&self, frame: &[u8]) -> Result<IncomingCall, FrameError> {
        match self {
            Wire::Lines => JsonRpcCodec.decode_call(frame),
            Wire::Frames => PostcardCodec.decode_call(frame),
        }
    }

    fn encode_server(&self, frame: &ServerFrame) -> Result<Vec<u8>, WireError> {
        match self {
            Wire::Lines => JsonRpcCodec.encode_server(frame),
            Wire::Frames => PostcardCodec.encode_server(frame),
        }
    }

    fn encode_frame_error(&self, error: &FrameError) -> Result<Vec<u8>, WireError> {
        match self {
            Wire::Lines => JsonRpcCodec.encode_frame_error(error),
            Wire::Frames => PostcardCodec.encode_frame_error(error),
        }
    }

    fn decode_server(
        &self,
        frame: &[u8],
        method_of: &dyn Fn(&RequestId) -> Option<Method>,
    ) -> Result<IncomingReply, FrameError> {
        match self {
            Wire::Lines => JsonRpcCodec.decode_server(frame, method_of),
            Wire::Frames => PostcardCodec.decode_server(frame, method_of),
        }
    }
}
