//! People and tenants: who may use the console, and as what.

use lanyard_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{TenantId, UserId};

/// What a person may do in a tenant; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees everything but secrets.
    Viewer,
    /// Answers approvals and pairings, cancels.
    Approver,
    /// Changes policy, people, hosts; dispatches jobs.
    Admin,
}

impl Role {
    /// The wire spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Approver => "approver",
            Role::Admin => "admin",
        }
    }
}

/// Answer of `GET /me`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// The person.
    pub user_id: UserId,
    /// Name for people.
    pub name: String,
    /// E-mail, where the provider told it.
    pub email: Option<String>,
    /// The operator of the installation: may make tenants.
    pub operator: bool,
    /// The tenant worked in.
    pub tenant: TenantInfo,
    /// As what.
    pub role: Role,
    /// Tenants the person may change to.
    pub tenants: Vec<TenantInfo>,
    /// The sign-in ends at this instant.
    pub expires_at: Timestamp,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TenantInfo {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Name for people.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Body of `POST /tenants`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewTenant {
    /// The id, lower-case letters, digits and `-`; absent: made from the name.
    pub tenant_id: Option<TenantId>,
    /// Name for people.
    pub name: String,
}

/// Body of `POST /me/tenant`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChooseTenant {
    /// Where to work.
    pub tenant_id: TenantId,
}

/// A person of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Person {
    /// The person.
    pub user_id: UserId,
    /// Name for people.
    pub name: String,
    /// E-mail: how an invited person is recognised at the first sign-in.
    pub email: Option<String>,
    /// As what.
    pub role: Role,
    /// When the person was invited or came.
    pub since: Timestamp,
    /// When last seen.
    pub last_seen_at: Option<Timestamp>,
    /// Has signed in at least once.
    pub joined: bool,
    /// Who invited the person into this tenant.
    #[serde(default)]
    pub invited_by: Option<UserId>,
    /// Was invited by a one-time link, and gets another one the same way when a sign-in has ended.
    #[serde(default)]
    pub by_link: bool,
}

/// Body of the internal `POST /people/standings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StandingQuery {
    /// Accounts, at most [`crate::limits::MAX_PAGE`].
    pub user_ids: Vec<UserId>,
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Standings {
    /// One for each account asked about, in the same order.
    pub standings: Vec<Standing>,
}

/// What an account is in a tenant, for other services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// The account.
    pub user_id: UserId,
    /// As what it is in the tenant; absent when it is not, or not any more.
    pub role: Option<Role>,
    /// Who may be behind it: who could have signed in as it, because they were handed a link of it, and who could have
    /// signed in as those, and so on, without the operator. Nobody for an account that a provider vouches for. At most
    /// [`crate::limits::MAX_HANDS`].
    pub handed_by: Vec<UserId>,
    /// There are more than are told.
    pub more: bool,
}

/// Body of `POST /people`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InvitePerson {
    /// Name for people.
    pub name: String,
    /// Verified address at the identity provider. Absent: the answer carries a one-time link instead.
    pub email: Option<String>,
    /// As what.
    pub role: Role,
}

/// Answer to it, and to `POST /people/{id}/link`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Invited {
    /// The person.
    pub person: Person,
    /// Token of a one-time sign-in link (`/console/#/sign-in/TOKEN`), shown once; absent where OIDC is used.
    pub link_token: Option<String>,
}

/// Body of `PATCH /people/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangePerson {
    /// As what.
    pub role: Role,
}

/// Answer of `GET /login`: how one may sign in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LoginWays {
    /// `GET /login/oidc` leads to this provider.
    pub oidc: Option<String>,
    /// One-time links are printed by `lanyard-central sign-in-link` on the machine.
    pub links: bool,
}

/// Body of `POST /login/link`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkLogin {
    /// The one-time token.
    pub token: String,
}

impl std::fmt::Debug for LinkLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkLogin(..)")
    }
}

/// Answer to it. A script gets a bearer. The console (header `x-lanyard-console`) gets a cookie that scripts do not see,
/// and a key that goes with every request of the console: cookies are sent to every port of a machine, and neither of the
/// two is worth anything alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SignedIn {
    /// Bearer token, for scripts.
    pub token: Option<String>,
    /// What the console sends as `x-lanyard-console`.
    pub console_key: Option<String>,
    /// Runs out at this instant.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedIn").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
