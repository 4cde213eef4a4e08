//! A line from the local socket or from stdin, as the host reads it.
//!
//! Whatever the line is, there is exactly one thing to do with it: carry out a call or send one error. A call that
//! was understood is the same call after it was written and read again.
#![no_main]

use lanyard_protocol::codec::{Codec, JsonRpcCodec};
use lanyard_protocol::rpc::RequestId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    match JsonRpcCodec.decode_call(line) {
        Ok(call) => {
            let id = call.id.unwrap_or(RequestId::Number(0));
            let written =
                JsonRpcCodec.encode_call(&id, &call.request).expect("an understood call can be written");
            let again = JsonRpcCodec.decode_call(&written).expect("a written call is understood");
            assert_eq!(again.id, Some(id));
            assert_eq!(again.request, call.request);
        }
        Err(error) => {
            let reply = JsonRpcCodec.encode_frame_error(&error).expect("every bad line has an answer");
            assert!(!reply.contains(&b'\n'), "an answer is one line");
            let reply: serde_json::Value = serde_json::from_slice(&reply).expect("an answer is JSON");
            assert!(reply["error"]["code"].is_i64());
        }
    }
});
