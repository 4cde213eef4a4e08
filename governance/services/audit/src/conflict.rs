//! Records that contradict what is stored: kept apart, and recorded in the Audit Service's own chain.

use std::collections::HashSet;

use lanyard_governance_api::id::TenantId;
use lanyard_governance_foundation::caller::Agent;
use lanyard_governance_foundation::database::Value;
use lanyard_governance_foundation::{Caller, Fault, Foundation, Statement, Tx, trail};
use lanyard_protocol::Timestamp;
use lanyard_protocol::envelope::{BoundedContext, Component, Severity};
use lanyard_protocol::id::{EventId, SessionId, WorkspaceId};

use crate::batch::Entry;
use crate::chain::Digest;

/// Contradictions kept of one source. Whoever sends more has been noticed; keeping them would only fill the disk.
const MOST: i64 = 1_000;

const COLUMNS: &[&str] =
    &["source", "seq", "hash", "received_at", "event_id", "stored_seq", "stored_hash", "event"];

/// One contradiction.
#[derive(Debug)]
pub(crate) struct Conflict {
    pub(crate) seq: u64,
    pub(crate) hash: Digest,
    pub(crate) event_id: EventId,
    pub(crate) session: SessionId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) text: String,
    /// The stored record that it contradicts.
    pub(crate) stored_seq: u64,
    pub(crate) stored_hash: Digest,
}

/// Whose chain is contradicted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) source: &'a str,
    /// The host that sent the record.
    pub(crate) agent: Option<&'a Agent>,
}

impl Conflict {
    /// Of a host's record, with number and hash of the stored one that it contradicts.
    pub(crate) fn of(entry: &Entry, stored_seq: u64, stored_hash: Digest) -> Self {
        Self {
            seq: entry.seq,
            hash: entry.claimed,
            event_id: entry.event.event_id.clone(),
            session: entry.event.session_id.clone(),
            workspace: entry.event.workspace_id.clone(),
            text: entry.text.clone(),
            stored_seq,
            stored_hash,
        }
    }

    fn row(&self, source: &str, now: Timestamp) -> Vec<Value> {
        vec![
            source.into(),
            Value::Int(i64::try_from(self.seq).ok()),
            self.hash.value(),
            now.into(),
            self.event_id.as_str().into(),
            Value::Int(i64::try_from(self.stored_seq).ok()),
            self.stored_hash.value(),
            self.text.as_str().into(),
        ]
    }
}

/// Keeps the contradictions of a chain that are not kept yet, ascending, and records each. The chain's head is locked.
pub(crate) async fn keep(
    tx: &mut Tx,
    foundation: &Foundation,
    whose: Whose<'_>,
    conflicts: &[Conflict],
) -> Result<(), Fault> {
    let (Some(first), Some(last)) = (conflicts.first(), conflicts.last()) else { return Ok(()) };
    let (tenant, source, now) = (whose.tenant, whose.source, foundation.clock.now());
    let mut room = MOST - count(tx, source).await?;
    let sql = "SELECT seq, hash FROM audit_conflicts
        WHERE tenant_id = $1 AND source = $2 AND seq >= $3 AND seq <= $4";
    let statement = Statement::new(sql).bind(source).bind_u64(first.seq).bind_u64(last.seq);
    let mut kept = HashSet::new();
    for row in tx.all(statement).await? {
        kept.insert((row.count("seq")?, row.bytes("hash")?));
    }
    let mut rows = Vec::new();
    for conflict in conflicts {
        let Value::Bytes(Some(hash)) = conflict.hash.value() else { continue };
        if room <= 0 || !kept.insert((conflict.seq, hash)) {
            continue;
        }
        room -= 1;
        rows.push(conflict.row(source, now));
        tracing::warn!(%tenant, source, seq = conflict.seq, "an audit record contradicts what is stored");
        let own = (Component::AuditService, BoundedContext::ObservabilityAudit);
        let mut record = trail::Record::new("audit_conflict", own.0, own.1);
        if let Some(agent) = whose.agent {
            record = record.by(&Caller::Agent(agent.clone()));
        }
        let record = record
            .about_session(&conflict.session, Some(&conflict.workspace))
            .severity(Severity::Error)
            .with("source", source)
            .with("seq", conflict.seq)
            .with("hash", conflict.hash.hex())
            .with("eventId", conflict.event_id.as_str())
            .with("storedSeq", conflict.stored_seq)
            .with("storedHash", conflict.stored_hash.hex());
        trail::record(tx, tenant, &*foundation.clock, record).await?;
    }
    tx.insert_many("audit_conflicts", COLUMNS, rows, "").await?;
    Ok(())
}

/// How many contradictions are kept of a source.
pub(crate) async fn count(tx: &mut Tx, source: &str) -> Result<i64, Fault> {
    let sql = "SELECT COUNT(*) AS n FROM audit_conflicts WHERE tenant_id = $1 AND source = $2";
    Ok(match tx.one(Statement::new(sql).bind(source)).await? {
        Some(row) => row.int("n")?,
        None => 0,
    })
}
