//! What happens without being asked: jobs are settled, outcomes delivered, what ran out is removed. Every replica does
//! it; what two of them do at once is done once.

use std::time::Duration;

use lanyard_governance_api::limits::CERTIFICATE_SECONDS;
use lanyard_governance_foundation::{Fault, Foundation, Statement};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::identity::RENEWABLE_MILLIS;
use crate::{commands, jobs};

/// How often jobs are looked at: a lease is a minute.
const JOBS: Duration = Duration::from_secs(5);

/// How often what ran out is removed.
const SWEEP: Duration = Duration::from_secs(10 * 60);

const HOUR_MILLIS: i64 = 3_600_000;
const DAY_MILLIS: i64 = 24 * HOUR_MILLIS;

/// Tokens are shown for so long after they ran out, and jobs after they ended, in milliseconds.
const TOKENS_KEPT: i64 = 30 * DAY_MILLIS;
const JOBS_KEPT: i64 = 90 * DAY_MILLIS;

/// A host that did not come back for so long has to enrol anew, and will never take its commands.
const COMMANDS_KEPT: i64 = RENEWABLE_MILLIS + CERTIFICATE_SECONDS as i64 * 1_000 + DAY_MILLIS;

/// An outcome that the Approval Service did not take for so long will not be taken, in milliseconds.
const OUTCOMES_KEPT: i64 = 30 * DAY_MILLIS;

/// Works until stopped.
pub async fn chores(foundation: Foundation, stop: CancellationToken) {
    let outcomes = commands::deliver_outcomes(foundation.clone(), stop.clone());
    tokio::join!(outcomes, tidy(foundation, stop));
}

async fn tidy(foundation: Foundation, stop: CancellationToken) {
    let mut next_sweep = Instant::now();
    loop {
        if let Err(fault) = jobs::settle_due(&foundation).await {
            tracing::warn!(%fault, "jobs could not be settled; again in a moment");
        }
        if Instant::now() >= next_sweep {
            next_sweep = Instant::now() + SWEEP;
            foundation.signals.tidy();
            if let Err(fault) = sweep(&foundation).await {
                tracing::warn!(%fault, "what ran out could not be removed; again later");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(JOBS) => {}
        }
    }
}

/// Removes what ran out.
pub(crate) async fn sweep(foundation: &Foundation) -> Result<(), Fault> {
    let now = foundation.clock.now();
    for (sql, kept) in [
        ("DELETE FROM proof_nonces WHERE expires_at < $1", 0),
        ("DELETE FROM enrolment_tokens WHERE expires_at < $1", TOKENS_KEPT),
        ("DELETE FROM commands WHERE at < $1", COMMANDS_KEPT),
        ("DELETE FROM approval_outcomes WHERE at < $1", OUTCOMES_KEPT),
        ("DELETE FROM jobs WHERE due_at IS NULL AND updated_at < $1", JOBS_KEPT),
        // Access tokens are many. One that ran out is as unknown as one that is not there.
        (
            "DELETE FROM credentials WHERE kind = 'agent' AND revoked_at IS NULL AND expires_at < $1",
            HOUR_MILLIS,
        ),
    ] {
        let mut tx = foundation.database.across_write().await?;
        tx.run(Statement::new(sql).bind(now.plus_millis(-kept))).await?;
        tx.commit().await?;
    }
    Ok(())
}
