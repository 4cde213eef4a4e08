//! Signing in by a one-time link.

use http::HeaderMap;
use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::{TenantId, UserId};
use lanyard_governance_api::people::{LoginWays, Role, SignedIn};
use lanyard_governance_foundation::credentials::{self, Holder};
use lanyard_governance_foundation::trail::{self, Record};
use lanyard_governance_foundation::{Ask, Fault, Foundation, Statement, Tx};
use lanyard_protocol::envelope::{BoundedContext, Component, Severity};

use crate::cookie::{self, SameSite};
use crate::{State, people};

/// Lifetime of a link, in seconds: long enough to send it to somebody who reads mail once a day.
pub const LINK_SECONDS: u32 = 24 * 3_600;

/// Lifetime of a sign-in, in seconds: a working week.
pub(crate) const SIGN_IN_SECONDS: u32 = 7 * 24 * 3_600;

/// Component and context of this service's records.
pub(crate) fn about(event_type: &'static str) -> Record {
    Record::new(event_type, Component::SessionService, BoundedContext::SessionCoordination)
}

pub(crate) async fn ways(state: State, _ask: Ask<ep::GetLoginWays>) -> Result<LoginWays, Fault> {
    Ok(LoginWays { oidc: state.settings.oidc.map(|oidc| oidc.issuer().to_owned()), links: true })
}

/// A fresh link for the operator: who may run commands where central runs may sign in.
pub async fn operator_link(foundation: &Foundation) -> Result<String, Fault> {
    let (tenant, user) = crate::begin(foundation).await?;
    let mut tx = foundation.database.across_write().await?;
    let token = make(&mut tx, foundation, &tenant, &user, None).await?;
    tx.commit().await?;
    Ok(token)
}

/// A link for the operator of an installation in which nobody has signed in yet and no link waits: one for each need, not
/// one for each start. Without one, the way is `lanyard-central sign-in-link`. Safe on several replicas at once.
pub async fn first_link(foundation: &Foundation) -> Result<Option<String>, Fault> {
    let (tenant, user) = crate::begin(foundation).await?;
    let mut tx = foundation.database.across_write().await?;
    // Those who start together wait here for each other.
    tx.one(Statement::new("SELECT user_id FROM users WHERE user_id = $1 {lock}").bind_id(&user)).await?;
    let sql = "SELECT user_id FROM memberships WHERE last_seen_at IS NOT NULL LIMIT 1";
    if tx.one(Statement::new(sql)).await?.is_some() {
        return Ok(None);
    }
    let sql = "SELECT user_id FROM sign_in_links WHERE user_id = $1 AND expires_at > $2 AND used_at IS NULL LIMIT 1";
    if tx.one(Statement::new(sql).bind_id(&user).bind(foundation.clock.now())).await?.is_some() {
        return Ok(None);
    }
    let token = make(&mut tx, foundation, &tenant, &user, None).await?;
    tx.commit().await?;
    Ok(Some(token))
}

/// Makes a link's token, and records that. Whoever makes it (nobody: on the machine, for the operator) is handed it, and is
/// from then on one of those who may be behind the account. `tx` reaches across tenants.
pub(crate) async fn make(
    tx: &mut Tx,
    foundation: &Foundation,
    tenant: &TenantId,
    user: &UserId,
    maker: Option<&UserId>,
) -> Result<String, Fault> {
    let token = credentials::fresh_secret("lsl")?;
    let now = foundation.clock.now();
    let sql = "INSERT INTO sign_in_links (hash, tenant_id, user_id, created_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5)";
    let until = now.plus_millis(i64::from(LINK_SECONDS) * 1_000);
    let hash = credentials::hash(token.as_bytes());
    let statement = Statement::new(sql).bind(hash.as_slice()).bind_id(tenant).bind_id(user);
    tx.run(statement.bind(now).bind(until)).await?;
    if let Some(maker) = maker {
        let sql = "INSERT INTO link_makers (user_id, maker) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        tx.run(Statement::new(sql).bind_id(user).bind_id(maker)).await?;
    }
    let by = maker.map_or("the machine that runs the centre", |maker| maker.as_str());
    let record = about("sign_in_link_made").with("forUser", user.as_str()).with("madeBy", by);
    trail::record(tx, tenant, &*foundation.clock, record).await?;
    Ok(token)
}

pub(crate) async fn login(state: State, ask: Ask<ep::LoginByLink>) -> Result<(HeaderMap, SignedIn), Fault> {
    let foundation = &state.foundation;
    let now = foundation.clock.now();
    let mut tx = foundation.database.across_write().await?;
    let hash = credentials::hash(ask.body.token.trim().as_bytes());
    let sql = "UPDATE sign_in_links SET used_at = $2 WHERE hash = $1 AND expires_at > $2 AND used_at IS NULL \
               RETURNING tenant_id, user_id";
    let row = tx.one(Statement::new(sql).bind(hash.as_slice()).bind(now)).await?;
    let Some(row) = row else {
        note_refused(&state, &mut tx, &hash).await?;
        return Err(Fault::unknown_caller(
            "this link was used already, has run out or was replaced; have an administrator make a new one (People → \
             Change), or, where you run the centre, use `lanyard-central sign-in-link`",
        ));
    };
    let (tenant, user) = (row.id("tenant_id")?, row.id("user_id")?);
    let into = if ask.headers.contains_key(CONSOLE) { Into::Console } else { Into::Script };
    let signed_in = sign_in(&mut tx, &state, (&tenant, &user), "link", into).await?;
    tx.commit().await?;
    Ok(signed_in)
}

/// Records that a link was opened which is known here, and is none any more. One that was never made is nobody's.
async fn note_refused(state: &State, tx: &mut Tx, hash: &[u8; 32]) -> Result<(), Fault> {
    let sql = "SELECT tenant_id, user_id, used_at FROM sign_in_links WHERE hash = $1";
    let Some(row) = tx.one(Statement::new(sql).bind(hash.as_slice())).await? else { return Ok(()) };
    let why = match row.opt_time("used_at")? {
        Some(_) => "the link was used or replaced before",
        None => "the link has run out",
    };
    let (tenant, user): (TenantId, UserId) = (row.id("tenant_id")?, row.id("user_id")?);
    let record = about("sign_in_refused").severity(Severity::Warning).with("forUser", user.as_str());
    state.refusals.note(&tenant, user.as_str(), record.with("way", "link").with("reason", why));
    Ok(())
}

/// Header that the console sends.
const CONSOLE: &str = "x-lanyard-console";

/// What a sign-in is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    /// A browser: cookie and key.
    Console,
    /// Anything else: a bearer.
    Script,
}

/// Makes a sign-in of somebody who has proved to be this person of this tenant. `tx` reaches across tenants.
pub(crate) async fn sign_in(
    tx: &mut Tx,
    state: &State,
    (tenant, user): (&TenantId, &UserId),
    way: &str,
    into: Into,
) -> Result<(HeaderMap, SignedIn), Fault> {
    let foundation = &state.foundation;
    let now = foundation.clock.now();
    let sql = "SELECT u.name, u.operator, m.role FROM memberships m JOIN users u ON u.user_id = m.user_id \
               WHERE m.tenant_id = $1 AND m.user_id = $2 {lock}";
    let row = tx.one(Statement::new(sql).bind_id(tenant).bind_id(user)).await?;
    let Some(row) = row else {
        let record = about("sign_in_refused").severity(Severity::Warning).with("forUser", user.as_str());
        let record = record.with("way", way).with("reason", "they were removed from this tenant");
        state.refusals.note(tenant, user.as_str(), record);
        return Err(Fault::unknown_caller("you were removed from this tenant; ask its administrator"));
    };
    let role: Role = people::role(&row.text("role")?)?;
    let holder = Holder::Person {
        tenant: tenant.clone(),
        user: user.clone(),
        name: row.text("name")?,
        role,
        operator: row.flag("operator")?,
    };
    let token = credentials::fresh_secret("lps")?;
    let expires_at = now.plus_millis(i64::from(SIGN_IN_SECONDS) * 1_000);
    let hash = match into {
        Into::Console => credentials::cookie_hash(&token),
        Into::Script => credentials::hash(token.as_bytes()),
    };
    credentials::add(tx, hash, &holder, now, expires_at).await?;
    let sql = "UPDATE memberships SET last_seen_at = $3 WHERE tenant_id = $1 AND user_id = $2";
    tx.run(Statement::new(sql).bind_id(tenant).bind_id(user).bind(now)).await?;
    let record = about("person_signed_in").with("userId", user.as_str()).with("way", way);
    trail::record(tx, tenant, &*foundation.clock, record).await?;
    if into == Into::Script {
        return Ok((HeaderMap::new(), SignedIn { token: Some(token), console_key: None, expires_at }));
    }
    let url = &state.settings.public_url;
    let headers = cookie::set(cookie::SESSION, &token, SIGN_IN_SECONDS.into(), SameSite::Strict, url)?;
    let key = credentials::console_key(&state.settings.key.0, &token);
    Ok((headers, SignedIn { token: None, console_key: Some(key), expires_at }))
}
