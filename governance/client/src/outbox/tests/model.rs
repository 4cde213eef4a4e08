//! A centre and a journal in memory, with everything that can go wrong between them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use lanyard_governance_api::audit::{self, AuditAccepted, AuditBatch, ChainedEvent};
use lanyard_protocol::codec::from_json;
use lanyard_protocol::envelope::EventEnvelope;
use lanyard_protocol::id::EventId;
use lanyard_protocol::{ErrorCode, WireError};
use tokio::sync::watch;

use super::super::send::{Drain, Wire};
use super::super::{AuditSource, ChainHead, OutboxState, chain};
use crate::StoreError;
use crate::central::CallError;

pub(super) fn event(number: u64) -> EventEnvelope {
    from_json(&format!(
        r#"{{"eventId":"evt-{number}","eventType":"x","timestamp":"2026-11-20T12:00:00Z","tenantId":"t","userId":"u",
        "workspaceId":"w","sessionId":"s","component":"LocalToolRuntime","boundedContext":"ToolExecution",
        "severity":"info","payload":{{"n":{number}}}}}"#
    ))
    .unwrap()
}

pub(super) fn events(numbers: Range<u64>) -> impl Iterator<Item = EventEnvelope> {
    numbers.map(event)
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    None,
    /// It never arrives.
    RequestLost,
    /// It is carried out and its answer never arrives.
    AnswerLost,
    /// It arrives twice.
    Repeated,
    /// The centre cannot just now.
    Busy,
}

/// The centre's audit service, as the contract says it works.
#[derive(Default)]
pub(super) struct Centre {
    records: Mutex<Vec<ChainedEvent>>,
    mishaps: Mutex<VecDeque<Mishap>>,
    bodies: Mutex<Vec<Bytes>>,
    refused: Mutex<Option<(EventId, u16)>>,
    heads: AtomicU32,
}

fn refusal(status: u16, code: ErrorCode) -> CallError {
    CallError::Refused { status, error: WireError::new(code, "no"), retry_after: None }
}

impl Centre {
    pub(super) fn mishaps(&self, list: impl IntoIterator<Item = Mishap>) {
        *self.mishaps.lock().unwrap() = list.into_iter().collect();
    }

    pub(super) fn refuses(&self, event: EventId, status: u16) {
        *self.refused.lock().unwrap() = Some((event, status));
    }

    pub(super) fn posts(&self) -> usize {
        self.bodies.lock().unwrap().len()
    }

    pub(super) fn bodies(&self) -> Vec<Bytes> {
        self.bodies.lock().unwrap().clone()
    }

    pub(super) fn heads(&self) -> u32 {
        self.heads.load(Ordering::SeqCst)
    }

    pub(super) fn last(&self) -> u64 {
        self.records.lock().unwrap().len() as u64
    }

    pub(super) fn ids(&self) -> Vec<EventId> {
        self.records.lock().unwrap().iter().map(|record| record.event.event_id.clone()).collect()
    }

    pub(super) fn truncate(&self, seq: usize) {
        self.records.lock().unwrap().truncate(seq);
    }

    pub(super) fn tamper(&self, seq: usize) {
        self.records.lock().unwrap()[seq - 1].hash = "ab".repeat(32);
    }

    /// Somebody else's records in the same chain.
    pub(super) fn write(&self, events: impl Iterator<Item = EventEnvelope>) {
        for event in events {
            let head = chain(self.head_of_chain(), &event).unwrap();
            let record = ChainedEvent { seq: head.seq, hash: head.hex(), event };
            self.records.lock().unwrap().push(record);
        }
    }

    fn head_of_chain(&self) -> ChainHead {
        ChainHead::from_wire(&self.head_now()).unwrap()
    }

    pub(super) fn head_now(&self) -> audit::ChainHead {
        let records = self.records.lock().unwrap();
        let hash = records.last().map_or_else(|| ChainHead::START.hex(), |last| last.hash.clone());
        audit::ChainHead { last_seq: records.len() as u64, hash }
    }

    pub(super) fn check_chain(&self) {
        let mut at = ChainHead::START;
        for record in self.records.lock().unwrap().iter() {
            at = chain(at, &record.event).unwrap();
            assert_eq!((record.seq, &record.hash), (at.seq, &at.hex()));
        }
    }

    /// Stores what follows, skips what is there, and keeps what contradicts as alerts.
    pub(super) fn take(&self, body: &[u8]) -> Result<AuditAccepted, CallError> {
        let batch: AuditBatch = serde_json::from_slice(body).unwrap();
        if let Some((event, status)) = &*self.refused.lock().unwrap()
            && batch.records.iter().any(|record| record.event.event_id == *event)
        {
            return Err(refusal(*status, ErrorCode::InvalidRequest));
        }
        let mut records = self.records.lock().unwrap();
        let (mut accepted, mut duplicates, mut conflicts, mut broken) = (0, 0, 0, false);
        for record in batch.records {
            let place = usize::try_from(record.seq).unwrap() - 1;
            match records.get(place) {
                Some(there) if *there == record => duplicates += 1,
                Some(_) => {
                    broken = true;
                    conflicts += 1;
                }
                None if broken => {}
                // An event that is there already stays a link of the chain; another under its id is an alert, too.
                None if place == records.len() => {
                    match records.iter().find(|there| there.event.event_id == record.event.event_id) {
                        None => accepted += 1,
                        Some(there) if there.event == record.event => duplicates += 1,
                        Some(_) => conflicts += 1,
                    }
                    records.push(record);
                }
                None => return Err(refusal(409, ErrorCode::Conflict)),
            }
        }
        Ok(AuditAccepted { last_seq: records.len() as u64, accepted, duplicates, conflicts })
    }

    fn next_mishap(&self) -> Mishap {
        self.mishaps.lock().unwrap().pop_front().unwrap_or(Mishap::None)
    }
}

#[async_trait]
impl Wire for Arc<Centre> {
    async fn head(&self) -> Result<audit::ChainHead, CallError> {
        self.heads.fetch_add(1, Ordering::SeqCst);
        Ok(self.head_now())
    }

    async fn post(&self, body: Bytes) -> Result<AuditAccepted, CallError> {
        self.bodies.lock().unwrap().push(body.clone());
        match self.next_mishap() {
            Mishap::None => self.take(&body),
            Mishap::RequestLost => Err(CallError::unreachable("lost")),
            Mishap::AnswerLost => {
                let _ = self.take(&body);
                Err(CallError::unreachable("lost"))
            }
            Mishap::Repeated => {
                let _ = self.take(&body);
                self.take(&body)
            }
            Mishap::Busy => Err(refusal(503, ErrorCode::CentralUnavailable)),
        }
    }
}

#[derive(Clone)]
pub(super) struct Journal {
    pending: VecDeque<EventEnvelope>,
    head: ChainHead,
}

/// The host's journal.
pub(super) struct Source {
    journal: Mutex<Journal>,
    /// Acknowledgements that fail and keep nothing.
    failing: AtomicU32,
    /// Acknowledgements are kept, and then the host is dead.
    dying: AtomicU32,
}

impl Default for Source {
    fn default() -> Self {
        let journal = Journal { pending: VecDeque::new(), head: ChainHead::START };
        Self { journal: Mutex::new(journal), failing: AtomicU32::new(0), dying: AtomicU32::new(0) }
    }
}

impl Source {
    pub(super) fn append(&self, events: impl Iterator<Item = EventEnvelope>) {
        self.journal.lock().unwrap().pending.extend(events);
    }

    pub(super) fn copy(&self) -> Journal {
        self.journal.lock().unwrap().clone()
    }

    pub(super) fn restore(&self, journal: Journal) {
        *self.journal.lock().unwrap() = journal;
    }

    pub(super) fn fail_acknowledgements(&self, count: u32) {
        self.failing.store(count, Ordering::SeqCst);
    }

    pub(super) fn fail_after_acknowledgement(&self) {
        self.dying.store(1, Ordering::SeqCst);
    }

    pub(super) fn recover(&self) {
        self.dying.store(0, Ordering::SeqCst);
    }
}

#[async_trait]
impl AuditSource for Source {
    async fn head(&self) -> Result<ChainHead, StoreError> {
        Ok(self.journal.lock().unwrap().head)
    }

    async fn pending(&self, limit: usize) -> Result<Vec<EventEnvelope>, StoreError> {
        Ok(self.journal.lock().unwrap().pending.iter().take(limit).cloned().collect())
    }

    async fn acknowledge(&self, count: usize, head: ChainHead) -> Result<(), StoreError> {
        if self.failing.load(Ordering::SeqCst) > 0 {
            self.failing.fetch_sub(1, Ordering::SeqCst);
            return Err(StoreError("the disk is full".to_owned()));
        }
        let mut journal = self.journal.lock().unwrap();
        assert!(count <= journal.pending.len(), "nothing is removed that is not there");
        journal.pending.drain(..count);
        journal.head = head;
        if self.dying.load(Ordering::SeqCst) > 0 {
            return Err(StoreError("dead".to_owned()));
        }
        Ok(())
    }
}

/// A host and its centre.
pub(super) struct World {
    pub(super) centre: Arc<Centre>,
    pub(super) source: Arc<Source>,
    pub(super) state: watch::Receiver<OutboxState>,
    sender: watch::Sender<OutboxState>,
}

impl Default for World {
    fn default() -> Self {
        let (sender, state) = watch::channel(OutboxState::default());
        Self { centre: Arc::default(), source: Arc::default(), state, sender }
    }
}

impl World {
    /// Another life of the host.
    pub(super) fn drain(&self) -> Drain<Arc<Centre>> {
        Drain::new(self.centre.clone(), self.source.clone(), self.sender.clone())
    }

    /// The first so many events are at the centre, in order, once, and chained.
    pub(super) fn check_everything_arrived_once(&self, count: u64) {
        let expected: Vec<_> = events(0..count).map(|event| event.event_id).collect();
        assert_eq!(self.centre.ids(), expected);
        self.centre.check_chain();
    }
}
