//! The person who calls: who, where, as what; changing the tenant, signing out.

use http::HeaderMap;
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::page::Nothing;
use lanyard_governance_api::people::Me;
use lanyard_governance_foundation::caller::Person;
use lanyard_governance_foundation::{Ask, Fault, Statement, credentials, trail};

use crate::cookie::{self, SameSite};
use crate::links::about;
use crate::{State, people, tenants};

/// Tenants one person may choose among; somebody with more of them works by API.
const MAX_TENANTS: i64 = 200;

pub(crate) async fn get(state: State, ask: Ask<ep::GetMe>) -> Result<Me, Fault> {
    me(&state, ask.caller.person()?).await
}

async fn me(state: &State, person: &Person) -> Result<Me, Fault> {
    let mut tx = state.foundation.database.across_read().await?;
    let sql = "SELECT u.name, u.email, u.operator, c.expires_at, c.tenant_id, c.role \
               FROM credentials c JOIN users u ON u.user_id = c.user_id WHERE c.hash = $1";
    let row = tx.one(Statement::new(sql).bind(person.credential.as_slice())).await?;
    let row = row.ok_or_else(|| Fault::unknown_caller("this sign-in has ended; sign in again"))?;
    let current: String = row.text("tenant_id")?;
    let sql = "SELECT t.tenant_id, t.name, t.created_at FROM memberships m \
               JOIN tenants t ON t.tenant_id = m.tenant_id WHERE m.user_id = $1 ORDER BY t.name LIMIT $2";
    let rows = tx.all(Statement::new(sql).bind_id(&person.user).bind(MAX_TENANTS)).await?;
    let all = rows.iter().map(tenants::read).collect::<Result<Vec<_>, _>>()?;
    let tenant = all.iter().find(|tenant| tenant.tenant_id.as_str() == current).cloned();
    Ok(Me {
        user_id: person.user.clone(),
        name: row.text("name")?,
        email: row.opt_text("email")?,
        operator: row.flag("operator")?,
        tenant: tenant.ok_or_else(|| Fault::unknown_caller("you were removed from this tenant"))?,
        role: people::role(&row.text("role")?)?,
        tenants: all,
        expires_at: row.time("expires_at")?,
    })
}

pub(crate) async fn choose_tenant(state: State, ask: Ask<ep::ChooseTenant>) -> Result<Me, Fault> {
    let person = ask.caller.person()?;
    let chosen = ask.body.tenant_id;
    let mut tx = state.foundation.database.across_write().await?;
    let sql = "SELECT role FROM memberships WHERE tenant_id = $1 AND user_id = $2 {lock}";
    let row = tx.one(Statement::new(sql).bind_id(&chosen).bind_id(&person.user)).await?;
    let row = row.ok_or_else(|| Fault::not_found("tenant", &chosen))?;
    let sql = "UPDATE credentials SET tenant_id = $2, role = $3 WHERE hash = $1";
    let statement = Statement::new(sql).bind(person.credential.as_slice()).bind_id(&chosen);
    tx.run(statement.bind(row.text("role")?)).await?;
    // Whoever looks at this tenant's trail sees who came, although they signed in elsewhere.
    let record = about("tenant_entered").with("userId", person.user.as_str());
    trail::record(&mut tx, &chosen, &*state.foundation.clock, record).await?;
    tx.commit().await?;
    me(&state, person).await
}

pub(crate) async fn logout(state: State, ask: Ask<ep::Logout>) -> Result<(HeaderMap, Nothing), Fault> {
    let person = ask.caller.person()?;
    let mut tx = state.foundation.database.across_write().await?;
    credentials::remove(&mut tx, &person.credential).await?;
    let record = about("person_signed_out").by(&ask.caller);
    trail::record(&mut tx, &person.tenant, &*state.foundation.clock, record).await?;
    tx.commit().await?;
    let gone = cookie::set(cookie::SESSION, "", 0, SameSite::Strict, &state.settings.public_url)?;
    Ok((gone, Nothing {}))
}
