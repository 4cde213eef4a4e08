//! Spans: stored once, added up for charts, and queued for the tracing system, in one transaction.
//!
//! Spans of one source are added one batch after the other (its row is locked), or a batch that arrives twice at the
//! same time would be added up twice. As with audit, a batch is inserted without looking first.

use std::collections::HashSet;

use lanyard_governance_api::endpoint::PostTraces;
use lanyard_governance_api::telemetry::{Operation, Span, TelemetryAccepted};
use lanyard_governance_foundation::database::{DatabaseError, Row, Value};
use lanyard_governance_foundation::{Ask, Fault, Statement, Tx};
use lanyard_protocol::Timestamp;

use crate::events::few;
use crate::{State, content, otlp, rollup, source};

/// Ids looked up with one statement.
const IDS: usize = 500;

/// Longest span, in milliseconds: a year. Longer ones are a clock that jumped, or a defect.
const MAX_DURATION: u64 = 366 * 24 * 3_600 * 1_000;

const COLUMNS: &[&str] = &[
    "source",
    "span_id",
    "trace_id",
    "parent_span_id",
    "received_at",
    "started_at",
    "duration_millis",
    "operation",
    "ok",
    "name",
    "error",
    "attributes",
];

pub(crate) fn operation_number(operation: Operation) -> i64 {
    match operation {
        Operation::InvokeAgent => 0,
        Operation::Chat => 1,
        Operation::ExecuteTool => 2,
    }
}

pub(crate) async fn post(state: State, ask: Ask<PostTraces>) -> Result<TelemetryAccepted, Fault> {
    let source = source(&ask.caller)?;
    let total = ask.body.spans.len();
    few(total)?;
    let mut seen = HashSet::new();
    let mut spans = Vec::with_capacity(total);
    for span in ask.body.spans {
        check(&span)?;
        if seen.insert(span.span_id.clone()) {
            spans.push(span);
        }
    }
    if spans.is_empty() {
        return Ok(TelemetryAccepted { accepted: 0, duplicates: 0 });
    }
    let accepted = match attempt(&state, &ask.caller, &source, &spans, false).await {
        Err(Stop::Known) => attempt(&state, &ask.caller, &source, &spans, true).await,
        attempted => attempted,
    };
    match accepted {
        Ok(accepted) => {
            let accepted = accepted as u64;
            Ok(TelemetryAccepted { accepted, duplicates: total as u64 - accepted })
        }
        Err(Stop::Known) => Err(Fault::unavailable("the same spans are being stored; try again")),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

fn check(span: &Span) -> Result<(), Fault> {
    let id = &span.span_id;
    let hex = |name: &str, text: &str, digits: usize| {
        let fine = text.len() == digits
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            && text.bytes().any(|b| b != b'0');
        if fine {
            return Ok(());
        }
        Err(Fault::invalid(format!(
            "span {id}: {name} is not {digits} lower-case hex digits other than zero"
        )))
    };
    hex("spanId", id.as_str(), 16)?;
    hex("traceId", span.trace_id.as_str(), 32)?;
    if let Some(parent) = &span.parent_span_id {
        hex("parentSpanId", parent.as_str(), 16)?;
    }
    if span.duration_millis > MAX_DURATION {
        return Err(Fault::invalid(format!("span {id}: durationMillis is more than a year")));
    }
    if span.name.is_empty() {
        return Err(Fault::invalid(format!("span {id} has no name")));
    }
    content::line("name", &span.name)?;
    if let Some(error) = &span.error {
        // A code, not a message: what it was about would be in a message.
        lanyard_protocol::id::check(error).map_err(|e| {
            Fault::invalid(format!("span {id}: the error is not a code: {e}")).with("key", "error")
        })?;
    }
    content::attributes(span.attributes.iter())
}

enum Stop {
    /// Some are there already; each must be looked up.
    Known,
    Fault(Fault),
}

impl From<DatabaseError> for Stop {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Taken => Self::Known,
            other => Self::Fault(other.into()),
        }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

async fn attempt(
    state: &State,
    caller: &lanyard_governance_foundation::Caller,
    source: &str,
    spans: &[Span],
    look: bool,
) -> Result<usize, Stop> {
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.write(caller).await?;
    lock(&mut tx, source).await?;
    let known = if look { known(&mut tx, source, spans).await? } else { HashSet::new() };
    let fresh: Vec<&Span> = spans.iter().filter(|span| !known.contains(span.span_id.as_str())).collect();
    if fresh.is_empty() {
        return Ok(0);
    }
    let mut rows = Vec::with_capacity(fresh.len());
    for span in &fresh {
        rows.push(row(source, span, now)?);
    }
    tx.insert_many("telemetry_spans", COLUMNS, rows, "").await?;
    if state.forwards {
        let waiting = |span: &&Span| vec![source.into(), span.span_id.as_str().into(), now.into()];
        let rows = fresh.iter().map(waiting).collect();
        tx.insert_many("telemetry_outgoing", &["source", "span_id", "queued_at"], rows, "").await?;
        tx.wake(otlp::TOPIC).await?;
    }
    rollup::add(&mut tx, source, &fresh, now).await?;
    tx.commit().await?;
    Ok(fresh.len())
}

/// Holds a source until the transaction ends.
async fn lock(tx: &mut Tx, source: &str) -> Result<(), DatabaseError> {
    let select = "SELECT source FROM telemetry_sources WHERE tenant_id = $1 AND source = $2 {lock}";
    if tx.one(Statement::new(select).bind(source)).await?.is_none() {
        let insert = "INSERT INTO telemetry_sources (tenant_id, source) VALUES ($1, $2)
            ON CONFLICT (tenant_id, source) DO NOTHING";
        tx.run(Statement::new(insert).bind(source)).await?;
        tx.one(Statement::new(select).bind(source)).await?;
    }
    Ok(())
}

/// Ids of the spans that are there.
async fn known(tx: &mut Tx, source: &str, spans: &[Span]) -> Result<HashSet<String>, DatabaseError> {
    let mut known = HashSet::new();
    for spans in spans.chunks(IDS) {
        let mut statement = Statement::new(
            "SELECT span_id FROM telemetry_spans WHERE tenant_id = $1 AND source = $2 AND span_id IN (",
        )
        .bind(source);
        for (number, span) in spans.iter().enumerate() {
            let place = statement.next_placeholder();
            let comma = if number == 0 { "" } else { ", " };
            statement = statement.push(&format!("{comma}${place}")).bind(span.span_id.as_str());
        }
        for row in tx.all(statement.push(")")).await? {
            known.insert(row.text("span_id")?);
        }
    }
    Ok(known)
}

fn row(source: &str, span: &Span, now: Timestamp) -> Result<Vec<Value>, Fault> {
    let attributes = serde_json::to_string(&span.attributes)
        .map_err(|e| Fault::internal("attributes cannot be written", &e))?;
    Ok(vec![
        source.into(),
        span.span_id.as_str().into(),
        span.trace_id.as_str().into(),
        span.parent_span_id.as_ref().map(|id| id.as_str()).into(),
        now.into(),
        span.started_at.into(),
        Value::Int(i64::try_from(span.duration_millis).ok()),
        operation_number(span.operation).into(),
        span.ok.into(),
        span.name.as_str().into(),
        span.error.as_deref().into(),
        attributes.into(),
    ])
}

/// A span from its row.
pub(crate) fn of(row: &Row) -> Result<Span, DatabaseError> {
    Ok(Span {
        span_id: row.id("span_id")?,
        trace_id: row.id("trace_id")?,
        parent_span_id: row.opt_id("parent_span_id")?,
        operation: match row.int("operation")? {
            0 => Operation::InvokeAgent,
            1 => Operation::Chat,
            _ => Operation::ExecuteTool,
        },
        name: row.text("name")?,
        started_at: row.time("started_at")?,
        duration_millis: row.count("duration_millis")?,
        ok: row.flag("ok")?,
        error: row.opt_text("error")?,
        attributes: row.json("attributes")?,
    })
}
