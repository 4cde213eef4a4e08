//! Identity: people, their tenants and roles, and how they sign in.
//!
//! Two ways lead in. A one-time link, printed on the machine that runs central or made by an administrator for an
//! invited person: the embedded default needs no provider and no password. And OpenID Connect, where the installation
//! has a provider. Both end in a row of `credentials`; role changes and removals count from the next request on.

mod cookie;
mod links;
mod me;
mod oidc;
mod people;
mod standings;
mod tenants;

use lanyard_governance_api::endpoint as ep;
use lanyard_governance_api::id::{TenantId, UserId};
use lanyard_governance_foundation::database::Migration;
use lanyard_governance_foundation::{Fault, Foundation, Refusals, Routes};

pub use links::{LINK_SECONDS, first_link, operator_link};
pub use oidc::{Oidc, OidcError, OidcSettings};

/// The tenant an installation begins with.
pub const FIRST_TENANT: &str = "default";

/// Tables.
pub const MIGRATIONS: &[Migration] = &[TABLES, INVITERS, USED];

/// Who made links for which account, and so could have signed in as it; that stays, whatever becomes of either. And who
/// invited whom into a tenant. Of accounts that were there before neither is known.
const INVITERS: Migration = Migration {
    service: "identity",
    number: 2,
    sql: "CREATE TABLE link_makers (
    user_id TEXT NOT NULL,
    maker TEXT NOT NULL,
    PRIMARY KEY (user_id, maker));
CREATE INDEX sign_in_links_of ON sign_in_links (user_id, expires_at);
ALTER TABLE memberships ADD COLUMN invited_by TEXT;
",
};

/// A link that was used is known as such until it would have run out: who opens it then is somebody to look at.
const USED: Migration = Migration {
    service: "identity",
    number: 3,
    sql: "ALTER TABLE sign_in_links ADD COLUMN used_at BIGINT;
",
};

const TABLES: Migration = Migration {
    service: "identity",
    number: 1,
    sql: "CREATE TABLE tenants (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL);
CREATE TABLE users (
    user_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT,
    issuer TEXT,
    subject TEXT,
    operator BIGINT NOT NULL,
    created_at BIGINT NOT NULL);
CREATE UNIQUE INDEX users_subject ON users (issuer, subject);
CREATE INDEX users_email ON users (email);
CREATE TABLE memberships (
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT,
    PRIMARY KEY (tenant_id, user_id));
{{isolate memberships}}
CREATE INDEX memberships_user ON memberships (user_id);
CREATE TABLE sign_in_links (
    hash {{bytes}} NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL);
CREATE TABLE oidc_flows (
    state {{bytes}} NOT NULL PRIMARY KEY,
    nonce TEXT NOT NULL,
    verifier TEXT NOT NULL,
    expires_at BIGINT NOT NULL);
",
};

/// How people sign in here.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where browsers reach this installation, without a path: `https://central.example.com`.
    pub public_url: String,
    /// The provider, if there is one.
    pub oidc: Option<Oidc>,
    /// The installation's key, from which the console's keys are made.
    pub key: InstallationKey,
}

/// A key of the installation. Never shown.
#[derive(Clone, Copy)]
pub struct InstallationKey(pub [u8; 32]);

impl std::fmt::Debug for InstallationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InstallationKey(..)")
    }
}

/// What the handlers hold.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) foundation: Foundation,
    pub(crate) settings: Settings,
    pub(crate) refusals: Refusals,
}

/// The routes.
pub fn routes(foundation: Foundation, settings: Settings) -> Routes<State> {
    let refusals = Refusals::new(&foundation);
    Routes::new(State { foundation, settings, refusals })
        .on::<ep::GetLoginWays, _, _>(links::ways)
        .on_with_headers::<ep::LoginByLink, _, _>(links::login)
        .on_raw::<ep::StartOidc, _, _>(oidc::start)
        .on_raw::<ep::FinishOidc, _, _>(oidc::finish)
        .on_with_headers::<ep::Logout, _, _>(me::logout)
        .on::<ep::GetMe, _, _>(me::get)
        .on::<ep::ChooseTenant, _, _>(me::choose_tenant)
        .on::<ep::ListTenants, _, _>(tenants::list)
        .on::<ep::CreateTenant, _, _>(tenants::create)
        .on::<ep::ListPeople, _, _>(people::list)
        .on::<ep::InvitePerson, _, _>(people::invite)
        .on::<ep::GetStandings, _, _>(standings::get)
        .on::<ep::CreateSignInLink, _, _>(people::link)
        .on::<ep::ChangePerson, _, _>(people::change)
        .on::<ep::RemovePerson, _, _>(people::remove)
}

/// Removes what ran out. Safe on several replicas at once.
pub async fn sweep(foundation: &Foundation) -> Result<(), Fault> {
    use lanyard_governance_foundation::Statement;
    let now = foundation.clock.now();
    let mut tx = foundation.database.across_write().await?;
    tx.run(Statement::new("DELETE FROM sign_in_links WHERE expires_at < $1").bind(now)).await?;
    tx.run(Statement::new("DELETE FROM oidc_flows WHERE expires_at < $1").bind(now)).await?;
    tx.commit().await?;
    lanyard_governance_foundation::credentials::sweep(&foundation.database, now).await?;
    Ok(())
}

/// Makes the first tenant and its operator, unless they are there. Safe on several replicas at once.
pub async fn begin(foundation: &Foundation) -> Result<(TenantId, UserId), Fault> {
    tenants::begin(foundation).await
}
