//! What accounts are, for other services: their roles, and from whose hands they came.
//!
//! A link signs in whoever holds it, and whoever makes one for somebody holds it first. So an account that came by link
//! may be its maker's second one, and nothing here can tell. What can be told is who could have: whoever made a link for
//! it, and, where that account came by link itself, whoever made one for that. Nobody makes links for accounts that an
//! identity provider vouches for; the operator could do anything anyway, and is not named.

use std::collections::HashMap;

use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::{TenantId, UserId};
use lanyard_governance_api::limits::{MAX_HANDS, MAX_PAGE};
use lanyard_governance_api::people::{Role, Standing, Standings};
use lanyard_governance_foundation::{Ask, Fault, Statement, Tx};

use crate::State;
use crate::people::role;

/// `POST /people/standings`.
pub(crate) async fn get(state: State, ask: Ask<ep::GetStandings>) -> Result<Standings, Fault> {
    let tenant = ask.caller.tenant()?.clone();
    let users = ask.body.user_ids;
    if users.len() > MAX_PAGE as usize {
        return Err(Fault::invalid(format!("userIds: at most {MAX_PAGE}, these are {}", users.len())));
    }
    if users.is_empty() {
        return Ok(Standings { standings: Vec::new() });
    }
    let mut tx = state.foundation.database.across_read().await?;
    let roles = roles(&mut tx, &tenant, &users).await?;
    let hands = hands(&mut tx, &users).await?;
    let standing = |user: UserId| {
        let mut handed_by = hands.get(user.as_str()).cloned().unwrap_or_default();
        let more = handed_by.len() > MAX_HANDS;
        handed_by.truncate(MAX_HANDS);
        Standing { role: roles.get(user.as_str()).copied(), handed_by, more, user_id: user }
    };
    Ok(Standings { standings: users.into_iter().map(standing).collect() })
}

/// Adds the accounts to a condition that ends with `IN (`.
fn among(mut statement: Statement, users: &[UserId], mut placeholder: usize) -> Statement {
    for (number, user) in users.iter().enumerate() {
        let comma = if number == 0 { "" } else { ", " };
        statement = statement.push(&format!("{comma}${placeholder}")).bind_id(user);
        placeholder += 1;
    }
    statement.push(")")
}

async fn roles(tx: &mut Tx, tenant: &TenantId, users: &[UserId]) -> Result<HashMap<String, Role>, Fault> {
    let sql = "SELECT user_id, role FROM memberships WHERE tenant_id = $1 AND user_id IN (";
    let rows = tx.all(among(Statement::new(sql).bind_id(tenant), users, 2)).await?;
    rows.iter().map(|row| Ok((row.text("user_id")?, role(&row.text("role")?)?))).collect()
}

/// Who may be behind each account: one more than is told, where there are more.
async fn hands(tx: &mut Tx, users: &[UserId]) -> Result<HashMap<String, Vec<UserId>>, Fault> {
    // A set, not a path: two who made links for each other end it all the same.
    let sql = "WITH RECURSIVE hands (user_id, maker) AS (\
               SELECT l.user_id, l.maker FROM link_makers l WHERE l.user_id IN (";
    let (ranked, most) =
        ("ROW_NUMBER() OVER (PARTITION BY h.user_id ORDER BY h.maker) AS place", users.len() + 1);
    let sql = among(Statement::new(sql), users, 1).push(&format!(
        " UNION SELECT h.user_id, l.maker FROM hands h JOIN link_makers l ON l.user_id = h.maker) \
         SELECT user_id, maker FROM (SELECT h.user_id, h.maker, {ranked} FROM hands h \
         JOIN users m ON m.user_id = h.maker WHERE m.operator = 0 AND h.maker <> h.user_id) AS found \
         WHERE place <= ${most} ORDER BY user_id, maker"
    ));
    let rows = tx.all(sql.bind_u64(MAX_HANDS as u64 + 1)).await?;
    let mut found: HashMap<String, Vec<UserId>> = HashMap::new();
    for row in &rows {
        found.entry(row.text("user_id")?).or_default().push(row.id("maker")?);
    }
    Ok(found)
}
