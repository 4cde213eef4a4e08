//! The host's side of the wire to the central services: its identity there, enrolment, the typed client, the way its
//! audit records take, the commands it follows, and its heartbeat.
//!
//! Nothing here decides anything for the host: what is kept, and what a command does, are the caller's, behind
//! [`outbox::AuditSource`], [`commands::CommandHandler`] and [`heartbeat::Vitals`]. Everything that runs on ends
//! promptly when its `CancellationToken` is cancelled; every wait, answer and retry is bounded.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod address;
pub mod backoff;
pub mod central;
pub mod commands;
pub mod enrol;
pub mod heartbeat;
pub mod identity;
pub mod outbox;
mod reach;
mod renew;
mod secret;
#[cfg(test)]
mod testing;
mod tls;

pub use address::AddressError;
pub use central::{BodyStream, CallError, Central, ServerClock, SetupError};
pub use enrol::{EnrolError, TokenError, enrol};
pub use identity::{Identity, IdentityError, IdentityStore};
pub use reach::Reach;
pub use renew::RenewError;
pub use secret::Secret;

/// Why a loop of this crate ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Its token was cancelled.
    Cancelled,
    /// The centre revoked this host's enrolment, and why. Only enrolling again helps.
    Revoked(String),
}

/// What the host's own store said when it could not do what was asked of it. For the log, and for `lanyard doctor`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the host's store: {0}")]
pub struct StoreError(pub String);

#[cfg(test)]
mod tests {
    use super::Central;

    /// Compiling it is the test.
    #[test]
    fn calls_may_be_spawned() {
        fn spawned<T: Send + 'static>(_: &dyn Fn(Central) -> T) {}
        spawned(&|central| async move { central.renew().await });
        spawned(&|central| async move {
            let nothing = lanyard_governance_api::page::Nothing {};
            central.call::<lanyard_governance_api::endpoint::GetChainHead>(&[], &nothing, &nothing).await
        });
    }
}
