//! The contract every part of Lanyard speaks: ids, methods, events, tools, policy, approvals, errors.
//!
//! Types only. One definition of each type serves JSON (JSON-RPC, files, schemas) and postcard (QUIC, browser
//! channel, store). The rules that make this possible:
//!
//! * plain serde derives; no `flatten`, no internal or adjacent tags, no `skip_serializing_if`. Where the JSON
//!   shape differs from the binary one, the type implements serde by hand behind `is_human_readable`
//!   ([`event::SessionEvent`], [`json::Json`], [`rpc::RequestId`]);
//! * an absent `Option` field is *omitted* in JSON by the codec ([`codec::to_json`]), never written as `null`;
//! * structs are frozen per protocol version; growth is a new enum variant or a new optional field in JSON
//!   together with a new [`version::PROTOCOL_VERSION`].
//!
//! Source: seed 004 §7–§14 and §22, with the additions recorded in `docs/architecture.md`.

// For what `opaque_ids!` expands to, here and in other crates.
extern crate self as lanyard_protocol;
#[doc(hidden)]
pub use serde;

pub mod approval;
pub mod bytes;
pub mod central;
pub mod codec;
pub mod device;
pub mod envelope;
pub mod error;
pub mod event;
pub mod health;
pub mod id;
pub mod json;
pub mod limits;
pub mod message;
pub mod method;
pub mod overview;
pub mod policy;
pub mod principal;
pub mod rpc;
pub mod session;
pub mod tick;
pub mod timestamp;
pub mod tool;
pub mod version;
pub mod visible;

pub use error::{ErrorCode, WireError};
pub use json::Json;
pub use tick::Tick;
pub use timestamp::Timestamp;
