//! What the page knows and how it says it, without a browser: reducers over the API's events, and words.
//!
//! Pure: events and the time go in, things to be shown come out. So the same code is tested natively and runs in wasm.

pub mod ansi;
pub mod approvals;
pub mod diff;
pub mod files;
pub mod host;
pub mod markdown;
pub mod notices;
pub mod sessions;
pub mod timeline;
pub mod visible;
pub mod words;
