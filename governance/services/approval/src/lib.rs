//! Approval Service: the record of what was asked and answered on the hosts, and answers proposed from the console.
//!
//! The host is where a question is asked, answered and bound to what it approves; this service keeps the record, and
//! carries proposals to the host. A proposal is never the answer: the host says what became of it.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod answerable;
mod bounds;
mod chores;
mod lapse;
mod propose;
mod read;
mod record;
mod report;
mod send;
mod tables;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use lanyard_governance_api::endpoint as e;
use lanyard_governance_foundation::{Foundation, Routes};
use tokio_util::sync::CancellationToken;

pub use chores::sweep;
pub use tables::MIGRATIONS;

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct State {
    foundation: Foundation,
    answerable: Arc<answerable::Known>,
}

/// The endpoints.
pub fn routes(foundation: Foundation) -> Routes<State> {
    Routes::new(State { foundation, answerable: Arc::default() })
        .on::<e::ReportApproval, _, _>(report::report)
        .on::<e::ListCentralApprovals, _, _>(read::list)
        .on::<e::GetApproval, _, _>(read::get)
        .on::<e::ProposeDecision, _, _>(propose::propose)
        .on::<e::ReportOutcome, _, _>(propose::outcome)
}

/// Does what is done without being asked, until stopped.
pub async fn chores(foundation: Foundation, stop: CancellationToken) {
    tokio::join!(chores::chores(foundation.clone(), stop.clone()), send::chores(foundation, stop));
}
