//! Batches: events numbered, chained and written once: what is sent is the very text that was hashed, because reading and
//! writing it anew may change the last digit of a fraction.

use bytes::Bytes;
use lanyard_governance_api::limits::{MAX_BATCH, MAX_BATCH_BYTES};
use lanyard_protocol::codec;
use lanyard_protocol::envelope::EventEnvelope;
use lanyard_protocol::id::EventId;

use super::chain::{ChainHead, link};

/// Records in one batch: a megabyte of usual ones, which a slow uplink carries in half a minute.
pub(super) const USUAL: usize = 1_000;

const _: () = assert!(USUAL <= MAX_BATCH);

/// Longest body, in bytes.
const MAX_BODY: usize = MAX_BATCH_BYTES;

const BEGIN: &str = r#"{"records":["#;
const END: &str = "]}";

/// Records that are sent together, in the very words in which they are sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) body: Bytes,
    pub(super) count: usize,
    /// Where the chain stands when all of them are stored.
    pub(super) head: ChainHead,
    /// The first of them.
    pub(super) first: EventId,
}

/// Why there is no batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoBatch {
    /// Nothing waits.
    Empty,
    /// The first record alone is longer than a batch may be.
    TooLong { event_id: EventId, bytes: usize },
    /// The first record cannot be written.
    Unwritable { event_id: EventId, reason: String },
}

/// As many of the events after `head` as go into one batch.
pub(super) fn batch(head: ChainHead, events: &[EventEnvelope]) -> Result<Batch, NoBatch> {
    let Some(first) = events.first() else { return Err(NoBatch::Empty) };
    let event_id = || first.event_id.clone();
    let mut body = String::from(BEGIN);
    let (mut count, mut at) = (0, head);
    for event in events.iter().take(MAX_BATCH) {
        let json = match codec::to_json(event) {
            Ok(json) => json,
            Err(error) if count == 0 => {
                return Err(NoBatch::Unwritable { event_id: event_id(), reason: error.to_string() });
            }
            Err(_) => break,
        };
        let next = link(at, &json);
        let comma = if count == 0 { "" } else { "," };
        let record = format!(r#"{comma}{{"seq":{},"hash":"{}","event":{json}}}"#, next.seq, next.hex());
        if body.len() + record.len() + END.len() > MAX_BODY {
            if count == 0 {
                return Err(NoBatch::TooLong { event_id: event_id(), bytes: record.len() });
            }
            break;
        }
        body.push_str(&record);
        count += 1;
        at = next;
    }
    body.push_str(END);
    Ok(Batch { body: Bytes::from(body), count, head: at, first: event_id() })
}
