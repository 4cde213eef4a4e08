//! Statements that run in a transaction of one tenant or across: in both, `$1` is the tenant.

use std::borrow::Cow;

use lanyard_governance_api::id::TenantId;
use lanyard_governance_foundation::{Statement, Tx};

/// A statement about a tenant's rows whose first bind is `$2`.
pub(crate) fn scoped(tx: &Tx, tenant: &TenantId, sql: impl Into<Cow<'static, str>>) -> Statement {
    let statement = Statement::new(sql);
    // A transaction of one tenant binds it itself.
    if tx.tenant().is_some() { statement } else { statement.bind_id(tenant) }
}
