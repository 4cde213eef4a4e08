//! The Policy Service: a tenant's policy in versions, the one in force with its epoch, and the bundles issued from it.
//!
//! * A version is never changed. What is in force changes by raising the tenant's epoch, in one transaction with the
//!   row that says hosts are to be told; they are told at once, and again by [`chores`] until the command channel took
//!   it, so that a crash in between loses nothing.
//! * Nothing is put in force that hosts would refuse: [`validate`] ends with the validation that hosts themselves use.
//! * A dry run asks the code that hosts decide with, over a bundle issued as for a session.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod document;
mod dry_run;
mod force;
mod issue;
mod store;
mod tell;
mod validate;
mod versions;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use lanyard_governance_api::endpoint::{
    ActivatePolicy, CreatePolicy, CurrentPolicy, DryRunPolicy, GetPolicyVersion, IssueBundle, ListPolicies,
    RevokePolicy, ValidatePolicy,
};
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::limits::MAX_POLICY_VERSIONS;
use lanyard_governance_api::policy::Validation;
use lanyard_governance_foundation::permits::Permits;
use lanyard_governance_foundation::{Ask, Fault, Foundation, Migration, Routes};

pub use document::first_document;
pub use tell::chores;

/// Tables of this service.
pub const MIGRATIONS: &[Migration] = &[Migration {
    service: "policy",
    number: 1,
    sql: "CREATE TABLE policy_versions (
    tenant_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    document TEXT NOT NULL,
    comment TEXT NOT NULL,
    created_by TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, version));
{{isolate policy_versions}}
CREATE TABLE policy_state (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL,
    version BIGINT NOT NULL,
    last_version BIGINT NOT NULL,
    revoked TEXT,
    changed_by TEXT,
    changed_by_name TEXT,
    changed_at BIGINT NOT NULL);
{{isolate policy_state}}
CREATE TABLE policy_news (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL);
{{isolate policy_news}}
CREATE INDEX policy_news_next ON policy_news (next_at);
",
}];

/// Documents looked at at once in this process: the longest, full of patterns, keep a core busy for seconds.
const CHECKS: usize = 4;

/// Those of one tenant.
const TENANT_CHECKS: usize = 2;

/// How long one waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// How the service behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Versions kept per tenant; the oldest that is not in force goes when another is saved.
    pub versions_kept: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { versions_kept: MAX_POLICY_VERSIONS }
    }
}

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct State {
    foundation: Foundation,
    settings: Settings,
    checks: Arc<Permits<TenantId>>,
}

impl State {
    /// Looks at a document beside the threads that serve requests, when it is this tenant's turn. Dropped, what has begun
    /// is done to its end.
    ///
    /// # Errors
    /// `RATE_LIMITED` when others of the tenant, or of this process, take too long.
    pub(crate) async fn beside<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let turn = self.checks.take(tenant, TURN).await?;
        let looked = tokio::task::spawn_blocking(move || {
            let found = look();
            drop(turn);
            found
        });
        looked.await.map_err(|e| Fault::internal("a policy could not be looked at", &e))
    }
}

/// The endpoints of this service.
pub fn routes(foundation: Foundation, settings: Settings) -> Routes<State> {
    let checks = Permits::new("policies looked at", CHECKS, TENANT_CHECKS);
    Routes::new(State { foundation, settings, checks: Arc::new(checks) })
        .on::<CurrentPolicy, _, _>(force::current)
        .on::<ListPolicies, _, _>(versions::list)
        .on::<CreatePolicy, _, _>(versions::create)
        .on::<GetPolicyVersion, _, _>(versions::get)
        .on::<ActivatePolicy, _, _>(force::activate)
        .on::<RevokePolicy, _, _>(force::revoke)
        .on::<ValidatePolicy, _, _>(validated)
        .on::<DryRunPolicy, _, _>(dry_run::run)
        .on::<IssueBundle, _, _>(issue::bundle)
}

async fn validated(state: State, ask: Ask<ValidatePolicy>) -> Result<Validation, Fault> {
    let document = ask.body.document.0;
    let problems = state.beside(ask.caller.tenant()?, move || validate::text(&document)).await?;
    Ok(Validation { problems })
}
