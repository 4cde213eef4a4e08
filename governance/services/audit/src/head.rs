//! Where chains stand: one row a source, locked while records are added or removed.

use lanyard_governance_api::audit::ChainHead;
use lanyard_governance_api::endpoint::GetChainHead;
use lanyard_governance_api::id::TenantId;
use lanyard_governance_foundation::database::DatabaseError;
use lanyard_governance_foundation::{Ask, Fault, Foundation, Row, Statement, Tx};
use lanyard_protocol::{ErrorCode, Timestamp};

use crate::State;
use crate::chain::Digest;

/// Heads read at once.
const PAGE: i64 = 1_000;

/// A chain's head, and where what is kept of it begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    /// Number of the last record; 0 before the first.
    pub(crate) seq: u64,
    /// Its hash.
    pub(crate) hash: Digest,
    /// Number of the last record that retention removed; 0 if none was.
    pub(crate) kept_after: u64,
    /// Its hash.
    pub(crate) kept_after_hash: Digest,
    /// When the last record was taken. Later ones are never dated earlier, so that time and number agree.
    pub(crate) updated_at: Timestamp,
}

const COLUMNS: &str =
    "SELECT source, last_seq, hash, kept_after, kept_after_hash, updated_at FROM audit_heads";

impl Head {
    /// Before the first record.
    fn empty() -> Self {
        let start = Digest::START;
        Self {
            seq: 0,
            hash: start,
            kept_after: 0,
            kept_after_hash: start,
            updated_at: Timestamp::from_millis(0),
        }
    }

    /// From a row of `audit_heads`.
    pub(crate) fn of(row: &Row) -> Result<Self, DatabaseError> {
        Ok(Self {
            seq: row.count("last_seq")?,
            hash: Digest::of(row, "hash")?,
            kept_after: row.count("kept_after")?,
            kept_after_hash: Digest::of(row, "kept_after_hash")?,
            updated_at: row.time("updated_at")?,
        })
    }

    /// A source's head, if it has one.
    pub(crate) async fn read(tx: &mut Tx, source: &str) -> Result<Option<Self>, DatabaseError> {
        let sql = format!("{COLUMNS} WHERE tenant_id = $1 AND source = $2");
        tx.one(Statement::new(sql).bind(source)).await?.as_ref().map(Self::of).transpose()
    }

    /// A source's head, locked until the transaction ends; made if there is none.
    pub(crate) async fn lock(tx: &mut Tx, source: &str) -> Result<Self, DatabaseError> {
        let select = || {
            Statement::new(format!("{COLUMNS} WHERE tenant_id = $1 AND source = $2 {{lock}}")).bind(source)
        };
        if let Some(row) = tx.one(select()).await? {
            return Self::of(&row);
        }
        let empty = Self::empty();
        let sql = "INSERT INTO audit_heads
            (tenant_id, source, last_seq, hash, kept_after, kept_after_hash, updated_at)
            VALUES ($1, $2, 0, $3, 0, $3, 0) ON CONFLICT (tenant_id, source) DO NOTHING";
        tx.run(Statement::new(sql).bind(source).bind(empty.hash.value())).await?;
        // Somebody else may have made it and added records meanwhile.
        let row = tx.one(select()).await?;
        row.as_ref().map(Self::of).transpose().map(|head| head.unwrap_or(empty))
    }

    /// Keeps a new end of the chain. The row is locked.
    pub(crate) async fn save(&self, tx: &mut Tx, source: &str) -> Result<(), DatabaseError> {
        let sql = "UPDATE audit_heads SET last_seq = $3, hash = $4, updated_at = $5
            WHERE tenant_id = $1 AND source = $2";
        let statement = Statement::new(sql).bind(source).bind_u64(self.seq);
        tx.run(statement.bind(self.hash.value()).bind(self.updated_at)).await?;
        Ok(())
    }

    /// As it goes over the wire.
    pub(crate) fn wire(&self) -> ChainHead {
        ChainHead { last_seq: self.seq, hash: self.hash.hex() }
    }
}

pub(crate) async fn get(state: State, ask: Ask<GetChainHead>) -> Result<ChainHead, Fault> {
    let agent = ask.caller.agent()?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    Ok(Head::read(&mut tx, agent.agent.as_str()).await?.unwrap_or_else(Head::empty).wire())
}

/// Sources of a tenant that come after one by name, with their heads; at most a page.
pub(crate) async fn after(tx: &mut Tx, source: &str) -> Result<Vec<(String, Head)>, DatabaseError> {
    let sql = format!("{COLUMNS} WHERE tenant_id = $1 AND source > $2 ORDER BY source LIMIT $3");
    let rows = tx.all(Statement::new(sql).bind(source).bind(PAGE)).await?;
    rows.iter().map(|row| Ok((row.text("source")?, Head::of(row)?))).collect()
}

/// Tenants that have chains.
pub(crate) async fn tenants(foundation: &Foundation) -> Result<Vec<TenantId>, Fault> {
    let mut tx = foundation.database.across_read().await?;
    let rows = tx.all(Statement::new("SELECT DISTINCT tenant_id FROM audit_heads")).await?;
    Ok(rows.iter().map(|row| row.id("tenant_id")).collect::<Result<_, _>>()?)
}

/// What came of something that is done for one tenant after the other. A tenant whose rows are spoilt is no reason to
/// neglect the others.
#[derive(Debug, Default)]
pub(crate) struct Round {
    sum: u64,
    first: Option<Fault>,
}

impl Round {
    /// Adds what came of one tenant's turn.
    ///
    /// # Errors
    /// The database is away: there is no use in going on.
    pub(crate) fn add(&mut self, tenant: &TenantId, done: Result<u64, Fault>) -> Result<(), Fault> {
        match done {
            Ok(number) => self.sum += number,
            Err(fault) if fault.wire.code == ErrorCode::CentralUnavailable => return Err(fault),
            Err(fault) => {
                tracing::error!(%fault, %tenant, "audit chains of this tenant are spoilt: verify them");
                self.first.get_or_insert(fault);
            }
        }
        Ok(())
    }

    /// The sum, or the first failure.
    pub(crate) fn end(self) -> Result<u64, Fault> {
        self.first.map_or(Ok(self.sum), Err)
    }
}

/// Logs the heads that changed since an instant, so that they are known outside the database. Returns how many.
pub(crate) async fn log_changed(foundation: &Foundation, since: Timestamp) -> Result<u64, Fault> {
    let mut round = Round::default();
    for tenant in tenants(foundation).await? {
        round.add(&tenant, log_tenant(foundation, &tenant, since).await)?;
    }
    round.end()
}

async fn log_tenant(foundation: &Foundation, tenant: &TenantId, since: Timestamp) -> Result<u64, Fault> {
    let (mut logged, mut last) = (0, String::new());
    loop {
        let mut tx = foundation.database.read_of(tenant).await?;
        let heads = after(&mut tx, &last).await?;
        drop(tx);
        let Some((source, _)) = heads.last() else { return Ok(logged) };
        last.clone_from(source);
        for (source, head) in heads.iter().filter(|(_, head)| head.updated_at >= since) {
            let (seq, hash) = (head.seq, head.hash.hex());
            tracing::info!(target: "lanyard::anchor", %tenant, source, seq, hash, "head of an audit chain");
            logged += 1;
        }
    }
}
