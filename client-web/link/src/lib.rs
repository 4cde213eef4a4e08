//! The page's way to its host: carriers, the Noise session, pairing, the device's key, and a connection that comes back.
//!
//! ```text
//! Link, Joining      what pages use
//!   pump             drives a machine in a browser: carriers, timer, waking up
//!     driver, joiner the machines: no browser, no clock of their own; tested in a lab
//!       stranger     pairing channel        exchange   one stream for each call
//!       wire         Noise session and multiplexer
//!     carrier        WebSocket, or a streaming download and POSTs
//! Profiles           what the browser keeps
//! ```
//! A page has one [`Link`] at a time. It reconnects by itself, for as long as it lives, until the host says that it is
//! over ([`Ending`]).

mod browser;
mod carrier;
mod chance;
mod close;
mod device;
mod driver;
mod exchange;
mod frames;
mod join;
mod joiner;
#[cfg(any(test, feature = "lab"))]
#[cfg_attr(not(test), allow(dead_code, reason = "the program for the browser uses some of it"))]
#[allow(clippy::unwrap_used, reason = "for tests: whatever is not as expected fails them")]
pub mod lab;
mod link;
mod machine;
mod page;
mod profile;
mod pump;
mod storage;
mod stranger;
mod wire;

pub use device::{suggested_name, suggested_platform};
pub use join::{JoinError, Joining, join, pairing_secret, typed};
pub use link::{CallError, CarrierKind, Ending, Link, LinkEvent, Status};
pub use page::is_verified;
pub use profile::{Profile, ProfileError, Profiles};
