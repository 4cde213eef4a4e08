//! Backend Tool Service: tools that run behind the centre, at HTTP addresses that a tenant's administrators name.
//!
//! A host's call is checked again here (its session, the policy in force, a person's approval where the policy asks for
//! one), runs once per call id, and answers with the same `ToolResult` as a tool of the host itself.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod address;
mod call;
mod chores;
mod definitions;
mod grant;
mod invoke;
mod runs;
mod schema;
mod seal;
mod settings;
mod settle;
mod tables;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use lanyard_governance_api::endpoint as e;
use lanyard_governance_api::id::{AgentId, TenantId};
use lanyard_governance_foundation::pace::Pace;
use lanyard_governance_foundation::permits::Permits;
use lanyard_governance_foundation::{Foundation, Routes};

pub use chores::chores;
pub use settings::{OpenSettingsError, Reach, Settings};
pub use tables::MIGRATIONS;

/// Tools that run at once for this process. Each may hold an answer of 4 MiB and its text.
const RUNNING: usize = 32;

/// Those of one tenant.
const TENANT_RUNNING: usize = 8;

/// Calls of one host: in the long run, per second, and at once.
const CALLS_PER_SECOND: f64 = 10.0;
const CALLS_AT_ONCE: f64 = 50.0;

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct State {
    foundation: Foundation,
    settings: Settings,
    turns: Arc<Permits<TenantId>>,
    pace: Arc<Pace<(TenantId, AgentId)>>,
}

/// The endpoints.
pub fn routes(foundation: Foundation, settings: Settings) -> Routes<State> {
    let pace = Arc::new(Pace::new(CALLS_PER_SECOND, CALLS_AT_ONCE));
    let turns = Arc::new(Permits::new("runs of tools", RUNNING, TENANT_RUNNING));
    Routes::new(State { foundation, settings, turns, pace })
        .on::<e::ListTools, _, _>(definitions::list)
        .on::<e::PutTool, _, _>(definitions::put)
        .on::<e::DeleteTool, _, _>(definitions::delete)
        .on::<e::InvokeTool, _, _>(invoke::invoke)
        .on::<e::SettleTool, _, _>(settle::settle)
}
