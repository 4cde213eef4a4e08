//! Events: stored once, content-free.

use lanyard_governance_api::endpoint::PostTelemetry;
use lanyard_governance_api::limits::MAX_BATCH;
use lanyard_governance_api::telemetry::TelemetryAccepted;
use lanyard_governance_foundation::database::Value;
use lanyard_governance_foundation::{Ask, Fault};
use lanyard_protocol::envelope::EventEnvelope;
use lanyard_protocol::{ErrorCode, Timestamp};

use crate::{State, content, source};

const COLUMNS: &[&str] = &[
    "source",
    "event_id",
    "received_at",
    "happened_at",
    "severity",
    "component",
    "event_type",
    "session_id",
    "task_id",
    "payload",
];

/// Refuses a batch with too many things in it.
pub(crate) fn few(count: usize) -> Result<(), Fault> {
    if count <= MAX_BATCH {
        return Ok(());
    }
    let message = format!("a batch has at most {MAX_BATCH} of them, this one {count}");
    Err(Fault::new(ErrorCode::PayloadTooLarge, message))
}

pub(crate) async fn post(state: State, ask: Ask<PostTelemetry>) -> Result<TelemetryAccepted, Fault> {
    let (tenant, source) = (ask.caller.tenant()?.clone(), source(&ask.caller)?);
    let events = ask.body.events;
    few(events.len())?;
    let now = state.foundation.clock.now();
    let mut rows = Vec::with_capacity(events.len());
    for event in &events {
        if event.tenant_id != tenant.as_str() {
            return Err(Fault::forbidden(format!("event {} belongs to another tenant", event.event_id)));
        }
        content::line("eventType", &event.event_type)?;
        content::payload(&event.payload.0)?;
        rows.push(row(&source, event, now)?);
    }
    if rows.is_empty() {
        return Ok(TelemetryAccepted { accepted: 0, duplicates: 0 });
    }
    let total = rows.len() as u64;
    let mut tx = state.foundation.database.write_of(&tenant).await?;
    let once = "ON CONFLICT (tenant_id, source, event_id) DO NOTHING";
    let accepted = tx.insert_many("telemetry_events", COLUMNS, rows, once).await?;
    tx.commit().await?;
    Ok(TelemetryAccepted { accepted, duplicates: total - accepted })
}

fn row(source: &str, event: &EventEnvelope, now: Timestamp) -> Result<Vec<Value>, Fault> {
    let word = |value: serde_json::Result<serde_json::Value>| {
        value
            .map(|word| word.as_str().unwrap_or_default().to_owned())
            .map_err(|e| Fault::internal("an event cannot be written", &e))
    };
    Ok(vec![
        source.into(),
        event.event_id.as_str().into(),
        now.into(),
        event.timestamp.into(),
        word(serde_json::to_value(event.severity))?.into(),
        word(serde_json::to_value(event.component))?.into(),
        event.event_type.as_str().into(),
        event.session_id.as_str().into(),
        event.task_id.as_ref().map(|id| id.as_str()).into(),
        event.payload.0.to_string().into(),
    ])
}
