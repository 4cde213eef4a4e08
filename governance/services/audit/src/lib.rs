//! The Audit Service: records of hosts and services in chains, search, proof, export, retention (seed 004 §13, §17).
//!
//! * Every source (a host, or `service:…`) has one chain. The rule of its hashes is in `lanyard_governance_api::audit`.
//!   An event is stored once, as exactly the text that was hashed, so that proof never depends on how JSON is written.
//! * What was answered with 202 is on disk. The same record again is a duplicate; another record under a number or an
//!   event id that is taken is a conflict: kept apart, counted, shown by verification, and recorded itself.
//! * A source's row in `audit_heads` is locked while records are added, so chains of different sources never wait for
//!   each other.
//! * Retention removes the oldest records and leaves number and hash of the last one removed: what is left is still
//!   proven.
//!
//! **Anchoring.** Whoever can write to the database could cut the end off a chain and set its head back to fit. Inside
//! the database that cannot be noticed. Heads are therefore told to the outside: by [`VerifyAudit`] to whoever keeps them,
//! and once an hour in the log (target `lanyard::anchor`). A chain whose record at an anchored number has another hash,
//! or that ends before it, was tampered with. Hosts notice too: they keep their own head.
//!
//! **Growth.** Searches walk `audit_records` by time, by session, or along one chain, each by an index and a bounded
//! number of rows a page; retention removes in small batches. A deployment on PostgreSQL may partition the table by range
//! of `received_at`. Both unique keys then need that column too: numbers stay unique all the same, because a chain's head
//! is locked while it grows, but an event id that comes again is noticed within its partition only.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod batch;
mod chain;
mod conflict;
mod cursor;
mod event;
mod export;
mod head;
mod ingest;
mod retention;
mod scan;
mod schema;
mod search;
mod services;
mod verify;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use lanyard_governance_api::endpoint::{
    ExportAudit, GetChainHead, GetRetention, PostAudit, PostServiceAudit, SearchAudit, SetRetention,
    VerifyAudit,
};
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::limits::AUDIT_RETENTION_DAYS;
use lanyard_governance_foundation::permits::Permits;
use lanyard_governance_foundation::{Foundation, Routes};
use lanyard_protocol::Timestamp;
use tokio_util::sync::CancellationToken;

pub use schema::MIGRATIONS;

/// How often old records are looked for.
const SWEEP: Duration = Duration::from_secs(300);

/// Proofs at once, in this process and of one tenant. One keeps a core and a connection to the database busy.
const PROOFS: usize = 2;
const TENANT_PROOFS: usize = 1;

/// How often heads are logged, in milliseconds of server time.
const ANCHOR_MILLIS: u64 = 3_600_000;

/// What an installation may set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Days records are kept where the tenant says nothing.
    pub retention_days: u32,
    /// Days they are kept whatever the tenant says: what an administrator does stays visible for as long.
    pub least_days: u32,
    /// Days after which a shorter time counts, so that somebody who watches the records can export them first.
    pub shortening_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { retention_days: AUDIT_RETENTION_DAYS, least_days: 30, shortening_days: 7 }
    }
}

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct State {
    foundation: Foundation,
    settings: Settings,
    /// Each proof reads every record of a chain.
    proofs: Arc<Permits<TenantId>>,
}

/// The service's routes.
pub fn routes(foundation: Foundation, settings: Settings) -> Routes<State> {
    let proofs = Arc::new(Permits::new("proofs of audit chains", PROOFS, TENANT_PROOFS));
    Routes::new(State { foundation, settings, proofs })
        .on_raw::<PostAudit, _, _>(ingest::post)
        .on::<PostServiceAudit, _, _>(services::post)
        .on::<GetChainHead, _, _>(head::get)
        .on::<SearchAudit, _, _>(search::search)
        .on::<VerifyAudit, _, _>(verify::verify)
        .on_raw::<ExportAudit, _, _>(export::export)
        .on::<GetRetention, _, _>(retention::get)
        .on::<SetRetention, _, _>(retention::set)
}

/// Removes what is older than its tenant keeps, and logs heads, until stopped. Several replicas may do it at once.
pub async fn chores(foundation: Foundation, settings: Settings, stop: CancellationToken) {
    let mut anchored = Timestamp::from_millis(0);
    loop {
        if let Err(fault) = retention::sweep(&foundation, &settings).await {
            tracing::warn!(%fault, "old audit records are still there");
        }
        let now = foundation.clock.now();
        if now.millis_since(anchored) >= ANCHOR_MILLIS {
            match head::log_changed(&foundation, anchored).await {
                Ok(_) => anchored = now,
                Err(fault) => tracing::warn!(%fault, "the heads of the audit chains could not be logged"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
    }
}
