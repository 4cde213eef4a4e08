//! People of a tenant and their roles.

use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::{TenantId, UserId};
use lanyard_governance_api::limits::MAX_TEXT_BYTES;
use lanyard_governance_api::page::{Nothing, Page};
use lanyard_governance_api::people::{Invited, Person, Role};
use lanyard_governance_foundation::database::DatabaseError;
use lanyard_governance_foundation::page::Cut;
use lanyard_governance_foundation::{Ask, Fault, Row, Statement, Tx, credentials, fresh_id, trail};

use crate::State;
use crate::links::{self, about};

/// People of one tenant; a company of more signs in by tenants of its parts.
const MAX_PEOPLE: u64 = 10_000;

/// Issuer of people who come by link.
pub(crate) const LINK_ISSUER: &str = "link";

/// A role as kept.
pub(crate) fn role(text: &str) -> Result<Role, Fault> {
    match text {
        "viewer" => Ok(Role::Viewer),
        "approver" => Ok(Role::Approver),
        "admin" => Ok(Role::Admin),
        other => Err(Fault::internal("a membership has an unknown role", &other)),
    }
}

const COLUMNS: &str = "SELECT m.user_id, m.role, m.created_at, m.last_seen_at, m.invited_by, u.name, u.email, \
                       u.issuer, u.operator FROM memberships m \
                       JOIN users u ON u.user_id = m.user_id WHERE m.tenant_id = $1";

fn read(row: &Row) -> Result<Person, Fault> {
    let last_seen_at = row.opt_time("last_seen_at")?;
    Ok(Person {
        user_id: row.id("user_id")?,
        name: row.text("name")?,
        email: row.opt_text("email")?,
        role: role(&row.text("role")?)?,
        since: row.time("created_at")?,
        last_seen_at,
        joined: last_seen_at.is_some(),
        invited_by: row.opt_id("invited_by")?,
        by_link: row.opt_text("issuer")?.as_deref() == Some(LINK_ISSUER) && !row.flag("operator")?,
    })
}

pub(crate) async fn list(state: State, ask: Ask<ep::ListPeople>) -> Result<Page<Person>, Fault> {
    let cut = Cut::of(ask.query.limit, ask.query.next_token.as_deref())?;
    let mut tx = state.foundation.database.read(&ask.caller).await?;
    let rows = tx.all(cut.apply(Statement::new(COLUMNS), "AND", "m.created_at", "m.user_id")?).await?;
    cut.page(rows, |row| Ok((row.time("created_at")?, row.text("user_id")?)), read)
}

pub(crate) async fn invite(state: State, ask: Ask<ep::InvitePerson>) -> Result<Invited, Fault> {
    let inviter = ask.caller.person()?.user.clone();
    let tenant = ask.caller.tenant()?.clone();
    let name = ask.body.name.trim().to_owned();
    if name.is_empty() || name.len() > MAX_TEXT_BYTES {
        return Err(Fault::invalid(format!("name: a name has 1 to {MAX_TEXT_BYTES} bytes")));
    }
    let email = ask.body.email.map(|email| email.trim().to_lowercase()).filter(|email| !email.is_empty());
    if email.as_ref().is_some_and(|email| !email.contains('@') || email.len() > 320) {
        return Err(Fault::invalid("email: this is not an e-mail address"));
    }
    let now = state.foundation.clock.now();
    let mut tx = state.foundation.database.across_write().await?;
    room(&mut tx, &tenant).await?;
    // A link signs in whoever holds it, and the inviter does: it never stands for a person who is known already, and
    // never becomes one that the provider vouches for.
    let by_link = email.is_none() || state.settings.oidc.is_none();
    let found = if by_link { None } else { known(&mut tx, email.as_deref()).await? };
    let user = match found {
        Some(user) => user,
        None => {
            let user: UserId = fresh_id("usr")?;
            let sql = "INSERT INTO users (user_id, name, email, issuer, subject, operator, created_at) \
                       VALUES ($1, $2, $3, $4, $5, 0, $6)";
            let statement = Statement::new(sql).bind_id(&user).bind(name).bind(email.clone());
            let statement = match by_link {
                true => statement.bind(LINK_ISSUER).bind_id(&user),
                false => statement.bind(None::<String>).bind(None::<String>),
            };
            tx.run(statement.bind(now)).await?;
            user
        }
    };
    let sql = "INSERT INTO memberships (tenant_id, user_id, role, created_at, invited_by) VALUES ($1, $2, $3, $4, $5)";
    let statement = Statement::new(sql).bind_id(&tenant).bind_id(&user).bind(ask.body.role.as_str());
    match tx.run(statement.bind(now).bind_id(&inviter)).await {
        Err(DatabaseError::Taken) => {
            return Err(Fault::conflict("this person is in the tenant already; change the role instead"));
        }
        other => other?,
    };
    let link_token = match by_link {
        true => Some(links::make(&mut tx, &state.foundation, &tenant, &user, Some(&inviter)).await?),
        false => None,
    };
    let record = about("person_invited").by(&ask.caller).with("invited", user.as_str());
    let record = record.with("role", ask.body.role.as_str());
    trail::record(&mut tx, &tenant, &*state.foundation.clock, record).await?;
    let person = one(&mut tx, &tenant, &user).await?;
    tx.commit().await?;
    Ok(Invited { person, link_token })
}

/// `POST /people/{user_id}/link`: for somebody whose sign-in has ended, or whose link was lost. One link of a person waits
/// at a time: an earlier one, wherever it got to, opens nothing any more.
pub(crate) async fn link(state: State, ask: Ask<ep::CreateSignInLink>) -> Result<Invited, Fault> {
    let maker = ask.caller.person()?.user.clone();
    let (tenant, user) = (ask.caller.tenant()?.clone(), ask.path.get::<UserId>("user_id")?);
    let mut tx = state.foundation.database.across_write().await?;
    let person = one(&mut tx, &tenant, &user).await?;
    if !person.by_link {
        return Err(Fault::conflict(
            "only people who were invited by a link get another one: everybody else signs in at the identity provider, \
             and the operator by `lanyard-central sign-in-link` on the machine that runs this",
        ));
    }
    let sql =
        "UPDATE sign_in_links SET used_at = $3 WHERE tenant_id = $1 AND user_id = $2 AND used_at IS NULL";
    let now = state.foundation.clock.now();
    tx.run(Statement::new(sql).bind_id(&tenant).bind_id(&user).bind(now)).await?;
    let link_token = Some(links::make(&mut tx, &state.foundation, &tenant, &user, Some(&maker)).await?);
    tx.commit().await?;
    Ok(Invited { person, link_token })
}

/// Refuses one more than a tenant may have. Some that are invited at the same instant may slip through.
async fn room(tx: &mut Tx, tenant: &TenantId) -> Result<(), Fault> {
    let sql = "SELECT COUNT(*) AS n FROM memberships WHERE tenant_id = $1";
    let row = tx.one(Statement::new(sql).bind_id(tenant)).await?;
    match row.map(|row| row.count("n")).transpose()?.unwrap_or(0) >= MAX_PEOPLE {
        true => {
            Err(Fault::conflict(format!("a tenant has at most {MAX_PEOPLE} people; remove those who left")))
        }
        false => Ok(()),
    }
}

/// A person of this address whom another tenant invited before, to sign in at the provider.
async fn known(tx: &mut Tx, email: Option<&str>) -> Result<Option<UserId>, Fault> {
    let Some(email) = email else { return Ok(None) };
    let sql = "SELECT user_id FROM users WHERE email = $1 AND (issuer IS NULL OR issuer <> $2) \
               ORDER BY created_at, user_id LIMIT 1";
    let row = tx.one(Statement::new(sql).bind(email).bind(LINK_ISSUER)).await?;
    Ok(row.map(|row| row.id("user_id")).transpose()?)
}

/// `tx` reaches across tenants.
async fn one(tx: &mut Tx, tenant: &TenantId, user: &UserId) -> Result<Person, Fault> {
    let statement = Statement::new(COLUMNS).push(" AND m.user_id = $2").bind_id(tenant).bind_id(user);
    let row = tx.one(statement).await?.ok_or_else(|| Fault::not_found("person", user))?;
    read(&row)
}

/// Refuses to leave a tenant without anybody who can mend it. Takes the rows of its administrators.
async fn keep_an_admin(tx: &mut Tx, tenant: &TenantId, but: &UserId) -> Result<(), Fault> {
    let sql =
        "SELECT user_id FROM memberships WHERE tenant_id = $1 AND role = 'admin' ORDER BY user_id {lock}";
    let rows = tx.all(Statement::new(sql).bind_id(tenant)).await?;
    let mut others = 0;
    for row in &rows {
        others += usize::from(row.text("user_id")? != but.as_str());
    }
    if others == 0 {
        return Err(Fault::conflict("this is the tenant's only administrator; make somebody else one first"));
    }
    Ok(())
}

pub(crate) async fn change(state: State, ask: Ask<ep::ChangePerson>) -> Result<Person, Fault> {
    let (tenant, user) = (ask.caller.tenant()?.clone(), ask.path.get::<UserId>("user_id")?);
    let mut tx = state.foundation.database.across_write().await?;
    one(&mut tx, &tenant, &user).await?;
    if ask.body.role != Role::Admin {
        keep_an_admin(&mut tx, &tenant, &user).await?;
    }
    let sql = "UPDATE memberships SET role = $3 WHERE tenant_id = $1 AND user_id = $2";
    let statement = Statement::new(sql).bind_id(&tenant).bind_id(&user).bind(ask.body.role.as_str());
    tx.run(statement).await?;
    credentials::change_role(&mut tx, &tenant, &user, ask.body.role).await?;
    let record = about("person_role_changed").by(&ask.caller).with("changed", user.as_str());
    let record = record.with("role", ask.body.role.as_str());
    trail::record(&mut tx, &tenant, &*state.foundation.clock, record).await?;
    let person = one(&mut tx, &tenant, &user).await?;
    tx.commit().await?;
    Ok(person)
}

pub(crate) async fn remove(state: State, ask: Ask<ep::RemovePerson>) -> Result<Nothing, Fault> {
    let (tenant, user) = (ask.caller.tenant()?.clone(), ask.path.get::<UserId>("user_id")?);
    let mut tx = state.foundation.database.across_write().await?;
    one(&mut tx, &tenant, &user).await?;
    keep_an_admin(&mut tx, &tenant, &user).await?;
    for sql in [
        // In the order in which signing in takes them.
        "DELETE FROM sign_in_links WHERE tenant_id = $1 AND user_id = $2",
        "DELETE FROM memberships WHERE tenant_id = $1 AND user_id = $2",
    ] {
        tx.run(Statement::new(sql).bind_id(&tenant).bind_id(&user)).await?;
    }
    credentials::remove_person(&mut tx, &tenant, &user).await?;
    let record = about("person_removed").by(&ask.caller).with("removed", user.as_str());
    trail::record(&mut tx, &tenant, &*state.foundation.clock, record).await?;
    tx.commit().await?;
    Ok(Nothing {})
}
