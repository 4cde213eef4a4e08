//! The heartbeat: says that the host is there, hears what changed, and keeps the certificate young.
//!
//! By the service token alone and without a client certificate, so that a host whose certificate ran out is still seen.
//! It also settles whether the centre is reached: a call that is not answered makes it beat at once.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lanyard_governance_api::agent::{Heartbeat, HeartbeatAnswer};
use lanyard_governance_api::endpoint::SendHeartbeat;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::Ended;
use crate::backoff::{Backoff, random, spread};
use crate::central::{CallError, Central, Credential};
use crate::renew::RenewError;

/// Least time between two beats, however many calls fail.
const PAUSE: Duration = Duration::from_secs(1);

/// Longest the centre may have a host be silent.
const MAX_SILENCE: Duration = Duration::from_secs(3_600);

/// What the host says of itself.
#[async_trait]
pub trait Vitals: Send + Sync {
    /// The next heartbeat. `client_time` is filled in when it is sent.
    async fn heartbeat(&self) -> Heartbeat;
}

/// Beats until it is cancelled or the enrolment is revoked, and renews the certificate at half of its life. What it hears
/// is in [`Central::reach`]. Cancel-safe.
pub async fn beat(central: Central, vitals: Arc<dyn Vitals>, cancel: CancellationToken) -> Ended {
    let (failures, renewals) = (Backoff::new(), Backoff::new());
    let run = Beating { central, vitals, failures, renewals, renew_at: None, confirmed: 0 };
    cancel.run_until_cancelled(run.forever()).await.unwrap_or(Ended::Cancelled)
}

struct Beating {
    central: Central,
    vitals: Arc<dyn Vitals>,
    failures: Backoff,
    renewals: Backoff,
    /// Not before; after a renewal that failed.
    renew_at: Option<Instant>,
    /// The policy epoch that the last beat said is in force here, or that a sooner beat was promised for.
    confirmed: u64,
}

impl Beating {
    async fn forever(mut self) -> Ended {
        loop {
            let wait = match self.once().await {
                Ok(answer) => {
                    self.failures.reset();
                    if let Err(ended) = self.keep_young(answer.renew).await {
                        return ended;
                    }
                    if answer.policy_epoch > self.confirmed {
                        // Heard just now: the next beat confirms it, and somebody in the console waits for that.
                        self.confirmed = answer.policy_epoch;
                        PAUSE * 2
                    } else {
                        let usual = Duration::from_secs(answer.heartbeat_seconds.into());
                        spread(usual.clamp(PAUSE, MAX_SILENCE), random())
                    }
                }
                Err(CallError::Revoked(reason)) => return Ended::Revoked(reason),
                Err(error) => {
                    self.central.inner.failing(&error.to_string());
                    let usual = Duration::from_secs(self.central.identity().heartbeat_seconds.into());
                    // A centre that is away is looked for at least as often as it is told that all is well.
                    let looked = self.failures.next(random(), None).min(usual).max(PAUSE);
                    looked.max(error.retry_after().unwrap_or_default().min(MAX_SILENCE))
                }
            };
            self.rest(wait).await;
        }
    }

    /// Until the next beat is due, or a call was not answered by a centre that is thought to be there.
    async fn rest(&self, wait: Duration) {
        let due = Instant::now() + wait;
        sleep(PAUSE.min(wait)).await;
        if self.failures.failures() > 0 {
            return sleep_until(due).await;
        }
        tokio::select! {
            () = sleep_until(due) => {}
            () = self.central.inner.doubt.notified() => {}
        }
    }

    async fn once(&mut self) -> Result<HeartbeatAnswer, CallError> {
        let mut heartbeat = self.vitals.heartbeat().await;
        heartbeat.client_time = self.central.clock().local();
        let answer = self.central.call_by::<SendHeartbeat>(Credential::Heartbeat, &heartbeat).await?;
        self.central.clock().learn(answer.server_time);
        self.central.inner.heard(&answer);
        self.confirmed = self.confirmed.max(heartbeat.policy_epoch);
        Ok(answer)
    }

    /// Renews when told to, or when half of the certificate's life is over by the server's clock.
    async fn keep_young(&mut self, told: bool) -> Result<(), Ended> {
        let due = told || self.central.clock().now() >= self.central.identity().renew_after();
        if !due || self.renew_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        match self.central.renew().await {
            Ok(()) => {
                self.renewals.reset();
                self.renew_at = None;
                tracing::info!(not_after = %self.central.identity().not_after, "the certificate was renewed");
                Ok(())
            }
            Err(RenewError::Call(CallError::Revoked(reason))) => Err(Ended::Revoked(reason)),
            Err(error) => {
                // There is half of its life to try in.
                self.renew_at = Some(Instant::now() + self.renewals.next(random(), None));
                tracing::warn!(%error, "the certificate was not renewed");
                Ok(())
            }
        }
    }
}
