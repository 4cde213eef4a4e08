//! A stream of server-sent events from a model server, as the gateway adapter reads it.
//!
//! The first byte of the input is the size of the pieces the stream arrives in. However it is cut, the text told
//! and the outcome are the same, and what was told is what was answered.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| lanyard_model::fuzz_stream(input));
