//! The way of audit records to the centre: numbered, chained, at least once, and never renumbered in silence.
//!
//! The host writes records without numbers into its journal. The drain gives them their numbers and hashes when it sends
//! them, from the head that the source keeps durably; a batch that was answered is acknowledged together with the new
//! head in one transaction of the source. Whatever dies between, the same records get the same numbers and hashes again.

mod batch;
mod chain;
mod send;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lanyard_protocol::envelope::EventEnvelope;
use lanyard_protocol::id::EventId;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use chain::{ChainHead, chain};

use crate::backoff::{Backoff, random};
use crate::central::{CallError, Central};
use crate::{Ended, StoreError};
use send::{Drain, Step, Stop};

/// How soon the source is looked at although nobody rang.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Where records wait. Implemented by the host over its journal.
#[async_trait]
pub trait AuditSource: Send + Sync {
    /// The last record that the centre is known to have; [`ChainHead::START`] before the first.
    async fn head(&self) -> Result<ChainHead, StoreError>;

    /// The oldest records that wait, in order, at most `limit`; the same ones until they are acknowledged.
    async fn pending(&self, limit: usize) -> Result<Vec<EventEnvelope>, StoreError>;

    /// Removes the oldest `count` records (which may be none) and keeps `head`, in one transaction, durable when it
    /// returns.
    async fn acknowledge(&self, count: usize, head: ChainHead) -> Result<(), StoreError>;
}

/// How the drain stands, for `lanyard sync status`. Counts are of this life of the host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutboxState {
    /// Where the chain stands at the centre; absent before it was asked.
    pub head: Option<ChainHead>,
    /// Records that the centre took.
    pub sent: u64,
    /// Records that it had already: answers that were lost.
    pub duplicates: u64,
    /// Records that contradicted what the centre has; each is an alert there.
    pub conflicts: u64,
    /// The times the chain was taken up where the centre says it stands, because this host's store was behind: it was
    /// restored from a backup, or another machine uses its identity.
    pub adopted: u64,
    /// Why nothing is sent although the centre is reached. Records are kept.
    pub fault: Option<Fault>,
    /// Why the last attempt failed; absent once one succeeded.
    pub failing: Option<String>,
}

/// Why records stay although the centre is reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The centre's chain ends before records that it has confirmed: its database was restored from a backup.
    #[error(
        "the centre has audit records up to number {server}, and has confirmed {host}: its database was set back; tell its operator. Records are kept here"
    )]
    ServerBehind {
        /// The centre's last number.
        server: u64,
        /// The last number it has confirmed to this host.
        host: u64,
    },
    /// The chains have the same length and are not the same.
    #[error(
        "the centre's audit chain of this host is another than the host's own (record {seq}): it was tampered with, or two machines share one identity. Records are kept here"
    )]
    Diverged {
        /// The number.
        seq: u64,
    },
    /// The centre has other records under these numbers, and keeps ours as alerts.
    #[error(
        "the centre has other audit records under the numbers of {count} of this host's: its store was set back, or two machines share one identity. Records are kept here"
    )]
    Contradicted {
        /// How many.
        count: u64,
    },
    /// The centre does not take a record, whatever comes with it.
    #[error("the centre does not take audit record {event_id}: {reason}. Records are kept here")]
    Refused {
        /// The record.
        event_id: EventId,
        /// Why.
        reason: String,
    },
    /// A record is longer than a whole batch may be.
    #[error("audit record {event_id} has {bytes} bytes, more than the centre takes. Records are kept here")]
    TooLong {
        /// The record.
        event_id: EventId,
        /// Its length in bytes.
        bytes: usize,
    },
}

/// Sends what waits in `source` until it is cancelled or the enrolment is revoked; looks again whenever `wake` is rung.
/// Cancel-safe: what was sent and not acknowledged is sent again in the same words.
pub async fn drain(
    central: Central,
    source: Arc<dyn AuditSource>,
    wake: Arc<Notify>,
    state: watch::Sender<OutboxState>,
    cancel: CancellationToken,
) -> Ended {
    let wire = central.clone();
    let mut drain = Drain::new(wire, source, state);
    let forever = async {
        let mut backoff = Backoff::new();
        loop {
            match drain.step().await {
                Ok(Step::Sent) => backoff.reset(),
                Ok(Step::Idle) => {
                    backoff.reset();
                    // The bell is a hint: whatever rang unheard is found soon after.
                    let _ = timeout(LOOK_AGAIN, wake.notified()).await;
                }
                Err(Stop::Call(CallError::Revoked(reason))) => return Ended::Revoked(reason),
                Err(stop) => {
                    central.pause(backoff.next(random(), stop.retry_after())).await;
                }
            }
        }
    };
    cancel.run_until_cancelled(forever).await.unwrap_or(Ended::Cancelled)
}
