//! Credentials: secrets, by their hash, and whom they stand for. One lookup authenticates everybody; revoking is a row,
//! and counts from the next request on.

use std::collections::HashMap;

use lanyard_governance_api::endpoint::AgentScope;
use lanyard_governance_api::id::{AgentId, TenantId, UserId};
use lanyard_governance_api::people::Role;
use lanyard_protocol::Timestamp;
use sha2::{Digest, Sha256};

use crate::caller::{Agent, Caller, Person};
use crate::database::{Database, DatabaseError, Migration, Row, Statement, Tx};
use crate::fault::Fault;

/// Tables of the foundation itself.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        service: "foundation",
        number: 1,
        sql: "CREATE TABLE credentials (
    hash {{bytes}} NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    agent_id TEXT,
    name TEXT NOT NULL,
    role TEXT,
    operator BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    reason TEXT);
CREATE INDEX credentials_user ON credentials (tenant_id, user_id);
CREATE INDEX credentials_agent ON credentials (tenant_id, agent_id);
CREATE INDEX credentials_end ON credentials (expires_at);
",
    },
    crate::trail::MIGRATION,
    crate::trail::PARKED,
];

/// Hash under which a secret, or a client certificate's DER, is kept.
pub fn hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Hash under which a sign-in by cookie is kept: never that of a bearer, so that a cookie that came into wrong hands is
/// no bearer.
pub fn cookie_hash(secret: &str) -> [u8; 32] {
    Sha256::new().chain_update("cookie\0").chain_update(secret).finalize().into()
}

/// What goes with a cookie on every request: made from it with the installation's key, so that nothing needs to be kept,
/// and whoever has only the cookie cannot make it.
pub fn console_key(installation: &[u8; 32], secret: &str) -> String {
    let mac = Sha256::new().chain_update(installation).chain_update(secret).chain_update(installation);
    let outer = Sha256::new().chain_update(installation).chain_update(mac.finalize());
    data_encoding::HEXLOWER.encode(&outer.finalize())
}

/// For whom a credential is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A sign-in of a person.
    Person {
        /// The tenant worked in.
        tenant: TenantId,
        /// Who.
        user: UserId,
        /// Name for people.
        name: String,
        /// As what.
        role: Role,
        /// Operator of the installation.
        operator: bool,
    },
    /// A host.
    Agent {
        /// Its tenant.
        tenant: TenantId,
        /// Which.
        agent: AgentId,
        /// Whose.
        user: UserId,
        /// What it reaches.
        scope: AgentScope,
    },
}

/// A fresh bearer secret: the prefix, `_`, and 256 random bits in lower-case base32.
pub fn fresh_secret(prefix: &str) -> Result<String, Fault> {
    let secret = crate::clock::random::<32>()?;
    Ok(format!("{prefix}_{}", data_encoding::BASE32_NOPAD.encode(&secret).to_lowercase()))
}

/// Adds a credential. `tx` reaches across tenants. The same hash again is refused as taken.
pub async fn add(
    tx: &mut Tx,
    hash: [u8; 32],
    holder: &Holder,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), DatabaseError> {
    let insert = "INSERT INTO credentials (hash, kind, tenant_id, user_id, agent_id, name, role, operator, \
                  created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let statement = match holder {
        Holder::Person { tenant, user, name, role, operator } => Statement::new(insert)
            .bind(hash.as_slice())
            .bind("person")
            .bind_id(tenant)
            .bind_id(user)
            .bind(None::<String>)
            .bind(name.as_str())
            .bind(role.as_str())
            .bind(*operator),
        Holder::Agent { tenant, agent, user, scope } => Statement::new(insert)
            .bind(hash.as_slice())
            .bind(match scope {
                AgentScope::Heartbeat => "heartbeat",
                AgentScope::Agent => "agent",
            })
            .bind_id(tenant)
            .bind_id(user)
            .bind_id(agent)
            .bind("")
            .bind(None::<String>)
            .bind(false),
    };
    tx.run(statement.bind(now).bind(expires_at)).await.map(|_| ())
}

/// Wakes what is sent to a person or a host at the moment, so that it is looked at again whether it still may be.
async fn wake(tx: &mut Tx, tenant: &TenantId, who: &str) -> Result<(), DatabaseError> {
    tx.wake(topic(tenant, who)).await
}

/// Topic of the credentials of a person or a host.
pub(crate) fn topic(tenant: &TenantId, who: &str) -> String {
    format!("credentials/{tenant}/{who}")
}

/// Revokes every credential of an agent, from the next request on; what is being sent to it ends soon.
pub async fn revoke_agent(
    tx: &mut Tx,
    tenant: &TenantId,
    agent: &AgentId,
    reason: &str,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let sql = "UPDATE credentials SET revoked_at = $3, reason = $4 \
               WHERE tenant_id = $1 AND agent_id = $2 AND revoked_at IS NULL";
    tx.run(Statement::new(sql).bind_id(tenant).bind_id(agent).bind(now).bind(reason)).await?;
    wake(tx, tenant, agent.as_str()).await
}

/// Removes every sign-in of a person in a tenant.
pub async fn remove_person(tx: &mut Tx, tenant: &TenantId, user: &UserId) -> Result<(), DatabaseError> {
    let sql = "DELETE FROM credentials WHERE tenant_id = $1 AND user_id = $2 AND kind = 'person'";
    tx.run(Statement::new(sql).bind_id(tenant).bind_id(user)).await?;
    wake(tx, tenant, user.as_str()).await
}

/// Changes what a person's sign-ins may do, from the next request on.
pub async fn change_role(
    tx: &mut Tx,
    tenant: &TenantId,
    user: &UserId,
    role: Role,
) -> Result<(), DatabaseError> {
    let sql = "UPDATE credentials SET role = $3 WHERE tenant_id = $1 AND user_id = $2 AND kind = 'person'";
    tx.run(Statement::new(sql).bind_id(tenant).bind_id(user).bind(role.as_str())).await?;
    wake(tx, tenant, user.as_str()).await
}

/// Removes one credential: a sign-out.
pub async fn remove(tx: &mut Tx, hash: &[u8; 32]) -> Result<(), DatabaseError> {
    let sql = "DELETE FROM credentials WHERE hash = $1 RETURNING tenant_id, user_id";
    let Some(row) = tx.one(Statement::new(sql).bind(hash.as_slice())).await? else { return Ok(()) };
    let (tenant, user) = (row.id::<TenantId>("tenant_id")?, row.text("user_id")?);
    wake(tx, &tenant, &user).await
}

/// Removes what ran out a month ago (until then a known credential is told from an unknown one).
pub async fn sweep(database: &Database, now: Timestamp) -> Result<u64, Fault> {
    const KEPT_MILLIS: i64 = 30 * 24 * 3_600_000;
    let mut tx = database.across_write().await?;
    let sql = "DELETE FROM credentials WHERE expires_at < $1";
    let removed = tx.run(Statement::new(sql).bind(now.plus_millis(-KEPT_MILLIS))).await?;
    tx.commit().await?;
    Ok(removed)
}

/// Whom a secret stands for now. An unknown or expired one is nobody.
pub async fn authenticate(database: &Database, hash: [u8; 32], now: Timestamp) -> Result<Caller, Fault> {
    let found = authenticate_all(database, &[hash], now).await?.pop();
    found.unwrap_or(Ok(Caller::Nobody))
}

/// The same for many at once, in their order. A row that cannot be read fails for its own caller only.
pub(crate) async fn authenticate_all(
    database: &Database,
    hashes: &[[u8; 32]],
    now: Timestamp,
) -> Result<Vec<Result<Caller, Fault>>, Fault> {
    // Padded to a power of two, so that few statements are prepared and found again.
    let padded = hashes.len().max(1).next_power_of_two();
    let places: Vec<String> = (1..=padded).map(|number| format!("${number}")).collect();
    let select = Statement::new(format!(
        "SELECT hash, kind, tenant_id, user_id, agent_id, name, role, operator, expires_at, revoked_at, reason \
         FROM credentials WHERE hash IN ({})",
        places.join(", ")
    ));
    let filler = std::iter::repeat_n(hashes.last().copied().unwrap_or_default(), padded - hashes.len());
    let select =
        hashes.iter().copied().chain(filler).fold(select, |select, hash| select.bind(hash.as_slice()));
    let mut tx = database.across_read().await?;
    let mut known = HashMap::with_capacity(hashes.len());
    for row in tx.all(select).await? {
        known.insert(row.bytes("hash")?, row);
    }
    let whose = |hash: &[u8; 32]| match known.get(hash.as_slice()) {
        Some(row) => whose(row, *hash, now),
        None => Ok(Caller::Nobody),
    };
    Ok(hashes.iter().map(whose).collect())
}

/// For whom a row stands.
fn whose(row: &Row, hash: [u8; 32], now: Timestamp) -> Result<Caller, Fault> {
    let revoked = row.opt_time("revoked_at")?.is_some();
    if !revoked && row.time("expires_at")? <= now {
        return Ok(Caller::Nobody);
    }
    let (tenant, user) = (row.id("tenant_id")?, row.id("user_id")?);
    let scope = match row.text("kind")?.as_str() {
        // People's sign-ins are removed, not revoked; one that is all the same counts as little.
        "person" if revoked => return Ok(Caller::Nobody),
        "person" => {
            let role = match row.text("role")?.as_str() {
                "admin" => Role::Admin,
                "approver" => Role::Approver,
                "viewer" => Role::Viewer,
                other => return Err(Fault::internal("a sign-in has an unknown role", &other)),
            };
            let (name, operator) = (row.text("name")?, row.flag("operator")?);
            return Ok(Caller::Person(Person { tenant, user, name, role, operator, credential: hash }));
        }
        "heartbeat" => AgentScope::Heartbeat,
        "agent" => AgentScope::Agent,
        other => return Err(Fault::internal("a credential is of an unknown kind", &other)),
    };
    let agent = Agent { tenant, agent: row.id("agent_id")?, user, scope };
    if revoked {
        let reason = row.opt_text("reason")?.unwrap_or_default();
        return Ok(Caller::Revoked { reason: format!("this enrolment was revoked: {reason}"), whose: agent });
    }
    Ok(Caller::Agent(agent))
}
