//! Models: a gateway that speaks the OpenAI dialect, a local server found by itself, or the built-in demo model.
//!
//! Reading order:
//!
//! * `select` chooses ([`Selector`]): a configured gateway, else a local server (`detect`), else `demo` ([`DemoModel`]);
//! * `openai` makes one call over HTTP: [`Gateway`] drives, everything that decides is pure and has no
//!   sockets and no clock: the request body, the server-sent events, the assembly of deltas, complaints;
//! * `session` is the model of a session whose gateway the authority names ([`SessionModel`]);
//! * `offer` is what a person may choose from, where a task names its model;
//! * `retry` decides what a failed attempt leads to;
//! * `owner` asks the system whose a found server is, before anything is sent to it;
//! * `endpoint` holds the two values worth guarding: where the gateway is, and the token only it is sent.
//!
//! The process that uses [`Gateway`] installs a rustls `CryptoProvider` first; without one a call fails
//! with a plain error, it does not panic.

mod demo;
mod detect;
mod endpoint;
mod offer;
mod openai;
mod owner;
mod pace;
mod retry;
mod select;
mod session;
mod show;

pub use demo::DemoModel;
pub use detect::LocalServer;
pub use endpoint::{Endpoint, EndpointError, Token, TokenError};
pub use offer::{NameError, Offer};
pub use openai::{Gateway, GatewayOptions, Offered, Timings, fuzz_stream};
pub use pace::{Pace, RealPace};
pub use select::{ModelConfig, ModelConfigError, Selector};
pub use session::{SessionModel, SessionModelError};
