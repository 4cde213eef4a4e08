//! The central services as people run them: the real program on each of its stores, real hosts, real providers.

mod credentials;
mod enrolment;
mod flow;
mod fuzzed;
mod guide;
mod kills;
mod oidc;
mod start;
mod stores;
mod tampered;
