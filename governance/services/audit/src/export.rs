//! Export, oldest first, streamed: a chunk is read when the caller has taken the one before. Nothing is left running when
//! the caller goes.
//!
//! Events are written as exactly the text that was hashed, so that whoever holds an export can prove the chains.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header;
use lanyard_governance_api::audit::ExportFormat;
use lanyard_governance_api::endpoint::ExportAudit;
use lanyard_governance_api::id::TenantId;
use lanyard_governance_foundation::{Fault, Foundation, RawAsk, Statement};
use lanyard_protocol::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::State;
use crate::cursor::Position;
use crate::event::Event;
use crate::scan::{Scan, Seen};
use crate::search::check;

/// Records read by one statement.
const CHUNK: u32 = 500;

pub(crate) async fn export(state: State, ask: RawAsk<ExportAudit>) -> Result<Response, Fault> {
    let mut query = ask.query;
    check(&query)?;
    if query.limit.is_some() || query.next_token.is_some() {
        return Err(Fault::invalid("an export has no pages: leave limit and nextToken out"));
    }
    let format = query.format.unwrap_or_default();
    let tenant = ask.caller.tenant()?.clone();
    // What comes while it runs is not part of it, or it might never end.
    let mut tx = state.foundation.database.read_of(&tenant).await?;
    let newest = "SELECT MAX(received_at) AS newest FROM audit_records WHERE tenant_id = $1";
    let newest = match tx.one(Statement::new(newest)).await? {
        Some(row) => row.opt_time("newest")?,
        None => None,
    };
    drop(tx);
    let end = newest.map_or(Timestamp::from_millis(0), |newest| newest.plus_millis(1));
    query.to = Some(query.to.map_or(end, |to| to.min(end)));
    let scan = Scan::new(&query, true);
    let walk = Walk { foundation: state.foundation, tenant, scan, format, after: None, ended: false };
    let lines = futures_util::stream::try_unfold(walk, |mut walk| async move {
        // Whoever reads is told by a broken answer, not by one that looks whole.
        match walk.next().await {
            Ok(lines) => Ok(lines.map(|lines| (lines, walk))),
            Err(fault) => Err(std::io::Error::other(fault)),
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"lanyard-audit.jsonl\""),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// An export on its way.
struct Walk {
    foundation: Foundation,
    tenant: TenantId,
    scan: Scan,
    format: ExportFormat,
    after: Option<Position>,
    ended: bool,
}

impl Walk {
    /// The next lines; absent at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        while !self.ended {
            let mut tx = self.foundation.database.read_of(&self.tenant).await?;
            let chunk = self.scan.chunk(&mut tx, self.after.as_ref(), CHUNK).await?;
            drop(tx);
            self.ended = chunk.last;
            let mut lines = Vec::new();
            for seen in chunk.seen {
                if self.scan.beyond(&seen.position) {
                    self.ended = true;
                    break;
                }
                if let Some(text) = seen.text.as_deref().filter(|text| !text.is_empty()) {
                    let begun = lines.len();
                    if let Err(error) = line(&mut lines, self.format, &seen, text) {
                        // Its number is missing in the export, as it should be noticed.
                        lines.truncate(begun);
                        let Position { source, seq, .. } = &seen.position;
                        tracing::error!(%error, source, seq, "an audit record cannot be read: verify its chain");
                    }
                }
                self.after = Some(seen.position);
            }
            if !lines.is_empty() {
                return Ok(Some(lines.into()));
            }
        }
        Ok(None)
    }
}

/// `AuditRecord`, its event untouched.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    source: &'a str,
    seq: u64,
    hash: String,
    received_at: Timestamp,
    event: &'a RawValue,
}

/// CloudEvents 1.0, JSON format. Names of extension attributes have lower-case letters and digits only, and numbers
/// beyond 32 bits are texts.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    r#type: &'a str,
    time: Timestamp,
    subject: String,
    datacontenttype: &'static str,
    chainseq: String,
    chainhash: String,
    receivedat: Timestamp,
    data: &'a RawValue,
}

fn line(out: &mut Vec<u8>, format: ExportFormat, seen: &Seen, text: &str) -> Result<(), serde_json::Error> {
    let raw: &RawValue = serde_json::from_str(text)?;
    let Position { received_at, seq, source } = &seen.position;
    match format {
        ExportFormat::JsonLines => {
            let (hash, seq, received_at) = (seen.hash.hex(), *seq, *received_at);
            serde_json::to_writer(&mut *out, &Record { source, seq, hash, received_at, event: raw })?;
        }
        ExportFormat::CloudEvents => {
            let event: Event = serde_json::from_str(text)?;
            let cloud = CloudEvent {
                specversion: "1.0",
                id: event.event_id.as_str(),
                source: match source.strip_prefix("service:") {
                    Some(service) => format!("/services/{service}"),
                    None => format!("/agents/{source}"),
                },
                r#type: &event.event_type,
                time: event.timestamp,
                subject: format!("/sessions/{}", event.session_id),
                datacontenttype: "application/json",
                chainseq: seq.to_string(),
                chainhash: seen.hash.hex(),
                receivedat: *received_at,
                data: raw,
            };
            serde_json::to_writer(&mut *out, &cloud)?;
        }
    }
    out.push(b'\n');
    Ok(())
}
