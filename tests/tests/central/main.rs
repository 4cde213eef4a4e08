//! The central services as people run them: the real program on each of its stores, real hosts, real providers.

mod aged;
mod apart;
mod away;
mod commands;
mod credentials;
mod enrolment;
mod flow;
mod fuzzed;
mod guide;
mod kills;
mod oidc;
mod otlp;
#[cfg(target_os = "linux")]
mod secured;
mod start;
mod stores;
mod tampered;
