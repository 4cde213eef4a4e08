//! Tenants of the installation.

use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::{TenantId, UserId};
use lanyard_governance_api::limits::{DEFAULT_PAGE, MAX_PAGE, MAX_TEXT_BYTES};
use lanyard_governance_api::page::Page;
use lanyard_governance_api::people::TenantInfo;
use lanyard_governance_foundation::database::DatabaseError;
use lanyard_governance_foundation::{Ask, Fault, Foundation, Row, Statement, Tx, fresh_id, trail};

use crate::links::about;
use crate::{FIRST_TENANT, State};

/// Longest tenant id: it is part of artifact keys and certificates.
const MAX_ID: usize = 48;

pub(crate) fn read(row: &Row) -> Result<TenantInfo, DatabaseError> {
    Ok(TenantInfo {
        tenant_id: row.id("tenant_id")?,
        name: row.text("name")?,
        created_at: row.time("created_at")?,
    })
}

/// See [`crate::begin`].
pub(crate) async fn begin(foundation: &Foundation) -> Result<(TenantId, UserId), Fault> {
    let first = TenantId::new(FIRST_TENANT).map_err(|e| Fault::internal("the first tenant's id", &e))?;
    let now = foundation.clock.now();
    let mut tx = foundation.database.across_write().await?;
    let sql =
        "INSERT INTO tenants (tenant_id, name, created_at) VALUES ($1, 'Default', $2) ON CONFLICT DO NOTHING";
    tx.run(Statement::new(sql).bind_id(&first).bind(now)).await?;
    let sql = "SELECT user_id FROM users WHERE operator = 1 ORDER BY created_at, user_id LIMIT 1";
    let known = tx.one(Statement::new(sql)).await?;
    let user: UserId = match &known {
        Some(row) => row.id("user_id")?,
        // The same for every replica that begins at the same time.
        None => UserId::new("usr_operator").map_err(|e| Fault::internal("the operator's id", &e))?,
    };
    let sql = "INSERT INTO users (user_id, name, operator, created_at) VALUES ($1, 'Operator', 1, $2) \
               ON CONFLICT DO NOTHING";
    tx.run(Statement::new(sql).bind_id(&user).bind(now)).await?;
    member(&mut tx, &first, &user, "admin", now.as_millis()).await?;
    tx.commit().await?;
    Ok((first, user))
}

async fn member(
    tx: &mut Tx,
    tenant: &TenantId,
    user: &UserId,
    role: &'static str,
    now: i64,
) -> Result<(), Fault> {
    let sql = "INSERT INTO memberships (tenant_id, user_id, role, created_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT DO NOTHING";
    tx.run(Statement::new(sql).bind_id(tenant).bind_id(user).bind(role).bind(now)).await?;
    Ok(())
}

pub(crate) async fn list(state: State, ask: Ask<ep::ListTenants>) -> Result<Page<TenantInfo>, Fault> {
    ask.caller.person()?;
    let limit = ask.query.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE) as usize;
    let mut tx = state.foundation.database.across_read().await?;
    let sql =
        "SELECT tenant_id, name, created_at FROM tenants WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2";
    let after = ask.query.next_token.unwrap_or_default();
    let rows = tx.all(Statement::new(sql).bind(after).bind_u64(limit as u64 + 1)).await?;
    let mut items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next_token = items.last().filter(|_| more).map(|last| last.tenant_id.to_string());
    Ok(Page { items, next_token })
}

pub(crate) async fn create(state: State, ask: Ask<ep::CreateTenant>) -> Result<TenantInfo, Fault> {
    let person = ask.caller.person()?;
    let name = ask.body.name.trim().to_owned();
    if name.is_empty() || name.len() > MAX_TEXT_BYTES {
        return Err(Fault::invalid(format!("name: a tenant's name has 1 to {MAX_TEXT_BYTES} bytes")));
    }
    let tenant_id = match ask.body.tenant_id {
        Some(id) => checked(id)?,
        None => made_from(&name)?,
    };
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.across_write().await?;
    let sql = "INSERT INTO tenants (tenant_id, name, created_at) VALUES ($1, $2, $3)";
    match tx.run(Statement::new(sql).bind_id(&tenant_id).bind(name.as_str()).bind(now)).await {
        Err(DatabaseError::Taken) => {
            return Err(Fault::conflict(format!("there is a tenant {tenant_id} already; choose another id")));
        }
        other => other?,
    };
    member(&mut tx, &tenant_id, &person.user, "admin", now.as_millis()).await?;
    let record = about("tenant_created").by(&ask.caller).with("name", name.as_str());
    trail::record(&mut tx, &tenant_id, &*state.foundation.clock, record).await?;
    tx.commit().await?;
    Ok(TenantInfo { tenant_id, name, created_at: now })
}

fn checked(id: TenantId) -> Result<TenantId, Fault> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if id.as_str().len() > MAX_ID || !id.as_str().chars().all(fits) {
        let text = format!("tenantId {id}: up to {MAX_ID} lower-case letters, digits and '-'");
        return Err(Fault::invalid(text));
    }
    Ok(id)
}

/// An id from a name: what of it fits, and some random letters.
fn made_from(name: &str) -> Result<TenantId, Fault> {
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut start: String = words.collect::<Vec<_>>().join("-");
    start.truncate(24);
    let random: TenantId = fresh_id("t")?;
    let random = random.as_str().trim_start_matches("t_").get(..8).unwrap_or("x").to_owned();
    let text = if start.is_empty() { format!("t-{random}") } else { format!("{start}-{random}") };
    TenantId::new(text).map_err(|e| Fault::internal("a tenant's id could not be made", &e))
}
