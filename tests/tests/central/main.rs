//! The central services as people run them: the real program on each of its stores, real hosts, real providers.

mod aged;
mod apart;
mod away;
mod backend_tools;
mod commands;
mod credentials;
mod enrolment;
#[cfg(target_os = "linux")]
mod first;
mod flow;
mod fuzzed;
mod guide;
mod hands;
mod kept;
mod kills;
mod lasting;
mod late;
mod oidc;
mod otlp;
// Other systems have one address on loopback.
#[cfg(target_os = "linux")]
mod proxied;
#[cfg(target_os = "linux")]
mod secured;
mod start;
mod stores;
mod tampered;
