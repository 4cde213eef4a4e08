//! Enrolment: how hosts become known (one-time tokens, a CA of our own, certificates of a day), that they are there
//! (heartbeats), what they are asked (the command channel), who is paired with them, and jobs dispatched to them.
//!
//! The CA's key is a file, never in the database; replicas share the file. Whatever a host proves, it proves with the
//! Ed25519 key it enrolled with. Everything that changes who may do what is recorded for audit in the same transaction.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod agents;
mod authority;
mod behind;
mod check;
mod chores;
mod clones;
mod commands;
mod exchange;
mod heartbeat;
mod identity;
mod jobs;
mod lives;
mod pairings;
mod proof;
mod renew;
mod revoke;
mod schema;
mod scope;
mod token;
mod tokens;
mod trace;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use lanyard_governance_api::endpoint as ep;
use lanyard_governance_foundation::{Foundation, Routes};
use tokio_util::sync::CancellationToken;

pub use authority::{Authority, AuthorityError, RequestError, ServerCertificate};
pub use chores::chores;
pub use schema::MIGRATIONS;

use commands::{Acknowledging, Looking, Ticks};
use proof::Paces;

/// How enrolment is done here.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The CA.
    pub ca: Arc<Authority>,
    /// Enrolment tokens name the CA. Not on loopback HTTP, where there is no certificate to compare it with.
    pub tokens_name_ca: bool,
    /// Ends open streams and long polls when the process stops.
    pub stop: CancellationToken,
}

/// What the handlers hold.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) foundation: Foundation,
    pub(crate) settings: Settings,
    pub(crate) paces: Arc<Paces>,
    pub(crate) looking: Looking,
    pub(crate) acknowledging: Acknowledging,
    pub(crate) ticks: Ticks,
}

/// The routes.
pub fn routes(foundation: Foundation, settings: Settings) -> Routes<State> {
    let state = State {
        foundation,
        settings,
        paces: Arc::default(),
        looking: Looking::default(),
        acknowledging: Acknowledging::default(),
        ticks: Ticks::default(),
    };
    Routes::new(state)
        .on::<ep::CreateEnrolmentToken, _, _>(tokens::create)
        .on::<ep::ListEnrolmentTokens, _, _>(tokens::list)
        .on::<ep::RevokeEnrolmentToken, _, _>(tokens::revoke)
        .on::<ep::ExchangeToken, _, _>(exchange::exchange)
        .on_raw::<ep::GetCa, _, _>(exchange::ca)
        .on::<ep::RenewIdentity, _, _>(renew::renew)
        .on::<ep::CreateAccessToken, _, _>(renew::access_token)
        .on::<ep::SendHeartbeat, _, _>(heartbeat::beat)
        .on::<ep::ListAgents, _, _>(agents::list)
        .on::<ep::CountEpoch, _, _>(agents::count)
        .on::<ep::GetAgent, _, _>(agents::get)
        .on::<ep::RevokeAgent, _, _>(revoke::revoke)
        .on::<ep::ClearCloneMark, _, _>(clones::clear)
        .on::<ep::PollCommands, _, _>(commands::poll)
        .on_raw::<ep::StreamCommands, _, _>(commands::stream)
        .on::<ep::AcknowledgeCommands, _, _>(commands::acknowledge)
        .on::<ep::QueueCommand, _, _>(commands::queue)
        .on::<ep::BroadcastCommand, _, _>(commands::broadcast)
        .on::<ep::PutPairings, _, _>(pairings::put)
        .on::<ep::ListPairings, _, _>(pairings::list)
        .on::<ep::DecidePairing, _, _>(pairings::decide)
        .on::<ep::RevokeDevice, _, _>(pairings::revoke_device)
        .on::<ep::CreateJob, _, _>(jobs::create)
        .on::<ep::ListJobs, _, _>(jobs::list)
        .on::<ep::GetJob, _, _>(jobs::get)
        .on::<ep::CancelJob, _, _>(jobs::cancel)
        .on::<ep::ReportJob, _, _>(jobs::report)
}
