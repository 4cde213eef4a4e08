//! The Telemetry Service: events and spans without content, what charts are drawn from, and the way of spans to a tracing
//! system.
//!
//! * Prompts, code and file contents are refused by the names of their keys and by size ([`content`]); they are not
//!   dropped in silence, so that a host that would send them is noticed.
//! * Spans are deduped by id and source. What charts need is added up per hour and source in the same transaction, so a
//!   summary never reads spans.
//! * Raw spans and events are kept 14 days, sums 400. A span that is sent again after its 14 days is counted again.
//! * Where a tracing system is configured, spans go there as OTLP ([`otlp`]), at least once.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod content;
mod events;
mod histogram;
pub mod otlp;
mod retention;
mod rollup;
mod schema;
mod spans;
mod summary;

#[cfg(test)]
mod tests;

use std::time::Duration;

use lanyard_governance_api::endpoint::{GetTelemetrySummary, PostTelemetry, PostTraces};
use lanyard_governance_foundation::{Caller, Fault, Foundation, Routes};
use tokio_util::sync::CancellationToken;

pub use otlp::{OtlpError, OtlpSettings};
pub use schema::MIGRATIONS;

/// How often old rows are looked for.
const SWEEP: Duration = Duration::from_secs(300);

/// What an installation may set.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where spans go besides; absent: nowhere.
    pub otlp: Option<OtlpSettings>,
}

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct State {
    foundation: Foundation,
    /// Spans wait for a tracing system.
    forwards: bool,
}

/// The service's routes.
pub fn routes(foundation: Foundation, settings: Settings) -> Routes<State> {
    Routes::new(State { foundation, forwards: settings.otlp.is_some() })
        .on::<PostTelemetry, _, _>(events::post)
        .on::<PostTraces, _, _>(spans::post)
        .on::<GetTelemetrySummary, _, _>(summary::get)
}

/// Removes what is old and forwards spans, until stopped. Several replicas may do it at once.
pub async fn chores(foundation: Foundation, settings: Settings, stop: CancellationToken) {
    let forward = async {
        match settings.otlp {
            Some(otlp) => otlp::forward(foundation.clone(), otlp, stop.clone()).await,
            None => stop.cancelled().await,
        }
    };
    let sweep = async {
        loop {
            if let Err(fault) = retention::sweep(&foundation).await {
                tracing::warn!(%fault, "old telemetry is still there");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SWEEP) => {}
            }
        }
    };
    tokio::join!(forward, sweep);
}

/// Who sends: a host by its id, or `service`.
fn source(caller: &Caller) -> Result<String, Fault> {
    match caller {
        Caller::Service { .. } => Ok("service".to_owned()),
        other => Ok(other.agent()?.agent.to_string()),
    }
}
