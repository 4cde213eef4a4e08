//! One step of the drain after another: find where both sides stand, send, acknowledge.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use lanyard_governance_api::audit::{self, AuditAccepted};
use lanyard_governance_api::endpoint::{GetChainHead, PostAudit};
use lanyard_governance_api::limits::MAX_BATCH;
use lanyard_governance_api::page::Nothing;
use tokio::sync::watch;

use super::batch::{Batch, NoBatch, USUAL, batch};
use super::{AuditSource, ChainHead, Fault, OutboxState, chain};
use crate::StoreError;
use crate::central::{CallError, Central};

/// What the drain needs of the centre; a model of it in tests.
#[async_trait]
pub(super) trait Wire: Send + Sync {
    async fn head(&self) -> Result<audit::ChainHead, CallError>;
    async fn post(&self, body: Bytes) -> Result<AuditAccepted, CallError>;
}

#[async_trait]
impl Wire for Central {
    async fn head(&self) -> Result<audit::ChainHead, CallError> {
        self.call::<GetChainHead>(&[], &Nothing {}, &Nothing {}).await
    }

    async fn post(&self, body: Bytes) -> Result<AuditAccepted, CallError> {
        self.call_encoded::<PostAudit>(&Nothing {}, body).await
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Something moved; there may be more.
    Sent,
    /// Nothing waits.
    Idle,
}

/// Why a step did nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum Stop {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Stop {
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call(error) => error.retry_after(),
            Self::Store(_) | Self::Fault(_) => None,
        }
    }
}

/// The drain between two steps. Losing it loses nothing: everything durable is the source's.
pub(super) struct Drain<W> {
    wire: W,
    source: Arc<dyn AuditSource>,
    state: watch::Sender<OutboxState>,
    /// The centre's head was seen to be ours in this life.
    agreed: bool,
    /// Sent and not answered.
    unanswered: Option<Batch>,
    /// Records in the next batch; halved while the centre refuses them together.
    most: usize,
}

impl<W: Wire> Drain<W> {
    pub(super) fn new(wire: W, source: Arc<dyn AuditSource>, state: watch::Sender<OutboxState>) -> Self {
        Self { wire, source, state, agreed: false, unanswered: None, most: USUAL }
    }

    /// Does the next thing, and tells the watchers what came of it.
    pub(super) async fn step(&mut self) -> Result<Step, Stop> {
        let done = self.advance().await;
        self.state.send_if_modified(|state| {
            let (fault, failing) = match &done {
                Ok(_) => (None, None),
                Err(Stop::Fault(fault)) => (Some(fault.clone()), Some(fault.to_string())),
                // A fault stays until the centre says otherwise.
                Err(stop) => (state.fault.clone(), Some(stop.to_string())),
            };
            let news = (&state.fault, &state.failing) != (&fault, &failing);
            if news && let Some(failing) = &failing {
                tracing::warn!(reason = %failing, "audit records were not sent");
            }
            (state.fault, state.failing) = (fault, failing);
            news
        });
        done
    }

    async fn advance(&mut self) -> Result<Step, Stop> {
        if !self.agreed {
            self.agree().await?;
            self.agreed = true;
        }
        let batch = match self.unanswered.take() {
            Some(batch) => batch,
            None => match self.next().await? {
                Some(batch) => batch,
                None => return Ok(Step::Idle),
            },
        };
        // Kept before it is sent: a step that is dropped in between is repeated in the same words.
        self.unanswered = Some(batch.clone());
        match self.wire.post(batch.body.clone()).await {
            Ok(accepted) => self.settle(batch, accepted).await,
            Err(CallError::Refused { status: 400 | 403 | 413 | 422, error, .. }) => {
                self.narrow(&batch, error.message)
            }
            Err(error) => {
                if matches!(error, CallError::Refused { status: 409, .. }) {
                    // The numbers do not follow on what it has.
                    self.forget();
                }
                Err(error.into())
            }
        }
    }

    async fn next(&self) -> Result<Option<Batch>, Stop> {
        let events = self.source.pending(self.most).await?;
        let head = self.source.head().await?;
        match batch(head, &events) {
            Ok(batch) => Ok(Some(batch)),
            Err(NoBatch::Empty) => Ok(None),
            Err(NoBatch::TooLong { event_id, bytes }) => Err(Fault::TooLong { event_id, bytes }.into()),
            Err(NoBatch::Unwritable { event_id, reason }) => Err(Fault::Refused { event_id, reason }.into()),
        }
    }

    /// What the centre says of a batch.
    async fn settle(&mut self, batch: Batch, accepted: AuditAccepted) -> Result<Step, Stop> {
        let AuditAccepted { last_seq, accepted, duplicates, conflicts } = accepted;
        self.state.send_modify(|state| {
            state.sent += accepted;
            state.duplicates += duplicates;
            state.conflicts += conflicts;
        });
        if conflicts > 0 {
            // Its head says whether they are in our chain nevertheless.
            self.forget();
            return Err(Fault::Contradicted { count: conflicts }.into());
        }
        if last_seq < batch.head.seq {
            self.forget();
            let told =
                format!("it has records up to {last_seq} after it took those up to {}", batch.head.seq);
            return Err(CallError::Protocol(told).into());
        }
        self.source.acknowledge(batch.count, batch.head).await?;
        self.unanswered = None;
        self.most = USUAL.min(self.most * 2);
        // Somebody else writes to our chain: the next step finds out where it stands.
        self.agreed = last_seq == batch.head.seq;
        self.state.send_modify(|state| state.head = Some(batch.head));
        Ok(Step::Sent)
    }

    /// Nothing is known any more but what the source keeps.
    fn forget(&mut self) {
        self.agreed = false;
        self.unanswered = None;
    }

    /// Fewer records at a time, so that one that is not taken holds up only those after it.
    fn narrow(&mut self, batch: &Batch, reason: String) -> Result<Step, Stop> {
        self.unanswered = None;
        if batch.count == 1 {
            return Err(Fault::Refused { event_id: batch.first.clone(), reason }.into());
        }
        self.most = batch.count / 2;
        Ok(Step::Sent)
    }

    /// Finds where both chains stand, and goes on from there if nothing confirmed is missing.
    async fn agree(&mut self) -> Result<(), Stop> {
        let server = ChainHead::from_wire(&self.wire.head().await?).map_err(CallError::Protocol)?;
        let ours = self.source.head().await?;
        if server.seq < ours.seq {
            return Err(Fault::ServerBehind { server: server.seq, host: ours.seq }.into());
        }
        if server.seq == ours.seq && server.hash != ours.hash {
            return Err(Fault::Diverged { seq: ours.seq }.into());
        }
        if server.seq > ours.seq {
            match self.unacknowledged(ours, server).await? {
                Some(count) => {
                    self.source.acknowledge(count, server).await?;
                    self.state.send_modify(|state| state.duplicates += count as u64);
                }
                None => {
                    tracing::warn!(
                        ours = ours.seq,
                        centre = server.seq,
                        "the centre has audit records of this host that its own store does not know of; the chain goes on after them"
                    );
                    self.source.acknowledge(0, server).await?;
                    self.state.send_modify(|state| state.adopted += 1);
                }
            }
        }
        self.state.send_modify(|state| state.head = Some(server));
        Ok(())
    }

    /// How many of the records that wait the centre has already, if its chain is ours and them: an answer was lost.
    async fn unacknowledged(&self, ours: ChainHead, server: ChainHead) -> Result<Option<usize>, Stop> {
        let missing = usize::try_from(server.seq - ours.seq).unwrap_or(usize::MAX);
        if missing > MAX_BATCH {
            return Ok(None);
        }
        let events = self.source.pending(missing).await?;
        let mut at = ours;
        for event in events.iter().take(missing) {
            let Ok(next) = chain(at, event) else { return Ok(None) };
            at = next;
        }
        Ok((at == server).then_some(missing))
    }
}
