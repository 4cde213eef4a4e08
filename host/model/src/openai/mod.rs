//! OpenAI-compatible chat completions over HTTP, always streamed.
//!
//! `gateway` drives; `link` and `http` hold the connection; the rest is pure: `body` writes requests, `decode` reads
//! replies with `sse`, `assemble` and `arguments`, `complaint` reads errors, `models` lists.

mod arguments;
mod assemble;
mod body;
pub(crate) mod complaint;
mod decode;
mod gateway;
mod http;
mod link;
pub(crate) mod models;
pub(crate) mod renewal;
mod sse;

pub use decode::fuzz_stream;
pub use gateway::{Gateway, GatewayOptions};
pub use http::Timings;
pub use models::Offered;
