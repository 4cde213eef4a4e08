//! Audit records and spans taken in over HTTP, against the database's own insert of as many rows of the same size.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lanyard_governance_api::audit::{AuditBatch, ChainedEvent};
use lanyard_governance_api::endpoint::{PostAudit, PostTraces};
use lanyard_governance_api::id::TenantId;
use lanyard_governance_api::telemetry::{Operation, Span, TraceBatch};
use lanyard_governance_client::outbox::{ChainHead, chain};
use lanyard_governance_foundation::Migration;
use lanyard_governance_foundation::database::Value;
use lanyard_protocol::envelope::{BoundedContext, Component, EventEnvelope, Severity};
use lanyard_protocol::{Json, Timestamp};
use lanyard_tests::central::{Installation, TestAgent};
use serde_json::json;

use super::sessions::beside;
use crate::table::{Samples, Table};

/// Records of a batch, and batches of a caller.
const BATCH: usize = 1_000;
const BATCHES: usize = 30;

/// Hosts that send at once.
const CALLERS: usize = 4;

const TABLES: &[Migration] = &[Migration {
    service: "bench_batch",
    number: 1,
    sql: "CREATE TABLE bench_batch (tenant_id TEXT NOT NULL, source TEXT NOT NULL, seq BIGINT NOT NULL,
    event TEXT NOT NULL, PRIMARY KEY (tenant_id, source, seq));
",
}];

fn event(source: &str, number: usize) -> Result<EventEnvelope> {
    Ok(EventEnvelope {
        event_id: format!("aud_{source}_{number}").parse()?,
        event_type: "tool_completed".to_owned(),
        timestamp: Timestamp::now(),
        tenant_id: "default".to_owned(),
        user_id: "usr_operator".to_owned(),
        workspace_id: "ws_bench".parse()?,
        session_id: format!("ses_{}", number / 200).parse()?,
        task_id: Some(format!("task_{}", number / 20).parse()?),
        step_id: Some(format!("step_{}", number / 3).parse()?),
        tool_call_id: Some(format!("call_{number}").parse()?),
        component: Component::LocalToolRuntime,
        bounded_context: BoundedContext::ToolExecution,
        severity: Severity::Info,
        payload: Json(
            json!({"toolName": "RunCommand", "status": "succeeded", "exitCode": 0, "durationMs": number,
                             "argv": ["cargo", "test", "--package", "something"], "sandboxLevel": "full"}),
        ),
    })
}

/// Bodies of a caller's requests, made beforehand.
fn batches(source: &str) -> Result<Vec<Vec<u8>>> {
    let mut head = ChainHead::START;
    let mut bodies = Vec::new();
    for batch in 0..BATCHES {
        let mut records = Vec::new();
        for number in 0..BATCH {
            let event = event(source, batch * BATCH + number)?;
            head = chain(head, &event)?;
            records.push(ChainedEvent { seq: head.seq, hash: head.hex(), event });
        }
        bodies.push(lanyard_protocol::codec::to_json(&AuditBatch { records })?.into_bytes());
    }
    Ok(bodies)
}

/// What the database does by itself with as many rows: one transaction a batch, as many writers.
async fn floor(central: &Installation, name: &str) -> Result<Duration> {
    let database = beside(central, TABLES).await?;
    let text = serde_json::to_string(&event("floor", 1)?)?;
    let started = Instant::now();
    let mut writers = Vec::new();
    for caller in 0..CALLERS {
        let (database, text, source) = (database.clone(), text.clone(), format!("{name}-{caller}"));
        writers.push(tokio::spawn(async move {
            let tenant = TenantId::new("default")?;
            for batch in 0..BATCHES {
                let rows = (0..BATCH).map(|number| {
                    let seq = i64::try_from(batch * BATCH + number).unwrap_or(0);
                    vec![Value::from(source.as_str()), Value::from(seq), Value::from(text.as_str())]
                });
                let mut tx = database.write_of(&tenant).await.map_err(|e| anyhow::anyhow!("{e}"))?;
                tx.insert_many("bench_batch", &["source", "seq", "event"], rows.collect(), "").await?;
                tx.commit().await?;
            }
            anyhow::Ok(())
        }));
    }
    for writer in writers {
        writer.await??;
    }
    let took = started.elapsed();
    database.close().await;
    Ok(took)
}

fn per_second(took: Duration) -> f64 {
    let rows = u32::try_from(CALLERS * BATCHES * BATCH).unwrap_or(u32::MAX);
    f64::from(rows) / took.as_secs_f64()
}

pub(super) async fn measure(table: &mut Table, central: &Installation, name: &str) -> Result<()> {
    let admin = central.operator().await?;
    let mut agents = Vec::new();
    for number in 0..CALLERS {
        let agent = TestAgent::of(&admin, &format!("sender-{number}")).await?;
        let bodies = batches(agent.id().as_str())?;
        agents.push((agent, bodies));
    }
    let floor = floor(central, name).await?;
    let pid = central.replica(0).pid()?;
    let before = super::processor(pid)?;
    let (audit, sent) = audit(&agents).await?;
    let busy = super::processor(pid)? - before;
    let rate = per_second(audit);
    table.number(
        &format!("central, {name}: the database's own batch insert (floor)"),
        per_second(floor),
        "rows/s",
    );
    table.number(&format!("central, {name}: audit taken in"), rate, "records/s");
    table.number(
        &format!("central, {name}: audit against the floor"),
        audit.as_secs_f64() / floor.as_secs_f64(),
        "× the time",
    );
    table.times(&format!("central, {name}: a batch of {BATCH} audit records"), &Samples::of(&sent)?, None);
    table.number(
        &format!("central, {name}: processor while taking in audit"),
        busy.as_secs_f64() / audit.as_secs_f64() * 100.0,
        "% of a core",
    );
    table.memory(&format!("central, {name}: memory while taking in audit"), super::resident(pid)?, None)?;
    let spans = telemetry(&agents).await?;
    table.number(&format!("central, {name}: spans taken in"), per_second(spans), "spans/s");
    table.number(
        &format!("central, {name}: spans against the floor"),
        spans.as_secs_f64() / floor.as_secs_f64(),
        "× the time",
    );
    Ok(())
}

async fn audit(agents: &[(TestAgent, Vec<Vec<u8>>)]) -> Result<(Duration, Vec<Duration>)> {
    let started = Instant::now();
    let mut senders = Vec::new();
    for (agent, bodies) in agents {
        let (caller, bodies) = (agent.agent.clone(), bodies.clone());
        senders.push(tokio::spawn(async move {
            let mut times = Vec::new();
            for body in bodies {
                let began = Instant::now();
                let (status, said) = caller.send::<PostAudit>(&[], &Default::default(), body).await?;
                anyhow::ensure!(status == 202, "{status}: {}", String::from_utf8_lossy(&said));
                times.push(began.elapsed());
            }
            anyhow::Ok(times)
        }));
    }
    let mut all = Vec::new();
    for sender in senders {
        all.extend(sender.await??);
    }
    Ok((started.elapsed(), all))
}

fn spans(caller: usize, batch: usize) -> Result<Vec<u8>> {
    let mut spans = Vec::new();
    for number in 0..BATCH {
        let at = (caller * BATCHES + batch) * BATCH + number + 1;
        spans.push(Span {
            span_id: format!("{at:016x}").parse()?,
            trace_id: format!("{:032x}", at / 20 + 1).parse()?,
            parent_span_id: None,
            operation: Operation::ExecuteTool,
            name: "execute_tool RunCommand".to_owned(),
            started_at: Timestamp::now(),
            duration_millis: 12,
            ok: true,
            error: None,
            attributes: [("gen_ai.tool.name".to_owned(), "RunCommand".to_owned())].into(),
        });
    }
    Ok(serde_json::to_vec(&TraceBatch { spans })?)
}

async fn telemetry(agents: &[(TestAgent, Vec<Vec<u8>>)]) -> Result<Duration> {
    let mut bodies = Vec::new();
    for caller in 0..agents.len() {
        bodies.push((0..BATCHES).map(|batch| spans(caller, batch)).collect::<Result<Vec<_>>>()?);
    }
    let started = Instant::now();
    let mut senders = Vec::new();
    for ((agent, _), bodies) in agents.iter().zip(bodies) {
        let caller = agent.agent.clone();
        senders.push(tokio::spawn(async move {
            for body in bodies {
                let (status, said) = caller.send::<PostTraces>(&[], &Default::default(), body).await?;
                anyhow::ensure!(status == 202, "{status}: {}", String::from_utf8_lossy(&said));
            }
            anyhow::Ok(())
        }));
    }
    for sender in senders {
        sender.await?.context("a sender")?;
    }
    Ok(started.elapsed())
}
