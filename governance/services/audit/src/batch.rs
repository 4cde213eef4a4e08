//! A batch as it came: read bounded, parsed without building payloads, hashed while it is parsed.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use lanyard_governance_api::limits::{MAX_BATCH, MAX_BATCH_BYTES};
use lanyard_governance_foundation::Fault;
use lanyard_governance_foundation::caller::Agent;
use lanyard_protocol::ErrorCode;
use lanyard_protocol::codec;
use lanyard_protocol::envelope::EventEnvelope;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chain::{Digest, event_key};
use crate::event::Event;

/// Bodies longer than this are parsed on a thread of their own, so that other requests go on.
const ASIDE: usize = 128 * 1024;

/// How long a body may take: as long as a host's client gives the longest one on the slowest line it knows of.
const WHOLE: Duration = Duration::from_secs(300);

/// One record of a batch.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    /// The hash its source gives it.
    pub(crate) claimed: Digest,
    /// The hash is right if the one before it in the batch is.
    pub(crate) follows: bool,
    /// Stands for source and event id in the index.
    pub(crate) key: Vec<u8>,
    /// The text that is hashed.
    pub(crate) text: String,
    pub(crate) event: Event,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBatch<'a> {
    #[serde(borrow)]
    records: Vec<RawRecord<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRecord<'a> {
    seq: u64,
    hash: String,
    #[serde(borrow)]
    event: &'a RawValue,
}

/// Reads and parses the body of a batch of an agent.
pub(crate) async fn read(headers: &HeaderMap, body: Body, agent: &Agent) -> Result<Vec<Entry>, Fault> {
    let is_json = |value: &http::HeaderValue| {
        value.to_str().is_ok_and(|text| text.trim_start().starts_with("application/json"))
    };
    // Forms of other pages cannot set it.
    if !headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
        return Err(Fault::invalid("the body must be sent as application/json"));
    }
    let bytes = bounded(body).await?;
    let (tenant, source) = (agent.tenant.to_string(), agent.agent.to_string());
    if bytes.len() <= ASIDE {
        return parse(&bytes, &tenant, &source);
    }
    let parsed = tokio::task::spawn_blocking(move || parse(&bytes, &tenant, &source)).await;
    parsed.unwrap_or_else(|e| Err(Fault::internal("a batch could not be parsed", &e)))
}

async fn bounded(body: Body) -> Result<Bytes, Fault> {
    let Ok(read) = tokio::time::timeout(WHOLE, axum::body::to_bytes(body, MAX_BATCH_BYTES)).await else {
        return Err(Fault::invalid(format!("the body did not come within {} seconds", WHOLE.as_secs())));
    };
    match read {
        Ok(bytes) => Ok(bytes),
        Err(error) => {
            let inner = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            if inner.contains("length limit") {
                let message =
                    format!("the body is longer than {MAX_BATCH_BYTES} bytes; send fewer records at once");
                return Err(Fault::new(ErrorCode::PayloadTooLarge, message));
            }
            Err(Fault::invalid("the body ended before it was whole"))
        }
    }
}

/// The records of a body, in order and without gaps among themselves.
fn parse(bytes: &[u8], tenant: &str, source: &str) -> Result<Vec<Entry>, Fault> {
    let batch: RawBatch<'_> =
        serde_json::from_slice(bytes).map_err(|e| Fault::invalid(format!("the body cannot be read: {e}")))?;
    if batch.records.len() > MAX_BATCH {
        let message = format!("a batch has at most {MAX_BATCH} records, this one {}", batch.records.len());
        return Err(Fault::new(ErrorCode::PayloadTooLarge, message));
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(batch.records.len());
    for record in batch.records {
        let seq = record.seq;
        let wrong = |what: &str| Fault::invalid(format!("record {seq}: {what}")).with("seq", seq);
        if seq == 0 || i64::try_from(seq).is_err() {
            return Err(wrong("records are numbered from 1"));
        }
        if entries.last().is_some_and(|before| before.seq + 1 != seq) {
            return Err(wrong("records of a batch are numbered one after another"));
        }
        let claimed = Digest::from_hex(&record.hash).ok_or_else(|| wrong("a hash has 64 hex digits"))?;
        let event: Event = serde_json::from_str(record.event.get())
            .map_err(|e| wrong(&format!("the event cannot be read: {e}")))?;
        if event.tenant_id != tenant {
            let message =
                format!("record {seq}: its tenant is {:?}, and the caller's is another", event.tenant_id);
            return Err(Fault::forbidden(message).with("seq", seq));
        }
        let key = event_key(tenant, source, event.event_id.as_str());
        let text = record.event.get().to_owned();
        let mut entry = Entry { seq, claimed, follows: false, key, text, event };
        if let Some(before) = entries.last() {
            entry.follows = entry.settle(&before.claimed);
        }
        entries.push(entry);
    }
    Ok(entries)
}

impl Entry {
    /// Whether the hash is right after another. The text it is right for is kept.
    ///
    /// What came is tried first: the source wrote it, and reading and writing numbers anew may change them. A caller
    /// that sends absent members as `null` or indents hashed the canonical text.
    pub(crate) fn settle(&mut self, before: &Digest) -> bool {
        // Line breaks would end a line of an export.
        let one_line = !self.text.bytes().any(|b| b == b'\n' || b == b'\r');
        if one_line && before.then(self.seq, &self.text) == self.claimed {
            return true;
        }
        let canonical =
            codec::from_json::<EventEnvelope>(&self.text).and_then(|event| codec::to_json(&event));
        match canonical {
            Ok(text) if before.then(self.seq, &text) == self.claimed => {
                self.text = text;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::bounded;
    use axum::body::Body;
    use bytes::Bytes;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_not_waited_for() {
        use futures_util::StreamExt as _;
        let begun = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
        let body = Body::from_stream(begun.chain(futures_util::stream::pending()));
        let refused = bounded(body).await.unwrap_err();
        assert!(refused.to_string().contains("within 300 seconds"), "{refused}");
    }
}
