//! Delivering what waits.

use std::time::Duration;

use http::{StatusCode, header};
use lanyard_governance_foundation::{Fault, Foundation, Statement, fresh_id};
use tokio_util::sync::CancellationToken;

use super::encode::{Exported, trace_request};
use super::proto::{Part, read};
use super::{OtlpSettings, TOPIC};
use crate::spans;

/// Spans of one request: some hundred kilobytes.
const BATCH: usize = 512;

/// How long a replica holds the delivery, in milliseconds: longer than a request may take.
const LEASE_MILLIS: i64 = 30_000;

/// Longest answer that is looked at, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// Pauses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Between looks without a wake-up.
    pub(crate) look: Duration,
    /// After the first failure; doubled with each further one.
    pub(crate) first: Duration,
    /// Longest after failures, and longest that a receiver may ask for.
    pub(crate) longest: Duration,
}

const PACE: Pace =
    Pace { look: Duration::from_secs(5), first: Duration::from_secs(1), longest: Duration::from_secs(120) };

/// Forwards spans until stopped.
pub(crate) async fn forward(foundation: Foundation, settings: OtlpSettings, stop: CancellationToken) {
    match Courier::new(foundation, settings, PACE) {
        Ok(courier) => courier.run(stop).await,
        Err(fault) => tracing::error!(%fault, "spans are not forwarded"),
    }
}

/// Who delivers.
pub(crate) struct Courier {
    foundation: Foundation,
    settings: OtlpSettings,
    pace: Pace,
    name: String,
}

/// How a request ended.
enum Sent {
    /// The receiver has them.
    Taken,
    /// It may take them later.
    Later { after: Option<Duration>, why: String },
    /// It will never take them as they are.
    Refused { why: String },
}

impl Courier {
    pub(crate) fn new(foundation: Foundation, settings: OtlpSettings, pace: Pace) -> Result<Self, Fault> {
        let name: lanyard_governance_api::id::AgentId = fresh_id("courier")?;
        Ok(Self { foundation, settings, pace, name: name.to_string() })
    }

    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut waiter = self.foundation.signals.listen(TOPIC);
        let mut failures = 0_u32;
        let mut size = BATCH;
        while !stop.is_cancelled() {
            let delivered = tokio::select! {
                () = stop.cancelled() => break,
                delivered = self.deliver(&mut size) => delivered,
            };
            let pause = match delivered {
                Ok(Step::Again) => {
                    failures = 0;
                    continue;
                }
                Ok(Step::Idle) => {
                    failures = 0;
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = waiter.wait(self.pace.look) => continue,
                    }
                }
                Ok(Step::Later { after, why }) => {
                    tracing::warn!(why, "spans wait: the tracing system does not take them");
                    after
                }
                Err(fault) => {
                    tracing::warn!(%fault, "spans wait");
                    None
                }
            };
            let grown = self.pace.first.saturating_mul(1 << failures.min(10));
            failures += 1;
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause.unwrap_or(grown).min(self.pace.longest)) => {}
            }
        }
        self.let_go().await;
    }

    /// Delivers one batch, if it is this replica's turn. `size` shrinks where the receiver refuses batches and grows
    /// again where it does not.
    async fn deliver(&self, size: &mut usize) -> Result<Step, Fault> {
        if !self.anything_waits().await? || !self.hold().await? {
            return Ok(Step::Idle);
        }
        let (batch, orphans) = self.waiting(*size).await?;
        self.done(&orphans).await?;
        if batch.is_empty() {
            return Ok(if orphans.is_empty() { Step::Idle } else { Step::Again });
        }
        match self.send(trace_request(&batch)).await {
            Sent::Taken => *size = (*size * 2).min(BATCH),
            Sent::Later { after, why } => return Ok(Step::Later { after, why }),
            Sent::Refused { .. } if batch.len() > 1 => {
                // One of them is at fault, or they are too many.
                *size = (batch.len() / 2).max(1);
                return Ok(Step::Again);
            }
            Sent::Refused { why } => {
                for Key { tenant, source, span } in batch.iter().map(Key::of) {
                    let text = "a span is not forwarded: the tracing system refuses it";
                    tracing::error!(why, tenant, source, span, "{text}");
                }
            }
        }
        let keys: Vec<Key> = batch.iter().map(Key::of).collect();
        self.done(&keys).await?;
        Ok(Step::Again)
    }

    /// Looked at first: a lease is written, and nothing should be written at rest.
    async fn anything_waits(&self) -> Result<bool, Fault> {
        let mut tx = self.foundation.database.across_read().await?;
        Ok(tx.one(Statement::new("SELECT source FROM telemetry_outgoing LIMIT 1")).await?.is_some())
    }

    /// Takes or keeps the delivery. A lease that ends absurdly late was taken by a clock that has been set back.
    async fn hold(&self) -> Result<bool, Fault> {
        let now = self.foundation.clock.now();
        let sql = "INSERT INTO telemetry_lease (name, holder, ends_at) VALUES ('otlp', $1, $2)
            ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, ends_at = excluded.ends_at
            WHERE telemetry_lease.holder = excluded.holder
                OR telemetry_lease.ends_at < $3 OR telemetry_lease.ends_at > $4";
        let ends = now.plus_millis(LEASE_MILLIS);
        let statement = Statement::new(sql).bind(self.name.as_str()).bind(ends);
        let mut tx = self.foundation.database.across_write().await?;
        let held = tx.run(statement.bind(now).bind(now.plus_millis(2 * LEASE_MILLIS))).await?;
        tx.commit().await?;
        Ok(held == 1)
    }

    async fn let_go(&self) {
        let given = async {
            let mut tx = self.foundation.database.across_write().await?;
            let sql = "DELETE FROM telemetry_lease WHERE name = 'otlp' AND holder = $1";
            tx.run(Statement::new(sql).bind(self.name.as_str())).await?;
            Ok::<_, Fault>(tx.commit().await?)
        };
        if let Err(fault) = given.await {
            // Another replica waits for the end of the lease then.
            tracing::debug!(%fault, "the delivery of spans could not be given up");
        }
    }

    /// What waits longest, and keys of what waits and is gone.
    async fn waiting(&self, most: usize) -> Result<(Vec<Exported>, Vec<Key>), Fault> {
        let sql = "SELECT o.tenant_id, o.source, o.span_id, s.trace_id, s.parent_span_id, s.started_at,
                s.duration_millis, s.operation, s.ok, s.name, s.error, s.attributes
            FROM telemetry_outgoing o LEFT JOIN telemetry_spans s
                ON s.tenant_id = o.tenant_id AND s.source = o.source AND s.span_id = o.span_id
            ORDER BY o.queued_at LIMIT $1";
        let mut tx = self.foundation.database.across_read().await?;
        let (mut batch, mut orphans) = (Vec::new(), Vec::new());
        for row in tx.all(Statement::new(sql).bind(i64::try_from(most).unwrap_or(i64::MAX))).await? {
            let (tenant, source) = (row.id("tenant_id")?, row.text("source")?);
            if row.opt_text("trace_id")?.is_some() {
                batch.push(Exported { tenant, source, span: spans::of(&row)? });
            } else {
                orphans.push(Key { tenant: tenant.to_string(), source, span: row.text("span_id")? });
            }
        }
        Ok((batch, orphans))
    }

    /// Forgets what was delivered.
    async fn done(&self, keys: &[Key]) -> Result<(), Fault> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut statement =
            Statement::new("DELETE FROM telemetry_outgoing WHERE (tenant_id, source, span_id) IN (VALUES ");
        for (number, key) in keys.iter().enumerate() {
            // Across tenants nothing is bound before.
            let place = number * 3 + 1;
            let comma = if number == 0 { "" } else { ", " };
            statement = statement
                .push(&format!("{comma}(${place}, ${}, ${})", place + 1, place + 2))
                .bind(key.tenant.as_str())
                .bind(key.source.as_str())
                .bind(key.span.as_str());
        }
        let mut tx = self.foundation.database.across_write().await?;
        tx.run(statement.push(")")).await?;
        Ok(tx.commit().await?)
    }

    async fn send(&self, body: Vec<u8>) -> Sent {
        let request = self
            .settings
            .client
            .post(&self.settings.url)
            .timeout(self.settings.timeout)
            .headers(self.settings.headers.clone())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(body);
        let response = match request.send().await {
            Ok(response) => response,
            // Without the URL, which may hold a credential.
            Err(error) => return Sent::Later { after: None, why: error.without_url().to_string() },
        };
        let status = response.status();
        let why = format!("the tracing system answered {status}");
        if status.is_success() {
            tell_rejected(&answer(response).await);
            return Sent::Taken;
        }
        match status {
            // By OTLP these are final. Everything else that is no success is a receiver that is away or set up wrongly,
            // which somebody mends.
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                Sent::Refused { why }
            }
            _ => {
                let seconds =
                    response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
                let after = seconds.and_then(|text| text.parse().ok()).map(Duration::from_secs);
                Sent::Later { after, why }
            }
        }
    }
}

/// What became of a look.
enum Step {
    /// There may be more.
    Again,
    /// Nothing waits, or it is another replica's turn.
    Idle,
    Later {
        after: Option<Duration>,
        why: String,
    },
}

/// Which span.
struct Key {
    tenant: String,
    source: String,
    span: String,
}

impl Key {
    fn of(exported: &Exported) -> Self {
        let (source, span) = (exported.source.clone(), exported.span.span_id.to_string());
        Self { tenant: exported.tenant.to_string(), source, span }
    }
}

/// The answer's body, as far as it is looked at.
async fn answer(mut response: reqwest::Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

/// Logs what the receiver took and did not keep (`ExportTraceServiceResponse.partial_success`). By OTLP it is not sent
/// again.
fn tell_rejected(answer: &[u8]) {
    let Some(fields) = read(answer) else { return };
    for (number, field) in fields {
        let (1, Part::Bytes(partial)) = (number, field) else { continue };
        for (number, field) in read(partial).unwrap_or_default() {
            if let (1, Part::Number(rejected)) = (number, field)
                && rejected > 0
            {
                tracing::error!(rejected, "the tracing system took spans and rejected some of them");
            }
        }
    }
}
