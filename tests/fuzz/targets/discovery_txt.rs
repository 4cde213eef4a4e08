//! What somebody on the network says of a host: the name of the instance and its TXT record.
//!
//! The first two bytes of the input are the port, the third is the length of the name, the record follows the name.
//! Who has a well-formed id is told once, and again only when it has a new address; the name shown is bounded and
//! hides nothing; nothing is left after a goodbye.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| lanyard_transport::discovery::fuzz_discovery(input));
