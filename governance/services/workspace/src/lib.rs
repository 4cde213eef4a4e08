//! Workspace Service: workspaces, the artifacts kept in them and the threads of their sessions.
//!
//! What is known of an artifact is in the database, its content in an object store (a directory, or S3). Content is
//! stored once per tenant and never shared between tenants, so that nobody learns from an upload what others have.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod artifacts;
mod chores;
mod forgetting;
mod history;
mod keep;
mod removal;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod upload;
mod workspaces;

use std::sync::Arc;

use lanyard_governance_api::endpoint as e;
use lanyard_governance_api::id::TenantId;
use lanyard_governance_foundation::permits::Permits;
use lanyard_governance_foundation::{Foundation, Routes};
use tokio::sync::Semaphore;

pub use chores::chores;
pub use store::{OpenStoreError, Settings};
pub use tables::MIGRATIONS;

/// Uploads under way at once in this process. Each holds two parts at most, so that all of them stay below 200 MiB.
const UPLOADS: usize = 16;

/// Those of one tenant.
const TENANT_UPLOADS: usize = 4;

/// Threads read back at once in this process. Each holds its text and its messages; the JSON of an answer comes after its
/// turn.
const HISTORIES: usize = 4;

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct State {
    foundation: Foundation,
    settings: Settings,
    uploads: Arc<Permits<TenantId>>,
    histories: Arc<Semaphore>,
}

impl State {
    fn new(foundation: Foundation, settings: Settings) -> Self {
        let uploads = Permits::new("uploads", UPLOADS, TENANT_UPLOADS);
        let histories = Semaphore::new(HISTORIES);
        Self { foundation, settings, uploads: Arc::new(uploads), histories: Arc::new(histories) }
    }
}

/// The endpoints.
pub fn routes(foundation: Foundation, settings: Settings) -> Routes<State> {
    Routes::new(State::new(foundation, settings))
        .on::<e::ResolveWorkspace, _, _>(workspaces::resolve)
        .on::<e::ListWorkspaces, _, _>(workspaces::list)
        .on::<e::GetWorkspace, _, _>(workspaces::get)
        .on::<e::DeleteWorkspace, _, _>(workspaces::delete)
        .on_raw::<e::PutArtifact, _, _>(upload::put)
        .on::<e::ListArtifacts, _, _>(artifacts::list)
        .on_raw::<e::GetArtifactContent, _, _>(artifacts::content)
        .on::<e::DeleteArtifact, _, _>(artifacts::delete)
        .on::<e::ListWorkspaceSessions, _, _>(history::sessions)
        .on::<e::GetSessionHistory, _, _>(history::get)
        .on::<e::DeleteSessionHistory, _, _>(history::delete)
        .on::<e::PurgeWorkspaces, _, _>(chores::purge_now)
}
