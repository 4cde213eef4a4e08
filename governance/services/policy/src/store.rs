//! Rows: versions, and what is in force.

use lanyard_governance_api::id::{TenantId, UserId};
use lanyard_governance_api::policy::{PolicyDocument, PolicyVersion};
use lanyard_governance_foundation::database::DatabaseError;
use lanyard_governance_foundation::trail::{self, Record};
use lanyard_governance_foundation::{Fault, Foundation, Row, Statement, Tx};
use lanyard_protocol::Timestamp;
use lanyard_protocol::envelope::{BoundedContext, Component};

/// Said of version 1.
const FIRST_COMMENT: &str = "What every tenant begins with.";

/// What is in force in a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) epoch: u64,
    /// In force, or, while revoked, the last that was.
    pub(crate) version: u64,
    /// The highest number given out.
    pub(crate) last_version: u64,
    /// Why nothing is in force.
    pub(crate) revoked: Option<String>,
    pub(crate) changed_by: Option<UserId>,
    pub(crate) changed_by_name: Option<String>,
    pub(crate) changed_at: Timestamp,
}

const STANDING: &str =
    "s.epoch, s.version, s.last_version, s.revoked, s.changed_by, s.changed_by_name, s.changed_at";

fn standing(row: &Row) -> Result<Standing, DatabaseError> {
    Ok(Standing {
        epoch: row.count("epoch")?,
        version: row.count("version")?,
        last_version: row.count("last_version")?,
        revoked: row.opt_text("revoked")?,
        changed_by: row.opt_id("changed_by")?,
        changed_by_name: row.opt_text("changed_by_name")?,
        changed_at: row.time("changed_at")?,
    })
}

pub(crate) fn version(row: &Row) -> Result<PolicyVersion, DatabaseError> {
    Ok(PolicyVersion {
        version: row.count("version")?,
        document: row.json("document")?,
        comment: row.text("comment")?,
        created_by: row.opt_id("created_by")?,
        created_at: row.time("created_at")?,
    })
}

/// What is in force, with its content. A tenant that has nothing yet is given its first version.
pub(crate) async fn in_force(
    foundation: &Foundation,
    tenant: &TenantId,
) -> Result<(Standing, PolicyVersion), Fault> {
    if let Some(found) = look(foundation, tenant).await? {
        return Ok(found);
    }
    let mut tx = foundation.database.write_of(tenant).await?;
    begin(&mut tx, foundation, tenant).await?;
    tx.commit().await?;
    let found = look(foundation, tenant).await?;
    found.ok_or_else(|| Fault::internal("a tenant's first policy cannot be read", &tenant))
}

async fn look(
    foundation: &Foundation,
    tenant: &TenantId,
) -> Result<Option<(Standing, PolicyVersion)>, Fault> {
    let mut tx = foundation.database.read_of(tenant).await?;
    let sql = format!(
        "SELECT {STANDING}, v.document, v.comment, v.created_by, v.created_at \
         FROM policy_state s JOIN policy_versions v ON v.tenant_id = s.tenant_id AND v.version = s.version \
         WHERE s.tenant_id = $1"
    );
    let Some(row) = tx.one(Statement::new(sql)).await? else { return Ok(None) };
    Ok(Some((standing(&row)?, version(&row)?)))
}

/// Gives a tenant without policy its first version. Several at once make one.
async fn begin(tx: &mut Tx, foundation: &Foundation, tenant: &TenantId) -> Result<(), Fault> {
    let now = foundation.clock.now();
    let sql = "INSERT INTO policy_state (tenant_id, epoch, version, last_version, changed_at) \
               VALUES ($1, 1, 1, 1, $2) ON CONFLICT DO NOTHING";
    if tx.run(Statement::new(sql).bind(now)).await? == 0 {
        return Ok(());
    }
    let document =
        crate::first_document().map_err(|e| Fault::internal("the first policy cannot be written", &e))?;
    let new = NewVersion { number: 1, document: &document, comment: FIRST_COMMENT, by: None };
    insert(tx, new, now).await?;
    let record = record("policy_created").with("version", 1).with("epoch", 1);
    trail::record(tx, tenant, &*foundation.clock, record).await
}

/// A record for audit.
pub(crate) fn record(event: &'static str) -> Record {
    Record::new(event, Component::PolicyService, BoundedContext::PolicyGuardrails)
}

/// The standing, held against others who change it until the transaction ends.
pub(crate) async fn held(tx: &mut Tx, foundation: &Foundation, tenant: &TenantId) -> Result<Standing, Fault> {
    let sql = format!("SELECT {STANDING} FROM policy_state s WHERE s.tenant_id = $1 {{lock}}");
    for _ in 0..2 {
        if let Some(row) = tx.one(Statement::new(sql.clone())).await? {
            return Ok(standing(&row)?);
        }
        begin(tx, foundation, tenant).await?;
    }
    Err(Fault::internal("a tenant's policy cannot be read", &tenant))
}

/// A version to be saved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewVersion<'n> {
    pub(crate) number: u64,
    pub(crate) document: &'n PolicyDocument,
    pub(crate) comment: &'n str,
    pub(crate) by: Option<&'n UserId>,
}

pub(crate) async fn insert(tx: &mut Tx, new: NewVersion<'_>, now: Timestamp) -> Result<(), DatabaseError> {
    let sql = "INSERT INTO policy_versions (tenant_id, version, document, comment, created_by, created_at) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let statement = Statement::new(sql).bind_u64(new.number).bind_json(new.document).bind(new.comment);
    tx.run(statement.bind_opt_id(new.by).bind(now)).await.map(drop)
}

/// One version; 404 when there is none.
pub(crate) async fn one(tx: &mut Tx, number: u64) -> Result<PolicyVersion, Fault> {
    let sql = "SELECT version, document, comment, created_by, created_at FROM policy_versions \
               WHERE tenant_id = $1 AND version = $2";
    // Beyond what is stored, and so not there.
    let statement = Statement::new(sql).bind(i64::try_from(number).unwrap_or(-1));
    match tx.one(statement).await? {
        Some(row) => Ok(version(&row)?),
        None => Err(Fault::not_found("policy version", number)),
    }
}
