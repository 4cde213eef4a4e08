//! Audit records of a host, chained by hand, and the database opened beside the process that owns it.

use anyhow::{Context, Result};
use lanyard_governance_api::audit::{AuditAccepted, AuditBatch, ChainedEvent};
use lanyard_governance_api::endpoint::PostAudit;
use lanyard_governance_client::outbox::{ChainHead, chain};
use lanyard_governance_foundation::{Database, Signals, Statement};
use lanyard_protocol::envelope::{BoundedContext, Component, EventEnvelope, Severity};
use lanyard_protocol::{Json, Timestamp};
use serde_json::json;

use super::{Admin, Installation};

/// What a host records about its call of this number. `source` keeps ids of several hosts apart.
///
/// # Errors
/// The ids are none.
pub fn record(source: &str, number: u64) -> Result<EventEnvelope> {
    Ok(EventEnvelope {
        event_id: format!("aud_{source}_{number}").parse()?,
        event_type: "tool_completed".to_owned(),
        timestamp: Timestamp::now(),
        tenant_id: "default".to_owned(),
        user_id: "usr_operator".to_owned(),
        workspace_id: "ws_chain".parse()?,
        session_id: "ses_chain".parse()?,
        task_id: Some("task_chain".parse()?),
        step_id: None,
        tool_call_id: Some(format!("call_{number}").parse()?),
        component: Component::LocalToolRuntime,
        bounded_context: BoundedContext::ToolExecution,
        severity: Severity::Info,
        payload: Json(json!({"toolName": "ReadFile", "status": "succeeded", "number": number})),
    })
}

/// A host's chain, made here.
#[derive(Debug)]
pub struct Chain {
    source: String,
    head: ChainHead,
}

impl Chain {
    /// The chain of a host that has sent nothing yet.
    pub fn of(source: &str) -> Self {
        Self { source: source.to_owned(), head: ChainHead::START }
    }

    /// Number of the last record made.
    pub fn last(&self) -> u64 {
        self.head.seq
    }

    /// The next records.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn next(&mut self, count: u64) -> Result<AuditBatch> {
        let mut records = Vec::new();
        for _ in 0..count {
            let event = record(&self.source, self.head.seq + 1)?;
            self.head = chain(self.head, &event)?;
            records.push(ChainedEvent { seq: self.head.seq, hash: self.head.hex(), event });
        }
        Ok(AuditBatch { records })
    }

    /// Makes records and sends them.
    ///
    /// # Errors
    /// Refused.
    pub async fn send(&mut self, agent: &Admin, count: u64) -> Result<AuditAccepted> {
        let batch = self.next(count)?;
        agent.post::<PostAudit>(&[], &batch).await
    }
}

/// Somebody with a hand in the database, past every service.
#[derive(Debug)]
pub struct Hand {
    database: Database,
}

impl Hand {
    /// Opens the database of an installation, which may run meanwhile.
    ///
    /// # Errors
    /// It cannot be opened.
    pub async fn into(central: &Installation) -> Result<Self> {
        let embedded = format!("sqlite://{}", central.state_dir().join("central.sqlite").display());
        let url = central.database_url().map_or(embedded, str::to_owned);
        Ok(Self { database: Database::open(&url, Signals::default(), &[]).await? })
    }

    /// Runs a statement and returns how many rows it changed.
    ///
    /// # Errors
    /// The database refuses it.
    pub async fn run(&self, sql: &str) -> Result<u64> {
        let mut tx = self.database.across_write().await.map_err(|fault| anyhow::anyhow!("{fault}"))?;
        let changed = tx.run(Statement::new(sql.to_owned())).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// The number that a query gives in its column `n`.
    ///
    /// # Errors
    /// It gives none.
    pub async fn number(&self, sql: &str) -> Result<i64> {
        let mut tx = self.database.across_read().await.map_err(|fault| anyhow::anyhow!("{fault}"))?;
        let row = tx.one(Statement::new(sql.to_owned())).await?;
        Ok(row.context("no row")?.int("n")?)
    }

    /// Closes it.
    pub async fn out(self) {
        self.database.close().await;
    }
}
